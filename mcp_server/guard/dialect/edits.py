"""Token ranges of the sender's text and what stands in their place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lakehouse.errors import EngineLacks
from mcp_server.guard.source import Source


class Edit(NamedTuple):
    """`text` in the place of the tokens from `first` up to, and without, `end`; `first == end` inserts before."""

    first: int
    end: int
    text: str


def text_of(source: Source, first: int, end: int) -> str:
    """The sender's own words from one token up to another, comments left out."""
    return "".join(
        ("" if token.glued or index == first else " ") + token.text
        for index, token in enumerate(source.tokens[first:end], start=first)
    )


def apply(source: Source, edits: Iterable[Edit]) -> str:
    """The statement with all edits made; they do not overlap."""
    pieces: list[str] = []
    at = 0
    for edit in sorted(edits):
        pieces += [text_of(source, at, edit.first), edit.text]
        at = edit.end
    pieces.append(text_of(source, at, len(source.tokens)))
    return " ".join(piece for piece in pieces if piece)


def lacking(what: str, why: str, instead: str) -> EngineLacks:
    """The error to raise: what the engine lacks, and a form that works."""
    return EngineLacks(f"{what}: the embedded engine cannot run {why}. {instead} The spark engine runs it as it is.")
