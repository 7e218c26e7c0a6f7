"""Intervals among the columns of a result as Spark prints them (`2-4`, `1 days`): no client reads them from Arrow."""

from __future__ import annotations

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.intervals import shown_interval
from mcp_server.dialects.sail.rules.kinds import is_calendar, is_months
from mcp_server.dialects.sail.rules.make import fill, with_type
from mcp_server.sql.typed.nodes import Call, Column, Expression, Field, ItemUse, Lambda, Ordinal, Parameter
from mcp_server.sql.typed.relations import Derived, Item, Output, Query, Select
from mcp_server.sql.typed.types import STRING, Array, Map, Struct, Type

_INSTEAD = "Cast it to text: CAST(i AS STRING)."


def show_intervals(query: Query, context: Context) -> Query:
    """Write the columns of the outermost query that are, or hold, such intervals as text. Errors: EngineLacks."""
    if query.outputs is None or not any(_is_hidden(each.type) for each in query.outputs):
        return query
    body = query.body
    simple = isinstance(body, Select) and all(len(item.outputs or (1, 2)) == 1 for item in body.items)
    if isinstance(body, Select) and simple and not query.order and not body.distinct and query.order_all is None:
        items = tuple(_show_item(item, context) for item in body.items)
        return query.replace(body=body.replace(items=items), outputs=_shown_outputs(query.outputs))
    return _wrap(query, query.outputs, context)


def _is_hidden(kind: Type | None) -> bool:
    match kind:
        case Array(element):
            return _is_hidden(element)
        case Map(key, value):
            return _is_hidden(key) or _is_hidden(value)
        case Struct(fields):
            return any(_is_hidden(each) for _, each in fields)
        case _:
            return is_months(kind) or is_calendar(kind)


def _show_item(item: Item, context: Context) -> Item:
    kind = item.operand.type
    if not _is_hidden(kind) or isinstance(item.operand, ItemUse | Ordinal):
        return item
    aliases = item.aliases
    if not aliases and item.outputs is not None and item.outputs[0].name is not None:
        aliases = (item.outputs[0].name,)
    return item.replace(operand=_show(item.operand, kind, context), aliases=aliases)


def _show(node: Expression, kind: Type | None, context: Context) -> Expression:
    if is_months(kind):
        return shown_interval(with_type(node, kind), context)
    if is_calendar(kind):
        return fill(context, "CAST({0} AS STRING)", node, gives=STRING)
    item = Parameter(name=context.parameter("shown_", 0))
    if isinstance(kind, Array) and is_months(kind.element):
        body = _show(with_type(item, kind.element), kind.element, context)
        return Call(name="transform", arguments=(node, Lambda(parameters=(item,), body=body)), type=Array(STRING))
    if isinstance(kind, Map) and is_months(kind.value) and not _is_hidden(kind.key):
        value = _show(Field(base=item, name="value", type=kind.value), kind.value, context)
        pair = Call(name="struct", arguments=(Field(base=item, name="key"), value))
        entries = fill(context, "map_entries({0})", node)
        pairs = Call(name="transform", arguments=(entries, Lambda(parameters=(item,), body=pair)))
        return fill(context, "map_from_entries({0})", pairs, gives=Map(kind.key, STRING))
    raise lacking("an interval within a value", "a result with it", _INSTEAD)


def _shown_outputs(outputs: tuple[Output, ...]) -> tuple[Output, ...]:
    return tuple(Output(each.name, STRING if _is_hidden(each.type) else each.type, each.source) for each in outputs)


def _wrap(query: Query, outputs: tuple[Output, ...], context: Context) -> Query:
    """SELECT around the query, in the order of its rows: only where each column has a name of its own."""
    names = [each.name for each in outputs]
    if None in names or len({str(name).lower() for name in names}) < len(names) or query.order:
        raise lacking("an interval in a sorted result", "a result with it", _INSTEAD)
    relation = context.new_id()
    alias = context.fresh("shown")
    columns = [Column(name=str(each.name), source=relation, type=each.type) for each in outputs]
    items = tuple(
        Item(
            operand=_show(column, column.type, context) if _is_hidden(column.type) else column,
            aliases=(column.name,),
            outputs=(Output(column.name, column.type),),
        )
        for column in columns
    )
    base = Derived(id=relation, alias=alias, query=query, outputs=outputs)
    return Query(body=Select(items=items, base=base), outputs=_shown_outputs(outputs))
