"""EXCEPT and INTERSECT of large tables as groups, which go to disk where memory ends.

    SELECT a, b FROM t EXCEPT SELECT c, d FROM u

becomes

    SELECT a, b FROM (SELECT a, b, 1 AS side FROM t UNION ALL SELECT c, d, 2 FROM u) GROUP BY a, b HAVING max(side) = 1

Sail 0.7.2 groups the left side and joins it with the right one by hash, which keeps a side in memory: of 7 million
rows this ended its process once under 2 GiB. Floats stay with it: a NaN has many forms (docs/engines.md).
"""

from __future__ import annotations

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.distinct_counts import is_large, sort_as_stored
from mcp_server.dialects.sail.rules.kinds import is_integer
from mcp_server.dialects.sail.rules.kit import compare, named, number
from mcp_server.dialects.sail.rules.unions import derive
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Call, Expression
from mcp_server.sql.typed.relations import Grouping, Query, Select, SetOperation
from mcp_server.sql.typed.types import BOOLEAN, DATE, INT, STRING, TIMESTAMP, TIMESTAMP_NTZ, Decimal, Type

_COMPARED = frozenset({STRING, BOOLEAN, DATE, TIMESTAMP, TIMESTAMP_NTZ})


def group_sides(query: Query, context: Context) -> Node | None:
    """Write EXCEPT or INTERSECT of two queries of large tables as groups of the rows of both."""
    operation = query.body
    if not isinstance(operation, SetOperation) or operation.kind == "union" or operation.all or operation.by_name:
        return None
    sides = (operation.left, operation.right)
    if query.outputs is None or any(each.outputs is None for each in sides):
        return None
    kinds = [[each.type for each in side.outputs or ()] for side in sides]
    if kinds[0] != kinds[1] or not all(map(_is_compared, kinds[0])):
        return None
    if not all(is_large(each, context) for each in sides):
        return None
    order = _order_columns(operation.left)
    name = context.fresh("__side")
    queries = [_mark(side, at, name, context) for at, side in enumerate(sides, start=1)]
    union = Query(SetOperation("union", queries[0], queries[1], all=True), outputs=queries[0].outputs)
    rows, (*columns, side) = derive(union, context)
    items = tuple(
        named(column, output.name or column.name) for column, output in zip(columns, query.outputs, strict=True)
    )
    group = Grouping(keys=tuple(columns[at] for at in order))
    return query.replace(body=Select(items, rows, group=group, having=_is_kept(operation.kind, side)))


def _is_kept(kind: str, side: Expression) -> Binary:
    least, most = (Call(name, (side,), type=INT) for name in ("min", "max"))
    return compare(most, "=", number(1)) if kind == "except" else compare(least, "<", most)


def _mark(query: Query, side: int, name: str, context: Context) -> Query:
    below, columns = derive(query, context)
    items = (*(named(each, each.name) for each in columns), named(number(side), name))
    return Query(Select(items, below), outputs=tuple(output for item in items for output in item.outputs or ()))


def _order_columns(query: Query) -> list[int]:
    """Return the places of the columns, those first by which a table is sorted."""
    places = list(range(len(query.outputs or ())))
    body = query.body
    if not isinstance(body, Select) or len(body.items) != len(places):
        return places
    operands = [each.operand for each in body.items]
    ordered = sort_as_stored(operands, body)
    return sorted(places, key=lambda at: ordered.index(operands[at]))


def _is_compared(kind: Type | None) -> bool:
    return kind in _COMPARED or is_integer(kind) or isinstance(kind, Decimal)
