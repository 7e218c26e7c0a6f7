"""GROUPING SETS, CUBE and ROLLUP in forms that Sail does not read, as the sets that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from mcp_server.sql.blocks import Block, skip_brackets, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_tokens, join
from mcp_server.sql.edits import Edit, delete_tokens

MAX_SETS = 256
"""Sets of one CUBE that are written out. The guard allows no more (`MAX_GROUPINGS` of its limits)."""

_MAKERS = frozenset({"CUBE", "ROLLUP"})

Sets = list[tuple[Sql, ...]]


def groupings(case: Case, _: Catalog) -> Sequence[Edit]:
    """`GROUP BY a, b GROUPING SETS (…)`, sets within sets, `ROLLUP ((a, b), c)` and `ROLLUP (1)`."""
    if not any(token.key in {"GROUPING", *_MAKERS} for token in case.source.tokens):
        return ()
    return [edit for block in case.blocks.selects if "GROUP" in block.clauses for edit in _Groups(case, block).edits()]


class _Groups:
    """One GROUP BY."""

    def __init__(self, case: Case, block: Block) -> None:
        self.source = case.source
        self.block = block

    def edits(self) -> Iterator[Edit]:
        clause = self.block.clauses["GROUP"]
        at = clause.body
        while at < clause.end:
            if self.source.key(at) == "GROUPING" and self.source.key(at - 1) not in {"BY", ","}:
                yield delete_tokens(clause.body, at)
                clause = clause._replace(body=at)
                break
            at = skip_brackets(self.source, at)
        for first, end in split_at_commas(self.source, clause.body, clause.end):
            if self.is_odd(first, end):
                sets = join(", ", (compose("({})", join(", ", each)) for each in self.sets(first, end)))
                yield Edit(first, end, compose("GROUPING SETS ({})", sets))

    def opening(self, first: int) -> int:
        """The bracket of `CUBE (`, `ROLLUP (`, `GROUPING SETS (`; 0 where none of them begins."""
        if self.source.key(first) in _MAKERS and self.source.key(first + 1) == "(":
            return first + 1
        return first + 2 if self.source.key(first) == "GROUPING" and self.source.key(first + 1) == "SETS" else 0

    def is_odd(self, first: int, end: int) -> bool:
        """Whether Sail does not read these sets as they are."""
        opening = self.opening(first)
        if not opening or self.source.closing[opening] + 1 != end:
            return False
        made = self.source.key(first) in _MAKERS
        parts = split_at_commas(self.source, opening + 1, self.source.closing[opening])
        return any(
            self.source.tokens[a].text.isdigit() or self.is_bracketed(a, b) == made or bool(self.opening(a))
            for a, b in parts
        )

    def is_bracketed(self, first: int, end: int) -> bool:
        return self.source.key(first) == "(" and skip_brackets(self.source, first) == end

    def sets(self, first: int, end: int) -> Sets:
        """The sets that one element stands for."""
        opening = self.opening(first)
        if not opening:
            return [self.columns(first, end)]
        parts = list(split_at_commas(self.source, opening + 1, self.source.closing[opening]))
        word = self.source.key(first)
        if word == "GROUPING":
            return [each for a, b in parts for each in self.sets(a, b)]
        columns = [self.columns(a, b) for a, b in parts]
        if word == "ROLLUP":
            kept = [columns[:length] for length in range(len(columns), -1, -1)]
        else:
            sizes = range(len(columns), -1, -1) if 2 ** len(columns) <= MAX_SETS else ()
            kept = [list(chosen) for size in sizes for chosen in combinations(columns, size)]
        return [tuple(name for group in chosen for name in group) for chosen in kept]

    def columns(self, first: int, end: int) -> tuple[Sql, ...]:
        """The columns of `a` or `(a, b)`; a number stands for a column of the list."""
        if self.is_bracketed(first, end):
            inner = split_at_commas(self.source, first + 1, end - 1)
            return tuple(name for a, b in inner for name in self.columns(a, b))
        text, items = copy_tokens(self.source, first, end), self.block.items
        if text.isdigit() and 1 <= int(text) <= len(items):
            return (copy_tokens(self.source, items[int(text) - 1].first, items[int(text) - 1].stop),)
        return (text,)
