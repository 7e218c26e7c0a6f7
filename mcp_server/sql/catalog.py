"""The lake as statements see it: its schema, tables and versions."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lakehouse.manifest import Column
from lakehouse.quoting import quote_identifier
from lakehouse.session import Dialect
from mcp_server.models import TableInfo, Version
from mcp_server.sql.lexer import Token

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_CATALOG = "spark_catalog"


Bounds = Mapping[str, tuple[int, int]]
"""Least and greatest value of each integer column that is known to have them, by lower-case column name."""


def spell_part(part: str) -> str:
    """Write a part of a name, in back-quotes where it is no plain word."""
    return part if _WORD.fullmatch(part) else quote_identifier(part)


@dataclass(frozen=True)
class Catalog:
    """The one schema that may be read: `imdb`, or `main.imdb` where the engine has catalogues.

    `pins` maps a table to the Delta version that is read; others are read at their latest. `dialect` names the SQL of
    the engine. `bounds` returns what is known of the columns' values, and `columns` the columns (None: unknown), for
    the name of a table and the version that a statement asks for (None: it asks for none); columns may have had other
    names and types. `ai` maps the AI functions that may be called, in lower case, to the key column of what they are
    about. `now` is the clock, with a time zone, that decides what is in the future.
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
        """The tables by lower-case name, as Spark compares names without regard to case.

        Of several names that differ in case alone, the first one counts.
        """
        return {table.name.lower(): table for table in reversed(self.tables)}

    def find_table(self, parts: Sequence[Token]) -> TableInfo | None:
        """Return the table that a name of these parts refers to, with or without the schema before it.

        A table of the folder `sales/orders` is `sales.orders`. A letter beyond ASCII never equals one within it, as the
        Kelvin sign would equal `k`.
        """
        for start in range(len(parts)):
            info = self.by_name.get(".".join(part.name for part in parts[start:]))
            if info is not None and self.has_schema([part.name for part in parts[:start]]):
                letters = all(part.text.isascii() for part in parts[start:])
                return info if letters or not info.name.isascii() else None
        return None

    def has_folder(self, parts: Sequence[str]) -> bool:
        """Whether some table lies in a folder of this name, such as `sales` of `sales.orders`. Lower case."""
        prefix = ".".join(parts) + "."
        return any(name.startswith(prefix) for name in self.by_name)

    def has_schema(self, prefix: Sequence[str]) -> bool:
        """Whether `prefix` may precede the name of a table: nothing, the schema, or its full name. Lower case.

        A schema without a catalogue is in Spark's own, `spark_catalog`.
        """
        parts = self.schema.lower().split(".")
        return list(prefix) in ([], parts[-1:], parts if len(parts) > 1 else [_OWN_CATALOG, *parts])

    def spell_name(self, table: TableInfo) -> list[str]:
        """Return the parts of the name for engines, in back-quotes where they are not plain words."""
        parts = (*self.schema.split("."), table.engine_name)
        return [spell_part(part) for part in parts]

    @property
    def example(self) -> str:
        """A table for the examples in messages."""
        views = [t.name for t in self.tables if t.kind == "view"] or [t.name for t in self.tables]
        return views[0] if views else "a_table"
