"""Conditions with a lambda in WHERE, HAVING and ON, which Sail pushes into the scan and then finds no column for.

What depends on chance is pushed nowhere: such a condition goes into one that is always asked for and never decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import compose, copy_tokens
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions
from mcp_server.sql.source import Source

_BEFORE: Final = frozenset({"WHERE", "ON", "HAVING"})


def rewrite_pushed(case: Case, _: Catalog) -> Sequence[Edit]:
    """Conditions with a lambda in a form that stays where it is."""
    if not any(token.key == "->" for token in case.source.tokens):
        return ()
    return list(_edits(read_expressions(case), case.source))


def _edits(roots: Sequence[Expr], source: Source) -> Iterator[Edit]:
    for root in roots:
        if source.key(root.first - 1) in _BEFORE:
            for part in root.parts if root.word == "and" else (root,):
                if _has_lambda(part) and not (part.word == "if" and source.key(part.first + 2) == "RAND"):
                    text = copy_tokens(source, part.first, part.end)
                    yield Edit(part.first, part.end, compose("if(rand() < 2D, {}, NULL)", text))
        for node in root.walk():
            if node.kind == "query":
                yield from _edits(node.parts, source)


def _has_lambda(node: Expr) -> bool:
    """Whether there is one, apart from those in sub-queries."""
    return node.kind == "lambda" or (node.kind != "query" and any(map(_has_lambda, node.children)))
