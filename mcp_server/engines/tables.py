"""Protocols for the tables of a lake and their metadata, which need no query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from lakehouse.delta import Commit
from lakehouse.manifest import Column
from lakehouse.storage import Lake
from mcp_server.models import CheckedQuery, Estimate, TableInfo, Version


class Tables(Protocol):
    """The tables of a lake and their locations; `edition` changes with them.

    `locations` are by the names of the tables, `registrations` by those that the engine knows them by.
    """

    @property
    def lake(self) -> Lake: ...

    @property
    def edition(self) -> int: ...

    def tables(self) -> tuple[TableInfo, ...]: ...

    def refresh(self) -> tuple[TableInfo, ...]: ...

    def locations(self, names: Iterable[str] | None = None) -> dict[str, str]: ...

    def registrations(self, names: Iterable[str] | None = None) -> dict[str, str]: ...


class TableMetadata(Protocol):
    """The part of the Engine protocol that reads table metadata; see its docstrings."""

    def estimate(self, query: CheckedQuery) -> Estimate: ...

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]: ...

    def null_shares(self, table: str) -> Mapping[str, float]: ...

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None: ...

    def history(self, table: str, most: int) -> list[Commit] | None: ...
