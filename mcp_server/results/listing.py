"""Answers to `SHOW …` and `DESCRIBE`, made from the catalogue in Spark's columns. No engine is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mcp_server.models import ShowColumns, ShowTables, TableInfo
from mcp_server.results.cells import Json


@dataclass(frozen=True)
class Listing:
    """Rows of text columns."""

    names: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]

    @property
    def types(self) -> tuple[str, ...]:
        return ("string",) * len(self.names)


def listing(statement: ShowTables | ShowColumns, schema: str, tables: Sequence[TableInfo]) -> Listing:
    """What Spark answers to the statement."""
    match statement:
        case ShowTables(views_only=only, pattern=pattern):
            chosen = [t for t in tables if (t.kind == "view" or not only) and _matches(pattern, t.name)]
            name = "viewName" if only else "tableName"
            return Listing(("namespace", name, "comment"), tuple((schema, t.name, t.comment) for t in chosen))
        case ShowColumns(table=wanted, describe=describe):
            columns = next(t.columns for t in tables if t.name.lower() == wanted.lower())
            if describe:
                names = ("col_name", "data_type", "comment")
                return Listing(names, tuple((c.name, c.type, c.comment) for c in columns))
            return Listing(("col_name",), tuple((c.name,) for c in columns))


def _matches(pattern: str | None, name: str) -> bool:
    """Spark's pattern of SHOW: `*` for any letters, `|` between choices, whatever the case."""
    if pattern is None:
        return True
    choices = (".*".join(map(re.escape, choice.strip().split("*"))) for choice in pattern.split("|"))
    return any(re.fullmatch(choice, name, re.IGNORECASE) for choice in choices)
