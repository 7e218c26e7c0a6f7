"""What rules ask of types."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from mcp_server.sql.typed.nodes import Alias, Call, Cast, Constant, Expression, Star
from mcp_server.sql.typed.types import (
    BIGINT,
    DATE,
    DOUBLE,
    FLOAT,
    FRACTIONS,
    INTEGERS,
    MAX_PRECISION,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    VOID,
    Array,
    Atomic,
    Decimal,
    Interval,
    Map,
    Struct,
    Text,
    Type,
)

_TIMES: Final = (DATE, TIMESTAMP_NTZ, TIMESTAMP)
"""From the narrowest to the widest."""

_DIGITS: Final = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 20}


def plain(kind: Type | None) -> Type | None:
    """The type, CHAR and VARCHAR as the strings that expressions over them are."""
    return STRING if isinstance(kind, Text) else kind


def is_string(kind: Type | None) -> bool:
    return kind == STRING or isinstance(kind, Text)


def is_integer(kind: Type | None) -> bool:
    return kind in INTEGERS


def is_number(kind: Type | None) -> bool:
    return kind in INTEGERS or has_fraction(kind)


def has_fraction(kind: Type | None) -> bool:
    return kind in FRACTIONS or isinstance(kind, Decimal)


def is_time(kind: Type | None) -> bool:
    """Whether it is a timestamp, with or without a zone."""
    return kind in {TIMESTAMP, TIMESTAMP_NTZ}


def is_nested(kind: Type | None) -> bool:
    return isinstance(kind, Array | Map | Struct)


def is_days(kind: Type | None) -> bool:
    """Whether it is an interval of days, hours, minutes or seconds."""
    return isinstance(kind, Interval) and kind.start is not None and not kind.of_months


def is_months(kind: Type | None) -> bool:
    """Whether it is an interval of years or months."""
    return isinstance(kind, Interval) and kind.of_months


def is_calendar(kind: Type | None) -> bool:
    """Whether it is an interval of all units, Spark's CalendarIntervalType."""
    return isinstance(kind, Interval) and kind.start is None


def is_mixed(kinds: Collection[Type | None]) -> bool:
    """Whether a double is what these numbers become in Spark, and is not what Sail makes of them."""
    others = any(isinstance(kind, Decimal) for kind in kinds)
    has_float, has_integer = FLOAT in kinds, any(map(is_integer, kinds))
    return (others and (has_float or DOUBLE in kinds)) or (has_float and has_integer)


def decimal_of(node: Expression) -> Decimal | None:
    """The type of a node as an operand of decimal arithmetic: an integer that is written out counts with its digits."""
    kind = node.type
    if isinstance(kind, Decimal):
        return kind
    if not isinstance(kind, Atomic) or kind.name not in _DIGITS:
        return None
    if isinstance(node, Constant) and isinstance(node.value, int):
        return Decimal(len(str(abs(node.value))), 0)
    return Decimal(_DIGITS[kind.name], 0)


def common_type(kinds: Iterable[Type | None]) -> Type | None:
    """The type in which values of these types are compared, None where it is not known.

    Text beside a whole number becomes BIGINT, beside another number DOUBLE, beside anything else that
    (`AnsiTypeCoercion.findWiderTypeForString`).
    """
    known = {plain(kind) for kind in kinds} - {VOID}
    if None in known or not known:
        return None
    if len(known) == 1:
        return known.pop()
    others = known - {STRING}
    wide = _without_strings(others)
    if STRING not in known or wide is None:
        return wide
    if is_integer(wide):
        return BIGINT
    return DOUBLE if has_fraction(wide) else wide


def _without_strings(known: set[Type | None]) -> Type | None:  # noqa: PLR0911  (one line for each kind)
    if len(known) == 1:
        return next(iter(known))
    if all(map(is_integer, known)):
        return max((kind for kind in known if kind in INTEGERS), key=INTEGERS.index)
    if all(map(is_number, known)):
        if known & {*FRACTIONS}:
            return DOUBLE
        return _widest_decimal([kind for kind in known if kind is not None])
    if known <= {*_TIMES}:
        return max((kind for kind in known if kind in _TIMES), key=_TIMES.index)
    if all(map(is_days, known)):
        return Interval("day", "second")
    return Interval("year", "month") if all(map(is_months, known)) else None


def _widest_decimal(kinds: Iterable[Type]) -> Decimal:
    decimals = [
        k if isinstance(k, Decimal) else Decimal(_DIGITS[k.name], 0) for k in kinds if isinstance(k, Decimal | Atomic)
    ]
    scale = max(each.scale for each in decimals)
    whole = max(each.precision - each.scale for each in decimals)
    return bound_decimal(whole + scale, scale)


def is_null_constant(node: Expression) -> bool:
    """Whether it is NULL as it is written, or cast."""
    while isinstance(node, Cast):
        node = node.operand
    return isinstance(node, Constant) and node.value is None


def bound_decimal(precision: int, scale: int) -> Decimal:
    """A decimal of at most 38 digits that keeps those before its point (`DecimalType.boundedPreferIntegralDigits`)."""
    if precision <= MAX_PRECISION:
        return Decimal(precision, scale)
    return Decimal(MAX_PRECISION, max(0, scale - (precision - MAX_PRECISION)))


def list_fields(node: Expression) -> list[tuple[str, Expression]]:
    """Names and values of a struct, or an array, that is written out; nothing for any other."""
    if not isinstance(node, Call) or any(isinstance(each, Star) for each in node.arguments):
        return []
    if node.name == "named_struct":
        labels, several = node.arguments[::2], node.arguments[1::2]
        if len(labels) != len(several) or not all(isinstance(label, Constant) for label in labels):
            return []
        return [(str(getattr(label, "value", "")), value) for label, value in zip(labels, several, strict=True)]
    if node.name == "array":
        return [(f"col{at}", each) for at, each in enumerate(node.arguments, start=1)]
    if node.name != "struct":
        return []
    known = node.type.fields if isinstance(node.type, Struct) else ()
    values = [each.operand if isinstance(each, Alias) else each for each in node.arguments]
    names = [name for name, _ in known] if len(known) == len(values) else [f"col{at + 1}" for at in range(len(values))]
    return list(zip(names, values, strict=True))
