"""The protocol of all engines; docs/new-engine.md describes how to write one. Imports no driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lakehouse.delta import Commit
from lakehouse.manifest import Column
from lakehouse.session import Capabilities, Stage
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, TableInfo, Version

__all__ = ["Capabilities", "Engine"]


class Engine(Protocol):
    """Runs SQL. Synchronous and thread-safe.

    Errors: QueryFailed (with the engine's own reason, in one line), QueryTimedOut, QueryCancelled,
    ResourceLimit, EngineUnavailable, and LakeError where the lake cannot be served. Any other exception
    is a defect.
    """

    name: str
    capabilities: Capabilities
    schema: str
    """Where the tables are: `imdb`, or `main.imdb` where the engine has catalogues."""

    def start(self) -> None:
        """Start the engine. Idempotent: callers wait for the same start, and retry after a failed one."""

    def tables(self) -> tuple[TableInfo, ...]:
        """Return all tables and views of the lake."""

    def refresh(self) -> tuple[TableInfo, ...]:
        """Read the tables again: an engine with a catalogue caches them until a statement contradicts them."""

    def read(self, sql: str, tables: frozenset[str], stage: Stage, query_id: str) -> EngineReading | None:
        """Return what the engine itself reads in a text that reads `tables`, without running it.

        None where the engine does not support this stage (`capabilities.readings`).
        """

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        """Run a checked query until it ends, reaches its deadline or is cancelled.

        `query_id` has neither comma nor dot, and is used for one query only. With `caps` the result is cut to them and
        says how much is missing; without, it has all rows. An engine that streams may send rows beyond the query's
        limit, `caps.kept_rows` in all, and says with `is_all` that there are no more.
        """

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        """Return the engine's plan of a checked query within the caps, without running it and without any path.

        The plan is the one cell of a column `plan`.
        """

    def estimate(self, query: CheckedQuery) -> Estimate:
        """Estimate what a checked query would read, from file statistics, without running it."""

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Return the minimum and maximum of each integer column that has statistics in all files of a table."""

    def null_shares(self, table: str) -> Mapping[str, float]:
        """Return the share of nulls, from 0 to 1, of each column of a table for which its files' statistics tell it."""

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        """Return the columns of a version of a table, None where the engine's catalogue does not report them."""

    def history(self, table: str, most: int) -> list[Commit] | None:
        """Return the newest versions of a table that may be read, the last one first; None where nothing tells them."""

    def cancel(self, query_id: str) -> None:
        """Cancel a query, even one that has not arrived yet. Does nothing where it has ended."""

    def waits_for(self, query_id: str) -> str:
        """Return what a query waits for in the engine, such as a starting warehouse; empty where it runs."""

    def close(self) -> None:
        """End the engine and everything that it started. Idempotent."""
