"""Bounds the depth of a tree, because engines recurse: beyond it they overflow their stack or never finish planning.

Measured on Sail 0.7.2: a chain of 450 operators or 400 UNIONs ends its process (Spark 4.2 fails with
FAILED_TO_PARSE_TOO_COMPLEX). 20 sub-queries nested in expressions take 1.5 s to plan, and 38 exceed any deadline, as do
20 nested structs and 20 intervals in one sum. Honest statements of the corpora reach a depth of 17.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlglot import exp

from mcp_server.sql.refusal import make_refusal
from mcp_server.sql.tree import Tree

MAX_TREE: Final = 200
"""Nodes from the root to the farthest leaf. Each AND, OR, + and UNION of a chain is one."""

MAX_NESTED: Final = 12
"""Levels of what engines plan again for each level around it: queries in expressions, structs, intervals in sums."""

_RELATIONS = (exp.From, exp.Join, exp.Lateral, exp.CTE, exp.Subquery, exp.SetOperation)


def check_depth(tree: Tree) -> None:
    """Refuse a tree that nests too deep.

    Errors: Refused, with the code `too_deep`.
    """
    nodes = tree.nodes  # parents before children
    _check_levels(tree, nodes, lambda _: True, MAX_TREE, "operators and brackets. Write long lists with IN (…)")
    _check_levels(
        tree, nodes, _is_query_in_expression, MAX_NESTED, "sub-queries. Name the inner ones with WITH, and join"
    )
    _check_levels(tree, nodes, lambda node: _is_struct(tree, node), MAX_NESTED, "structs. Make them flatter")
    _check_levels(tree, nodes, _adds_interval, MAX_NESTED, "intervals. Add their numbers first")


def _check_levels(
    tree: Tree, nodes: Sequence[exp.Expr], counts: Callable[[exp.Expr], bool], most: int, what: str
) -> None:
    """Refuse more than `most` nested nodes among those that `counts` selects."""
    levels: dict[int, int] = {}
    for node in nodes:
        level = levels.get(id(node.parent), 0) + counts(node)
        if level > most:
            index = tree.token_index(node)
            at = None if index is None else tree.source.tokens[index].start
            raise make_refusal(
                "too_deep", f"The statement nests more than {most} {what}.", text=tree.source.text, at=at
            )
        levels[id(node)] = level


def _is_query_in_expression(node: exp.Expr) -> bool:
    return isinstance(node, exp.Query) and node.parent is not None and not isinstance(node.parent, _RELATIONS)


def _is_struct(tree: Tree, node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and tree.called_name(node) in {"struct", "named_struct"}


def _adds_interval(node: exp.Expr) -> bool:
    return isinstance(node, (exp.Add, exp.Sub)) and node.expression.find(exp.Interval) is not None
