"""Protocol of a backend. It stores records and knows no rules of conversations; those are in `Store`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lakehouse.errors import LakehouseError

RecordKind = Literal["conversation", "message", "operation", "feedback", "share"]

ABOVE_ALL = "~"
"""Is greater than every rank, which is made of digits and small letters."""

MAX_RECORD_BYTES = 1_000_000
"""JSON size of the records of one call. The limit of Azure Cosmos DB is 2 MB, including its own fields."""


class StoreError(LakehouseError):
    """A call of the store failed."""


class StoreUnavailableError(StoreError):
    """The backend cannot be reached, read or written."""


class RecordTooLargeError(StoreError):
    """The records of one call exceed MAX_RECORD_BYTES."""


class TakenError(Exception):
    """The conversation already has a record with this id."""


@dataclass(frozen=True)
class Record:
    """A record. `body` is JSON, `at` and `expires` are seconds since 1970, `etag` is the backend's version tag.

    `rank` is its place in the list of its owner, and no other record has the same; `text` is what a search looks in.
    Both are empty for records that are not listed.
    """

    conversation: str
    id: str
    kind: RecordKind
    owner: str
    at: float
    expires: float
    body: Mapping[str, Any]
    etag: str = ""
    rank: str = ""
    text: str = ""


class Records(Protocol):
    """Records by conversation and id. Safe for several threads and processes.

    Records that have expired at `now` (seconds since 1970) are not found. Every method may raise StoreUnavailableError.
    """

    def add(self, records: Sequence[Record], now: float) -> None:
        """Add records of one conversation atomically. Raises TakenError and RecordTooLargeError."""

    def replace(self, record: Record, now: float) -> Record | None:
        """Replace body, rank and text if the record's `etag` is still current, else return None.

        Raises RecordTooLargeError.
        """

    def find_records(
        self, conversation: str, owner: str, kind: RecordKind, now: float, record_id: str | None = None
    ) -> list[Record]:
        """Return the records of a conversation with this owner and kind, ordered by id."""

    def find_by_id(self, kind: RecordKind, record_id: str, now: float) -> Record | None:
        """Return the record with this id, whatever its conversation and owner: for ids that nobody can guess."""

    def list_ranked(
        self, owner: str, kind: RecordKind, now: float, *, most: int, below: str | None = None, text: str = ""
    ) -> list[Record]:
        """Return at most `most` records of an owner over all conversations, highest rank first.

        `below` leaves out those of this rank and above, `text` those that do not contain it.
        """

    def remove(self, conversation: str, record_ids: Sequence[str] | None = None) -> None:
        """Delete these records of a conversation; by default all of them."""

    def close(self) -> None:
        """Close all connections."""


def encode_bodies(records: Sequence[Record]) -> list[str]:
    """Encode the bodies as JSON. Raises RecordTooLargeError."""
    bodies = [json.dumps(record.body, allow_nan=False) for record in records]
    size = sum(map(len, bodies))
    if size > MAX_RECORD_BYTES:
        raise RecordTooLargeError(
            f"This is too large to be kept: {size:,} bytes, and {MAX_RECORD_BYTES:,} at most. Keep less of it."
        )
    return bodies
