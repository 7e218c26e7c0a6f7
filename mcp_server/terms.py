"""What the guard is asked about a statement: its text, the catalogue of an engine, and the limits of the settings."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mcp_server import checking
from mcp_server.ai import key_columns
from mcp_server.engines import Engine
from mcp_server.models import Caps, Checked, CheckedQuery, Principal, TableInfo
from mcp_server.settings import Settings

OWN_CAPS = Caps(payload_bytes=1_000_000, cell_chars=500)
"""Caps on the server's own statements: they have few rows, which must all come, and need no long cells."""
OWN_SQL_BYTES = 262_144
"""How long a statement of the server's own may be: a look-up of an AI function has many names in it."""


@dataclass(frozen=True)
class CallerSql:
    """A caller's text. `row_limit` may raise the number of rows as far as the settings allow."""

    text: str
    row_limit: int | None = None

    def caps(self, settings: Settings) -> Caps:
        """How large its answer may be."""
        return Caps(settings.max_result_bytes, settings.max_cell_chars)

    def check(
        self, catalog: checking.Catalog, limits: checking.Limits, principal: Principal, read: checking.Read
    ) -> Checked:
        """The guard's verdict. Raises Refused, EngineLacks and what `read` raises."""
        return checking.check(
            self.text, catalog=catalog, limits=limits, principal=principal, row_limit=self.row_limit, read=read
        )


@dataclass(frozen=True)
class Template:
    """A text of the server's own with `:name` markers, what they stand for, and how many rows it may have at most.

    `seconds` may lower the time that a statement may run.
    """

    text: str
    arguments: Mapping[str, checking.Argument]
    rows: int
    size: Caps = OWN_CAPS
    seconds: float = math.inf

    def caps(self, _settings: Settings) -> Caps:
        """How large its answer may be, whatever a caller's may."""
        return self.size

    def check(
        self, catalog: checking.Catalog, limits: checking.Limits, principal: Principal, read: checking.Read
    ) -> CheckedQuery:
        """The guard's verdict, as on a caller's text. Raises the same."""
        seconds = min(limits.deadline_seconds, self.seconds)
        limits = replace(limits, max_rows=self.rows, default_rows=None, deadline_seconds=seconds)
        return checking.template(
            self.text, self.arguments, catalog=catalog, limits=limits, principal=principal, read=read
        )


def limits_of(settings: Settings) -> checking.Limits:
    """The limits of one statement."""
    return checking.Limits(
        settings.max_rows,
        settings.max_sql_bytes,
        settings.query_timeout_seconds,
        settings.ai_max_rows,
        settings.usual_rows,
    )


def catalog_of(engine: Engine, tables: tuple[TableInfo, ...]) -> checking.Catalog:
    """The tables of an engine, at the versions that belong together, in the dialect that it speaks."""
    pins = {table.name: table.version for table in tables if table.version is not None}
    dialect = engine.capabilities.dialect
    catalog = checking.Catalog(engine.schema, tables, pins, dialect, engine.bounds, ai=key_columns())
    if dialect == "spark":  # no statement is rewritten for the types of its columns
        return catalog
    return replace(catalog, columns=functools.cache(engine.columns))  # every rewrite reads the statement again
