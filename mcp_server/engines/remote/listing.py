"""Answers that a catalogue gives: rows of names and comments, no more of them than may stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcp_server.models import Caps, ResultSet
from mcp_server.results.fitting import Found, fit, read_rows

LISTING_ROWS = 200_000
LISTING_BYTES = 16 << 20
"""How much is kept of what a catalogue tells: it stays in memory, and whoever may write there decides on its size."""

_COMMENT_CHARS = 2_000
"""Of a comment, or a type; names are shorter, and have to be whole."""

Row = Sequence[Any]


@dataclass(frozen=True)
class Listing:
    """Rows that a catalogue gave, and whether these are all of them."""

    rows: Sequence[Row]
    is_whole: bool


def listing_caps() -> Caps:
    """The caps on the answer to a statement that asks for a catalogue."""
    return Caps(LISTING_BYTES, _COMMENT_CHARS)


def read_listing(found: ResultSet) -> Listing:
    """The rows of such an answer within the caps: a longer comment ends with how much of it is missing."""
    count, caps = found.table.num_rows, listing_caps()
    rows = fit(Found((), (), read_rows(found, count, caps, lambda: None), count), caps).rows
    return Listing(rows, is_whole=len(rows) == found.found < LISTING_ROWS)
