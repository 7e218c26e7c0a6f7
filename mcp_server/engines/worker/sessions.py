"""Sessions of an engine that are lent to one statement at a time and used again, in the process that holds the engine.

A fresh session with its tables costs more than many a query. What a statement could leave behind in one is nothing: the
guard lets queries pass, and queries set nothing. Should another statement ever come through, its session is not
used again: every one that changes a session begins with a word that begins no query.
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
class Lent:
    """A session and what is known of it: the state of the lake that it was opened for, and its tables' locations."""

    spark: SparkSession
    edition: int
    tables: dict[str, str] = field(default_factory=dict)
    used: bool = False


class Sessions:
    """The sessions of one engine. Safe for several threads, each of which holds its own."""

    def __init__(self, engine: EngineSession, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry
        self._lock = threading.Lock()
        self._idle: list[Lent] = []

    def prepare(self, tables: Mapping[str, str], edition: int) -> Lent:
        """The first session, for an engine whose sessions share their tables: those that can be registered are."""
        lent = self._open(edition)
        self._registry.prepare(lent.spark, tables)
        return lent

    def borrow(self, tables: Mapping[str, str], edition: int) -> Lent:
        """A session that knows these tables, as the lake is in this edition. Raises what the driver raises."""
        lent = self._waiting(edition) or self._open(edition)
        try:
            self._registry.register(lent.spark, lent.tables, tables)
        except Exception:
            self._engine.close(lent.spark)
            raise
        return lent

    def give_back(self, lent: Lent, sql: str, *, intact: bool) -> None:
        """Take a session back after a statement; `intact` is False after whatever may have left traces in it."""
        lent.used = True
        if intact and _BEGINS_A_QUERY.match(sql):
            with self._lock:
                self._idle.append(lent)
        else:
            self._engine.close(lent.spark)

    def forget(self) -> None:
        """End all that wait: the server that had them is another one now, or none."""
        with self._lock:
            idle, self._idle = self._idle, []
        self._registry.forget()
        for lent in idle:
            self._engine.close(lent.spark)

    def _waiting(self, edition: int) -> Lent | None:
        """The session that was used last; those of another edition of the lake are ended."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                lent = self._idle.pop()
            if lent.edition == edition:
                return lent
            self._engine.close(lent.spark)

    def _open(self, edition: int) -> Lent:
        lent = Lent(self._engine.open(), edition)
        try:
            self._registry.enter(lent.spark)
        except Exception:
            self._engine.close(lent.spark)
            raise
        return lent
