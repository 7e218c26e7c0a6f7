"""What a rule of advice gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from mcp_server.sql.source import Source

LARGE_ROWS: Final = 1_000_000
"""Rows from which reading a table whole takes seconds."""


_WORD = re.compile(r"\w")


class Suggestion(NamedTuple):
    """A sentence without its end, and the better query where it gives the same answer."""

    text: str
    sql: str | None = None


class Change(NamedTuple):
    """`text` in the place of the tokens from `first` up to `end`. Nothing of it runs: it is shown to the caller."""

    first: int
    end: int
    text: str


def edited(source: Source, edits: Iterable[Change]) -> str:
    """The statement with all edits made, spaced as its sender did; they do not overlap."""
    changes = {edit.first: edit for edit in edits}
    text, at = "", 0
    while at < len(source.tokens):
        token, change = source.tokens[at], changes.get(at)
        piece = token.text if change is None else change.text
        apart = not token.glued or (_WORD.search(text[-1:]) and _WORD.search(piece[:1]))
        if piece:
            text += (" " if text and apart else "") + piece
        at = at + 1 if change is None else change.end
    return text
