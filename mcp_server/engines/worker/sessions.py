"""Pool of an engine's sessions, each used by one statement at a time, in the process that holds the engine.

A new session with its tables costs more than many a query. Reuse is safe: the guard passes only queries, and queries
set nothing in a session. Should another statement ever pass, its session is not reused: every statement that
changes a session begins with a word that begins no query.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.session import EngineSession
from mcp_server.engines.worker.registry import Registry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BEGINS_A_QUERY = re.compile(r"[\s(]*(?:SELECT|WITH|VALUES|FROM|TABLE)\b", re.IGNORECASE)
"""Spark's grammar: `queryPrimary`, after its brackets and WITH. A WITH may go on to write tables, never the session."""


@dataclass
class PooledSession:
    """A session, the edition of the lake that it was opened for, and its tables' locations."""

    spark: SparkSession
    edition: int
    tables: dict[str, str] = field(default_factory=dict)
    used: bool = False


class Sessions:
    """The sessions of one engine. Thread-safe; each thread borrows a session of its own."""

    def __init__(self, engine: EngineSession, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry
        self._lock = threading.Lock()
        self._idle: list[PooledSession] = []

    def prepare(self, tables: Mapping[str, str], edition: int) -> PooledSession:
        """Open the first session and register, as far as possible, the tables that all sessions share."""
        pooled = self._open_session(edition)
        self._registry.register_shared(pooled.spark, tables)
        return pooled

    def borrow(self, tables: Mapping[str, str], edition: int) -> PooledSession:
        """Return a session that has these tables of this edition of the lake. Raises what the driver raises."""
        pooled = self._take_idle(edition) or self._open_session(edition)
        try:
            self._registry.register_tables(pooled.spark, pooled.tables, tables)
        except Exception:
            self._engine.close(pooled.spark)
            raise
        return pooled

    def give_back(self, pooled: PooledSession, sql: str, *, intact: bool) -> None:
        """Return a session to the pool; it is closed where `intact` is False or the statement was no query."""
        pooled.used = True
        if intact and _BEGINS_A_QUERY.match(sql):
            with self._lock:
                self._idle.append(pooled)
        else:
            self._engine.close(pooled.spark)

    def forget(self) -> None:
        """Close all idle sessions: their server has restarted or is gone."""
        with self._lock:
            idle, self._idle = self._idle, []
        self._registry.forget()
        for pooled in idle:
            self._engine.close(pooled.spark)

    def _take_idle(self, edition: int) -> PooledSession | None:
        """Take the session that was used last; closes those of another edition of the lake."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                pooled = self._idle.pop()
            if pooled.edition == edition:
                return pooled
            self._engine.close(pooled.spark)

    def _open_session(self, edition: int) -> PooledSession:
        pooled = PooledSession(self._engine.open(), edition)
        try:
            self._registry.enter_schema(pooled.spark)
        except Exception:
            self._engine.close(pooled.spark)
            raise
        return pooled
