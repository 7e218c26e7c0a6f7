"""The contract that every engine keeps; docs/new-engine.md says how one is written. No driver is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lakehouse.manifest import Column
from lakehouse.session import Capabilities, Stage
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, TableInfo, Version

__all__ = ["Capabilities", "Engine"]


class Engine(Protocol):
    """A place where SQL runs. Synchronous and safe for several threads at once.

    Errors: QueryFailed (with the engine's own reason, in one line), QueryTimedOut, QueryCancelled,
    ResourceLimit, EngineUnavailable, and LakeError where the lake cannot be served. Any other exception
    is a defect.
    """

    name: str
    capabilities: Capabilities
    schema: str
    """Where the tables are: `imdb`, or `main.imdb` where the engine has catalogues."""

    def start(self) -> None:
        """Make the engine ready. Idempotent: callers wait for the same start, and try again after a failed one."""

    def tables(self) -> tuple[TableInfo, ...]:
        """All tables and views that this lake serves."""

    def refresh(self) -> tuple[TableInfo, ...]:
        """The same, looked at anew: an engine with a catalogue keeps what it was told until that is contradicted."""

    def read(self, sql: str, tables: frozenset[str], stage: Stage, query_id: str) -> EngineReading | None:
        """What the engine itself reads in a text that reads `tables`, without running it.

        None where it does not tell at this stage (`capabilities.readings`).
        """

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        """Run a checked query to its end, deadline or cancellation.

        `query_id` has neither comma nor dot, and is used for one query only. With `caps` comes what can be part of an
        answer within them, and how much else there was; without, all rows.
        """

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        """The engine's plan of a checked query within the caps, without running it and without naming a path.

        It is the one cell of a column `plan`.
        """

    def estimate(self, query: CheckedQuery) -> Estimate:
        """What a checked query would read, from file statistics; nothing of it is run."""

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Least and greatest value of each integer column of a table, where statistics of all its files tell them."""

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        """The columns of a version of a table, None where the engine's catalogue keeps them to itself."""

    def cancel(self, query_id: str) -> None:
        """Stop a query in the engine, also one that is only about to come. Nothing happens where it has ended."""

    def waits_for(self, query_id: str) -> str:
        """What a query waits for in the engine, such as a warehouse that is starting; empty where it runs."""

    def close(self) -> None:
        """End the engine and everything that it started. Idempotent."""
