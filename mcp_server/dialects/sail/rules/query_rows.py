"""LIMIT and OFFSET for each outer value, by the numbers of the rows."""

from __future__ import annotations

from typing import cast

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.kit import compare, named, number
from mcp_server.dialects.sail.rules.outer_values import OuterValues
from mcp_server.dialects.sail.rules.query_nodes import is_one_group, replace_uses, same
from mcp_server.dialects.sail.rules.query_parts import all_of, call, column_of, derive, make_query
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Column, Expression, ItemUse, Ordinal, SortKey, Window
from mcp_server.sql.typed.relations import Item, Query, Relation, Select
from mcp_server.sql.typed.types import INT


def keep_rows(query: Query, need: tuple[str, ...], work: OuterValues, *, fill: bool) -> Query:
    """Return a query with LIMIT or OFFSET as one that keeps so many rows of each outer value."""
    if query.outputs is None or query.order_all is not None:
        raise lacking("LIMIT", "LIMIT in a sub-query whose columns are not known", "Write its columns out.")
    if not query.order and not (isinstance(query.body, Select) and is_one_group(query.body)):
        work.context.warn("LIMIT without ORDER BY, in a sub-query that reads the row around it, keeps any of its rows.")
    names = tuple(work.context.fresh("__c") for _ in query.outputs)
    place = work.context.fresh("__n")
    plain = query.replace(limit=None, offset=None, order=(), sort=(), distribute=())
    body = query.body
    if isinstance(body, Select) and not body.distinct:
        keys = tuple(_put_items(key, body) for key in query.order)
        window = Window(order=keys or (SortKey(operand=number(1)),))
        numbered = named(call("row_number", kind=INT).replace(window=window), place)
        plain = plain.replace(
            body=body.replace(items=(*body.items, numbered)), outputs=(*query.outputs, *(numbered.outputs or ()))
        )
        made = work.query(plain, need, fill=fill)
        hidden = tuple(work.hidden[each] for each in need)
        rows = derive(made, work.context.fresh("__q"), work.context, (*names, place, *hidden))
    else:
        made = work.query(plain, need, fill=fill)
        hidden = tuple(work.hidden[each] for each in need)
        inner = derive(made, work.context.fresh("__q"), work.context, (*names, *hidden))
        keys = tuple(_put_outputs(key, query, names, inner) for key in query.order)
        by = tuple(column_of(inner, each) for each in hidden)
        window = Window(partition=by, order=keys or (SortKey(operand=number(1)),))
        counted = named(call("row_number", kind=INT).replace(window=window), place)
        listed = tuple(named(column_of(inner, each), each) for each in (*names, *hidden))
        rows = derive(make_query((*listed, counted), inner), work.context.fresh("__q"), work.context)
    items = [_shown(rows, name, output.name) for name, output in zip(names, query.outputs, strict=True)]
    items += [named(column_of(rows, each), each) for each in hidden]
    return make_query(tuple(items), rows, _within(query, column_of(rows, place, INT)))


def _shown(rows: Relation, name: str, shown: str | None) -> Item:
    return named(column_of(rows, name), shown if shown is not None else name)


def _within(query: Query, place: Column) -> Expression | None:
    """The numbers that LIMIT and OFFSET leave."""
    parts: list[Expression] = []
    last = query.limit
    if query.offset is not None:
        parts.append(compare(place, ">", query.offset))
        if last is not None:
            last = Binary(operator="+", left=last, right=query.offset, type=INT)
    if last is not None:
        parts.append(compare(place, "<=", last))
    return all_of(parts)


def _put_items(key: SortKey, select: Select) -> SortKey:
    """A sort key in which items of the SELECT list stand for their names and places."""
    if isinstance(key.operand, Ordinal):
        return key.replace(operand=select.items[key.operand.index - 1].operand)
    return replace_uses(key, lambda use: select.items[use.index].operand)


def _put_outputs(key: SortKey, query: Query, names: tuple[str, ...], inner: Relation) -> SortKey:
    """A sort key over the columns of a whole query."""
    items = query.body.items if isinstance(query.body, Select) else ()
    shown = [(each.name or "").lower() for each in query.outputs or ()]

    def change(node: Node) -> Node:
        if isinstance(node, Query):
            raise lacking("ORDER BY", "ORDER BY a sub-query within one", "Give it a name in the list.")
        if isinstance(node, Ordinal):
            return column_of(inner, names[node.index - 1])
        if isinstance(node, ItemUse):
            return column_of(inner, names[node.index])
        for at, each in enumerate(items):
            if isinstance(node, Expression) and same(each.operand, node) and len(items) == len(names):
                return column_of(inner, names[at])
        if isinstance(node, Column):
            if node.name.lower() in shown:
                return column_of(inner, names[shown.index(node.name.lower())])
            raise lacking("ORDER BY", "ORDER BY a column that the sub-query does not give", "Add it to its columns.")
        return node.map_children(change)

    return cast("SortKey", change(key))
