"""What functions of dates, times and intervals give where `functions.toml` cannot say it (see `results.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_server.sql.typed.call_checks import is_constant
from mcp_server.sql.typed.casts import can_store
from mcp_server.sql.typed.coercion import UNKNOWN, close, is_moment
from mcp_server.sql.typed.nodes import Call, Constant
from mcp_server.sql.typed.operators import refuse
from mcp_server.sql.typed.results import Kinds, Rule, whole_number
from mcp_server.sql.typed.types import (
    DATE,
    DOUBLE,
    INT,
    STRING,
    TIME,
    TIMESTAMP,
    TINYINT,
    VOID,
    Atomic,
    Decimal,
    Interval,
    Struct,
    Type,
    as_schema,
)

_ORDER: Final = ("year", "month", "day", "hour", "minute", "second")
_FIELDS: Final[Mapping[str, str]] = {
    word: field
    for field, words in {
        "year": "year y years yr yrs",
        "month": "month mon mons months",
        "day": "day d days",
        "hour": "hour h hours hr hrs",
        "minute": "minute m min mins minutes",
        "second": "second s sec seconds secs",
        "week": "week w weeks",
        "quarter": "quarter qtr",
        "other": "yearofweek dayofweek dow dayofweek_iso dow_iso doy",
    }.items()
    for word in words.split()
}
"""Words for the fields of dates, times and intervals (`Extract` of datetimeExpressions.scala)."""

_OF_TIMES: Final = frozenset({"hour", "minute", "second"})
_IN_INTERVALS: Final[Mapping[str, Type]] = {
    "month": TINYINT,
    "hour": TINYINT,
    "minute": TINYINT,
    "second": Decimal(8, 6),
}


def _part(call: Call, kinds: Kinds) -> Type:
    """A field of a date, time or interval: seconds have a fraction."""
    word, kind = call.arguments[0], kinds[1]
    if isinstance(word, Constant) and word.value is None:
        return DOUBLE
    if not isinstance(word, Constant) or not isinstance(word.value, str) or word.type != STRING:
        if word.type in {None, STRING} and is_constant(word):
            return UNKNOWN
        raise refuse("NON_FOLDABLE_ARGUMENT", f"The field in {call.name} is a constant text.")
    field = _FIELDS.get(word.value.lower())
    if kind == UNKNOWN:
        return UNKNOWN if field in {"second", *_IN_INTERVALS} else INT
    if field is None or (isinstance(kind, Interval) and not _has_field(kind, field)):
        raise refuse("INVALID_EXTRACT_FIELD", f"{word.value} is no field of {as_schema(kind)}.")
    if isinstance(kind, Interval):
        return _IN_INTERVALS.get(field, INT)
    return _field_of_moment(word.value, field, kind)


def _has_field(kind: Interval, field: str) -> bool:
    if kind.start is None or kind.end is None:
        return field in _ORDER
    return field in _ORDER[_ORDER.index(kind.start) : _ORDER.index(kind.end) + 1]


def _field_of_moment(word: str, field: str, kind: Type) -> Type:
    if str(kind).startswith("TIME(") or kind == TIME:
        if field not in _OF_TIMES:
            raise refuse("INVALID_EXTRACT_FIELD", f"{word} is no field of a time of day.")
    elif not (kind in {STRING, VOID} or can_store(kind, TIMESTAMP if field in _OF_TIMES else DATE)):
        text = f"{word} is a field of a date or timestamp, not of {as_schema(kind)}."
        raise refuse("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", text)
    return Decimal(8, 6) if field == "second" else INT


def _window(_: Call, kinds: Kinds) -> Type:
    """window and session_window: the ends are of the type of the moments."""
    kind = kinds[0]
    if isinstance(kind, Struct):
        return kind
    ends = kind if kind == UNKNOWN or is_moment(kind) else TIMESTAMP
    return Struct((("start", ends), ("end", ends)))


def _window_time(_: Call, kinds: Kinds) -> Type:
    kind = kinds[0]
    return close(kind.fields[0][1]) if isinstance(kind, Struct) and kind.fields else UNKNOWN


def _time_now(call: Call, _: Kinds) -> Type:
    """current_time(digits)."""
    if not call.arguments:
        return TIME
    digits = whole_number(call.arguments[0])
    return UNKNOWN if digits is None else TIME if digits == 6 else Atomic(f"time({digits})")


DATE_RULES: Final[Mapping[str, Rule]] = {
    "part": _part,
    "time_now": _time_now,
    "window": _window,
    "window_time": _window_time,
}
