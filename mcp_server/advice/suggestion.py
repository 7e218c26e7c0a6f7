"""The result of a rule of advice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from mcp_server.sql.source import Source

LARGE_ROWS: Final = 1_000_000
"""Number of rows from which a full read of a table takes seconds."""


_WORD = re.compile(r"\w")


class Suggestion(NamedTuple):
    """A sentence without its full stop, and the better query if it gives the same answer."""

    text: str
    sql: str | None = None


class Change(NamedTuple):
    """Replaces the tokens from `first` up to `end` by `text`. The result is only shown to the caller, never run."""

    first: int
    end: int
    text: str


def apply_changes(source: Source, edits: Iterable[Change]) -> str:
    """Apply edits that do not overlap, and keep the spacing of the statement."""
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
