"""Functions of numbers that Sail computes otherwise than Spark: rounding, remainders, averages of decimals.

Sail rounds a double by multiplying with a power of ten and meets 28.499999999999996; Spark rounds its decimal digits
(`BigDecimal(x).setScale(n, HALF_UP)`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import bound_decimal, has_fraction, is_integer, is_string
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill, renew
from mcp_server.dialects.sail.rules.operators import shift_unsigned, write_binary
from mcp_server.dialects.sail.rules.texts import RAW
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Call, Cast, Column, Constant, Expression, Unary
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    FLOAT,
    FRACTIONS,
    INT,
    INTEGERS,
    MAX_PRECISION,
    STRING,
    TIMESTAMP,
    Decimal,
    Type,
)

CallRule = Callable[[Call, Context], Node | None]

EXACT: Final = Decimal(MAX_PRECISION, 18)
"""Digits enough for a double as it is written out. Casting the double itself to a decimal multiplies too."""

_STEPPED: Final = Decimal(30, 15)
"""What Spark takes a double for where it wants a decimal (`DecimalType.DoubleDecimal`)."""

_DIGITS: Final = "TRY_CAST(CAST({0} AS {raw}) AS {exact})"


def whole_constant(node: Expression) -> int | None:
    """The whole number that a node is, with its sign; None for anything else."""
    if isinstance(node, Unary) and node.operator == "-":
        inner = whole_constant(node.operand)
        return None if inner is None else -inner
    if isinstance(node, Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return None


def _places(node: Call) -> int | None:
    """The second argument of round where it is a plain number, 0 where there is none."""
    return whole_constant(node.arguments[1]) if len(node.arguments) > 1 else 0


def round_exactly(value: Expression, digits: int, context: Context) -> Expression:
    """A double rounded by its decimal digits; NaN and what is too large for them as the engine does, without -0.0."""
    template = f"coalesce(CAST(round({_DIGITS}, {{n}}) AS DOUBLE), 0D + round({{0}}, {{n}}))"
    return fill(context, template, value, n=digits, raw=RAW, exact=EXACT, gives=DOUBLE)


def write_round(node: Call, context: Context) -> Node | None:
    """round(x, n)."""
    if not node.arguments:
        return None
    digits = _places(node)
    if digits is None and any(isinstance(each, Column) for each in node.arguments[1].walk()):
        raise SparkRefuses("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "The digits of round are a constant.", node.at)
    if digits is None:
        raise lacking("round", "digits that are no plain number", "Write them out: round(x, 2).")
    if digits > EXACT.scale:
        return None
    if isinstance(node.type, Decimal):
        return Cast(operand=node.replace(type=None), type=node.type)
    if node.type == DOUBLE:
        return round_exactly(node.arguments[0], digits, context)
    return None


def write_half_even(node: Call, context: Context) -> Node | None:
    """bround and rint: halves go to the even neighbour, which Sail does for some doubles alone."""
    digits = 0 if node.name == "rint" else _places(node)
    value = node.arguments[0]
    inner = value.type
    if inner in INTEGERS and node.name == "bround" and inner is not None:
        return _round_tens(node, inner, digits, context)
    if digits is None or not 0 <= digits <= EXACT.scale or not (has_fraction(inner) or is_integer(inner)):
        raise lacking(node.name, "half-even rounding of this", "Write round(x, n).")
    is_decimal = isinstance(inner, Decimal) and node.name == "bround"
    kind = node.type if is_decimal and node.type is not None else DOUBLE
    exact = value if is_decimal else fill(context, _DIGITS, value, raw=RAW, exact=EXACT)
    template = (
        "CAST(round({v}, {n}) - CASE WHEN abs({v} * {ten}) % 1BD = 0.5BD AND floor(abs({v} * {ten})) % 2BD = 0BD "
        "THEN sign({v}) * {unit} ELSE 0BD END AS {kind})"
    )
    ten, unit = Cast(operand=fill(context, "{n}", n=str(10**digits)), type=Decimal(digits + 1, 0)), f"1E-{digits}BD"
    found = fill(context, template.replace("{unit}", unit if digits else "1BD"), v=exact, n=digits, ten=ten, kind=kind)
    if kind == DOUBLE:
        found = fill(context, "coalesce({0}, CAST({1} AS DOUBLE))", found, value, gives=DOUBLE)
    return cast_to(found, FLOAT) if inner == FLOAT and node.name == "bround" else found


def _round_tens(node: Call, kind: Type, digits: int | None, context: Context) -> Node | None:
    """bround of an integer: where the tens exceed its type, Sail gives it back as it was."""
    value = node.arguments[0]
    if digits is not None and digits >= 0:
        return value
    if digits is None:
        raise lacking(node.name, "half-even rounding of this", "Write round(x, n).")
    if kind != BIGINT:
        return Cast(operand=node.replace(arguments=(cast_to(value, BIGINT), node.arguments[1]), type=BIGINT), type=kind)
    template = (
        "CAST((CAST({v} AS DECIMAL(20,0)) DIV {ten} + CASE WHEN abs({v} % {ten}) * 2 > {ten} OR "
        "(abs({v} % {ten}) * 2 = {ten} AND CAST({v} AS DECIMAL(20,0)) DIV {ten} % 2 <> 0) "
        "THEN if({v} < 0, -1, 1) ELSE 0 END) * {ten} AS BIGINT)"
    )
    if digits < -17:
        raise lacking(node.name, "half-even rounding of this", "Write round(x, n).")
    return fill(context, template, v=value, ten=fill(context, "CAST({n} AS DECIMAL(20,0))", n=str(10**-digits)))


def write_stepped(node: Call, _: Context) -> Node | None:
    """ceil and floor of a double to some digits: by its decimal digits, in the type that Spark has for it."""
    if len(node.arguments) != 2 or node.arguments[0].type not in FRACTIONS:
        return None
    value = Cast(operand=Cast(operand=node.arguments[0], type=RAW), type=_STEPPED)
    return node.replace(arguments=(value, node.arguments[1]))


def write_average(node: Call, _: Context) -> Node | None:
    """The average of decimals, of which Sail cuts digits off."""
    inner = node.arguments[0].type if node.arguments else None
    if inner == TIMESTAMP:
        return node.replace(arguments=(cast_to(node.arguments[0], DOUBLE),))
    if not isinstance(node.type, Decimal) or not isinstance(inner, Decimal):
        return None
    wide = bound_decimal(inner.precision + 1, inner.scale + 1)
    return Cast(operand=node.replace(arguments=(cast_to(node.arguments[0], wide),), type=None), type=node.type)


def write_nullif(node: Call, context: Context) -> Node | None:
    """nullif has the type of what it gives, and zero has no sign."""
    if len(node.arguments) != 2 or not has_fraction(node.type):
        return None
    if node.type in FRACTIONS:
        return fill(context, "CASE WHEN {0} = {1} THEN NULL ELSE {0} END", *node.arguments, gives=node.type)
    return Cast(operand=node.replace(type=None), type=node.type)


def write_zero_as_null(node: Call, context: Context) -> Node | None:
    """nullifzero(x), where a zero may have a sign."""
    if len(node.arguments) != 1 or node.arguments[0].type not in FRACTIONS:
        return None
    return fill(context, "CASE WHEN {0} = 0 THEN NULL ELSE {0} END", node.arguments[0], gives=node.type)


def write_remainder(node: Call, context: Context) -> Node | None:
    """mod(a, b) is a % b."""
    return _binary("%", *node.arguments, node.type, context) if len(node.arguments) == 2 else None


def _binary(operator: str, left: Expression, right: Expression, kind: Type | None, context: Context) -> Node:
    made = Binary(operator=operator, left=left, right=right, type=kind)  # type: ignore[arg-type]
    return write_binary(made, context) or made


def write_positive_remainder(node: Call, context: Context) -> Node | None:
    """pmod of decimals in Spark's type; by zero it fails, which Sail does not with doubles."""
    if len(node.arguments) != 2:
        return None
    left, right = node.arguments
    if isinstance(node.type, Decimal):
        return Cast(operand=node.replace(type=None), type=node.type)
    if node.type in FRACTIONS:
        left, right = cast_to(left, node.type), cast_to(right, node.type)
        whole = node.replace(arguments=(left, right))
        return fill(context, "if({1} = 0, {0} % {1}, {call})", left, right, call=whole, gives=node.type)
    return None


def write_isnan(node: Call, context: Context) -> Node | None:
    """A null is no NaN, and not unknown."""
    return fill(context, "{0} <=> true", node, gives=BOOLEAN)


def write_factorial(node: Call, context: Context) -> Node | None:
    """Nothing but 0 to 20 has one."""
    value = node.arguments[0]
    if value.type == BIGINT:
        value = fill(context, "CAST(if({0} BETWEEN 0 AND 20, {0}, NULL) AS INT)", value)
    return fill(context, "factorial(if({0} BETWEEN 0 AND 20, {0}, NULL))", value, gives=BIGINT)


def write_shift(node: Call, context: Context) -> Node | None:
    """shiftrightunsigned."""
    return shift_unsigned(*node.arguments, node.type, context) if len(node.arguments) == 2 else None


def write_bucket(node: Call, _: Context) -> Node | None:
    """width_bucket(x, low, high, n) of numbers: n is a BIGINT."""
    if len(node.arguments) != 4 or node.arguments[3].type in {None, BIGINT}:
        return None
    return node.replace(arguments=(*node.arguments[:3], cast_to(node.arguments[3], BIGINT)))


def write_number(node: Call, context: Context) -> Node | None:
    """format_number of what a double, which Sail makes of it, does not hold: decimals and large whole numbers."""
    if len(node.arguments) != 2:
        return None
    value, digits = node.arguments[0], whole_constant(node.arguments[1])
    exact = Decimal(19, 0) if value.type == BIGINT else value.type
    if isinstance(exact, Decimal) and digits is None and not is_string(node.arguments[1].type):
        raise lacking("format_number", "digits that are no plain number", "Write them out: format_number(x, 2).")
    if not isinstance(exact, Decimal) or digits is None or digits < 0:
        return None
    wide = Decimal(min(exact.precision - min(exact.scale - digits, 0) + 1, MAX_PRECISION), digits)
    rounded = value
    if exact.scale > digits:
        kind = bound_decimal(exact.precision - exact.scale + digits + 1, digits)
        halves = Call(name="bround", arguments=(value, constant(digits)), type=kind)
        rounded = cast("Expression", write_half_even(halves, context) or halves)
    whole = "regexp_replace(reverse(split_part(trim(LEADING '-' FROM t_), '.', 1)), '([0-9]{3})', '$1,')"
    point = "concat('.', split_part(t_, '.', 2))" if digits else "''"
    template = (
        "element_at(transform(array(CAST(CAST({1} AS {wide}) AS STRING)), t_ -> concat(if({0} < 0, '-', ''), "
        f"reverse(trim(TRAILING ',' FROM {whole})), {point})), 1)"
    )
    return fill(context, template, value, rounded, wide=wide, gives=STRING)


def write_regression(node: Call, _: Context) -> Node | None:
    """regr_r2(y, x): NULL where x does not vary, and 1 where only y does not; Sail takes one for the other."""
    if len(node.arguments) != 2:
        return None
    return node.replace(arguments=node.arguments[::-1])


def write_random(node: Call, _: Context) -> Node | None:
    """rand(NULL) has the seed 0."""
    if len(node.arguments) != 1:
        return None
    seed = node.arguments[0].operand if isinstance(node.arguments[0], Cast) else node.arguments[0]
    if not isinstance(seed, Constant) or seed.value is not None:
        return None
    return node.replace(arguments=(constant(0),))


def write_uniform(node: Call, context: Context) -> Node | None:
    """uniform(low, high, seed) cuts a double off, where Sail takes the whole number below."""
    if not 2 <= len(node.arguments) <= 3 or not is_integer(node.type):
        return None
    low, high, *seed = node.arguments
    if any(isinstance(each, Column) for bound in node.arguments for each in bound.walk()):
        raise SparkRefuses("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "uniform takes constants.", node.at)
    chance = Call(name="rand", arguments=tuple(seed), type=DOUBLE)
    template = "CAST(CAST({0} AS DOUBLE) + (CAST({1} AS DOUBLE) - CAST({0} AS DOUBLE)) * {2} AS {k})"
    return fill(context, template, low, high, chance, k=node.type)


def write_power(node: Call, context: Context) -> Node | None:
    """power(1, NaN) is NaN in Java, and so is a power of 1 or -1 to infinity; in C they are 1."""
    if len(node.arguments) != 2:
        return None
    exponent = node.arguments[1].operand if isinstance(node.arguments[1], Cast) else node.arguments[1]
    if isinstance(exponent, Constant) and not isinstance(exponent.value, str):
        return None
    base, power = (cast_to(each, DOUBLE) for each in node.arguments)
    template = (
        "if(abs({0}) = 1D AND (isnan({1}) OR abs({1}) = CAST('Infinity' AS DOUBLE)), CAST('NaN' AS DOUBLE), {call})"
    )
    return fill(context, template, base, power, call=node, gives=DOUBLE)


def check_length(node: Call, _: Context) -> Node | None:
    """randstr of a length below zero, on which Sail's process panics."""
    number = whole_constant(node.arguments[0]) if node.arguments else None
    if number is not None and number < 0:
        raise SparkRefuses("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", "The length is 0 or more.", node.at)
    return renew(node, arguments=(cast_to(node.arguments[0], INT), *node.arguments[1:])) if node.arguments else None


def write_correlation(node: Call, context: Context) -> Node | None:
    """corr of values that do not vary divides by zero in Spark, and is NULL in Sail."""
    if len(node.arguments) != 2:
        return None
    count = node.replace(name="regr_count", type=BIGINT)
    return fill(
        context,
        "if({call} IS NULL AND {n} > 1, 1D / CAST(least({n}, 0) AS DOUBLE), {call})",
        call=node,
        n=count,
        gives=DOUBLE,
    )


RULES: Final[Mapping[str, CallRule]] = {
    "avg": write_average,
    "bround": write_half_even,
    **dict.fromkeys(("ceil", "ceiling", "floor"), write_stepped),
    "corr": write_correlation,
    "factorial": write_factorial,
    "format_number": write_number,
    "isnan": write_isnan,
    "mean": write_average,
    "mod": write_remainder,
    "nullif": write_nullif,
    "nullifzero": write_zero_as_null,
    **dict.fromkeys(("pow", "power"), write_power),
    "pmod": write_positive_remainder,
    "rand": write_random,
    "randn": write_random,
    "random": write_random,
    "randstr": check_length,
    "regr_r2": write_regression,
    "rint": write_half_even,
    "round": write_round,
    "shiftrightunsigned": write_shift,
    "try_avg": write_average,
    "uniform": write_uniform,
    "width_bucket": write_bucket,
}
