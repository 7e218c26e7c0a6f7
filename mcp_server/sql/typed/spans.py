"""Where parts of a statement stand among its tokens: who changes one of them leaves all others as they were sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcp_server.sql.source import Source
from mcp_server.sql.typed.nodes import Binary, Expression
from mcp_server.sql.typed.parse_query import NotRead, QueryParser
from mcp_server.sql.typed.relations import Item, Query, Relation

__all__ = ["NotRead", "Spans", "read_spans"]

Span = tuple[int, int]
"""The first token, and the one after the last."""


@dataclass(frozen=True)
class Spans:
    """A parsed statement whose names are not resolved yet, and the tokens of some of its parts.

    `froms` are those of what FROM reads, its first word included, by the id of that relation; `items` are those of the
    items of SELECT lists with their aliases, by the first; `comparisons` are those of whole conditions between two
    operands, by the operator.
    """

    source: Source
    query: Query
    froms: Mapping[int, Span]
    items: Mapping[int, Span]
    comparisons: Mapping[int, Span]
    ends: Mapping[int, int]
    """The end of each operand of AND, OR and NOT, by its first token."""

    def iter_conjuncts(self, first: int) -> Iterator[Span]:
        """Yield the operands of the ANDs of a condition that begins at a token."""
        while True:
            end = self.ends[first]
            yield first, end
            if self.source.key(end) != "AND":
                return
            first = end + 1


def read_spans(source: Source) -> Spans:
    """Parse a statement and note where its parts stand. Errors: NotRead."""
    parser = _SpanParser(source)
    query = parser.parse_query()
    if parser.at != len(source.tokens):
        parser.fail()
    return Spans(source, query, parser.froms, parser.items, parser.comparisons, parser.ends)


class _SpanParser(QueryParser):
    """Parses as `parse_query` does, so that relations have the same ids."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.froms: dict[int, Span] = {}
        self.items: dict[int, Span] = {}
        self.comparisons: dict[int, Span] = {}
        self.ends: dict[int, int] = {}

    def parse_from(self) -> Relation:
        first = self.at
        found = super().parse_from()
        self.froms[found.id] = first, self.at
        return found

    def parse_item(self) -> Item:
        first = self.at
        found = super().parse_item()
        self.items[first] = first, self.at
        return found

    def parse_negation(self) -> Expression:
        first = self.at
        found = super().parse_negation()
        self.ends[first] = self.at
        if isinstance(found, Binary) and found.at is not None:
            self.comparisons.setdefault(found.at, (first, self.at))  # within brackets, if any are around it
        return found
