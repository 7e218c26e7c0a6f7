"""Looks into typed trees and makes parts of them: what the rules for sub-queries share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Final, TypeVar, cast

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.sql.functions import functions
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Cast, Column, Exists, Expression, InQuery, ItemUse, ScalarQuery, Star
from mcp_server.sql.typed.relations import (
    Cte,
    CteUse,
    Derived,
    FunctionTable,
    Item,
    Output,
    Query,
    Relation,
    Sample,
    Select,
    Table,
)

N = TypeVar("N", bound=Node)

Inner = Exists | InQuery | ScalarQuery
"""An expression that holds a query."""

INNER: Final = (Exists, InQuery, ScalarQuery)

UNFIXED: Final = frozenset(
    {"rand", "random", "randn", "uuid", "shuffle", "monotonically_increasing_id", "randstr", "uniform"}
)
"""Functions that answer otherwise each time."""


def is_aggregate(node: Node) -> bool:
    """Whether a node is the call of an aggregate over the rows of a group."""
    if not isinstance(node, Call) or node.window is not None:
        return False
    return functions().classes.get(node.name) in {"aggregate", "collecting"}


def is_generator(node: Node) -> bool:
    """Whether a node is a call that makes several rows of one."""
    return isinstance(node, Call) and functions().classes.get(node.name) == "generator"


def walk_scope(node: Node | None) -> Iterator[Node]:
    """Yield a node and all below it that stand in the same query: the queries themselves, but nothing in them."""
    stack = [node] if node is not None else []
    seen = set[Node]()
    while stack:
        each = stack.pop()
        if each not in seen:
            seen.add(each)
            yield each
            stack += () if isinstance(each, Query) else reversed(each.children)


def walk_select(select: Select) -> Iterator[Node]:
    """Yield the nodes of a SELECT's own expressions, without those of its FROM."""
    for part in (*select.items, select.where, select.group, select.having, select.qualify, *select.windows):
        yield from walk_scope(part)


def change_scope(node: N, change: Callable[[Node], Node]) -> N:
    """Like `node.transform`, but nothing within a query is visited."""
    done: dict[Node, Node] = {}

    def visit(each: Node) -> Node:
        if isinstance(each, Query):
            return each
        if each not in done:
            done[each] = change(each.map_children(visit))
        return done[each]

    return cast("N", visit(node))


def replace_uses(node: N, find: Callable[[ItemUse], Node | None]) -> N:
    """Return a node with what `find` returns in the place of items' names; in sub-queries they are of other lists."""

    def change(each: Node) -> Node:
        found = find(each) if isinstance(each, ItemUse) else None
        return each if found is None else found

    return change_scope(node, change)


def list_ids(node: Node | None) -> frozenset[int]:
    """The ids of all relations in a tree."""
    if node is None:
        return frozenset()
    return frozenset(each.id for each in node.walk() if isinstance(each, Relation))


def list_visible(relation: Relation | None) -> dict[int, Relation]:
    """The relations of a FROM by their ids: those whose columns can be named beside it, and the joins."""
    return {each.id: each for each in walk_scope(relation) if isinstance(each, Relation)}


def find_columns(node: Node | None, ids: frozenset[int]) -> list[Column]:
    """The columns in a tree, sub-queries included, that belong to some relations."""
    return [
        each for each in (node.walk() if node is not None else ()) if isinstance(each, Column) and each.source in ids
    ]


def reads(node: Node | None, ids: frozenset[int]) -> bool:
    """Whether a tree has columns of some relations."""
    return any(isinstance(each, Column) and each.source in ids for each in (node.walk() if node is not None else ()))


def has_query(node: Node | None) -> bool:
    """Whether a sub-query stands in an expression."""
    return any(isinstance(each, INNER) for each in walk_scope(node))


def has_aggregate(node: Node | None) -> bool:
    """Whether an aggregate stands in an expression, outside of its sub-queries."""
    return any(is_aggregate(each) for each in walk_scope(node))


def is_aggregated(select: Select) -> bool:
    """Whether a SELECT makes groups."""
    return select.group is not None or select.having is not None or any(map(has_aggregate, select.items))


def is_one_group(select: Select) -> bool:
    """Whether a SELECT makes one row of all: an aggregate without GROUP BY."""
    return is_aggregated(select) and (select.group is None or not (select.group.keys or select.group.all))


def is_fixed(node: Node) -> bool:
    """Whether an expression gives the same value each time."""
    return not any(isinstance(each, Call) and each.name in UNFIXED for each in node.walk())


def put(node: N, find: Callable[[Column], Expression | None]) -> N:
    """Replace columns in a tree, sub-queries included. `find` returns None for those that stay."""

    def change(each: Node) -> Node:
        found = find(each) if isinstance(each, Column) else None
        return each if found is None else found

    return cast("N", change(node.map_children(lambda each: put(each, find))))


_IGNORED: Final = frozenset({"at", "type", "parts", "text", "outputs", "id", "cte", "sources", "info"})


def same(one: object, other: object) -> bool:
    """Whether two expressions are the same, wherever they were written."""
    if not (isinstance(one, Node) and isinstance(other, Node)):
        return _same(one, other, {})
    sides = [[each.id for each in side.walk() if isinstance(each, Relation | Cte)] for side in (one, other)]
    return len(sides[0]) == len(sides[1]) and _same(one, other, dict(zip(*sides, strict=True)))


def _same(one: object, other: object, pairs: Mapping[int, int]) -> bool:
    """See `same`. `pairs` are the ids of relations within both sides."""
    if isinstance(one, Column) and isinstance(other, Column):
        source = pairs.get(one.source, one.source) if one.source is not None else None
        known = source is not None or one.parts == other.parts
        return known and source == other.source and one.name.lower() == other.name.lower()
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(_same(a, b, pairs) for a, b in zip(one, other, strict=True))
    if not isinstance(one, Node):
        return type(one) is type(other) and one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, Cast) and one.type != cast("Cast", other).type:
        return False
    names = (field.name for field in fields(one) if field.name not in _IGNORED)
    return all(_same(getattr(one, name), getattr(other, name), pairs) for name in names)


def copy_fresh(node: N, context: Context) -> N:
    """Copy a tree, with new ids for its relations."""
    ids = {each.id: context.new_id() for each in node.walk() if isinstance(each, Relation | Cte)}
    return _renumber(node, ids)


def _renumber(node: N, ids: Mapping[int, int]) -> N:
    made = node.map_children(lambda each: _renumber(each, ids))
    changes: dict[str, object] = {}
    if isinstance(made, Column) and made.source is not None and made.source in ids:
        changes["source"] = ids[made.source]
    if isinstance(made, Star) and made.sources:
        changes["sources"] = tuple(ids.get(each, each) for each in made.sources)
    if isinstance(made, Relation | Cte) and made.id in ids:
        changes["id"] = ids[made.id]
    if isinstance(made, CteUse) and made.cte in ids:
        changes["cte"] = ids[made.cte]
    if isinstance(made, Relation | Cte | Item | Query) and made.outputs:
        changes["outputs"] = tuple(
            Output(each.name, each.type, ids.get(each.source, each.source) if each.source is not None else None)
            for each in made.outputs
        )
    return made.replace(**changes) if changes else made


def qualifier(relation: Relation | None) -> tuple[str, ...]:
    """What qualifies the columns of a relation, as far as it is known."""
    if relation is None:
        return ()
    if relation.alias is not None:
        return (relation.alias,)
    if isinstance(relation, CteUse):
        return (relation.name,)
    if isinstance(relation, Table):
        return (relation.name[-1],)
    if isinstance(relation, Sample):
        return qualifier(relation.base)
    return ()


def find_generator(relation: Derived) -> FunctionTable | None:
    """`LATERAL (SELECT explode(x))` as `LATERAL explode(x)`."""
    query = relation.query
    body = query.body
    if not isinstance(body, Select) or body.base is not None or body.where or len(body.items) != 1 or body.distinct:
        return None
    operand = body.items[0].operand
    if not is_generator(operand) or query.limit or query.offset or relation.outputs is None:
        return None
    names = tuple(each.name or "" for each in relation.outputs)
    if not all(names):
        return None
    return FunctionTable(
        id=relation.id, alias=relation.alias or "t", names=names, outputs=relation.outputs, call=cast("Call", operand),
        lateral=True,
    )  # fmt: skip
