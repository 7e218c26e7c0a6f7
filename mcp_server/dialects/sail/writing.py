"""Writes expressions anew: the sender's own tokens, but for the nodes for which a rule has other words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from mcp_server.dialects.sail.fresh import FreshNames
from mcp_server.dialects.sail.inference import Types
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.sql.case import Case
from mcp_server.sql.compose import Kept, Sql, as_kept, as_operand, compose, copy_tokens, join
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions

MAX_TEXT = 32_000
"""Characters of an expression in other words: more than 3,000 tokens (`source.MAX_TOKENS`) ever have."""

_PHRASES: Final = frozenset(
    {"alias", "distinct", "filter", "lambda", "named", "nulls", "over", "sort", "star", "within", "word"}
)
"""Kinds of nodes that are no operands, and that no brackets may stand around."""

Rule = Callable[[Expr, "Writing"], Sql | None]
"""Other words for a node, or None to keep the sender's. It must not match what it has written itself."""


class Writing:
    """The expressions of a statement under one rule."""

    def __init__(self, case: Case, rule: Rule) -> None:
        self.source = case.source
        self.reads_tables = bool(case.tables)
        self.roots = read_expressions(case)
        self.types = Types(case)
        self._case = case
        self._rule = rule
        self._texts: dict[Expr, Sql] = {}
        self._given: dict[tuple[str, str], Sql] = {}

    @functools.cached_property
    def _parents(self) -> dict[Expr, Expr]:
        return {child: node for root in self.roots for node in root.walk() for child in node.children}

    @functools.cached_property
    def _fresh(self) -> FreshNames:
        return FreshNames(self._case)

    def fresh(self, base: str, node: Expr) -> Sql:
        """A name that nothing else has; one for the same words, which may stand in the list and in GROUP BY."""
        key = base, squeeze(self.sent(node))
        if key not in self._given:
            self._given[key] = self._fresh.name(base)
        return self._given[key]

    def parent(self, node: Expr) -> Expr | None:
        """The node of which `node` is a part."""
        return self._parents.get(node)

    def sent(self, node: Expr) -> Sql:
        """The sender's words for a node."""
        return copy_tokens(self.source, node.first, node.end)

    def text(self, node: Expr) -> Sql:
        """What is written for a node, its parts written anew: an operand, unless it is none by its kind."""
        text = self._written(node)
        return text if node.kind in _PHRASES else as_operand(text)

    def kept(self, node: Expr, instead: Callable[[Expr], Sql | None] = lambda _: None) -> Kept:
        """The node as it is, but for its parts; `instead` may give words for a part that it alone wants changed."""
        pieces, at = list[Sql](), node.first
        for child in sorted(node.children, key=lambda each: each.first):
            found = instead(child)
            pieces += [
                copy_tokens(self.source, at, child.first),
                self._written(child) if found is None else _placed(child, found),
            ]
            at = child.end
        pieces.append(copy_tokens(self.source, at, node.end))
        return as_kept(join(" ", pieces))

    def replaced(self, node: Expr, part: Expr, text: Sql) -> Kept:
        """The node as it is, but for one part, which becomes `text`."""
        return self.kept(node, lambda each: text if each is part else None)

    def stands(self, text: Sql, node: Expr) -> bool:
        """Whether these words for a node stand around it already."""
        above: Expr | None = node
        while above is not None and len(self.sent(above)) <= len(text):
            if squeeze(self.sent(above)) == squeeze(text):
                return True
            above = self.parent(above)
        return False

    def edits(self) -> list[Edit]:
        """What changes. Errors: EngineLacks, those of the rule."""
        return list(self._changes(self.roots))

    def _written(self, node: Expr) -> Sql:
        if node not in self._texts:
            found = self._rule(node, self)
            self._texts[node] = _bounded(self.kept(node) if found is None else _placed(node, found))
        return self._texts[node]

    def _changes(self, nodes: Iterable[Expr]) -> Iterator[Edit]:
        """The smallest nodes that hold each change, so that as little as possible is written anew."""
        for node in nodes:
            found = self._rule(node, self)
            if found is not None:
                yield Edit(node.first, node.end, _bounded(_placed(node, found)))
            else:
                yield from self._changes(node.children)


def squeeze(text: str) -> str:
    """A text without its blanks, to be compared."""
    return "".join(text.split())


def _placed(node: Expr, text: Sql) -> Sql:
    """Other words in the place of a node: in brackets, unless they bind as the node did, or are closed."""
    return text if isinstance(text, Kept) or node.kind in _PHRASES else compose("{}", as_operand(text))


def _bounded(text: Sql) -> Sql:
    """Other words may say an operand twice, and within each other twice as often."""
    if len(text) > MAX_TEXT:
        raise lacking("length", "so long an expression in other words", "Name its inner steps with WITH.")
    return text


def written(case: Case, rule: Rule) -> Sequence[Edit]:
    """The edits that a rule makes. Errors: EngineLacks, where the nodes nest too deep too."""
    return guarded(lambda: Writing(case, rule).edits())


def guarded(edits: Callable[[], Sequence[Edit]]) -> Sequence[Edit]:
    """What `edits` gives. Errors: EngineLacks, where the nodes nest too deep."""
    try:
        return edits()
    except RecursionError:
        raise lacking("nesting", "so deeply nested an expression", "Name its inner steps with WITH.") from None
