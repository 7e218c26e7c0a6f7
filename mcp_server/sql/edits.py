"""Replacements of token ranges in a statement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mcp_server.sql.compose import Sql, compose, copy_tokens, join
from mcp_server.sql.source import Source


@dataclass(frozen=True, order=True)
class Edit:
    """Replaces the tokens from `first` up to `end`, exclusive, by `text`. `first == end` inserts before the token."""

    first: int
    end: int
    text: Sql

    def __post_init__(self) -> None:
        if not isinstance(self.text, Sql):
            raise TypeError(f"{self.text!r} is plain text, and no part of a statement")


def delete_tokens(first: int, end: int) -> Edit:
    """An edit that removes tokens."""
    return Edit(first, end, compose(""))


def apply_edits(source: Source, edits: Iterable[Edit]) -> Sql:
    """Return the statement with all edits applied. They must not overlap."""
    pieces: list[Sql] = []
    at = 0
    for edit in sorted(edits):
        pieces += [copy_tokens(source, at, edit.first), edit.text]
        at = edit.end
    pieces.append(copy_tokens(source, at, len(source.tokens)))
    return join(" ", pieces)
