"""What a place to keep records has to do. It knows no rule of conversations; `Store` has them all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lakehouse.errors import LakehouseError

Kind = Literal["conversation", "message", "operation"]

MOST_BYTES = 1_000_000
"""Size of what is added or replaced at once, as JSON. Azure Cosmos DB takes 2 MB, its own fields included."""


class StoreError(LakehouseError):
    """What was asked of the store was not done."""


class StoreUnavailableError(StoreError):
    """The place where the records lie cannot be reached, read or written."""


class TooLargeError(StoreError):
    """More than MOST_BYTES at once."""


class TakenError(Exception):
    """There is a record with this id in the conversation."""


@dataclass(frozen=True)
class Record:
    """`body` is JSON. `at` and `expires` are seconds since 1970. `etag` is what the place calls this version of it."""

    conversation: str
    id: str
    kind: Kind
    owner: str
    at: float
    expires: float
    body: Mapping[str, Any]
    etag: str = ""


class Records(Protocol):
    """Records, by conversation and id. Safe for several threads and processes.

    What has expired at `now` is not found. Every method may raise StoreUnavailableError.
    """

    def add(self, records: Sequence[Record], now: float) -> None:
        """Add records of one conversation, all or none. Raises TakenError and TooLargeError."""

    def replace(self, record: Record, now: float) -> Record | None:
        """Replace a record where its `etag` still is the one kept; None where it is not. Raises TooLargeError."""

    def find(self, conversation: str, owner: str, kind: Kind, now: float, record_id: str | None = None) -> list[Record]:
        """The records of a conversation that are of this owner and kind, in order of their ids."""

    def newest(self, owner: str, kind: Kind, most: int, now: float) -> list[Record]:
        """The newest records of an owner, over all conversations, newest first."""

    def remove(self, conversation: str) -> None:
        """Take away all records of a conversation."""

    def close(self) -> None:
        """Let go of all that is open."""


def encoded(records: Sequence[Record]) -> list[str]:
    """The bodies as JSON. Raises TooLargeError."""
    bodies = [json.dumps(record.body, allow_nan=False) for record in records]
    size = sum(map(len, bodies))
    if size > MOST_BYTES:
        raise TooLargeError(
            f"This is too large to be kept: {size:,} bytes, and {MOST_BYTES:,} at most. Keep less of it."
        )
    return bodies
