"""Operators that Sail computes otherwise than Spark: decimals, dates and intervals, shifts, and text of `||`.

Sail divides decimals to four digits more than the dividend has and cuts the rest off; Spark gives at least six, rounds,
and takes the digits of a number that is written out into account. `runtimeMinutes / 60.0` is 1.6666 in one and 1.666667
in the other. A result of more than 38 digits keeps its scale in Sail, and loses digits behind the point in Spark.
A date
minus a date is a number of days in Sail and an interval in Spark; a date with hours added stays a date in Sail.
"""

from __future__ import annotations

from decimal import Decimal as Number
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.intervals import compute_interval
from mcp_server.dialects.sail.rules.kinds import decimal_of, is_days, is_integer, is_time
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill, renew
from mcp_server.dialects.sail.rules.products import multiply
from mcp_server.sql.compose import compose
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Cast, Constant, Expression
from mcp_server.sql.typed.types import (
    BIGINT,
    DATE,
    MAX_PRECISION,
    TIMESTAMP,
    VOID,
    Decimal,
    Interval,
    Type,
)

_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%"})


def write_binary(node: Node, context: Context) -> Node | None:  # noqa: PLR0911  (one line for each kind)
    """Arithmetic and shifts."""
    if not isinstance(node, Binary):
        return None
    left, right = node.left.type, node.right.type
    if node.operator == ">>>":
        return shift_unsigned(node.left, node.right, node.type, context)
    if node.operator in _ARITHMETIC and VOID in {left, right} and node.type not in {None, VOID}:
        return constant(None, node.type)
    if isinstance(left, Interval) or isinstance(right, Interval):
        return _with_interval(node, context)
    if node.operator == "-" and _is_moment(left) and _is_moment(right):
        return _subtract_moments(node)
    if isinstance(node.type, Decimal) and node.operator in _ARITHMETIC:
        return compute_decimal(node, node.type, context)
    return None


def _is_moment(kind: Type | None) -> bool:
    return kind == DATE or is_time(kind)


def _with_interval(node: Binary, context: Context) -> Node | None:
    """A sum of intervals, or of a date or time and an interval, is Sail's own unless hours are added to a date."""
    if node.operator in {"*", "/"}:
        return compute_interval(node, context)
    if node.operator not in {"+", "-"}:
        return None
    for moment, step in ((node.left, node.right), (node.right, node.left)):
        if moment.type == DATE and is_days(step.type) and getattr(step.type, "end", "") != "day":
            time = cast_to(moment, TIMESTAMP)
            return node.replace(left=time) if moment is node.left else node.replace(right=time)
    return None


def _subtract_moments(node: Binary) -> Node | None:
    """A date is its midnight; two of them give the days between them, as an interval."""
    left, right = node.left, node.right
    kind = next((side.type for side in (left, right) if side.type != DATE), TIMESTAMP)
    return renew(
        node,
        left=cast_to(left, kind) if left.type == DATE else left,
        right=cast_to(right, kind) if right.type == DATE else right,
    )


def shift_unsigned(value: Expression, places: Expression, kind: Type | None, context: Context) -> Node | None:
    """Java shifts by what is left of the number of places after 32, or 64 for a BIGINT, and by none not at all."""
    most = 63 if value.type == BIGINT else 31
    if isinstance(places, Constant) and isinstance(places.value, int) and 0 < places.value <= most:
        return None
    template = "if({n} = 0, {v}, shiftrightunsigned({v}, if({n} = 0, 1, {n}) & {most}))"
    left = fill(context, "{0} & {most}", places, most=most)
    return fill(context, template, n=left, v=value, most=most, gives=kind)


def compute_decimal(node: Binary, kind: Decimal, context: Context) -> Node | None:
    """Arithmetic that gives a decimal, in the type that Spark has for it."""
    left, right = _exact(node.left), _exact(node.right)
    one, other = decimal_of(left), decimal_of(right)
    if one is None or other is None:
        return None
    if node.operator == "/":
        # One digit more than is wanted is what rounding needs: Sail adds four, and cuts.
        wide = Decimal(MAX_PRECISION, max(kind.scale - 3, one.scale))
        return fill(context, "CAST(CAST({0} AS {wide}) / {1} AS {kind})", left, right, wide=wide, kind=kind)
    if node.operator == "*" and one.precision + other.precision >= MAX_PRECISION:
        left, right = _shortened(left), _shortened(right)
        one, other = decimal_of(left) or one, decimal_of(right) or other
        product = (
            multiply(left, right, one, other, kind, context)
            if one.precision + other.precision > MAX_PRECISION
            else None
        )
        if product is not None:
            return product
    found = node.replace(left=left, right=right) if (left, right) != (node.left, node.right) else node
    if node.operator in {"+", "-"} and kind.precision == MAX_PRECISION and kind.scale == max(one.scale, other.scale):
        context.warn(f"{node.operator}: a decimal of more than 38 digits is kept here, where Spark fails.")
    if _sails_type(node.operator, one, other) == kind:
        return found if found is not node else None
    return fill(context, "CAST({0} AS {kind})", found.replace(type=None), kind=kind)


def _sails_type(operator: str, one: Decimal, other: Decimal) -> Decimal | None:
    """The type that Sail gives, None where it is not worth knowing."""
    if operator == "%":
        return None
    if operator == "*":
        precision, scale = one.precision + other.precision + 1, one.scale + other.scale
    else:
        scale = max(one.scale, other.scale)
        precision = max(one.precision - one.scale, other.precision - other.scale) + scale + 1
    return Decimal(precision, scale) if precision <= MAX_PRECISION else None


def _exact(node: Expression) -> Expression:
    """A whole number beside a decimal counts with its own digits: 2BD is what Spark takes 2 for."""
    if isinstance(node, Constant) and isinstance(node.value, int) and is_integer(node.type):
        return Constant(text=compose("{}BD", node.value), value=node.value, type=decimal_of(node))
    return node


def _shortened(node: Expression) -> Expression:
    """A constant without zeros behind its last digit, which Sail would count towards the 38 digits of a product."""
    if not isinstance(node, Constant) or not isinstance(node.value, Number) or not node.value:
        return node
    value = node.value.normalize()
    scale = max(-int(value.as_tuple().exponent), 0)
    precision = max(len(value.as_tuple().digits) + max(int(value.as_tuple().exponent), 0), scale, 1)
    return Cast(operand=constant(format(value, "f")), type=Decimal(precision, scale))
