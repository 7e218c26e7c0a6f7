"""What functions give where `functions.toml` cannot say it: a rule for each `@name` there.

A rule takes the call and the types that its arguments were cast to (closed). It returns UNKNOWN where the type depends
on more than types, and raises SparkRefuses without a place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp_server.sql.typed.casts import cast_implicitly, decimal_for, refused_cast
from mcp_server.sql.typed.coercion import (
    UNKNOWN,
    NoCommonTypeError,
    Widen,
    bound_decimal,
    close,
    has_map,
    is_number,
    is_ordered,
    join_types,
    widen,
    widen_without_strings,
)
from mcp_server.sql.typed.nodes import Call, Constant, Expression, Unary
from mcp_server.sql.typed.operators import refuse, type_binary
from mcp_server.sql.typed.types import (
    BIGINT,
    BINARY,
    DOUBLE,
    FLOAT,
    INT,
    INTEGERS,
    MAX_PRECISION,
    STRING,
    VOID,
    Array,
    Decimal,
    Interval,
    Struct,
    Type,
    as_schema,
    parse_type,
)

Kinds = Sequence[Type]
Rule = Callable[[Call, Kinds], Type]

_UNEXPECTED: Final = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"
_DIFFERENT: Final = "DATATYPE_MISMATCH.DATA_DIFF_TYPES"
_UNORDERED: Final = "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"


def whole_number(node: Expression) -> int | None:
    """Return the value of a whole literal behind any signs; None for everything else."""
    if isinstance(node, Unary) and node.operator == "-":
        value = whole_number(node.operand)
        return None if value is None else -value
    return whole_literal(node)


def whole_literal(node: Expression) -> int | None:
    """Return the value of a whole literal; None for everything else."""
    if isinstance(node, Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    return None


def join_kinds(name: str, kinds: Kinds, how: Widen = widen, condition: str = _DIFFERENT) -> Type:
    """Return the common type of arguments, closed. Raises SparkRefuses with a condition where there is none."""
    try:
        return close(join_types(kinds, how))
    except NoCommonTypeError as error:
        one, other = map(as_schema, error.types)
        raise refuse(condition, f"{name} takes values of one type, not {one} and {other}: cast one of them.") from None


# --- aggregates


def _sum(_: Call, kinds: Kinds) -> Type:
    kind = kinds[0]
    if isinstance(kind, Decimal):
        return bound_decimal(kind.precision + 10, kind.scale)
    if isinstance(kind, Interval) or kind == UNKNOWN:
        return kind
    return BIGINT if kind in INTEGERS else DOUBLE


def _average(_: Call, kinds: Kinds) -> Type:
    return _mean(kinds[0])


def _mean(kind: Type) -> Type:
    if isinstance(kind, Decimal):
        return bound_decimal(kind.precision + 4, kind.scale + 4)
    return _spread(kind)


def _spread(kind: Type) -> Type:
    """An interval with all its fields, a double for numbers."""
    if isinstance(kind, Interval):
        return Interval("year", "month") if kind.of_months else Interval("day", "second")
    return UNKNOWN if kind == UNKNOWN else DOUBLE


def _average_of_second(_: Call, kinds: Kinds) -> Type:
    return _mean(kinds[1])


def _percentile(_: Call, kinds: Kinds) -> Type:
    return _for_each(kinds[1] if len(kinds) > 1 else DOUBLE, _spread(kinds[0]))


def _for_each(places: Type, kind: Type) -> Type:
    """A value, or an array of them where the places are an array."""
    if places == UNKNOWN:
        return UNKNOWN
    return Array(kind) if isinstance(places, Array) else kind


def _per_percentage(_: Call, kinds: Kinds) -> Type:
    return _for_each(kinds[1], kinds[0])


def _within_percentile(call: Call, kinds: Kinds) -> Type:
    if not call.within:
        return UNKNOWN
    kind = close(call.within[0].operand.type)
    return _for_each(kinds[0], DOUBLE if kind == STRING else _spread(kind))


def _mode(call: Call, kinds: Kinds) -> Type:
    if kinds:
        return kinds[0]
    return close(call.within[0].operand.type) if call.within else UNKNOWN


def _top_of(_: Call, kinds: Kinds) -> Type:
    return Array(Struct((("item", kinds[0]), ("count", BIGINT))))


def _histogram(_: Call, kinds: Kinds) -> Type:
    return Array(Struct((("x", kinds[0]), ("y", DOUBLE))))


# --- numbers


def round_decimal(kind: Decimal, digits: int) -> Decimal:
    """Return the type of `round(x, digits)`."""
    whole = kind.precision - kind.scale + 1
    if digits < 0:
        return Decimal(min(max(whole, 1 - digits), MAX_PRECISION), 0)
    scale = min(kind.scale, digits)
    return Decimal(min(whole + scale, MAX_PRECISION), scale)


def _digits(call: Call) -> int | None:
    if len(call.arguments) < 2:
        return 0
    last = call.arguments[1]
    return 0 if isinstance(last, Constant) and last.value is None else whole_number(last)


def _round(call: Call, kinds: Kinds) -> Type:
    if not isinstance(kinds[0], Decimal):
        return kinds[0]
    digits = _digits(call)
    return UNKNOWN if digits is None else round_decimal(kinds[0], digits)


def _whole(call: Call, kinds: Kinds) -> Type:
    """ceil and floor: whole numbers are bigints; with digits, numbers are decimals."""
    kind = kinds[0]
    if kind == UNKNOWN:
        return UNKNOWN
    if not (is_number(kind) or kind in {STRING, VOID}):
        raise refuse(_UNEXPECTED, f"{call.name} takes a number, not {as_schema(kind)}.")
    if len(kinds) == 1:
        return bound_decimal(kind.precision - kind.scale + 1, 0) if isinstance(kind, Decimal) else BIGINT
    if kinds[1] not in {UNKNOWN, INT}:
        raise refuse("NON_FOLDABLE_ARGUMENT", f"The digits in {call.name} are a constant INT.")
    digits = _digits(call)
    if digits is None:
        return UNKNOWN
    return round_decimal(decimal_for(kind) if is_number(kind) else Decimal(38, 18), digits)


_OPERATORS: Final[Mapping[str, str]] = {
    "div": "div",
    "mod": "%",
    "pmod": "pmod",
    "try_add": "+",
    "try_divide": "/",
    "try_mod": "%",
    "try_multiply": "*",
    "try_subtract": "-",
    "equal_null": "<=>",
}


def _operator(call: Call, kinds: Kinds) -> Type:
    left, right = (whole_literal(each) for each in call.arguments)
    return close(type_binary(_OPERATORS[call.name], kinds[0], kinds[1], (left, right)))


def _nanvl(_: Call, kinds: Kinds) -> Type:
    if UNKNOWN in kinds:
        return UNKNOWN
    return FLOAT if all(kind in {FLOAT, VOID} for kind in kinds) else DOUBLE


def _uniform(_: Call, kinds: Kinds) -> Type:
    """The type of a random number between two: Spark takes the wider, a decimal before a whole number."""
    one, other = kinds[0], kinds[1]
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return max(one, other, key=lambda kind: kind.precision)
    if UNKNOWN in {one, other}:
        return UNKNOWN
    for kind in (DOUBLE, FLOAT):
        if kind in {one, other}:
            return kind
    decimals = [kind for kind in (one, other) if isinstance(kind, Decimal)]
    return decimals[0] if decimals else join_kinds("uniform", (one, other))


# --- texts and conditions


def _concat(call: Call, kinds: Kinds) -> Type:
    if UNKNOWN in kinds:
        return UNKNOWN
    if kinds and all(isinstance(kind, Array) for kind in kinds):
        return join_kinds(call.name, kinds)
    if kinds and all(kind == BINARY for kind in kinds):
        return BINARY
    for kind in kinds:
        if not isinstance(kind, Array) and refused_cast_to_text(kind):
            raise refuse(_UNEXPECTED, f"{call.name} takes texts, binaries or arrays, not {as_schema(kind)}.")
    if any(isinstance(kind, Array) for kind in kinds):
        raise refuse(_DIFFERENT, f"{call.name} takes either texts or arrays, not both.")
    return STRING


def refused_cast_to_text(kind: Type) -> bool:
    """Whether Spark makes no text of a type by itself."""
    return isinstance(kind, (Array, Struct)) or has_map(kind)


def _pad(_: Call, kinds: Kinds) -> Type:
    """lpad and rpad: binary where all is."""
    texts = [kinds[0], *kinds[2:]]
    return UNKNOWN if UNKNOWN in texts else BINARY if all(kind == BINARY for kind in texts) else STRING


def _elt(call: Call, kinds: Kinds) -> Type:
    if any(isinstance(kind, Array) for kind in kinds):
        raise refuse(_UNEXPECTED, f"{call.name} takes texts or binaries.")
    return _concat(call, kinds[1:])


def _decode(call: Call, kinds: Kinds) -> Type:
    """decode(bytes, charset) is a text; decode(x, search, result, …, default) one of its results."""
    if len(kinds) == 2:
        if kinds[0] not in {UNKNOWN, BINARY, STRING, VOID}:
            raise refuse(_UNEXPECTED, f"decode takes a binary, not {as_schema(kinds[0])}.")
        if refused_cast_to_text(kinds[1]):
            raise refuse(_UNEXPECTED, f"The charset in decode is a text, not {as_schema(kinds[1])}.")
        return STRING
    results = list(kinds[2::2]) + ([kinds[-1]] if len(kinds) % 2 == 0 else [STRING])
    return join_kinds(call.name, results)


def _nullif(call: Call, kinds: Kinds) -> Type:
    right = kinds[1] if len(kinds) > 1 else INT
    literal = whole_literal(call.arguments[1]) if len(kinds) > 1 else 0
    type_binary("=", kinds[0], right, (whole_literal(call.arguments[0]), literal))
    return kinds[0]


def _zero_if_null(call: Call, kinds: Kinds) -> Type:
    return join_kinds(call.name, (kinds[0], INT))


def _ordered(call: Call, kinds: Kinds) -> Type:
    """greatest and least: one type that `<` compares."""
    kind = join_kinds(call.name, kinds, widen_without_strings)
    if not is_ordered(kind) or has_map(kind):
        raise refuse(_UNORDERED, f"{call.name} cannot compare values of the type {as_schema(kind)}.")
    return kind


def _lag(call: Call, kinds: Kinds) -> Type:
    """The type of lag and lead is that of the first argument, which the default becomes."""
    if len(kinds) > 2 and cast_implicitly(kinds[2], kinds[0]) is None:
        one, other = as_schema(kinds[2]), as_schema(kinds[0])
        raise refuse(_UNEXPECTED, f"The default of {call.name} is of the type {one}, and its values {other}: cast it.")
    return kinds[0] if kinds else VOID


def _text_or_binary(call: Call, kinds: Kinds) -> Type:
    """listagg and overlay: texts or binaries, not both."""
    kinds = [kind for kind in kinds if kind in {UNKNOWN, STRING, BINARY, VOID}]
    kind = join_kinds(call.name, kinds)
    if BINARY in kinds and STRING in kinds:
        raise refuse(_DIFFERENT, f"{call.name} takes texts or binaries, not both.")
    return kind


def _to_number(call: Call, _: Kinds) -> Type:
    """The digits of a format: 9 and 0, before and after the point (D or .)."""
    last = call.arguments[1]
    if not isinstance(last, Constant) or not isinstance(last.value, str):
        return UNKNOWN
    whole, _point, fraction = last.value.upper().replace("D", ".").partition(".")
    digits = [sum(part.count(digit) for digit in "09") for part in (whole, fraction)]
    return Decimal(sum(digits), digits[1]) if sum(digits) else UNKNOWN


def _cast(call: Call, kinds: Kinds) -> Type:
    target = parse_type(call.name)
    condition = refused_cast(kinds[0], target)
    if condition:
        raise refuse(condition, f"{as_schema(kinds[0])} cannot be cast to {as_schema(target)}.")
    return close(target)


def _unknown(_: Call, __: Kinds) -> Type:
    return UNKNOWN


def _per_place(kind: Type) -> Rule:
    return lambda _, kinds: _for_each(kinds[1], kind)


RULES: Final[Mapping[str, Rule]] = {
    "avg": _average,
    "avg_second": _average_of_second,
    "cast": _cast,
    "concat": _concat,
    "decode": _decode,
    "elt": _elt,
    "histogram": _histogram,
    "lag": _lag,
    "text_or_binary": _text_or_binary,
    "mode": _mode,
    "nanvl": _nanvl,
    "nullif": _nullif,
    "operator": _operator,
    "ordered": _ordered,
    "pad": _pad,
    "per_percentage": _per_percentage,
    "per_place_bigint": _per_place(BIGINT),
    "per_place_double": _per_place(DOUBLE),
    "per_place_float": _per_place(FLOAT),
    "percentile": _percentile,
    "round": _round,
    "sum": _sum,
    "to_number": _to_number,
    "top_k": _top_of,
    "uniform": _uniform,
    "unknown": _unknown,
    "whole": _whole,
    "within_percentile": _within_percentile,
    "zeroifnull": _zero_if_null,
}
