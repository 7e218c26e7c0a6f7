"""The types of operators, and what Spark refuses of them.

The order is Spark's: `BinaryArithmeticWithDatetimeResolver` for dates, times and intervals, then strings become the
other operand's type, decimals are widened, and both operands become the tightest common type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mcp_server.sql.typed.casts import cast_to_kind
from mcp_server.sql.typed.coercion import (
    UNKNOWN,
    are_alike,
    as_decimal,
    close,
    combine_decimals,
    has_map,
    is_ansi_interval,
    is_moment,
    is_number,
    is_ordered,
    promote_string,
    reopen,
    tightest_decimal,
    widen_decimals,
    widen_tightly,
)
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    FRACTIONS,
    INT,
    INTEGERS,
    SMALLINT,
    STRING,
    TIME,
    TIMESTAMP,
    TINYINT,
    VOID,
    Decimal,
    Interval,
    Type,
)

COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">=", "<=>"})
_DIFFERENT: Final = "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"
_WRONG: Final = "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"
_UNEXPECTED: Final = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"
_UNORDERED: Final = "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"

_DAYS: Final = (TINYINT, SMALLINT, INT)
"""What may be added to a date."""

_SIZED_LITERALS: Final = (SMALLINT, INT, BIGINT)
"""Whole literals that have as many digits as they are written with, beside a decimal."""

_ONE_DAY: Final = Interval("day", "day")
_DAY_TO_SECOND: Final = Interval("day", "second")
_YEAR_TO_MONTH: Final = Interval("year", "month")
_CALENDAR: Final = Interval()


def refuse(condition: str, message: str) -> SparkRefuses:
    """The refusal of an operator or function; the caller knows where it stands."""
    return SparkRefuses(condition, message)


def type_binary(
    operator: str, left: Type | None, right: Type | None, literals: tuple[int | None, int | None] = (None, None)
) -> Type | None:
    """Return the type of an operator's result; `literals` are the values of operands that are whole literals.

    Raises SparkRefuses without a place.
    """
    one, other = close(left), close(right)
    if operator in COMPARISONS:
        _compare(operator, one, other, literals)
        return BOOLEAN
    if UNKNOWN in {one, other}:
        return None
    moved = _MOVES[operator](one, other) if operator in _MOVES else None
    return reopen(moved or _compute(operator, one, other, literals))


# --- comparisons


def _compare(operator: str, left: Type, right: Type, literals: tuple[int | None, int | None]) -> None:
    if UNKNOWN in {left, right}:
        return
    one, other = _meet(left, right, literals)
    common = widen_tightly(one, other)
    if common is None and are_alike(one, other):  # structs are compared field by field, whatever these are called
        common = one
    if common is None:
        raise refuse(_DIFFERENT, f"`{operator}` compares values of one type, not {left} and {right}: cast one of them.")
    if has_map(common) or not is_ordered(common):
        raise refuse(_UNORDERED, f"`{operator}` cannot compare values of the type {common}.")


def _meet(left: Type, right: Type, literals: tuple[int | None, int | None]) -> tuple[Type, Type]:
    """What two operands become where one is a string, or a decimal beside another number."""
    promoted = promote_string(left, right)
    if promoted is not None:
        return promoted, promoted
    one, other = _to_decimals(left, right, literals)
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        one = other = widen_decimals(one, other)
    return one, other


def _to_decimals(left: Type, right: Type, literals: tuple[int | None, int | None]) -> tuple[Type, Type]:
    """A whole number beside a decimal is one, with a literal's own digits; a decimal beside a fraction is none."""
    if isinstance(left, Decimal) == isinstance(right, Decimal):
        return left, right
    if left in FRACTIONS or right in FRACTIONS:
        return (DOUBLE, right) if isinstance(left, Decimal) else (left, DOUBLE)
    kinds = []
    for kind, literal in zip((left, right), literals, strict=True):
        decimal = tightest_decimal(literal) if literal is not None and kind in _SIZED_LITERALS else as_decimal(kind)
        kinds.append(decimal or kind)
    return kinds[0], kinds[1]


# --- arithmetic


def _is_whole(kind: Type) -> bool:
    return kind in INTEGERS


def _is_interval_or_number(kind: Type) -> bool:
    return is_number(kind) or isinstance(kind, Interval)


def _is_divisible(kind: Type) -> bool:
    return kind == BIGINT or isinstance(kind, Decimal) or is_ansi_interval(kind)


_ACCEPTS: Final[Mapping[str, tuple[Callable[[Type], bool], Type]]] = {
    "+": (_is_interval_or_number, DOUBLE),
    "-": (_is_interval_or_number, DOUBLE),
    "*": (is_number, DOUBLE),
    "%": (is_number, DOUBLE),
    "pmod": (is_number, DOUBLE),
    "/": (lambda kind: kind == DOUBLE or isinstance(kind, Decimal), DOUBLE),
    "div": (_is_divisible, BIGINT),
    **dict.fromkeys("&|^", (_is_whole, INT)),
    "and": (lambda kind: kind == BOOLEAN, BOOLEAN),
    "or": (lambda kind: kind == BOOLEAN, BOOLEAN),
}
"""What an operator takes, and what NULL is there."""


def _compute(operator: str, left: Type, right: Type, literals: tuple[int | None, int | None]) -> Type:
    accepts, default = _ACCEPTS[operator]
    promoted = promote_string(left, right)
    one, other = (promoted, promoted) if promoted is not None else _to_decimals(left, right, literals)
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return _combine(operator, one, other)
    one, other = _to_divide(operator, one, other)
    common = widen_tightly(one, other)
    if common is None or (one != other and not accepts(common)):
        raise refuse(_DIFFERENT, f"`{operator}` takes operands of one type, not {left} and {right}: cast one of them.")
    if common == VOID:
        return default
    if not accepts(common):
        raise refuse(_WRONG, f"`{operator}` does not take the type {common}.")
    if isinstance(common, Decimal):
        return _combine(operator, common, common)
    return BIGINT if operator == "div" else common


def _combine(operator: str, left: Decimal, right: Decimal) -> Type:
    """The result of two decimals, which need not have one type."""
    if operator == "div":
        return BIGINT
    if operator in {"&", "|", "^", "and", "or"}:
        condition = _WRONG if left == right else _DIFFERENT
        raise refuse(condition, f"`{operator}` does not take the types {left} and {right}.")
    return combine_decimals("%" if operator == "pmod" else operator, left, right)


def _to_divide(operator: str, left: Type, right: Type) -> tuple[Type, Type]:
    """`/` divides doubles or decimals, `div` bigints or decimals."""
    kinds = (left, right)
    divides = operator == "/" and all(is_number(kind) or kind == VOID for kind in kinds)
    if divides and (left == VOID or not any(isinstance(kind, Decimal) for kind in kinds)):
        return DOUBLE, DOUBLE
    if operator == "div":
        one, other = (BIGINT if kind in INTEGERS else kind for kind in kinds)
        return one, other
    return left, right


# --- dates, times and intervals


def _is_days(kind: Type) -> bool:
    return isinstance(kind, Interval) and kind.start is not None and not kind.of_months


def _is_months(kind: Type) -> bool:
    return isinstance(kind, Interval) and kind.of_months


def _shift(moment: Type, step: Type) -> Type | None:
    """A date or time moved by an interval; None where neither is meant."""
    if moment == DATE and _is_days(step):
        return DATE if step == _ONE_DAY else TIMESTAMP
    if _is_months(step):
        return moment if moment == DATE or is_moment(moment) else None
    if moment == DATE and step == _CALENDAR:
        return DATE
    if moment == TIME and _is_days(step):
        return TIME
    if not _is_days(step) and step != _CALENDAR:
        return None
    if moment == VOID:
        raise refuse("DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION", "NULL and an interval need a type: cast the NULL.")
    if is_moment(moment) or moment == STRING:
        return moment
    raise refuse(_UNEXPECTED, f"An interval is added to a date or timestamp, not to {moment}.")


def _are_intervals(left: Type, right: Type) -> bool:
    return (
        (left == right == _CALENDAR) or (_is_days(left) and _is_days(right)) or (_is_months(left) and _is_months(right))
    )


def _add(left: Type, right: Type) -> Type | None:
    if _are_intervals(left, right):
        return None
    for one, other in ((left, right), (right, left)):
        if one == VOID and is_ansi_interval(other):
            return other
    for moment, step in ((left, right), (right, left)):
        moved = _shift(moment, step) if isinstance(step, Interval) else None
        if moved is not None:
            return moved
    if VOID in {left, right} and (is_moment(left) or is_moment(right)):
        return right if left == VOID else left
    if DATE in {left, right}:
        return _add_days(right if left == DATE else left)
    return None


def _add_days(days: Type) -> Type:
    if days == VOID:
        return TIMESTAMP
    if days not in _DAYS:
        raise refuse(_UNEXPECTED, f"Days that are added to a date are whole numbers (INT), not {days}.")
    return DATE


def _subtract(left: Type, right: Type) -> Type | None:
    if _are_intervals(left, right):
        return None
    if VOID in {left, right}:
        for one, other in ((left, right), (right, left)):
            if one == VOID and is_ansi_interval(other):
                return other
    if right == _CALENDAR and left == VOID:
        return _shift(left, right)
    if isinstance(right, Interval):
        return _shift(left, right)
    if left == right == TIME:
        return Interval("hour", "second")
    return _difference(left, right)


def _difference(left: Type, right: Type) -> Type | None:
    if is_moment(left) or is_moment(right):
        other = right if is_moment(left) else left
        if is_moment(other) or other in {DATE, STRING, VOID}:
            return _DAY_TO_SECOND
        raise refuse(_UNEXPECTED, f"A timestamp and {other} have no difference.")
    if right == DATE:
        if left in {DATE, STRING, VOID}:
            return _ONE_DAY
        raise refuse(_UNEXPECTED, f"A date is not taken away from {left}.")
    if left == DATE:
        return _ONE_DAY if right in {STRING, VOID} else _add_days(right)
    return None


def _scale(interval: Type, factor: Type) -> Type:
    """An interval times, or divided by, a number."""
    if cast_to_kind(factor, "number") is None:
        raise refuse(_UNEXPECTED, f"An interval is multiplied by or divided by a number, not {factor}.")
    if interval == _CALENDAR:
        return _CALENDAR
    return _YEAR_TO_MONTH if _is_months(interval) else _DAY_TO_SECOND


def _multiply(left: Type, right: Type) -> Type | None:
    for kind in (lambda each: each == _CALENDAR, _is_months, _is_days):
        for one, other in ((left, right), (right, left)):
            if kind(one):
                return _scale(one, other)
    return None


def _divide(left: Type, right: Type) -> Type | None:
    return _scale(left, right) if isinstance(left, Interval) else None


_MOVES: Final[Mapping[str, Callable[[Type, Type], Type | None]]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
}


# --- signs


def type_unary(operator: str, kind: Type | None) -> Type | None:
    """Return the type of a sign, or of `~`. Raises SparkRefuses without a place."""
    one = close(kind)
    if one == UNKNOWN:
        return None
    if operator == "~":
        cast = cast_to_kind(one, "integral")
        return _taken(operator, one, cast)
    if one == STRING:
        return DOUBLE
    if isinstance(one, Interval):
        return one
    return _taken(operator, one, cast_to_kind(one, "number"))


def _taken(operator: str, kind: Type, cast: Type | None) -> Type:
    if cast is None:
        raise refuse(_UNEXPECTED, f"`{operator}` does not take the type {kind}.")
    return cast
