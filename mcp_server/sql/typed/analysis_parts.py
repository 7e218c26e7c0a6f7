"""What the analysis of clauses asks of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mcp_server.sql.typed import functions
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, ItemUse
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Query, Relation

GROUPING: Final = frozenset({"grouping", "grouping_id", "grouping__id"})


def is_generator(node: Node) -> bool:
    return isinstance(node, Call) and functions.is_generator(node.name)


def is_aggregate(node: Node) -> bool:
    return (
        isinstance(node, Call) and node.window is None and (functions.is_aggregate(node.name) or node.name in GROUPING)
    )


def is_window(node: Node) -> bool:
    return isinstance(node, Call) and node.window is not None


def walk_here(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, without sub-queries."""
    stack = [node]
    while stack:
        each = stack.pop()
        yield each
        stack += [child for child in reversed(each.children) if not isinstance(child, Query)]


def walk_outside(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, without names of items, whose aggregates are computed already."""
    return (each for each in walk_here(node) if not isinstance(each, ItemUse))


def iter_relations(base: Relation | None) -> Iterator[Relation]:
    if base is None:
        return
    yield base
    for child in base.children:
        if isinstance(child, Relation):
            yield from iter_relations(child)


def own_ids(base: Relation | None) -> frozenset[int]:
    return frozenset(each.id for each in iter_relations(base))


def reads(node: Node, ids: frozenset[int]) -> bool:
    return any(isinstance(each, Column) and each.source in ids for each in node.walk())


def refuse_nested(node: Node) -> SparkRefuses:
    return SparkRefuses(
        "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
        "A function of rows within an expression: put it into a sub-query, under a name.",
        node.at,
    )


def refuse_outside(node: Node) -> SparkRefuses:
    return SparkRefuses(
        "UNSUPPORTED_GENERATOR.OUTSIDE_SELECT", "A function of rows stands in SELECT or FROM alone.", node.at
    )
