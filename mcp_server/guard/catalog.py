"""What a statement is checked against."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from mcp_server.models import TableInfo


@dataclass(frozen=True)
class Catalog:
    """The one schema that may be read. `pins` maps a table to the Delta version that is read; others are the latest."""

    schema: str
    tables: tuple[TableInfo, ...]
    pins: Mapping[str, int] = field(default_factory=dict)

    @functools.cached_property
    def by_name(self) -> Mapping[str, TableInfo]:
        """The tables by lower-case name: names are compared as Spark does, whatever their case."""
        return {table.name.lower(): table for table in self.tables}

    @property
    def example(self) -> str:
        """A table for the examples in messages."""
        views = [t.name for t in self.tables if t.kind == "view"] or [t.name for t in self.tables]
        return views[0] if views else "a_table"


@dataclass(frozen=True)
class Limits:
    """What one statement may take: rows of the answer, bytes of its text, seconds of the engine."""

    max_rows: int
    max_sql_bytes: int
    deadline_seconds: float
