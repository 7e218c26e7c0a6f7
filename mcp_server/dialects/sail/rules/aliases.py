"""Names of items used in the list itself, in GROUP BY, HAVING and QUALIFY, as what they stand for.

Measured on Sail 0.7.2: a later item cannot name an earlier one; a group that is named by its alias or its place is not
known again where its expression is written once more; QUALIFY is not read.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.below import Below
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import (
    E,
    are_same,
    has,
    is_aggregate,
    is_generator,
    is_volatile,
    label,
    name_keys,
    named,
    own_ids,
    use_of,
    walk_here,
)
from mcp_server.dialects.sail.rules.query_nodes import replace_uses
from mcp_server.dialects.sail.rules.stars import expand_stars
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Column, Constant, Expression, ItemUse, Ordinal, Star
from mcp_server.sql.typed.relations import Grouping, GroupingSets, Item, Keys, Query, Select


def spell_lateral_aliases(select: Select, context: Context) -> Node | None:
    """Write out names of earlier items in later ones; below, where their values may be computed only once."""
    made = {name.lower() for item in select.items if len(item.aliases) > 1 for name in item.aliases}
    for item in select.items if made else ():
        for each in item.walk():
            if isinstance(each, Column) and each.source is None and each.name.lower() in made:
                raise lacking(each.name, "a column of a generator in the same list", "Use LATERAL VIEW.")
    named_ = {each.index for item in select.items for each in walk_here(item) if isinstance(each, ItemUse)}
    if not named_:
        return None
    items = select.items
    if any(has(items[at].operand, _once) for at in named_):
        return _compute_below(select, context)
    done: list[Item] = []
    for item in items:
        operand = _spell(item.operand, done)
        done.append(item if operand is item.operand else named(operand, label(item), at=item.at))
    return select.replace(items=tuple(done))


def _is_use(node: Node) -> bool:
    return isinstance(node, ItemUse)


def _once(node: Node) -> bool:
    """Whether a value may be computed only once."""
    return is_volatile(node) or is_generator(node)


def _spell(node: E, items: Sequence[Item]) -> E:
    """Return a node with the expressions of items in the place of their names."""
    return replace_uses(node, lambda each: use_of(each, tuple(items)))


def _compute_below(select: Select, context: Context) -> Node:
    """Compute the first items that may be computed only once in a SELECT below, and name them."""
    if select.group is not None or any(has(item, is_aggregate) for item in select.items):
        raise lacking("lateral aliases", "names of values by chance or of rows in a SELECT with groups", "Nest them.")
    below, ids = Below(context), own_ids(select.base)
    done: list[Item] = []
    columns: dict[int, Column] = {}
    for at, item in enumerate(select.items):
        operand = replace_uses(item.operand, lambda each: _known(each, columns, done))
        if has(operand, _once) and any(_uses(later, at) for later in select.items[at + 1 :]):
            if any(isinstance(each, Column) and each.source == below.id for each in operand.walk()):
                raise lacking("lateral aliases", "rows made of rows in one list", "Put the first into a sub-query.")
            columns[at] = below.column(operand)
            operand = columns[at]
        done.append(named(operand, label(item), at=item.at))
    rest = select.replace(items=tuple(done), base=None, where=None)
    below.own(rest, ids)
    upper = below.substitute(rest)
    return upper.replace(base=below.derive(Select((), select.base, where=select.where)))


def _known(use: ItemUse, columns: dict[int, Column], done: Sequence[Item]) -> Expression | None:
    return columns[use.index] if use.index in columns else use_of(use, tuple(done))


def _uses(item: Item, index: int) -> bool:
    return has(item, lambda each: isinstance(each, ItemUse) and each.index == index)


def spell_groups(select: Select, context: Context) -> Node | None:
    """Write GROUP BY ALL, numbers and names of items as the expressions that they stand for; HAVING and QUALIFY too.

    A constant keeps its number: alone, it would be one.
    """
    del context
    changes: dict[str, object] = {}
    if select.group is not None:
        group = _group(select.group, select)
        if group is not select.group:
            changes["group"] = group
    if select.having is not None and (select.group is None or has(select.having, _is_use)):
        having = _spell(select.having, select.items)
        if having is not select.having:
            changes["having"] = having
    if select.qualify is not None:
        changes["qualify"] = _spell(select.qualify, select.items)
    return select.replace(**changes) if changes else None


def _group(group: Grouping, select: Select) -> Grouping | None:
    if group.all:
        if any(has(item, is_generator) for item in select.items):
            raise lacking("GROUP BY ALL", "groups beside a function that makes rows", "Put that into a sub-query.")
        plain = [(at, item) for at, item in enumerate(select.items, 1) if not has(item, is_aggregate)]
        keys = tuple(_of_all(item, at) for at, item in plain)
        return Grouping(keys, at=group.at) if keys else None
    found = tuple(_key(key, select) for key in group.keys)
    given = tuple(_key(key, select) for key in group.given)
    found = tuple(each for at, each in enumerate(found) if not any(are_same(each, one) for one in found[:at]))
    if len(found) < len(group.keys):
        return group.replace(keys=found, given=given)
    same = all(one is other for one, other in zip((*found, *given), (*group.keys, *group.given), strict=True))
    return group if same else group.replace(keys=found, given=given)


def _of_all(item: Item, place: int) -> Expression:
    if isinstance(item.operand, Star):
        raise lacking("GROUP BY ALL", "* with columns that cannot be told", "Write the columns out.")
    return Ordinal(place, type=item.operand.type) if isinstance(item.operand, Constant) else item.operand


def _key(key: Expression | GroupingSets, select: Select) -> Expression | GroupingSets:
    if isinstance(key, (GroupingSets, Keys)):
        return key.map_children(lambda each: _key(each, select))  # type: ignore[arg-type]
    if isinstance(key, Ordinal) and 1 <= key.index <= len(select.items):
        operand = select.items[key.index - 1].operand
        plain = not isinstance(operand, (Constant, Star)) and not has(operand, is_generator)
        return operand if plain and not any(isinstance(each.operand, Star) for each in select.items) else key
    spelled = _spell(key, select.items)
    return key if isinstance(spelled, Constant) else spelled


def filter_windows(query: Query, context: Context) -> Node | None:
    """QUALIFY, a WHERE on windows: they are computed below, and the SELECT around them filters by them."""
    select = query.body
    if not isinstance(select, Select) or select.qualify is None:
        return None
    if any(isinstance(item.operand, Star) for item in select.items):
        select = expand_stars(select, context, every=True) or select
    below, ids = Below(context), own_ids(select.base)
    if select.group is not None or select.having is not None:
        raise lacking("QUALIFY", "QUALIFY in a SELECT with groups", "Group in a sub-query.")
    items = tuple(
        named(item.operand, label(item), at=item.at) if len(item.aliases) < 2 else item for item in select.items
    )
    upper = select.replace(items=items, base=None, where=select.qualify, qualify=None, windows=())
    parts: list[Node] = [upper, *query.order, *query.sort, *query.distribute]
    for part in parts:
        for each in part.walk():
            if getattr(each, "window", None) is not None and isinstance(each, Expression):
                below.column(each)
    for part in parts:
        below.own(below.substitute(part), ids)
    # Windows last: with a rank before the columns, DataFusion's check of an order by both fails.
    below.pairs.sort(key=lambda pair: getattr(pair[0], "window", None) is not None)
    lower = Select((), select.base, where=select.where, windows=select.windows)
    upper = below.substitute(upper).replace(base=below.derive(lower))
    return query.replace(
        body=upper,
        order=name_keys(tuple(map(below.substitute, query.order)), upper.items),
        sort=tuple(map(below.substitute, query.sort)),
        distribute=tuple(map(below.substitute, query.distribute)),
    )
