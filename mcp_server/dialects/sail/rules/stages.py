"""A SELECT with groups in two stages, where what it asks of them is more than Sail plans at once.

The lower SELECT groups, and gives the keys and aggregates as columns; the upper one has the list, HAVING, windows and
the order. Measured on Sail 0.7.2, each of these fails or answers otherwise in one SELECT: HAVING with ROLLUP, CUBE or
GROUPING SETS; HAVING with a sub-query, with no group at all, or before an ORDER BY of aggregates; ORDER BY an aggregate
or a grouping() that the list does not show; generators and functions of chance beside groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.below import Below
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.distinct_counts import has_large_sets, has_sets
from mcp_server.dialects.sail.rules.kit import (
    E,
    are_same,
    both,
    compare,
    count_rows,
    has,
    has_query,
    is_aggregate,
    is_generator,
    is_volatile,
    label,
    name_keys,
    named,
    number,
    own_ids,
    reads_own,
    replace_in,
    walk_here,
)
from mcp_server.sql.compose import compose
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Cast, Column, Constant, Expression, ItemUse, Ordinal, Star
from mcp_server.sql.typed.relations import Grouping, GroupingSets, Item, Keys, Query, Select
from mcp_server.sql.typed.types import BOOLEAN


def stage_groups(query: Query, context: Context) -> Node | None:
    """Group below, and ask for the rest above, where Sail does not plan both at once."""
    select = query.body
    if not isinstance(select, Select) or not _needs_stages(query, select, context):
        return None
    if any(has(item, is_generator) for item in select.items) and any(has(item, _is_window) for item in select.items):
        raise lacking("GROUP BY", "a window and a function of rows over groups", "Group in a sub-query.")
    select = _chance_below(select, context)
    below, ids = Below(context), own_ids(select.base)
    select = _spell_places(select)
    group = select.group
    for key in _keys(group) if group is not None else ():
        below.column(_operand(key, select))
    having = select.having
    if having is not None and str(having.type) not in {"BOOLEAN", "None"}:
        having = Cast(having, type=BOOLEAN)
    upper = select.replace(base=None, where=having, group=None, having=None, items=tuple(map(_name, select.items)))
    parts: list[Node] = [upper, *query.order, *query.sort, *query.distribute]
    for part in parts:
        for aggregate in _aggregates(part, ids):
            below.column(aggregate)
    if not below.pairs:  # what nobody reads Sail does not compute, nor its errors
        upper = upper.replace(where=both(upper.where, compare(below.column(count_rows()), ">=", number(0))))
    missing = _in_no_set(group) if group is not None else []
    upper = below.substitute(_without(upper, missing))
    if group is not None and group.given:
        select = select.replace(group=group.replace(given=()))
    lower = select.replace(items=(), having=None, qualify=None, windows=(), distinct=False)
    upper = upper.replace(base=below.derive(lower))
    return query.replace(
        body=upper,
        order=name_keys(tuple(below.substitute(_without(key, missing)) for key in query.order), upper.items),
        sort=tuple(map(below.substitute, query.sort)),
        distribute=tuple(map(below.substitute, query.distribute)),
    )


def _in_no_set(group: Grouping) -> list[Expression]:
    """Return the keys before GROUPING SETS that no set has: they are null in all groups."""
    keys = tuple(_keys(group))
    return [each for each in group.given if not any(are_same(each, key) for key in keys)]


def _without(node: E, missing: Sequence[Expression]) -> E:
    """Return a node with nulls in the place of keys that no set has."""

    def find(each: Node) -> Node | None:
        if isinstance(each, Expression) and any(are_same(each, key) for key in missing):
            null = Constant(compose("NULL"), None, type=each.type)
            return null if each.type is None else Cast(null, type=each.type)
        return None

    return replace_in(node, find) if missing else node


def _spell_places(select: Select) -> Select:
    """Return a SELECT without numbers among its keys, which are those of its own list."""
    group = select.group
    if group is None or not any(isinstance(key, Ordinal) for key in group.keys):
        return select
    keys = tuple(_as_key(_operand(key, select)) if isinstance(key, Ordinal) else key for key in group.keys)
    return select.replace(group=group.replace(keys=keys))


def _as_key(operand: Expression) -> Expression:
    """Return a constant so that it is no number of the list."""
    plain = isinstance(operand, Constant) and operand.type is not None
    return Cast(operand, type=operand.type) if plain else operand


def _name(item: Item) -> Item:
    return item if len(item.aliases) > 1 or _gives_several(item) else named(item.operand, label(item), at=item.at)


def _gives_several(item: Item) -> bool:
    """Whether it is a generator without aliases, which names its columns itself."""
    return is_generator(item.operand) and not item.aliases


def _operand(key: Expression, select: Select) -> Expression:
    return select.items[key.index - 1].operand if isinstance(key, Ordinal) else key


def _keys(group: Grouping) -> Iterator[Expression]:
    todo: list[Node] = list(group.keys)
    while todo:
        key = todo.pop(0)
        if isinstance(key, (GroupingSets, Keys)):
            todo += key.children
        elif isinstance(key, Expression):
            yield key


def _aggregates(node: Node, ids: frozenset[int]) -> Iterator[Call]:
    """Yield the aggregates of a SELECT: not those within others, and those of sub-queries that are of its columns."""
    if is_aggregate(node) and isinstance(node, Call):
        yield node
        return
    for child in node.children:
        if isinstance(child, Query):
            for each in child.walk():
                if is_aggregate(each) and isinstance(each, Call) and _is_of(each, ids):
                    yield each
        else:
            yield from _aggregates(child, ids)


def _is_of(call: Call, ids: frozenset[int]) -> bool:
    columns = [each for each in call.walk() if isinstance(each, Column)]
    return bool(columns) and all(each.source in ids for each in columns)


def _is_grouped(query: Query, select: Select) -> bool:
    parts: list[Node | None] = [*select.items, select.having, *query.order]
    return select.group is not None or select.having is not None or any(has(part, is_aggregate) for part in parts)


def _needs_stages(query: Query, select: Select, context: Context) -> bool:
    if not _is_grouped(query, select) or any(isinstance(item.operand, Star) for item in select.items):
        return False
    return _is_involved(query, select) or _counts_many(query, select, context)


def _is_involved(query: Query, select: Select) -> bool:
    ids = own_ids(select.base)
    keys = tuple(_keys(select.group)) if select.group is not None else ()
    order: list[Expression] = [key.operand for key in query.order]
    parts: list[Expression] = [*(item.operand for item in select.items), *order]
    return (
        select.qualify is not None
        or (select.group is None and any(has(part, _is_window) for part in parts))
        or (select.group is not None and bool(_in_no_set(select.group)))
        or any(map(has_query, keys))
        or _asks_much(select, keys, order)
        or (
            has_sets(select)
            and (
                any(has(part, _is_window) for part in parts)
                or _sorts_by_more([item.operand for item in select.items], order)
            )
        )
        or _sorts_by_more([item.operand for item in select.items], order, is_aggregate)
        or any(has(part, is_generator) or has(part, is_volatile) for part in [*parts, *keys])
        or any(_asks_groups(each, ids) for part in parts for each in part.walk() if isinstance(each, Query))
    )


def _counts_many(query: Query, select: Select, context: Context) -> bool:
    """Whether distinct values of a large table are counted, which is done in stages as well (`stage_distinct`)."""
    return has_large_sets([*select.items, select.having, *query.order], select, context)


def _is_window(node: Node) -> bool:
    return isinstance(node, Call) and node.window is not None


def _asks_much(select: Select, keys: Sequence[Expression], order: Sequence[Expression]) -> bool:
    """Whether HAVING stands where Sail does not plan it."""
    having = select.having
    if having is None:
        return False
    total = not keys and not any(has(item, is_aggregate) for item in (*select.items, having))
    late = has_sets(select) or total or has_query(having) or has(having, _is_window) or _is_hidden(having, select)
    return late or any(has(key, is_aggregate) for key in order) or str(having.type) not in {"BOOLEAN", "None"}


def _is_hidden(having: Expression, select: Select) -> bool:
    """Whether an aggregate in HAVING reads a column whose name an item has: Sail would take the item."""
    given = {item.aliases[0].lower() for item in select.items if len(item.aliases) == 1}
    aggregates = [each for each in walk_here(having) if is_aggregate(each)]
    inner = (each for aggregate in aggregates for each in aggregate.walk())
    return any(isinstance(each, Column) and each.name.lower() in given for each in inner)


def _sorts_by_more(
    shown: Sequence[Expression], order: Sequence[Expression], test: Callable[[Node], bool] = lambda _: True
) -> bool:
    """Whether a key of an order, of those that have what is asked for, is no column of the list."""
    plain = (key for key in order if not isinstance(key, (ItemUse, Ordinal)) and has(key, test))
    return any(not any(are_same(key, each) for each in shown) for key in plain)


def _asks_groups(query: Query, ids: frozenset[int]) -> bool:
    """Whether a sub-query reads the groups around it."""
    return reads_own(query, ids) or any(True for _ in _inner_aggregates(query, ids))


def _inner_aggregates(query: Query, ids: frozenset[int]) -> Iterator[Call]:
    return (each for each in query.walk() if is_aggregate(each) and isinstance(each, Call) and _is_of(each, ids))


def _chance_below(select: Select, context: Context) -> Select:
    """Return a SELECT whose keys of chance or of sub-queries are columns of a SELECT below."""
    keys = tuple(_keys(select.group)) if select.group is not None else ()
    operands = [_operand(key, select) for key in keys]
    chance = [each for each in operands if has(each, is_volatile) or has_query(each) or is_generator(each)]
    if not chance:
        return select
    below, ids = Below(context), own_ids(select.base)
    for key in chance:
        below.column(key)
    rest = select.replace(base=None, where=None, items=tuple(map(_name, select.items)))
    below.own(below.substitute(rest), ids)
    return below.substitute(rest).replace(base=below.derive(Select((), select.base, where=select.where)))
