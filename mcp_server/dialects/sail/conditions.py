"""Conditions by their tokens: the parts between ANDs, and the two sides of an equality."""

from __future__ import annotations

from typing import Final

from mcp_server.sql.blocks import skip_brackets
from mcp_server.sql.source import Source

_COMPARING: Final = frozenset(
    {"<>", "!=", "<", "<=", ">", ">=", "<=>", "LIKE", "IN", "IS", "NOT", "OR", "BETWEEN", "AND", "!"}
)


def conjuncts(source: Source, first: int, end: int) -> list[tuple[int, int]]:
    """The parts of a condition between its ANDs, or all of it where it is no plain row of them."""
    found, start, at, cases, between = list[tuple[int, int]](), first, first, 0, False
    while at < end:
        key = source.key(at)
        cases += (key == "CASE") - (key == "END")
        between = between or key == "BETWEEN"
        if key == "OR" and not cases:
            return [(first, end)]
        if key == "AND" and not cases:
            if not between:
                found.append((start, at))
                start = at + 1
            between = False
        at = skip_brackets(source, at)
    return [*found, (start, end)]


def equality(source: Source, first: int, end: int) -> int:
    """The `=` of an equality and nothing more, or 0."""
    at, found = first, 0
    while at < end:
        key = source.key(at)
        if key in _COMPARING or (key in {"=", "=="} and found):
            return 0
        found = at if key in {"=", "=="} else found
        at = skip_brackets(source, at)
    return found
