"""Answers of a catalogue: rows of names and comments, capped because they stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcp_server.models import Caps, ResultSet
from mcp_server.results.fitting import LazyRows, fit, read_rows

LISTING_ROWS = 200_000
LISTING_BYTES = 16 << 20
"""Caps on a catalogue's answer: it stays in memory, and the users who may write there determine its size."""

_COMMENT_CHARS = 2_000
"""Maximal length of a comment or a type; names are shorter, and must be whole."""

Row = Sequence[Any]


@dataclass(frozen=True)
class Listing:
    """Rows of a catalogue's answer, and whether they are complete."""

    rows: Sequence[Row]
    is_whole: bool


def listing_caps() -> Caps:
    """Return the caps on the answer to a statement that reads a catalogue."""
    return Caps(LISTING_BYTES, _COMMENT_CHARS)


def read_listing(found: ResultSet) -> Listing:
    """Read the rows of an answer within the caps: a longer comment ends with the size of its missing part."""
    count, caps = found.table.num_rows, listing_caps()
    rows = fit(LazyRows((), (), read_rows(found, count, caps, lambda: None), count), caps).rows
    return Listing(rows, is_whole=len(rows) == found.found < LISTING_ROWS)
