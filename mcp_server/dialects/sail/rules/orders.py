"""ORDER BY: all columns, and keys that Sail's optimizer would leave out.

Measured on Sail 0.7.2 (DataFusion): a key that is one value below an outer join, a LATERAL VIEW OUTER or sets of groups
counts as constant above them, too, where rows have nulls in it, and is left out of the order. The keys are computed
below, behind a condition on rand() that always holds, which keeps them from being known.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.below import Below
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import (
    are_same,
    compare,
    has,
    is_aggregate,
    is_volatile,
    iter_relations,
    label,
    name_keys,
    named,
    number,
    own_ids,
)
from mcp_server.dialects.sail.rules.query_nodes import replace_uses
from mcp_server.dialects.sail.rules.stars import expand_stars
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Between,
    Binary,
    Call,
    Case,
    Column,
    Constant,
    Exists,
    Expression,
    In,
    InQuery,
    Is,
    ItemUse,
    Like,
    Not,
    Ordinal,
    SortKey,
    Star,
)
from mcp_server.sql.typed.relations import (
    Cte,
    CteUse,
    Derived,
    GroupingSets,
    Item,
    Join,
    LateralView,
    Query,
    Relation,
    Select,
)
from mcp_server.sql.typed.types import DOUBLE

_IN_ORDER: Final = frozenset(
    {
        *("any_value", "array_agg", "collect_list", "collect_set", "first", "first_value", "last", "last_value"),
        *("listagg", "string_agg"),
    }
)
"""Aggregates whose result depends on the order of rows."""


def note_with(cte: Cte, context: Context) -> Node | None:
    """Change nothing: note what a WITH reads, which its uses stand for."""
    context.ctes[cte.id] = cte.query
    return None


def order_by_all(query: Query, context: Context) -> Node | None:
    """ORDER BY ALL: the numbers of all columns, with the direction and the place of nulls that follow."""
    del context
    key = query.order_all
    if key is None or query.outputs is None:
        return None
    keys = tuple(key.replace(operand=Ordinal(place, type=each.type)) for place, each in enumerate(query.outputs, 1))
    return query.replace(order=keys, order_all=None)


def leave_out_inner_order(query: Query, context: Context) -> Node | None:
    """Leave out the order of a sub-query that no LIMIT needs, where what stands around it makes an order of its own.

    An aggregate that takes rows as they come, such as collect_list, is given them in that order, as Spark happens to
    do. Sail keeps it for as many rows as come in one batch of 8,192.
    """
    select = query.body
    if not isinstance(select, Select) or not isinstance(select.base, Derived):
        return None
    inner = select.base.query
    if not inner.order or inner.limit is not None or inner.offset is not None:
        return None
    listed = any(has(item, is_aggregate) or any(True for _ in _windows(item)) for item in select.items)
    if not (query.order or select.group is not None or select.distinct or listed):
        return None
    if any(has(part, _takes_as_they_come) for part in (*select.items, select.having, *query.order)):
        context.warn(
            "collect_list, first and their kin over an ordered sub-query: the order is kept for some thousand rows and "
            "may be lost for more, where Spark keeps it. Sort the list itself, or add LIMIT to the sub-query."
        )
        return None
    return query.replace(body=select.replace(base=select.base.replace(query=inner.replace(order=()))))


def _takes_as_they_come(node: Node) -> bool:
    return isinstance(node, Call) and node.name in _IN_ORDER and not node.within


def hide_constants(query: Query, context: Context) -> Node | None:
    """Compute the keys of an order below, where Sail could take one for constant that is not."""
    select = query.body
    if not isinstance(select, Select) or select.base is None:
        return None
    windows = [each for item in select.items for each in _windows(item)]
    keys = [key for each in windows for key in each.window.order] if windows else []  # type: ignore[union-attr]
    if not query.order and not keys:
        return None
    if any(isinstance(item.operand, Star) for item in select.items) and any(
        map(_fills, _walk_through(select, context))
    ):
        query = _expand(query, select, context)
        select = query.body
        assert isinstance(select, Select)  # noqa: S101  (as it was)
    tainted = [key for key in query.order if _is_tainted(key.operand, select, context)]
    late = [key for key in keys if _is_tainted(key.operand, select, context)]
    if not any(map(_may_fix, _walk_through(query, context))):
        return None
    if not tainted and not late:
        return None
    return _hide(query, select, tainted, late, context)


def _expand(query: Query, select: Select, context: Context) -> Query:
    """Write out the stars of a list, whose columns the order may count."""
    widths = [len(item.outputs or ()) if isinstance(item.operand, Star) else 1 for item in select.items]
    after = expand_stars(select, context, every=True)
    if after is None or len(after.items) != sum(widths):
        raise _dropped("* in it")
    starts = list(itertools.accumulate(widths, initial=0))

    def move(use: ItemUse) -> Node:
        return use.replace(index=starts[use.index])

    return query.replace(body=after, order=tuple(replace_uses(key, move) for key in query.order))


def _hide(query: Query, select: Select, tainted: list[SortKey], late: list[SortKey], context: Context) -> Node | None:
    grouped = select.group is not None or select.having is not None
    grouped = grouped or any(has(item, is_aggregate) for item in select.items)
    if grouped or select.distinct:
        if late:
            raise _dropped("a window in it")
        return _hide_behind(query, select, tainted, context)
    if any(isinstance(item.operand, Star) for item in select.items):
        return None
    below, ids = Below(context), own_ids(select.base)
    items = tuple(
        named(item.operand, label(item), at=item.at) if len(item.aliases) < 2 else item for item in select.items
    )
    hidden: dict[int, Column] = {}
    for key in (*tainted, *late):
        operand = _meaning(key.operand, select)
        if any(each.window is not None for each in _windows(operand)):
            continue
        hidden[id(key)] = below.column(_conceal(operand))
    upper = select.replace(items=items, base=None, where=None, windows=())
    upper = _with_keys(upper, hidden)
    order = tuple(key.replace(operand=hidden[id(key)]) if id(key) in hidden else key for key in query.order)
    for part in (upper, *order, *query.sort, *query.distribute):
        below.own(below.substitute(part), ids)
    upper = below.substitute(upper)
    lower = Select((), select.base, where=select.where)
    return query.replace(
        body=upper.replace(base=below.derive(lower)),
        order=name_keys(tuple(map(below.substitute, order)), upper.items),
        sort=tuple(map(below.substitute, query.sort)),
        distribute=tuple(map(below.substitute, query.distribute)),
    )


def _hide_behind(query: Query, select: Select, tainted: list[SortKey], context: Context) -> Node | None:
    """Put the whole SELECT below, where its order names its columns."""
    order_uses = [_place(key.operand, select) for key in query.order]
    starred = any(isinstance(item.operand, Star) or len(item.aliases) > 1 for item in select.items)
    if starred or any(place is None for place in order_uses):
        raise _dropped("a key that the list does not show")
    names = [context.fresh("__c") for _ in select.items]
    below = Below(context)
    lower = select.replace(
        items=tuple(named(item.operand, name) for item, name in zip(select.items, names, strict=True))
    )
    columns = [
        Column(name, (below.alias,), below.id, type=item.operand.type)
        for name, item in zip(names, select.items, strict=True)
    ]
    inner = below.derive_all(lower)
    middle = Below(context)
    shown = [named(middle.column(column), label(item)) for column, item in zip(columns, select.items, strict=True)]
    order = []
    for key, place in zip(query.order, order_uses, strict=True):
        column: Expression = columns[place or 0]
        order.append(key.replace(operand=middle.column(_conceal(column) if key in tainted else column)))
    upper = Select(tuple(shown), middle.derive(Select((), inner)))
    return query.replace(body=upper, order=tuple(order))


def _dropped(what: str) -> Exception:
    return lacking(
        "ORDER BY",
        f"a SELECT with groups or DISTINCT over an outer join with {what}",
        "Group in a sub-query, and order around it.",
    )


def _place(operand: Expression, select: Select) -> int | None:
    """Return the item that a key of an order is."""
    if isinstance(operand, ItemUse):
        return operand.index
    if isinstance(operand, Ordinal) and 1 <= operand.index <= len(select.items):
        return operand.index - 1
    return next((at for at, item in enumerate(select.items) if are_same(item.operand, operand)), None)


def _with_keys(select: Select, hidden: dict[int, Column]) -> Select:
    """Return a SELECT whose windows are ordered by hidden keys."""

    def change(node: Node) -> Node:
        if isinstance(node, SortKey) and id(node) in hidden:
            return node.replace(operand=hidden[id(node)])
        return node.map_children(change)

    return select.replace(items=tuple(item.map_children(change) for item in select.items))


def _windows(node: Node) -> Iterator[Call]:
    for each in node.walk():
        if isinstance(each, Call) and each.window is not None:
            yield each


def _meaning(operand: Expression, select: Select) -> Expression:
    place = _place(operand, select)
    return operand if place is None else select.items[place].operand


def _conceal(operand: Expression) -> Expression:
    """Return a value that nothing can be known of."""
    chance = compare(Call("rand", type=DOUBLE), ">=", number(0))
    return Case(None, (chance,), (operand,), type=operand.type)


def _is_tainted(operand: Expression, select: Select, context: Context) -> bool:
    """Whether a key reads a column that may be null in rows that are not of its relation."""
    meant = _meaning(operand, select)
    if isinstance(meant, Constant) or select.base is None:
        return False
    return _reads(meant, select, context)


def _reads(node: Node, select: Select, context: Context) -> bool:
    """Whether such a column is read outside aggregates, which make values of their own."""
    if is_aggregate(node) or select.base is None:
        return False
    if isinstance(node, Column):
        return _is_filled(node, select, context)
    return any(_reads(each, select, context) for each in node.children)


def _is_filled(column: Column, select: Select, context: Context) -> bool:
    base = select.base
    assert base is not None  # noqa: S101  (its callers looked)
    sets = select.group is not None and any(isinstance(key, GroupingSets) for key in select.group.keys)
    if column.source in _filled(base) or (sets and column.source in own_ids(base)):
        return True
    relation = next((each for each in iter_relations(base) if each.id == column.source), None)
    if relation is None:
        return False
    query = relation.query if isinstance(relation, Derived) else None
    if isinstance(relation, CteUse):
        query = context.ctes.get(relation.cte)
    names = [(each.name or "").lower() for each in relation.outputs or ()]
    if query is None or column.name.lower() not in names:
        return any(map(_fills, _walk_through(relation, context)))
    return _gives_filled(query, names.index(column.name.lower()), context)


def _gives_filled(query: Query, place: int, context: Context) -> bool:
    """Whether a column of a query is such a one, by its place."""
    body = query.body
    if isinstance(body, Query):
        return _gives_filled(body, place, context)
    listed = isinstance(body, Select) and all(item.outputs and len(item.outputs) == 1 for item in body.items)
    if not isinstance(body, Select) or not listed or place >= len(body.items):
        return any(map(_fills, _walk_through(query, context)))
    operand = body.items[place].operand
    if isinstance(operand, Star):
        return any(map(_fills, _walk_through(query, context)))
    return not has(operand, is_volatile) and _reads(operand, body, context)  # of chance nothing is known


def _filled(base: Relation) -> frozenset[int]:
    """Return the relations on the sides of outer joins that may be null, and outer views."""
    if isinstance(base, Join):
        found = _filled(base.left) | _filled(base.right)
        if base.kind in {"left", "full"}:
            found |= own_ids(base.right)
        if base.kind in {"right", "full"}:
            found |= own_ids(base.left)
        return found | ({base.id} if found else frozenset())
    if isinstance(base, LateralView):
        below = _filled(base.base) if base.base is not None else frozenset()
        return below | ({base.id} if base.outer else frozenset())
    return frozenset()


def _walk_through(node: Node, context: Context) -> Iterator[Node]:
    """Yield all below a node, and below what its names of WITH stand for."""
    todo, seen = [node], set[int]()
    while todo:
        for each in todo.pop().walk():
            yield each
            if isinstance(each, CteUse) and each.cte not in seen and each.cte in context.ctes:
                seen.add(each.cte)
                todo.append(context.ctes[each.cte])


def _fills(node: Node) -> bool:
    return (
        (isinstance(node, Join) and node.kind in {"left", "right", "full"})
        or (isinstance(node, LateralView) and node.outer)
        or isinstance(node, GroupingSets)
    )


def _may_fix(node: Node) -> bool:
    """Whether it may make a column one value: a constant in a list, or a condition with one."""
    if isinstance(node, Item):
        return not any(isinstance(part, (Column, Star)) for part in node.operand.walk())
    if isinstance(node, Binary) and node.operator in {"=", "<=>", "<>", "<", "<=", ">", ">="}:
        return not (isinstance(node.left, Column) and isinstance(node.right, Column))
    return isinstance(node, (Between, In, InQuery, Is, Like, Not, Exists))
