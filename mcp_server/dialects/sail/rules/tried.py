"""try_add and its kin, which in Sail take whole numbers of one type only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.intervals import number_of, scaled, tried_interval_of
from mcp_server.dialects.sail.rules.kinds import common_type, is_calendar, is_integer, is_number
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill, renew
from mcp_server.dialects.sail.rules.numbers import CallRule
from mcp_server.dialects.sail.rules.operators import write_binary
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Call, Cast, Expression
from mcp_server.sql.typed.types import FRACTIONS, VOID, Decimal, Interval

_OPERATORS: Final = {"try_add": "+", "try_subtract": "-", "try_multiply": "*", "try_divide": "/", "try_mod": "%"}


def write_tried(node: Call, context: Context) -> Node | None:  # noqa: PLR0911  (one line for each kind)
    """The operator itself, where it fails for no value; else its result in a wider type, which is cast if it fits."""
    if len(node.arguments) != 2:
        return None
    left, right = node.arguments
    kinds = {left.type, right.type}
    if None in kinds:
        return None
    if VOID in kinds:
        return constant(None, node.type) if node.type is not None else None
    if any(isinstance(kind, Interval) for kind in kinds):
        return _with_interval(node, left, right, context)
    if not all(map(is_number, kinds)):
        return _compute(node, left, right, context)
    if all(map(is_integer, kinds)):
        kind = common_type(kinds)
        return renew(node, arguments=(cast_to(left, kind), cast_to(right, kind)))
    if node.name in {"try_divide", "try_mod"}:
        right = fill(context, "nullif({0}, 0)", right, gives=right.type)
    found = _compute(node, left, right, context)
    if isinstance(node.type, Decimal) and not kinds & {*FRACTIONS}:
        return found.replace(tries=True) if isinstance(found, Cast) else Cast(operand=found, type=node.type, tries=True)
    return found


def _compute(node: Call, left: Expression, right: Expression, context: Context) -> Expression:
    made = Binary(operator=_OPERATORS[node.name], left=left, right=right, type=node.type)  # type: ignore[arg-type]
    found = write_binary(made, context)
    return found if isinstance(found, Expression) else made


def _with_interval(node: Call, left: Expression, right: Expression, context: Context) -> Node | None:
    if any(is_calendar(each.type) for each in (left, right)):
        return None
    operator = _OPERATORS[node.name]
    if isinstance(left.type, Interval) and isinstance(right.type, Interval):
        template = f"CAST({{0}} AS DECIMAL(20,0)) {operator} CAST({{1}} AS DECIMAL(20,0))"
        count = fill(context, template, number_of(left, context), number_of(right, context))
        return tried_interval_of(count, node.type, context)
    if operator in {"*", "/"}:
        if is_number(left.type):
            left, right = right, left
        if operator == "/":
            right = fill(context, "nullif({0}, 0)", right, gives=right.type)
        return tried_interval_of(scaled(operator, left, right, context), node.type, context)
    return _compute(node, left, right, context)


RULES: Final[Mapping[str, CallRule]] = dict.fromkeys(_OPERATORS, write_tried)
