"""The names of a lake: what its context may refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lakehouse.escaping import quote_briefly
from lakehouse.nearest import nearest
from mcp_server.models import TableInfo

_QUOTED = re.compile(r"`([^`\n]+)`")
_NAME = re.compile(r"\w+(?:\.\w+)*")


@dataclass(frozen=True)
class LakeNames:
    """Columns by table, in lower case; those of a table that cannot be read are unknown (None)."""

    columns: dict[str, frozenset[str] | None]

    @classmethod
    def from_tables(cls, tables: Sequence[TableInfo]) -> LakeNames:
        return cls(
            {
                table.name.lower(): None
                if table.problem
                else frozenset(column.name.lower() for column in table.columns)
                for table in tables
            }
        )

    def find_table_fault(self, table: str) -> str:
        """Say why a name is no table of the lake; empty where it is one."""
        if table.lower() in self.columns:
            return ""
        return f"the lake has no table or view {quote_briefly(table)}{_hint(table, list(self.columns))}"

    def find_column_fault(self, table: str, column: str) -> str:
        """Say why a table has no such column, or why there is no such table; empty where there is one."""
        if fault := self.find_table_fault(table):
            return fault
        columns = self.columns[table.lower()]
        if columns is None or column.lower() in columns:
            return ""
        return f"{table} has no column {quote_briefly(column)}{_hint(column, sorted(columns))}"

    def find_name_fault(self, name: str) -> str:
        """Say why a name, with or without a table before it, is neither table nor column; empty where it is one."""
        *_, table, column = ("", *name.split("."))
        if table and table.lower() in self.columns:
            return self.find_column_fault(table, column)
        known = set(self.columns) | {each for columns in self.columns.values() for each in columns or ()}
        if column.lower() in known or None in self.columns.values():
            return ""
        return f"the lake has no table or column {quote_briefly(name)}{_hint(column, sorted(known))}"


def list_quoted_names(page: str) -> Iterator[tuple[int, str]]:
    """Yield the names in back-quotes, each with the number of its line. SQL in back-quotes is no name.

    >>> list(list_quoted_names("Use `movies.year`, not `a + b`."))
    [(1, 'movies.year')]
    """
    for number, line in enumerate(page.split("\n"), start=1):
        yield from ((number, found) for found in _QUOTED.findall(line) if _NAME.fullmatch(found))


def _hint(name: str, known: list[str]) -> str:
    near = nearest(name.lower(), known, most=1)
    return f"; did you mean {near[0]}?" if near else ""
