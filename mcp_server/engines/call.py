"""One query on its way through an engine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lakehouse.errors import QueryCancelled, QueryTimedOut


@dataclass
class EngineCall:
    """A running query: the fields to send for it, and its time limit in seconds from now.

    `id` is the query's own, or the query's with the stage of a reading: `7f3a.resolved`. `waiting_for` is the reason
    to report where the time runs out meanwhile.
    """

    id: str
    op: str
    fields: Mapping[str, Any]
    seconds: float
    began: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    waiting_for: str = ""

    @classmethod
    def from_own(cls, fields: Mapping[str, Any], seconds: float) -> EngineCall:
        """Create a call for a statement of the server's own, with an id that no query has."""
        return cls(f"own-{uuid4().hex}", "run", fields, seconds)

    @property
    def query_id(self) -> str:
        return self.id.partition(".")[0]

    @property
    def remaining(self) -> float:
        return max(0.0, self.began + self.seconds - time.monotonic())

    def to_error(self, note: str) -> QueryCancelled | QueryTimedOut:
        """Return the error of a cancelled or timed-out call."""
        if self.cancelled:
            return QueryCancelled(f"The query was cancelled.{note}")
        return QueryTimedOut(
            f"The query did not end within {self.seconds:g} s and was stopped.{note} "
            "Narrow it: filter by a key or a year, or read a pre-computed view in the place of a join."
        )
