"""What a statement is checked against."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lakehouse.manifest import Column
from lakehouse.session import Dialect
from mcp_server.models import TableInfo, Version
from mcp_server.sql.lexer import Token, back_quoted

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


Bounds = Mapping[str, tuple[int, int]]
"""Least and greatest value of each integer column that is known to have them, by lower-case column name."""


@dataclass(frozen=True)
class Catalog:
    """The one schema that may be read: `imdb`, or `main.imdb` where the engine has catalogues.

    `pins` maps a table to the Delta version that is read; others are the latest. `dialect` is whose SQL the
    engine runs: what it lacks of Spark's is rewritten or refused (see `dialect`). `bounds` tells, for the name of a
    table and the version that a statement asks for (None where it asks for none), what is known of its columns' values;
    `columns` tells its columns at that version, whose names and types may have been others (None: not known). `ai`
    names the AI functions that may be called, lower case, and for each the key column of the things that it is about.
    `now` is the clock that tells the future from the past, with a zone.
    """

    schema: str
    tables: tuple[TableInfo, ...]
    pins: Mapping[str, int] = field(default_factory=dict)
    dialect: Dialect = "spark"
    bounds: Callable[[str, Version | None], Bounds] = lambda *_: {}
    columns: Callable[[str, Version], tuple[Column, ...] | None] = lambda *_: None
    ai: Mapping[str, str] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @functools.cached_property
    def by_name(self) -> Mapping[str, TableInfo]:
        """The tables by lower-case name: names are compared as Spark does, whatever their case.

        Of several whose names differ in case alone, the first one is meant.
        """
        return {table.name.lower(): table for table in reversed(self.tables)}

    def find(self, token: Token) -> TableInfo | None:
        """The table that a name means. A letter beyond ASCII never means one within, as Kelvin's sign would `k`."""
        info = self.by_name.get(token.name)
        return info if info is not None and (token.text.isascii() or not info.name.isascii()) else None

    def serves(self, prefix: Sequence[str]) -> bool:
        """Whether a table may be written with this before its name, lower case: nothing, the schema, all of it."""
        parts = self.schema.lower().split(".")
        return list(prefix) in ([], parts[-1:], parts)

    def spelled(self, table: TableInfo) -> list[str]:
        """The parts of the name that engines get, in back-quotes where they are no plain words."""
        parts = (*self.schema.split("."), table.name)
        return [part if _WORD.fullmatch(part) else back_quoted(part) for part in parts]

    @property
    def example(self) -> str:
        """A table for the examples in messages."""
        views = [t.name for t in self.tables if t.kind == "view"] or [t.name for t in self.tables]
        return views[0] if views else "a_table"
