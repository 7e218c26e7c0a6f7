"""What Spark 4.2 casts, by itself and where it is asked to (`AnsiTypeCoercion.implicitCast`, `Cast.canAnsiCast`).

Types are closed (`coercion.close`): what is not known is UNKNOWN, and everything is possible with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mcp_server.sql.typed.coercion import UNKNOWN, close, is_ansi_interval, is_moment, is_number
from mcp_server.sql.typed.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    FRACTIONS,
    INT,
    INTEGERS,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    VARIANT,
    VOID,
    Array,
    Atomic,
    Decimal,
    Interval,
    Map,
    Struct,
    Type,
)

_WITH_SUGGESTION: Final = "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION"
_WITH_SETTING: Final = "DATATYPE_MISMATCH.CAST_WITH_CONF_SUGGESTION"
_WITHOUT: Final = "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"

_MOMENTS: Final = (DATE, TIMESTAMP, TIMESTAMP_NTZ)


def can_store(source: Type, target: Type) -> bool:
    """Whether Spark assigns a value to a column of another type (`Cast.canANSIStoreAssign`)."""
    if UNKNOWN in {source, target} or source in {target, VOID}:
        return True
    if isinstance(source, Struct) and isinstance(target, Struct):
        names, others = ([name for name, _ in each.fields] for each in (source, target))
        if names != others:
            return False
    parts = _pair_parts(source, target)
    if parts is None:
        return _can_store_atom(source, target)
    return all(can_store(one or UNKNOWN, other or UNKNOWN) for one, other in parts)


def _pair_parts(source: Type, target: Type) -> list[tuple[Type | None, Type | None]] | None:
    """Pair the types within two arrays, two maps or two structs of as many fields; None for other types."""
    match source, target:
        case Array(one), Array(other):
            return [(one, other)]
        case Map(key, value), Map(other_key, other_value):
            return [(key, other_key), (value, other_value)]
        case Struct(fields), Struct(others) if len(fields) == len(others):
            return [(one[1], other[1]) for one, other in zip(fields, others, strict=True)]
    return None


def _can_store_atom(source: Type, target: Type) -> bool:
    if isinstance(source, (Array, Map, Struct)):
        return False
    if target == STRING:
        return True
    if is_number(source) and is_number(target):
        return True
    if is_ansi_interval(source) and isinstance(target, Interval) and isinstance(source, Interval):
        return target.start is not None and source.of_months == target.of_months
    return source in _MOMENTS and target in _MOMENTS


# --- what a function takes


def _is(*kinds: Type) -> Callable[[Type], bool]:
    return lambda kind: kind in kinds


ABSTRACT: Final[Mapping[str, tuple[Callable[[Type], bool], Type]]] = {
    "number": (is_number, DOUBLE),
    "integral": (_is(*INTEGERS), INT),
    "decimal": (lambda kind: isinstance(kind, Decimal), Decimal(38, 18)),
    "moment": (is_moment, TIMESTAMP),
    "months": (lambda kind: isinstance(kind, Interval) and kind.of_months, Interval("year", "month")),
    "days": (
        lambda kind: isinstance(kind, Interval) and kind.start is not None and not kind.of_months,
        Interval("day", "second"),
    ),
    "array": (lambda kind: isinstance(kind, Array), Array(VOID)),
    "map": (lambda kind: isinstance(kind, Map), Map(VOID, VOID)),
    "struct": (lambda kind: isinstance(kind, Struct), Struct(())),
    "any": (lambda _: True, VOID),
}
"""Kinds of types that functions take: which types are of that kind, and what NULL becomes there."""

_TEXTS_BECOME: Final = ("number", "decimal", "moment")


def cast_to_kind(source: Type, kind: str) -> Type | None:
    """Return what an argument becomes where a function takes a kind of types; None where Spark does not cast it."""
    accepts, default = ABSTRACT[kind]
    if source == UNKNOWN or accepts(source):
        return source
    if source == VOID:
        return default
    if kind == "decimal" and is_number(source):
        return decimal_for(source)
    if source == STRING:
        return default if kind in _TEXTS_BECOME else None
    refused = kind in {"array", "map", "struct"} or (kind == "integral" and is_number(source))
    return default if not refused and can_store(source, default) else None


def cast_implicitly(source: Type, target: Type) -> Type | None:
    """Return what an argument becomes where a function takes a type; None where Spark does not cast it."""
    if target == UNKNOWN:
        return source
    if source in {target, VOID, UNKNOWN}:
        return target
    if source == STRING:
        return target if isinstance(target, (Atomic, Decimal)) and target != VARIANT else _interval_of_text(target)
    if isinstance(source, Array) and isinstance(target, Array):
        element = cast_implicitly(source.element or UNKNOWN, target.element or UNKNOWN)
        return None if element is None else Array(element)
    return target if can_store(source, target) else None


def _interval_of_text(target: Type) -> Type | None:
    return target if is_ansi_interval(target) else None


def decimal_for(kind: Type) -> Decimal:
    """Return the decimal that Spark makes of a number (`DecimalType.forType`)."""
    sizes = {
        "tinyint": (3, 0),
        "smallint": (5, 0),
        "int": (10, 0),
        "bigint": (20, 0),
        "float": (14, 7),
        "double": (30, 15),
    }
    return kind if isinstance(kind, Decimal) else Decimal(*sizes[str(kind).lower()])


# --- CAST and TRY_CAST


_NUMBERS: Final = "number"
_CASTS: Final[Mapping[str, frozenset[str]]] = {
    "boolean": frozenset({"boolean", "number", "string", "variant"}),
    "integer": frozenset({"boolean", "number", "string", "timestamp", "variant", "interval"}),
    "fraction": frozenset({"boolean", "number", "string", "timestamp", "variant"}),
    "decimal": frozenset({"boolean", "number", "string", "timestamp", "variant", "interval"}),
    "binary": frozenset({"binary", "string", "variant"}),
    "date": frozenset({"string", "date", "timestamp", "timestamp_ntz", "variant"}),
    "timestamp": frozenset({"number", "string", "date", "timestamp", "timestamp_ntz", "variant", "time"}),
    "timestamp_ntz": frozenset({"string", "date", "timestamp", "timestamp_ntz", "variant", "time"}),
    "time": frozenset({"integer", "decimal", "string", "variant", "time"}),
    "variant": frozenset(
        {"boolean", "number", "string", "binary", "date", "timestamp", "timestamp_ntz", "variant", "nested"}
    ),
}
"""What values of a class of types are cast to. Measured; strings become everything that is not nested."""


def _class_of(kind: Type) -> str:
    if kind in INTEGERS:
        return "integer"
    if isinstance(kind, Decimal):
        return "decimal"
    if kind in FRACTIONS:
        return "fraction"
    if isinstance(kind, (Array, Map, Struct)):
        return "nested"
    return "interval" if isinstance(kind, Interval) else str(kind).lower()


def refused_cast(source: Type | None, target: Type | None, *, tries: bool = False) -> str:
    """Return the condition with which Spark refuses to cast a value; nothing where it casts it."""
    one, other = close(source), close(target)
    if _can_cast(one, other):
        return ""
    kinds = _class_of(one), _class_of(other)
    numbers = {"integer", "decimal", "fraction"}
    if (kinds[0] == "date" and kinds[1] in numbers) or (kinds[0] in numbers and other == DATE):
        return _WITH_SUGGESTION
    legacy = kinds in {("boolean", "timestamp"), ("integer", "binary")}
    legacy = legacy or (other == BOOLEAN and one in {DATE, TIMESTAMP})
    return _WITH_SETTING if legacy and not tries else _WITHOUT


def _can_cast(source: Type, target: Type) -> bool:
    if UNKNOWN in {source, target} or source in {target, VOID}:
        return True
    parts = _pair_parts(source, target)
    if parts is None:
        return _can_cast_atom(source, target)
    return all(_can_cast(one or UNKNOWN, other or UNKNOWN) for one, other in parts)


def _can_cast_atom(source: Type, target: Type) -> bool:
    kind, wanted = _class_of(source), _class_of(target)
    if kind == "nested":
        return target == STRING or (target == VARIANT and not isinstance(source, Map))
    if source == STRING:
        return wanted != "nested"
    if isinstance(source, Interval):
        return _can_cast_interval(source, target)
    allowed = _CASTS.get(kind, frozenset())
    if isinstance(target, Interval):
        return "interval" in allowed and target.start is not None
    return wanted in allowed or (wanted in {"integer", "fraction", "decimal"} and _NUMBERS in allowed)


def _can_cast_interval(source: Interval, target: Type) -> bool:
    if isinstance(target, Interval):
        return (
            source.start is None
            if target.start is None
            else source.of_months == target.of_months and bool(source.start)
        )
    if target == STRING:
        return True
    return source.start is not None and (target in INTEGERS or isinstance(target, Decimal))
