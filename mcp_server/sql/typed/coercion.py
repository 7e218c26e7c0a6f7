"""Which type values of several types become together, and what Spark casts by itself (Spark 4.2 with ANSI mode).

The rules are those of `AnsiTypeCoercion`, `TypeCoercionHelper`, `DecimalPrecisionTypeCoercion` and `Cast`. Within this
module an unknown type is `UNKNOWN`, which gives an unknown type with every other; None is "there is no such type".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from mcp_server.sql.typed.types import (
    BIGINT,
    BINARY,
    DATE,
    DOUBLE,
    FLOAT,
    FRACTIONS,
    INT,
    INTEGERS,
    MAX_PRECISION,
    MIN_SCALE,
    SMALLINT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    TINYINT,
    VARIANT,
    VOID,
    Array,
    Atomic,
    Decimal,
    Interval,
    Map,
    Struct,
    Type,
    map_parts,
    without_lengths,
)

UNKNOWN: Final = Atomic("?")

Widen = Callable[[Type, Type], "Type | None"]

_DIGITS: Final = {TINYINT: 3, SMALLINT: 5, INT: 10, BIGINT: 20}
_MOMENTS: Final = (DATE, TIMESTAMP_NTZ, TIMESTAMP)
"""Each is cast to those behind it."""

_SPANS: Final = ("year", "month", "day", "hour", "minute", "second")


class NoCommonTypeError(Exception):
    """Values of these types cannot stand for each other. `types` are the two that differ."""

    def __init__(self, left: Type, right: Type) -> None:
        super().__init__(f"{left} and {right}")
        self.types = left, right


def close(kind: Type | None) -> Type:
    """Return the type with UNKNOWN for what is not known, and strings for `char(n)` and `varchar(n)`."""
    closed = map_parts(without_lengths(kind), lambda each: each or UNKNOWN)
    return closed or UNKNOWN


def reopen(kind: Type | None) -> Type | None:
    """The reverse of `close`."""
    return map_parts(kind, lambda each: None if each == UNKNOWN else each)


def is_known(kind: Type | None) -> bool:
    """Whether the type and all that it holds are known."""
    match kind:
        case Array(element):
            return is_known(element)
        case Map(key, value):
            return is_known(key) and is_known(value)
        case Struct(fields):
            return all(is_known(each) for _, each in fields)
        case _:
            return kind not in {None, UNKNOWN}


def is_number(kind: Type) -> bool:
    """Whether it is a whole number, a fraction or a decimal."""
    return isinstance(kind, Decimal) or kind in INTEGERS or kind in FRACTIONS


def is_moment(kind: Type) -> bool:
    """Whether it is a timestamp with or without a zone."""
    return kind in {TIMESTAMP, TIMESTAMP_NTZ}


def is_ansi_interval(kind: Type) -> bool:
    """Whether it is an interval of years and months, or of days and less."""
    return isinstance(kind, Interval) and kind.start is not None


def is_ordered(kind: Type) -> bool:
    """Whether values can be compared with `<`: no maps, variants and intervals of both kinds."""
    match kind:
        case Array(element):
            return element is None or is_ordered(element)
        case Struct(fields):
            return all(each is None or is_ordered(each) for _, each in fields)
        case Interval():
            return kind.start is not None
        case _:
            return kind != VARIANT and not isinstance(kind, Map)


def are_alike(left: Type, right: Type) -> bool:
    """Whether two types are the same but for the names of fields."""
    return are_same((_without_names(left), _without_names(right)))


def _without_names(kind: Type) -> Type | None:
    return map_parts(
        kind, lambda each: Struct(tuple(("", part) for _, part in each.fields)) if isinstance(each, Struct) else each
    )


def has_map(kind: Type | None) -> bool:
    """Whether values hold a map, by which Spark neither groups nor compares."""
    match kind:
        case Array(element):
            return has_map(element)
        case Struct(fields):
            return any(has_map(each) for _, each in fields)
        case _:
            return isinstance(kind, Map)


# --- decimals


def adjust_decimal(precision: int, scale: int) -> Decimal:
    """Return the type of a result as Spark adjusts it: beyond 38 digits, those before the point have precedence."""
    if precision <= MAX_PRECISION:
        return Decimal(precision, scale)
    return Decimal(MAX_PRECISION, max(MAX_PRECISION - (precision - scale), min(scale, MIN_SCALE)))


def bound_decimal(precision: int, scale: int) -> Decimal:
    """Return the type with no more than 38 digits."""
    return Decimal(min(precision, MAX_PRECISION), min(scale, MAX_PRECISION))


def as_decimal(kind: Type) -> Decimal | None:
    """Return a decimal that holds all values of a whole number or decimal; None for other types."""
    if isinstance(kind, Decimal):
        return kind
    return Decimal(_DIGITS[kind], 0) if isinstance(kind, Atomic) and kind in _DIGITS else None


def tightest_decimal(value: int) -> Decimal:
    """Return the type of a whole literal beside a decimal: it has the literal's digits."""
    return Decimal(max(len(str(abs(value))), 1), 0)


def widen_decimals(left: Decimal, right: Decimal) -> Decimal:
    """Return the type that holds both. Beyond 38 digits, those before the point have precedence."""
    scale = max(left.scale, right.scale)
    whole = max(left.precision - left.scale, right.precision - right.scale)
    return (
        Decimal(whole + scale, scale)
        if whole + scale <= MAX_PRECISION
        else Decimal(MAX_PRECISION, MAX_PRECISION - whole)
    )


def combine_decimals(operator: str, left: Decimal, right: Decimal) -> Decimal:
    """Return the type of `+`, `-`, `*`, `/` and `%` of two decimals."""
    whole = left.precision - left.scale, right.precision - right.scale
    scale = max(left.scale, right.scale)
    if operator == "/":
        scale = max(MIN_SCALE, left.scale + right.precision + 1)
        return adjust_decimal(whole[0] + right.scale + scale, scale)
    if operator == "*":
        return adjust_decimal(left.precision + right.precision + 1, left.scale + right.scale)
    if operator == "%":
        return adjust_decimal(min(whole) + scale, scale)
    return adjust_decimal(max(whole) + scale + 1, scale)


def _is_wider(decimal: Decimal, other: Type) -> bool:
    """Whether a decimal holds all values of a whole number."""
    needed = as_decimal(other)
    return needed is not None and decimal.precision - decimal.scale >= needed.precision


# --- common types


def widen_tightly(left: Type, right: Type) -> Type | None:
    """`findTightestCommonType`: the type of two that loses nothing, without strings becoming numbers."""
    if UNKNOWN in {left, right}:
        return UNKNOWN
    if VOID in {left, right}:
        return right if left == VOID else left
    if left == right:
        return left
    return _widen_atoms(left, right) or _widen_parts(left, right, widen_tightly)


def _widen_atoms(left: Type, right: Type) -> Type | None:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Decimal):
            return one if other in INTEGERS and _is_wider(one, other) else None
    if is_number(left) and is_number(right):
        return _widen_numbers(left, right)
    if isinstance(left, Interval) and isinstance(right, Interval):
        return _widen_intervals(left, right)
    if left in _MOMENTS and right in _MOMENTS:
        return max(left, right, key=_MOMENTS.index)
    return None


def _widen_numbers(left: Type, right: Type) -> Type:
    """The wider of two that are no decimals. A whole number beside a float is a double."""
    order: list[Type] = [*INTEGERS, *FRACTIONS]
    wider = max(left, right, key=order.index)
    return DOUBLE if wider == FLOAT else wider


def _widen_intervals(left: Interval, right: Interval) -> Interval | None:
    if left.start is None or right.start is None or left.of_months != right.of_months:
        return None
    start = min(left.start, right.start, key=_SPANS.index)
    end = max(left.end or left.start, right.end or right.start, key=_SPANS.index)
    return Interval(start, end)


def _widen_parts(left: Type, right: Type, widen: Widen) -> Type | None:
    """The common type of two arrays, maps or structs, part by part."""
    if isinstance(left, Array) and isinstance(right, Array):
        element = widen(_known(left.element), _known(right.element))
        return element and Array(element)
    if isinstance(left, Map) and isinstance(right, Map):
        key = _keep_keys(_known(left.key), _known(right.key), widen)
        value = widen(_known(left.value), _known(right.value))
        return Map(key, value) if key is not None and value is not None else None
    if isinstance(left, Struct) and isinstance(right, Struct):
        return _widen_structs(left, right, widen)
    return None


def _keep_keys(left: Type, right: Type, widen: Widen) -> Type | None:
    """The common type of the keys of two maps: no key may become NULL, as a text may that becomes a number."""
    key = widen(left, right)
    return None if STRING in {left, right} and key not in {STRING, BINARY, UNKNOWN} else key


def widen_keys(left: Type, right: Type) -> Type | None:
    """The type of the keys of two maps that one function reads."""
    return _keep_keys(left, right, widen)


def _known(kind: Type | None) -> Type:
    return kind or UNKNOWN


def _widen_structs(left: Struct, right: Struct, widen: Widen) -> Struct | None:
    """Fields are compared in order, and their names must be the same in any case."""
    if len(left.fields) != len(right.fields):
        return None
    fields: list[tuple[str, Type | None]] = []
    for (name, one), (other_name, other) in zip(left.fields, right.fields, strict=True):
        kind = widen(_known(one), _known(other))
        if kind is None or name.lower() != other_name.lower():
            return None
        fields.append((name, kind))
    return Struct(tuple(fields))


def widen_as_element(left: Type, right: Type) -> Type | None:
    """As `widen_tightly`, but a whole number beside a float is a float: what functions of arrays and maps take.

    They call `TypeCoercion.findTightestCommonType`, which knows no ANSI mode.
    """
    if FLOAT in {left, right} and (left in INTEGERS or right in INTEGERS):
        return FLOAT
    if left != right and type(left) is type(right) and isinstance(left, Array | Map | Struct):
        return _widen_parts(left, right, widen_as_element)
    return widen_tightly(left, right)


def _widen_to_decimal(left: Type, right: Type) -> Type | None:
    """Decimals beside other numbers. One beside a fraction is a double."""
    if not isinstance(left, Decimal) and not isinstance(right, Decimal):
        return None
    one, other = as_decimal(left), as_decimal(right)
    if one is not None and other is not None:
        return widen_decimals(one, other)
    return DOUBLE if left in FRACTIONS or right in FRACTIONS else None


def promote_string(left: Type, right: Type) -> Type | None:
    """The type of a string beside a value of another type; None where neither is a string, or both are."""
    if left != STRING:
        return None if right != STRING else promote_string(right, left)
    if right in INTEGERS:
        return BIGINT
    if isinstance(right, Decimal) or right in FRACTIONS:
        return DOUBLE
    if right == VOID:
        return STRING
    return right if isinstance(right, Atomic) and right != STRING else None


def widen_without_strings(left: Type, right: Type) -> Type | None:
    """`findWiderTypeWithoutStringPromotionForTwo`, for greatest, least and array functions."""
    found = widen_tightly(left, right) or _widen_to_decimal(left, right)
    return found or _widen_parts(left, right, widen_without_strings)


def widen(left: Type, right: Type) -> Type | None:
    """`findWiderTypeForTwo`, for CASE, coalesce, IN, arrays, maps and set operations."""
    found = widen_tightly(left, right) or _widen_to_decimal(left, right) or promote_string(left, right)
    return found or _widen_parts(left, right, widen)


def common_type(kinds: Sequence[Type | None], how: Widen = widen) -> Type | None:
    """Return the type that values of all these types become, None where Spark finds none or one is not known."""
    try:
        return join_types(kinds, how)
    except NoCommonTypeError:
        return None


def join_types(kinds: Sequence[Type | None], how: Widen = widen) -> Type | None:
    """Return the type that values of all these types become, VOID for none of them; None where it is not known.

    Raises NoCommonTypeError where Spark finds none.
    """
    found: Type = VOID
    for kind in map(close, kinds):
        wider = how(found, kind)
        if wider is None:
            raise NoCommonTypeError(found, kind)
        found = wider
    return reopen(found)


def are_same(kinds: Sequence[Type | None]) -> bool:
    """Whether types are the same, as far as they are known. Names of fields count, in any case."""
    return all(_is_same(close(one), close(other)) for one, other in pairwise(kinds))


def _is_same(left: Type, right: Type) -> bool:
    if UNKNOWN in {left, right}:
        return True
    match left, right:
        case Array(one), Array(other):
            return _is_same(_known(one), _known(other))
        case Map(key, value), Map(other_key, other_value):
            return _is_same(_known(key), _known(other_key)) and _is_same(_known(value), _known(other_value))
        case Struct(fields), Struct(others):
            return len(fields) == len(others) and all(
                one[0].lower() == other[0].lower() and _is_same(_known(one[1]), _known(other[1]))
                for one, other in zip(fields, others, strict=True)
            )
        case _:
            return left == right
