"""Token ranges of the sender's text and what stands in their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mcp_server.sql.compose import Sql, compose, copy_tokens, join
from mcp_server.sql.source import Source


@dataclass(frozen=True, order=True)
class Edit:
    """`text` in the place of the tokens from `first` up to, and without, `end`; `first == end` inserts before."""

    first: int
    end: int
    text: Sql

    def __post_init__(self) -> None:
        if not isinstance(self.text, Sql):
            raise TypeError(f"{self.text!r} is plain text, and no part of a statement")


def delete(first: int, end: int) -> Edit:
    """Leaves tokens out."""
    return Edit(first, end, compose(""))


def apply(source: Source, edits: Iterable[Edit]) -> Sql:
    """The statement with all edits made; they do not overlap."""
    pieces: list[Sql] = []
    at = 0
    for edit in sorted(edits):
        pieces += [copy_tokens(source, at, edit.first), edit.text]
        at = edit.end
    pieces.append(copy_tokens(source, at, len(source.tokens)))
    return join(" ", pieces)
