"""What a rule of advice gives."""

from __future__ import annotations

from typing import Final, NamedTuple

LARGE_ROWS: Final = 1_000_000
"""Rows from which reading a table whole takes seconds."""


class Suggestion(NamedTuple):
    """A sentence without its end, and the better query where it gives the same answer."""

    text: str
    sql: str | None = None
