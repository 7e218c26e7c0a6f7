"""Rules for sub-queries: where a query stands inside an expression, or reads the row before it."""

from __future__ import annotations

from itertools import chain
from typing import Final, TypeGuard

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.group_rows import as_rows, group_keys
from mcp_server.dialects.sail.rules.query_nodes import (
    INNER,
    has_query,
    replace_uses,
    same,
    walk_scope,
    walk_select,
)
from mcp_server.dialects.sail.rules.query_parts import (
    all_of,
    compare_safely,
    keep_name,
    name_relations,
    split_and,
    write_stars,
)
from mcp_server.dialects.sail.rules.subquery_from import From
from mcp_server.dialects.sail.rules.subquery_places import Places, needs_groups
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.nodes import Binary, Column, Expression, Logic, SortKey
from mcp_server.sql.typed.relations import CteUse, Join, Query, Relation, Select


def rewrite_subqueries(query: Query, context: Context) -> Query | None:
    """Sub-queries of a SELECT, its LATERAL joins and ON. Errors: EngineLacks."""
    if not isinstance(query.body, Select):
        return None
    select, order = _Rewriting(context).both(query.body, query.order)
    if select is query.body and order == query.order:
        return None
    return query.replace(body=select, order=order)


class _Rewriting:
    """The rewriting of one SELECT."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def again(self, select: Select) -> Select:
        """Rewrite a SELECT whose sub-queries have got other columns."""
        return self.both(select, ())[0]

    def both(self, select: Select, order: tuple[SortKey, ...]) -> tuple[Select, tuple[SortKey, ...]]:
        """A SELECT, and the ORDER BY behind it."""
        before = select
        select, order = _expand_uses(select, order)
        if select.base is None:
            return self.places(select, order)[:2] if self.has_inner(select, order) else (before, order)
        found = From(select, self.context, self.again)
        base = found.relation(select.base)
        if base is not select.base:
            select = select.replace(base=base, where=all_of([*split_and(select.where), *found.loose]))
        widened = frozenset(found.widened)
        if self.has_inner(select, order):
            select, order, joined = self.places(select, order)
            found.joined = found.joined or joined
        if found.joined:
            named = name_relations(select.base, self.context) if select.base is not None else None
            items = write_stars(select.items, named, lambda star: not star.parts or bool(widened & set(star.sources)))
            select = select.replace(items=items, base=named if items != select.items else select.base)
        return select, order

    def has_inner(self, select: Select, order: tuple[SortKey, ...]) -> bool:
        nodes = chain(walk_select(select), *(walk_scope(key) for key in order))
        return any(isinstance(each, INNER) for each in nodes)

    def places(self, select: Select, order: tuple[SortKey, ...]) -> tuple[Select, tuple[SortKey, ...], bool]:
        places = Places(select, self.context, self.again)
        if places.grouped and self.reads_groups(places, select, order):
            select, order = as_rows(select, order, self.context)
            made, order = self.both(select, order)
            return made, order, False
        grouped = self.grouped_items(select)
        where = None
        if select.where is not None:
            where = places.visit(select.where, "where", conjunct=True, positive=True)
        items = []
        for at, each in enumerate(select.items):
            place = "other" if at in grouped else "item"
            operand = places.visit(each.operand, place)  # type: ignore[arg-type]
            items.append(each if operand is each.operand else keep_name(each, operand))
        having = select.having
        if having is not None:
            having = places.visit(having, "having", conjunct=True, positive=True)
        qualify = places.visit(select.qualify, "other") if select.qualify is not None else None
        group = select.group
        if group is not None and has_query(group):
            group = group.map_children(lambda each: places.below(each, "other"))
        order = tuple(self.sorted(each, places) for each in order)
        changes: dict[str, object] = {
            "where": where, "having": having, "qualify": qualify, "group": group, "base": places.base,
        }  # fmt: skip
        changes = {name: each for name, each in changes.items() if each is not getattr(select, name)}
        if tuple(items) != select.items:
            changes["items"] = tuple(items)
        return select.replace(**changes) if changes else select, order, places.attached

    def sorted(self, key: SortKey, places: Places) -> SortKey:
        operand = places.visit(key.operand, "other") if has_query(key.operand) else key.operand
        return key if operand is key.operand else key.replace(operand=operand)

    def grouped_items(self, select: Select) -> set[int]:
        """The places of items that are groups themselves."""
        if select.group is None or select.group.all:
            return set(range(len(select.items))) if select.group is not None else set()
        keys = group_keys(select)
        return {
            at
            for at, each in enumerate(select.items)
            if has_query(each) and any(same(each.operand, key) for key in keys)
        }

    def reads_groups(self, places: Places, select: Select, order: tuple[SortKey, ...]) -> bool:
        grouped = self.grouped_items(select)
        items = [each for at, each in enumerate(select.items) if at not in grouped]
        if any(needs_groups(places, each.operand, "item") for each in items):
            return True
        keys = group_keys(select)
        own = [each.operand for each in order if not any(same(each.operand, key) for key in keys)]
        return needs_groups(places, select.having, "having") or any(needs_groups(places, e, "other") for e in own)


def _expand_uses(select: Select, order: tuple[SortKey, ...]) -> tuple[Select, tuple[SortKey, ...]]:
    """Names of items, written out where a sub-query stands beside them."""
    items, having = select.items, select.having
    if having is not None and has_query(having):
        select = select.replace(having=replace_uses(having, lambda use: items[use.index].operand))
    order = tuple(replace_uses(key, lambda use: items[use.index].operand) if has_query(key) else key for key in order)
    return select, order


def factor_ties(select: Select, context: Context) -> Select | None:  # noqa: ARG001
    """`(a.k = b.k AND x) OR (a.k = b.k AND y)` as `a.k = b.k AND (x OR y)`: a join needs the equality by itself."""
    where = _factor(select.where)
    base = _factor_joins(select.base)
    if where is select.where and base is select.base:
        return None
    return select.replace(where=where, base=base)


def _factor_joins(relation: Relation | None) -> Relation | None:
    if not isinstance(relation, Join):
        return relation
    left, right, on = _factor_joins(relation.left), _factor_joins(relation.right), _factor(relation.on)
    if left is relation.left and right is relation.right and on is relation.on:
        return relation
    return relation.replace(left=left, right=right, on=on)


def _factor(condition: Expression | None) -> Expression | None:
    parts = split_and(condition)
    made = [found for each in parts for found in _factored(each)]
    return condition if len(made) == len(parts) else all_of(made)


def _factored(part: Expression) -> list[Expression]:
    if not isinstance(part, Logic) or part.operator != "or":
        return [part]
    sides = [split_and(each) for each in part.operands]
    shared: list[Expression] = [
        each for each in sides[0] if _ties(each) and all(any(same(each, other) for other in side) for side in sides[1:])
    ]
    if not shared:
        return [part]
    rest = [all_of(each for each in side if not any(same(each, tie) for tie in shared)) for side in sides]
    if any(each is None for each in rest):
        return shared
    return [*shared, part.replace(operands=tuple(rest))]


def _ties(part: Expression, operator: str = "=") -> TypeGuard[Binary]:
    """Whether a condition compares columns of two relations by equality."""
    if not isinstance(part, Binary) or part.operator != operator:
        return False
    left, right = (
        {each.source for each in side.walk() if isinstance(each, Column)} for side in (part.left, part.right)
    )
    return len(left) == len(right) == 1 and left != right and None not in left | right


def tie_safely(relation: Join, context: Context) -> Join | None:  # noqa: ARG001
    """`ON a.k <=> b.k` without an equality beside it: see `compare_safely`."""
    parts = split_and(relation.on)
    if any(_ties(each) for each in parts):
        return None
    made = [compare_safely(each.left, each.right) if _ties(each, "<=>") else each for each in parts]
    return relation.replace(on=all_of(made)) if any(a is not b for a, b in zip(made, parts, strict=True)) else None


def spell_ctes(query: Query, context: Context) -> Query | None:  # noqa: ARG001
    """Names of WITH in the letters that they were given: Sail tells them apart by case."""
    if not query.ctes:
        return None
    names = {each.id: each.name for each in query.ctes}

    def change(node: Node) -> Node:
        if isinstance(node, CteUse) and names.get(node.cte, node.name) != node.name:
            return node.replace(name=names[node.cte], alias=node.alias or node.name)
        return node

    made = transform(query, change)
    return None if made is query else made


SUBQUERY_RULES: Final = (
    ("names of WITH", Query, spell_ctes),
    ("equalities in every part of an OR", Select, factor_ties),
    ("sub-queries", Query, rewrite_subqueries),
    ("null-safe keys of joins", Join, tie_safely),
)
"""Passes over the whole tree, in this order: a name, the class of node, and the rule."""
