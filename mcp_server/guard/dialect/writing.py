"""Writes expressions anew: the sender's own tokens, but for the nodes for which a rule has other words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

from mcp_server.guard.case import Case
from mcp_server.guard.catalog import Catalog
from mcp_server.guard.dialect.edits import Edit, lacking, text_of
from mcp_server.guard.dialect.expr import Expr
from mcp_server.guard.dialect.expressions import expressions
from mcp_server.guard.dialect.inference import Types

MAX_TEXT = 32_000
"""Characters of an expression in other words: more than 3,000 tokens (`source.MAX_TOKENS`) ever have."""

Rule = Callable[[Expr, "Writing"], str | None]
"""Other words for a node, or None to keep the sender's. It must not match what it has written itself."""


class Writing:
    """The expressions of a statement under one rule."""

    def __init__(self, case: Case, catalog: Catalog, rule: Rule) -> None:
        self.source = case.source
        self.reads_tables = bool(case.tables)
        self.roots = expressions(case)
        self.types = Types(case, catalog)
        self._rule = rule
        self._texts: dict[Expr, str] = {}

    @functools.cached_property
    def _parents(self) -> dict[Expr, Expr]:
        return {child: node for root in self.roots for node in root.walk() for child in node.children}

    def parent(self, node: Expr) -> Expr | None:
        """The node of which `node` is a part."""
        return self._parents.get(node)

    def sent(self, node: Expr) -> str:
        """The sender's words for a node."""
        return text_of(self.source, node.first, node.end)

    def text(self, node: Expr) -> str:
        """What is written for a node, its parts written anew."""
        if node not in self._texts:
            found = self._rule(node, self)
            self._texts[node] = _bounded(self.kept(node) if found is None else found)
        return self._texts[node]

    def kept(self, node: Expr, instead: Callable[[Expr], str | None] = lambda _: None) -> str:
        """The node as it is, but for its parts; `instead` may give words for a part that it alone wants changed."""
        pieces, at = list[str](), node.first
        for child in sorted(node.children, key=lambda each: each.first):
            pieces += [text_of(self.source, at, child.first), instead(child) or self.text(child)]
            at = child.end
        pieces.append(text_of(self.source, at, node.end))
        return " ".join(piece for piece in pieces if piece)

    def replaced(self, node: Expr, part: Expr, text: str) -> str:
        """The node as it is, but for one part, which becomes `text`."""
        return self.kept(node, lambda each: text if each is part else None)

    def edits(self) -> list[Edit]:
        """What changes. Errors: EngineLacks, those of the rule."""
        return list(self._changes(self.roots))

    def _changes(self, nodes: Iterable[Expr]) -> Iterator[Edit]:
        """The smallest nodes that hold each change, so that as little as possible is written anew."""
        for node in nodes:
            found = self._rule(node, self)
            if found is not None:
                yield Edit(node.first, node.end, _bounded(found))
            else:
                yield from self._changes(node.children)


def _bounded(text: str) -> str:
    """Other words may say an operand twice, and within each other twice as often."""
    if len(text) > MAX_TEXT:
        raise lacking("length", "so long an expression in other words", "Name its inner steps with WITH.")
    return text


def written(case: Case, catalog: Catalog, rule: Rule) -> Sequence[Edit]:
    """The edits that a rule makes. Errors: EngineLacks, where the nodes nest too deep too."""
    return guarded(lambda: Writing(case, catalog, rule).edits())


def guarded(edits: Callable[[], Sequence[Edit]]) -> Sequence[Edit]:
    """What `edits` gives. Errors: EngineLacks, where the nodes nest too deep."""
    try:
        return edits()
    except RecursionError:
        raise lacking("nesting", "so deeply nested an expression", "Name its inner steps with WITH.") from None
