"""Set operations and VALUES over columns of several types, and INTERSECT ALL.

Measured on Sail 0.7.2: the type of a column is that of the first operand in the schema, and another in the rows; VALUES
with decimals and doubles become decimals; INTERSECT ALL keeps every row of the left side that the right one has.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import label, named
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Cast, Column, Constant, Expression, Row, SortKey, Star, Window
from mcp_server.sql.typed.relations import (
    Derived,
    InlineTable,
    Output,
    Query,
    Select,
    SetOperation,
    Values,
)
from mcp_server.sql.typed.types import INT, VOID, Type


def widen_operands(query: Query, context: Context) -> Node | None:
    """Cast the columns of the operands of a set operation to the types that it gives them."""
    operation = query.body
    if not isinstance(operation, SetOperation) or query.outputs is None:
        return None
    kinds = [each.type for each in query.outputs]
    left, right = operation.left, operation.right
    if operation.by_name:
        by_name = {(each.name or "").lower(): each.type for each in query.outputs}
        new_left, new_right = (
            _cast(side, [by_name.get((each.name or "").lower()) for each in side.outputs or ()], context)
            for side in (left, right)
        )
    else:
        new_left, new_right = _cast(left, kinds, context), _cast(right, kinds, context)
    if new_left is left and new_right is right:
        return None
    return query.replace(body=operation.replace(left=new_left, right=new_right))


def _cast(query: Query, kinds: Sequence[Type | None], context: Context) -> Query:
    """Return a query with columns of these types. NULL alone is of every type, but not in the first operand."""
    outputs = query.outputs
    if outputs is None or len(outputs) != len(kinds):
        return query
    wrong = [
        kind is not None and each.type is not None and each.type != kind
        for each, kind in zip(outputs, kinds, strict=True)
    ]
    if not any(wrong):
        return query
    body = query.body
    ordered = query.order or query.order_all or query.limit is not None or query.offset is not None
    plain = isinstance(body, Select) and not ordered and len(body.items) == len(outputs)
    if isinstance(body, Select) and plain and not any(isinstance(item.operand, Star) for item in body.items):
        items = tuple(
            named(_to(item.operand, kind), label(item), at=item.at) if bad else item
            for item, kind, bad in zip(body.items, kinds, wrong, strict=True)
        )
        return query.replace(body=body.replace(items=items), outputs=_typed(outputs, kinds))
    return _around(query, outputs, kinds, wrong, context)


def _around(
    query: Query, outputs: Sequence[Output], kinds: Sequence[Type | None], wrong: Sequence[bool], context: Context
) -> Query:
    below, names = derive(query, context)
    items = tuple(
        named(_to(column, kind) if bad else column, output.name or column.name)
        for column, output, kind, bad in zip(names, outputs, kinds, wrong, strict=True)
    )
    return Query(Select(items, below), outputs=_typed(outputs, kinds))


def derive(query: Query, context: Context) -> tuple[Derived, tuple[Column, ...]]:
    """Return a query as a relation with fresh names for its columns, and the columns."""
    id_, alias = context.new_id(), context.fresh("__below")
    outputs = query.outputs or ()
    names = tuple(context.fresh("__c") for _ in outputs)
    columns = tuple(Column(name, (alias,), id_, type=each.type) for name, each in zip(names, outputs, strict=True))
    seen = tuple(Output(name, each.type, id_) for name, each in zip(names, outputs, strict=True))
    return Derived(query, id=id_, alias=alias, names=names, outputs=seen), columns


def _to(operand: Expression, kind: Type | None) -> Expression:
    if kind is None or operand.type == kind:
        return operand
    return Cast(operand, type=kind)


def _typed(outputs: Sequence[Output], kinds: Sequence[Type | None]) -> tuple[Output, ...]:
    return tuple(Output(each.name, kind or each.type, each.source) for each, kind in zip(outputs, kinds, strict=True))


def number_rows(query: Query, context: Context) -> Node | None:
    """INTERSECT ALL as INTERSECT of rows that are numbered among their equals."""
    operation = query.body
    if not isinstance(operation, SetOperation) or operation.kind != "intersect" or not operation.all:
        return None
    if query.outputs is None:
        return None
    sides = tuple(_number(side, context) for side in (operation.left, operation.right))
    body = operation.replace(left=sides[0], right=sides[1], all=False)
    both, columns = derive(Query(body, outputs=sides[0].outputs), context)
    items = tuple(
        named(column, output.name or column.name) for column, output in zip(columns, query.outputs, strict=False)
    )
    return query.replace(body=Select(items, both))


def _number(query: Query, context: Context) -> Query:
    below, columns = derive(query, context)
    window = Window(columns, (SortKey(columns[0]),))
    place = named(Call("row_number", window=window, type=INT), context.fresh("__n"))
    items = (*(named(each, each.name) for each in columns), place)
    return Query(Select(items, below), outputs=tuple(output for item in items for output in item.outputs or ()))


def widen_rows(node: Node, context: Context) -> Node | None:
    """Cast the cells of VALUES to the types of their columns."""
    del context
    if isinstance(node, InlineTable) or (isinstance(node, Query) and isinstance(node.body, Values)):
        outputs = node.outputs
    else:
        return None
    rows = node.rows if isinstance(node, InlineTable) else node.body.rows  # type: ignore[union-attr]
    if outputs is None:
        return None
    kinds = [each.type for each in outputs]
    changed = tuple(_widen_row(row, kinds) for row in rows)
    if all(one is other for one, other in zip(changed, rows, strict=True)):
        return None
    if isinstance(node, Query):
        return node.replace(body=node.body.replace(rows=changed))
    return node.replace(rows=changed)


def _widen_row(row: Expression, kinds: Sequence[Type | None]) -> Expression:
    cells = row.items if isinstance(row, Row) else (row,)
    if len(cells) != len(kinds):
        return row
    found = tuple(_widen(cell, kind) for cell, kind in zip(cells, kinds, strict=True))
    if all(one is other for one, other in zip(found, cells, strict=True)):
        return row
    return row.replace(items=found) if isinstance(row, Row) else found[0]


def _widen(cell: Expression, kind: Type | None) -> Expression:
    null = isinstance(cell, Constant) and cell.value is None
    return cell if null or cell.type is None or cell.type == VOID else _to(cell, kind)
