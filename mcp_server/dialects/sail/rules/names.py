"""Names of the columns of the result: Spark's, where Sail would give others or a rule rewrites the column."""

from __future__ import annotations

import decimal

from mcp_server.sql.functions import functions as function_table
from mcp_server.sql.typed import functions, nodes
from mcp_server.sql.typed.naming import is_field_of_column, name_forms, name_of
from mcp_server.sql.typed.nodes import Call, Column, Expression, Star
from mcp_server.sql.typed.relations import Item, Query, Select, SetOperation, Values
from mcp_server.sql.typed.types import TIMESTAMP_NTZ, Array, Map, Struct


def name_columns(query: Query) -> tuple[Query, bool]:
    """Give Spark's names to the columns of the outermost SELECT that have none of their own.

    Also return whether Sail would name one of them otherwise, as they are.
    """
    body: Query | Select | SetOperation | Values
    match query.body:
        case Query():
            body, renamed = name_columns(query.body)
        case SetOperation():
            left, renamed = name_columns(query.body.left)
            body = query.body.replace(left=left)
        case Select():
            items = tuple(map(_name_item, query.body.items))
            named = [(old, new) for old, new in zip(query.body.items, items, strict=True) if old is not new]
            renamed = any(new.sent is None for _, new in named)
            body = query.body.replace(items=items) if named else query.body
        case Values():
            return query, False
    return query.replace(body=body), renamed


def _name_item(item: Item) -> Item:
    one = item.outputs is not None and len(item.outputs) == 1
    generates = isinstance(item.operand, Call) and functions.is_generator(item.operand.name)
    if item.aliases or not one or generates or isinstance(item.operand, Star | Column) or _is_field(item.operand):
        return item
    name = name_of(item.operand)
    if name is None:
        return item
    return item.replace(aliases=(name,), sent=item.operand if _is_named_alike(item.operand) else None)


def _is_field(node: Expression) -> bool:
    """Whether it is a field of a column, which Sail names as Spark does; a value of a map is none to it."""
    return is_field_of_column(node) and not any(
        isinstance(each, Call) or (isinstance(each, nodes.Field) and isinstance(each.base.type, Map))
        for each in node.walk()
    )


def _is_named_alike(node: Expression) -> bool:
    """Whether Sail names an expression as Spark does."""
    if isinstance(node, nodes.Cast):
        null = isinstance(node.operand, nodes.Constant) and node.operand.value is None
        return (
            not null
            and not isinstance(node.type, Array | Map | Struct)
            and isinstance(node.operand, nodes.Column | nodes.Constant)
            and _is_named_alike(node.operand)
        )
    match node:
        case nodes.Column() | nodes.Star():
            return True
        case nodes.Constant():
            return node.type != TIMESTAMP_NTZ and not (
                isinstance(node.value, int | decimal.Decimal) and str(node.text).startswith("-")
            )
        case nodes.Binary():
            alike = node.operator not in {"<>", "||", "div", "<<", ">>", ">>>"}
        case nodes.Call():
            known = name_forms().keys() & {node.name, f"{node.name}/{len(node.arguments)}"}
            more = node.window or node.filter or node.within or node.nulls or node.distinct or node.how
            kind = function_table().classes.get(node.name)
            special = node.name in {"extract", "overlay"}
            alike = not (known or more or special) and kind != "generator"
        case nodes.Element():
            alike = True
        case _:  # a field is named without what it is a field of
            return False
    parts = [each for each in node.children if isinstance(each, Expression)]
    return alike and not any(isinstance(each, nodes.Cast) for each in parts) and all(map(_is_named_alike, parts))
