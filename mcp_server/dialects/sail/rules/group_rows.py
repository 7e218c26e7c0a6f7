"""The groups of a SELECT as a FROM of their own, so that a sub-query can be joined with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import named
from mcp_server.dialects.sail.rules.query_nodes import (
    change_scope,
    is_aggregate,
    list_visible,
    replace_uses,
    same,
    walk_scope,
)
from mcp_server.dialects.sail.rules.query_parts import column_of, derive, make_query
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Column, Expression, ItemUse, Ordinal, SortKey
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Grouping, GroupingSets, Item, Keys, Query, Select


def group_keys(select: Select) -> list[Expression]:
    """The expressions of GROUP BY, with those of the SELECT list for their names and places."""
    if select.group is None:
        return []
    if select.group.all:
        return [each.operand for each in select.items if not any(map(is_aggregate, walk_scope(each.operand)))]
    found: list[Expression] = []
    for key in select.group.keys:
        _add_keys(found, key)
    return [_resolve(each, select) for each in found]


def _add_keys(found: list[Expression], key: Node) -> None:
    if isinstance(key, GroupingSets | Keys):
        for each in key.children:
            _add_keys(found, each)
    elif isinstance(key, Expression):
        found.append(key)


def _resolve(key: Expression, select: Select) -> Expression:
    if isinstance(key, Ordinal):
        return select.items[key.index - 1].operand
    return select.items[key.index].operand if isinstance(key, ItemUse) else key


def as_rows(  # noqa: C901  (each part in turn)
    select: Select, order: tuple[SortKey, ...], context: Context
) -> tuple[Select, tuple[SortKey, ...]]:
    """Return a SELECT over its own groups, without GROUP BY. HAVING becomes WHERE. Errors: EngineLacks."""
    keys: list[Expression] = []
    for each in group_keys(select):
        if not any(same(each, known) for known in keys):
            keys.append(each)
    own = frozenset(list_visible(select.base))
    aggregates: list[Expression] = []
    having = _expand(select.having, select) if select.having is not None else None
    parts: list[Node] = [*select.items, *order, *((having,) if having is not None else ())]
    for node, within in _walk_all(parts):
        found = is_aggregate(node) and _is_of(node, own, within=within)
        if found and not any(same(node, known) for known in aggregates):
            aggregates.append(cast("Expression", node))
    fresh = [(context.fresh("__g"), each) for each in (*keys, *aggregates)]
    lower = make_query(tuple(named(each, name) for name, each in fresh), select.base, select.where)
    group = select.group
    if group is not None and group.all:
        group = Grouping(keys=tuple(keys))
    elif group is not None:
        group = change_scope(group, lambda each: _resolve(each, select) if isinstance(each, Expression) else each)
    body = cast("Select", lower.body)
    rows = derive(lower.replace(body=body.replace(group=group)), context.fresh("__q"), context)

    def change(node: Node) -> Node:
        return put_groups(node, within=False)

    def put_groups(node: Node, *, within: bool) -> Node:
        if isinstance(node, Expression):
            for name, each in fresh:
                if same(node, each) and (not within or _is_of(each, own, within=True)):
                    return column_of(rows, name, each.type)
            if isinstance(node, Column) and node.source in own:
                raise SparkRefuses(
                    "MISSING_ATTRIBUTES.RESOLVED_ATTRIBUTE_MISSING_FROM_INPUT",
                    f"{node.name} is neither grouped nor aggregated, so no sub-query of HAVING can read it.",
                    node.at,
                )
        inside = within or isinstance(node, Query)
        return node.map_children(lambda each: put_groups(each, within=inside))

    items = tuple(_named(each, change) for each in select.items)
    upper = Select(
        items=items, base=rows, distinct=select.distinct, where=change(having) if having is not None else None,  # type: ignore[arg-type]
        qualify=change(select.qualify) if select.qualify is not None else None,  # type: ignore[arg-type]
        windows=tuple(change(each) for each in select.windows),  # type: ignore[misc]
    )  # fmt: skip
    return upper, tuple(change(each) for each in order)  # type: ignore[misc]


def _walk_all(parts: Iterable[Node]) -> Iterator[tuple[Node, bool]]:
    """Yield all nodes, and whether they stand within a sub-query."""
    stack = [(part, False) for part in parts]
    while stack:
        node, within = stack.pop(0)
        yield node, within
        stack[:0] = [(each, within or isinstance(node, Query)) for each in node.children]


def _is_of(part: Node, own: frozenset[int], *, within: bool) -> bool:
    """Whether an expression is one of this SELECT's own groups: in a sub-query it has a column that says so."""
    columns = [each for each in part.walk() if isinstance(each, Column) and each.source is not None]
    return all(each.source in own for each in columns) and (bool(columns) or not within)


def _expand(having: Expression, select: Select) -> Expression:
    return replace_uses(having, lambda use: select.items[use.index].operand)


def _named(each: Item, change: Callable[[Node], Node]) -> Item:
    """An item with the name that it had."""
    made = cast("Item", change(each))
    if each.aliases or made.operand is each.operand:
        return made
    if isinstance(each.operand, Column):
        return made.replace(aliases=(each.operand.name,))
    names = [output.name for output in each.outputs or ()]
    return made.replace(aliases=(names[0],)) if len(names) == 1 and names[0] is not None else made
