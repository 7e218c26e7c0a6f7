"""How deep a tree may be where engines recurse: they lose their stack, or plan for ever.

All numbers were measured on Sail 0.7.2. A chain of 450 operators or 400 UNIONs ends its process (Spark 4.2 says
FAILED_TO_PARSE_TOO_COMPLEX); 20 sub-queries in each other's expressions take 1.5 s to plan and 38 longer than any
deadline; so do 20 structs in each other, and 20 intervals in one sum. Honest statements of the corpora reach 17 nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlglot import exp

from mcp_server.sql.refusal import refused
from mcp_server.sql.tree import Tree

MAX_TREE: Final = 200
"""Nodes from the root to the farthest leaf. Each AND, OR, + and UNION of a chain is one."""

MAX_NESTED: Final = 12
"""What engines plan anew for each level around it: a query in an expression, a struct, an interval in a sum."""

_RELATIONS = (exp.From, exp.Join, exp.Lateral, exp.CTE, exp.Subquery, exp.SetOperation)


def check_depth(tree: Tree) -> None:
    """Errors: Refused, with the code `too_deep`."""
    nodes = tree.nodes  # parents before children
    _check(tree, nodes, lambda _: True, MAX_TREE, "operators and brackets. Write long lists with IN (…)")
    _check(tree, nodes, _is_query_in_expression, MAX_NESTED, "sub-queries. Name the inner ones with WITH, and join")
    _check(tree, nodes, lambda node: _is_struct(tree, node), MAX_NESTED, "structs. Make them flatter")
    _check(tree, nodes, _adds_interval, MAX_NESTED, "intervals. Add their numbers first")


def _check(tree: Tree, nodes: Sequence[exp.Expr], counts: Callable[[exp.Expr], bool], most: int, what: str) -> None:
    """At most `most` nodes that count are within each other."""
    levels: dict[int, int] = {}
    for node in nodes:
        level = levels.get(id(node.parent), 0) + counts(node)
        if level > most:
            index = tree.index(node)
            at = None if index is None else tree.source.tokens[index].start
            raise refused("too_deep", f"The statement nests more than {most} {what}.", text=tree.source.text, at=at)
        levels[id(node)] = level


def _is_query_in_expression(node: exp.Expr) -> bool:
    return isinstance(node, exp.Query) and node.parent is not None and not isinstance(node.parent, _RELATIONS)


def _is_struct(tree: Tree, node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and tree.called(node) in {"struct", "named_struct"}


def _adds_interval(node: exp.Expr) -> bool:
    return isinstance(node, (exp.Add, exp.Sub)) and node.expression.find(exp.Interval) is not None
