"""LATERAL, and sub-queries in ON.

Measured on Sail 0.7.2: LATERAL (SELECT …) without a FROM of its own is answered for inner joins, generators without ON
too, and everything else refused or, with an aggregate, answered without the rows where nothing is found. A sub-query in
ON that reads a row is refused.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.decorrelation import decorrelate
from mcp_server.dialects.sail.rules.kit import named
from mcp_server.dialects.sail.rules.outer_values import Host
from mcp_server.dialects.sail.rules.query_nodes import (
    change_scope,
    find_generator,
    has_query,
    is_aggregated,
    is_generator,
    list_visible,
    reads,
    walk_scope,
)
from mcp_server.dialects.sail.rules.query_parts import (
    all_of,
    column_of,
    join,
    make_query,
    name_outputs,
    qualify,
    split_and,
    truth,
    write_stars,
)
from mcp_server.dialects.sail.rules.subquery_places import Places
from mcp_server.dialects.sail.rules.subquery_values import Again, or_null
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.nodes import Call, Exists, Expression, InQuery, Logic, Not, ScalarQuery, Star
from mcp_server.sql.typed.relations import Derived, FunctionTable, Join, LateralView, Query, Relation, Select

_PUSHED: Final[dict[str, frozenset[str]]] = {
    "inner": frozenset({"left", "right"}),
    "cross": frozenset({"left", "right"}),
    "semi": frozenset({"left", "right"}),
    "left": frozenset({"right"}),
    "anti": frozenset({"right"}),
    "right": frozenset({"left"}),
}
"""The sides of joins that Spark filters by a condition of ON before it joins. In a filter NOT IN minds NULL."""


class From:
    """The FROM of one SELECT. `loose` gets conditions for WHERE; `widened` are relations that have got columns."""

    def __init__(self, select: Select, context: Context, again: Again) -> None:
        self.select = select
        self.context = context
        self.again = again
        self.loose: list[Expression] = []
        self.widened: set[int] = set()
        self.joined = False

    def relation(self, relation: Relation, *, inner: bool = True) -> Relation:
        """Return a relation that Sail joins. `inner` says that conditions may go to WHERE. Errors: EngineLacks."""
        if isinstance(relation, LateralView) and relation.base is not None:
            base = self.relation(relation.base, inner=inner)
            return relation if base is relation.base else relation.replace(base=base)
        if not isinstance(relation, Join):
            if isinstance(relation, Derived) and relation.lateral:
                return relation.replace(lateral=False)
            return relation
        relation = _climb(relation)
        kind = relation.kind
        left = self.relation(relation.left, inner=inner and kind in {"inner", "cross", "left", "semi", "anti"})
        right = relation.right
        lateral = isinstance(right, Derived | FunctionTable) and right.lateral
        if not lateral:
            right = self.relation(right, inner=inner and kind in {"inner", "cross", "right"})
        if left is not relation.left or right is not relation.right:
            relation = relation.replace(left=left, right=right)
        if lateral:
            relation = self.lateral(relation, inner=inner)
        return self.conditions(relation, inner=inner)

    def lateral(self, relation: Join, *, inner: bool) -> Join:  # noqa: PLR0911  (a form each)
        """A join whose right side may read the rows of the left side."""
        right, ids = relation.right, frozenset(list_visible(relation.left))
        if isinstance(right, Derived):
            right = right.replace(query=_write_outer_stars(right.query, relation.left))
            relation = relation.replace(right=right)
        plain = relation.kind in {"inner", "cross"}
        if not reads(right, ids) and isinstance(right, Derived):
            made = relation.replace(right=right.replace(lateral=False))
            return made.replace(on=truth(True)) if not plain and made.on is None else made
        if isinstance(right, FunctionTable):
            if relation.on is None and right.call.name == "range":  # it reads no row
                return relation.replace(right=right.replace(lateral=False))
            if relation.on is None:
                return relation
            if plain and inner:
                self.loose += split_and(relation.on)
                return relation.replace(on=None)
            return self.decorrelated(relation, self.as_query(right))
        if not isinstance(right, Derived):
            raise lacking("LATERAL", "LATERAL here", "Join with a sub-query.")
        if plain and not relation.natural and _is_projection(right.query) and (inner or relation.on is None):
            self.loose += split_and(relation.on)
            return relation.replace(right=_named_projection(right), on=None)
        generated = find_generator(right) if plain and relation.on is None else None
        if generated is not None:
            return relation.replace(right=generated)
        return self.decorrelated(relation, right)

    def as_query(self, right: FunctionTable) -> Derived:
        """`LATERAL f(x) AS t(y)` as a sub-query."""
        outputs = right.outputs
        if outputs is None:
            raise lacking("LATERAL", f"{right.call.name} joined by a condition", "Put the condition into WHERE.")
        names = right.names or name_outputs(outputs, self.context)
        rows = right.replace(id=self.context.new_id(), alias=self.context.fresh("__q"), names=names)
        items = tuple(named(column_of(rows, name, each.type), name) for name, each in zip(names, outputs, strict=True))
        query = make_query(items, rows)
        return Derived(id=right.id, alias=right.alias, names=right.names, outputs=outputs, query=query, lateral=True)

    def decorrelated(self, relation: Join, right: Derived) -> Join:
        if relation.using or relation.natural:
            raise lacking("LATERAL", "LATERAL with NATURAL", "Write the condition with ON.")
        where = self.select.where
        names = right.names
        if names and (right.query.outputs is None or len(right.query.outputs) != len(names)):
            raise lacking("LATERAL", "LATERAL over columns that are not known", "Write its columns out.")
        found = decorrelate(
            right.query, Host(relation.left, where), self.context, self.again,
            names=names, alias=right.alias, number=right.id, across=True,
        )  # fmt: skip
        self.widened.add(right.id)
        self.joined = True
        kind = "inner" if relation.kind == "cross" else relation.kind
        visible = list_visible(relation.left)
        conditions = [qualify(each, visible) for each in (*found.conditions, *split_and(relation.on))]
        made = join(kind, relation.left, found.relation, all_of(conditions) or truth(True), self.context)
        return made.replace(id=relation.id)

    def conditions(self, relation: Join, *, inner: bool) -> Join:
        """A join without sub-queries in ON that read its rows."""
        ids = frozenset(list_visible(relation))
        stay: list[Expression] = []
        moved: list[Expression] = []
        if relation.on is not None:
            on = change_scope(relation.on, lambda node: self.or_null(node, ids))
            relation = relation if on is relation.on else relation.replace(on=on)
        for part in split_and(relation.on):
            found = has_query(part) and not _is_value_apart(part, ids)
            (moved if found else stay).append(part)
        if not moved:
            return relation
        moved = [self.known(each, relation) for each in moved]
        if inner and relation.kind in {"inner", "cross"}:
            self.loose += moved
            kind = relation.kind if stay else "cross"
            return relation.replace(on=all_of(stay), kind=kind)
        for part in moved:
            relation, condition = self.beside(relation, part)
            stay.append(condition)
        return relation.replace(on=all_of(stay))

    def or_null(self, node: Node, ids: frozenset[int]) -> Node:
        """A value that reads nothing of the join, and that may be of no row."""
        return or_null(node, self.context) if isinstance(node, ScalarQuery) and not reads(node.query, ids) else node

    def known(self, part: Expression, relation: Join) -> Expression:
        """A condition whose NOT IN does not mind NULL, where Spark leaves it in the join: see `_PUSHED`."""
        left, right = (frozenset(list_visible(each)) for each in (relation.left, relation.right))
        sides = {side for side, ids in (("left", left), ("right", right)) if reads(part, ids)}
        if len(sides) == 1 and sides <= _PUSHED.get(relation.kind, frozenset()):
            return part
        if _minds_null(part):
            what = "IN with a sub-query in ON, within an expression that asks for NULL"
            raise lacking("ON", what, "Put it into WHERE, or into a sub-query of its own.")
        places = Places(Select(items=(), base=relation), self.context, self.again)

        def change(node: Node) -> Node:
            return places.known_member(node) if isinstance(node, InQuery) else node

        return change_scope(part, change)

    def beside(self, relation: Join, part: Expression) -> tuple[Join, Expression]:
        """A condition of an outer join whose sub-queries are values of the side that they read."""
        side = "right" if reads(part, frozenset(list_visible(relation.right))) else "left"
        read = _read_by_queries(part)
        left, right = (frozenset(list_visible(each)) for each in (relation.left, relation.right))
        if read & left and read & right:
            raise lacking("ON", "a sub-query in ON that reads both sides of the join", "Put it into WHERE.")
        side = "right" if read & right else "left"
        base = relation.right if side == "right" else relation.left
        places = Places(Select(items=(), base=base), self.context, self.again)
        made = places.visit(part, "other")
        self.joined = self.joined or places.attached
        return relation.replace(**{side: places.base}), made


def _minds_null(part: Expression) -> bool:
    """Whether an IN stands within anything but AND, OR and NOT, to which NULL is not the same as false."""
    if isinstance(part, Logic | Not):
        return any(_minds_null(each) for each in part.children if isinstance(each, Expression))
    return not isinstance(part, InQuery) and any(isinstance(each, InQuery) for each in walk_scope(part))


def _read_by_queries(part: Expression) -> set[int]:
    """The relations around them that the sub-queries of a condition read, and the left sides of IN."""
    found: set[int] = set()
    for node in walk_scope(part):
        query = getattr(node, "query", None)
        if not isinstance(query, Query):
            continue
        own = {each.id for each in query.walk() if isinstance(each, Relation)}
        for each in node.walk():
            source = getattr(each, "source", None)
            if isinstance(each, Expression) and isinstance(source, int) and source not in own:
                found.add(source)
    return found


def _is_value_apart(part: Expression, ids: frozenset[int]) -> bool:
    """Whether all sub-queries of a condition are values that read nothing of the join."""
    if any(isinstance(each, Exists | InQuery) for each in walk_scope(part)):
        return False
    queries = [each for each in walk_scope(part) if isinstance(each, Query)]
    return not any(reads(each, ids) for each in queries)


def _climb(relation: Join) -> Join:
    """`a, LATERAL (…) s LEFT JOIN b` as `(a, LATERAL (…) s) LEFT JOIN b`, so that what is before stands beside it."""
    right = relation.right
    if relation.kind not in {"inner", "cross"} or relation.on is not None or relation.using or relation.natural:
        return relation
    if not isinstance(right, Join) or right.kind not in {"inner", "cross", "left"} or not _begins_lateral(right):
        return relation
    return right.replace(left=_climb(relation.replace(right=right.left)), bracketed=False)


def _begins_lateral(relation: Relation) -> bool:
    while isinstance(relation, Join):
        relation = relation.left
    return bool(getattr(relation, "lateral", False))


def _write_outer_stars(query: Query, left: Relation) -> Query:
    """Write out stars that stand for columns of the row before."""
    outer = set(list_visible(left))

    def change(node: Node) -> Node:
        if not isinstance(node, Select):
            return node
        items = write_stars(node.items, left, lambda star: bool(star.sources) and outer >= set(star.sources))
        return node if items == node.items else node.replace(items=items)

    return transform(query, change)


def _named_projection(relation: Derived) -> Derived:
    """A projection whose items have the names behind its alias: with those Sail does not find the row before."""
    body = relation.query.body
    if not relation.names or not isinstance(body, Select) or len(body.items) != len(relation.names):
        return relation
    items = tuple(each.replace(aliases=(name,)) for each, name in zip(body.items, relation.names, strict=True))
    query = relation.query.replace(body=body.replace(items=items))
    return relation.replace(query=query, names=())


def _is_projection(query: Query) -> bool:
    """Whether a query computes columns from the row before it and nothing else."""
    body = query.body
    if not isinstance(body, Select) or body.base is not None or body.where or body.distinct or is_aggregated(body):
        return False
    if query.limit is not None or query.offset is not None or query.order or query.ctes:
        return False
    nodes = [node for each in body.items for node in walk_scope(each)]
    windows = any(isinstance(each, Call) and each.window for each in nodes)
    return not windows and not any(is_generator(each) or isinstance(each, Query | Star) for each in nodes)
