"""Answers to `SHOW …` and `DESCRIBE`, made from the catalogue in Spark's columns. No engine is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lakehouse.delta import Commit
from mcp_server.models import ShowColumns, ShowTables, TableInfo
from mcp_server.results.cells import Rows


def _make_text_rows(*names: str, rows: Iterable[tuple[str, ...]]) -> Rows:
    return Rows(names, ("string",) * len(names), tuple(rows))


def listing(statement: ShowTables | ShowColumns, schema: str, tables: Sequence[TableInfo]) -> Rows:
    """What Spark answers to the statement."""
    match statement:
        case ShowTables(views_only=only, pattern=pattern, folder=folder):
            fits, below = _compile_pattern(pattern), f"{folder}." if folder else ""
            chosen = [
                table
                for table in tables
                if (table.kind == "view" or not only)
                and table.name.lower().startswith(below)
                and fits(table.name[len(below) :])
            ]
            names = ("namespace", "viewName" if only else "tableName", "isTemporary")
            return Rows(names, ("string", "string", "boolean"), tuple((schema, t.name, False) for t in chosen))
        case ShowColumns(table=wanted, describe=describe):
            columns = next(t.columns for t in tables if t.name.lower() == wanted.lower())
            if describe:
                return describe_columns((c.name, c.type, c.comment) for c in columns)
            return _make_text_rows("col_name", rows=((c.name,) for c in columns))


def list_history(commits: Iterable[Commit]) -> Rows:
    """What SHOW VERSIONS answers: the first columns of Delta's DESCRIBE HISTORY, without users and parameters."""
    names = ("version", "timestamp", "operation", "rows_written", "rows_deleted")
    return Rows(
        names,
        ("bigint", "timestamp", "string", "bigint", "bigint"),
        tuple(
            (each.version, each.moment.isoformat(), each.operation, each.rows_written, each.rows_deleted)
            for each in commits
        ),
    )


def describe_columns(columns: Iterable[tuple[str, str, str]]) -> Rows:
    """What Spark answers to DESCRIBE of columns with these names, types and comments."""
    return _make_text_rows("col_name", "data_type", "comment", rows=columns)


def _compile_pattern(pattern: str | None) -> Callable[[str], bool]:
    """Spark's pattern of SHOW as a test of names: `*` for any letters, `|` between choices, whatever the case.

    A name is read once, from left to right, however many stars a choice has.
    """
    if pattern is None:
        return lambda _name: True
    choices = dict.fromkeys(choice.strip().lower() for choice in pattern.split("|"))
    whole = frozenset(choice for choice in choices if "*" not in choice)
    starred = [choice.split("*") for choice in choices if "*" in choice]
    parts = [(first, [part for part in middle if part], last) for first, *middle, last in starred]

    def fits(name: str) -> bool:
        folded = name.lower()
        return folded in whole or any(_has_in_order(folded, *each) for each in parts)

    return fits


def _has_in_order(name: str, first: str, middle: Sequence[str], last: str) -> bool:
    """Whether a name begins with `first`, ends with `last`, and has the parts of the middle between them."""
    if not name.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return name.endswith(last) and at + len(last) <= len(name)
