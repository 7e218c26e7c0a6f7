"""One query on its way through an engine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lakehouse.errors import QueryCancelled, QueryTimedOut


@dataclass
class Call:
    """A query under way: what is sent for it, and how many seconds it may take from now on.

    `id` is the query's own, or that and what else is asked about it: `7f3a.resolved`. `waiting_for` is what to say
    where its time is over meanwhile.
    """

    id: str
    op: str
    fields: Mapping[str, Any]
    seconds: float
    began: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    waiting_for: str = ""

    @classmethod
    def of_own(cls, fields: Mapping[str, Any], seconds: float) -> Call:
        """A call that runs a statement of the server's own, under an id that no query has."""
        return cls(f"own-{uuid4().hex}", "run", fields, seconds)

    @property
    def query_id(self) -> str:
        return self.id.partition(".")[0]

    @property
    def remaining(self) -> float:
        return max(0.0, self.began + self.seconds - time.monotonic())

    def stopped(self, note: str) -> QueryCancelled | QueryTimedOut:
        """The error of a call that was cancelled or whose time is over."""
        if self.cancelled:
            return QueryCancelled(f"The query was cancelled.{note}")
        return QueryTimedOut(
            f"The query did not end within {self.seconds:g} s and was stopped.{note} "
            "Narrow it: filter by a key or a year, or read a pre-computed view in the place of a join."
        )
