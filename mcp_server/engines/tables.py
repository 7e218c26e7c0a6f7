"""The tables of a lake as an engine asks for them, and what is known of them without running anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from lakehouse.manifest import Column
from lakehouse.storage import Lake
from mcp_server.models import CheckedQuery, Estimate, TableInfo, Version


class Tables(Protocol):
    """What a lake holds and where; `edition` is another number once that has changed."""

    @property
    def lake(self) -> Lake: ...

    @property
    def edition(self) -> int: ...

    def tables(self) -> tuple[TableInfo, ...]: ...

    def locations(self, names: Iterable[str] | None = None) -> dict[str, str]: ...


class TableFacts(Protocol):
    """What the Engine protocol asks of tables besides their names; its docstrings say what each means."""

    def estimate(self, query: CheckedQuery) -> Estimate: ...

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]: ...

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None: ...
