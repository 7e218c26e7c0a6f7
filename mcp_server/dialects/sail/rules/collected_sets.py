"""The set of each group's values as its list without repetitions.

    SELECT g, collect_set(x) FROM t GROUP BY g   →  SELECT g, array_distinct(collect_list(x)) FROM t GROUP BY g

Sail 0.7.2 keeps a hash set of single values for each group: 0.9 M rows in 0.2 M groups took 7.8 s of processor time, as
lists 0.8 s; 7.4 M rows were not done after 40 s, as lists after 6.4 s. A list holds every row's value, and so is for
tables of which it is known that their rows fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import is_number
from mcp_server.dialects.sail.rules.kit import are_same, is_aggregate, replace_in, walk_here
from mcp_server.dialects.sail.rules.make import constant, fill
from mcp_server.dialects.sail.rules.query_parts import keep_name
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Constant, Expression
from mcp_server.sql.typed.relations import Query, Select, Table
from mcp_server.sql.typed.types import BIGINT, BOOLEAN, DATE, STRING, TIMESTAMP, TIMESTAMP_NTZ, Array

MOST_ROWS: Final = 40_000_000
"""Rows of the largest table whose values are kept: 22 M texts of one column take a gigabyte."""
_LISTS: Final = frozenset({"array_agg", "collect_list"})
_TEXTS: Final = frozenset({"listagg", "string_agg"})
_PLAIN: Final = frozenset({STRING, BOOLEAN, DATE, TIMESTAMP, TIMESTAMP_NTZ})


def list_sets(query: Query, context: Context) -> Node | None:
    """Write the sets of a grouped SELECT, and counts of the same distinct values, as lists."""
    select = query.body
    if not isinstance(select, Select) or select.group is None or not _fits(select, context):
        return None
    parts: list[Node] = [*select.items, *query.order, *([select.having] if select.having is not None else [])]
    sets = [each for part in parts for each in walk_here(part) if isinstance(each, Call) and _is_set(each)]
    if not sets:
        return None

    def find(node: Node) -> Node | None:
        if not isinstance(node, Call) or not is_aggregate(node) or not node.arguments:
            return None
        if _is_set(node):
            return _write_set(node, context)
        alike = any(are_same(each.arguments[0], node.arguments[0]) for each in sets)
        if alike and node.name == "count" and node.distinct and len(node.arguments) == 1:
            return fill(context, "CAST(size({0}) AS BIGINT)", _list_values(node, context), gives=BIGINT)
        return None

    items = tuple(
        old if (new := replace_in(old.operand, find)) is old.operand else keep_name(old, new) for old in select.items
    )
    having = replace_in(select.having, find) if select.having is not None else None
    order = tuple(replace_in(each, find) for each in query.order)
    return query.replace(body=select.replace(items=items, having=having), order=order)


def _is_set(call: Call) -> bool:
    """Whether a call collects the distinct values of a group, of a type whose lists Sail compares as values."""
    if call.window is not None or not call.arguments:
        return False
    kind = call.arguments[0].type
    if call.name == "collect_set":
        return not call.within and (kind in _PLAIN or is_number(kind))
    if call.name in _LISTS:
        return call.distinct and not call.within and (kind in _PLAIN or is_number(kind))
    return call.name in _TEXTS and call.distinct and kind == STRING and len(call.within) < 2 and _has_delimiter(call)


def _has_delimiter(call: Call) -> bool:
    return len(call.arguments) == 1 or (
        isinstance(call.arguments[1], Constant) and isinstance(call.arguments[1].value, str)
    )


def _write_set(call: Call, context: Context) -> Expression:
    values = _list_values(call, context)
    if call.name not in _TEXTS:
        return values
    delimiter = call.arguments[1] if len(call.arguments) > 1 else constant("")
    template = "CASE WHEN size({0}) > 0 THEN array_join({0}, {1}) END"
    if not call.within:
        return fill(context, template, values, delimiter, gives=STRING)
    ordered = fill(context, "sort_array({0}, {up})", values, up=not call.within[0].descending, gives=values.type)
    return fill(context, template, ordered, delimiter, gives=STRING)


def _list_values(call: Call, context: Context) -> Expression:
    value = call.arguments[0]
    kind = Array(value.type) if value.type is not None else None
    values = Call(name="collect_list", arguments=(value,), filter=call.filter, type=kind)
    return fill(context, "array_distinct({0})", values, gives=kind)


def _fits(select: Select, context: Context) -> bool:
    """Whether the tables that a SELECT may read are known to be small enough."""
    return all(each.info.rows is not None and each.info.rows <= MOST_ROWS for each in _list_tables(select, context))


def _list_tables(select: Select, context: Context) -> Iterator[Table]:
    for root in (select.base, *context.ctes.values()):
        for each in root.walk() if root is not None else ():
            if isinstance(each, Table):
                yield each
