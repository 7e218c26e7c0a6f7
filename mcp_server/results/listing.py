"""Answers to `SHOW …` and `DESCRIBE`, made from the catalogue in Spark's columns. No engine is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mcp_server.models import ShowColumns, ShowTables, TableInfo
from mcp_server.results.cells import Rows


def _texts(*names: str, rows: Iterable[tuple[str, ...]]) -> Rows:
    return Rows(names, ("string",) * len(names), tuple(rows))


def listing(statement: ShowTables | ShowColumns, schema: str, tables: Sequence[TableInfo]) -> Rows:
    """What Spark answers to the statement."""
    match statement:
        case ShowTables(views_only=only, pattern=pattern):
            chosen = [t for t in tables if (t.kind == "view" or not only) and _matches(pattern, t.name)]
            names = ("namespace", "viewName" if only else "tableName", "isTemporary")
            return Rows(names, ("string", "string", "boolean"), tuple((schema, t.name, False) for t in chosen))
        case ShowColumns(table=wanted, describe=describe):
            columns = next(t.columns for t in tables if t.name.lower() == wanted.lower())
            if describe:
                return _texts("col_name", "data_type", "comment", rows=((c.name, c.type, c.comment) for c in columns))
            return _texts("col_name", rows=((c.name,) for c in columns))


def _matches(pattern: str | None, name: str) -> bool:
    """Spark's pattern of SHOW: `*` for any letters, `|` between choices, whatever the case."""
    if pattern is None:
        return True
    choices = (".*".join(map(re.escape, choice.strip().split("*"))) for choice in pattern.split("|"))
    return any(re.fullmatch(choice, name, re.IGNORECASE) for choice in choices)
