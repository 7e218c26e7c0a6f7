"""Literals that Spark's parser refuses: numbers beyond their type; dates, timestamps and intervals that are none."""

from __future__ import annotations

import calendar
import decimal
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.operators import refuse
from mcp_server.sql.typed.types import (
    DATE,
    DOUBLE,
    FLOAT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    Interval,
    Type,
    range_of_type,
)

_WORDS: Final = re.compile(r"(?:epoch|now|today|tomorrow|yesterday)\b", re.IGNORECASE)
_DAY: Final = re.compile(r"[+-]?(\d{4,7})(?:-(\d{1,2})(?:-(\d{1,2})([ T].*)?)?)?", re.DOTALL)
_TIME: Final = re.compile(
    r"[ T]\s*+(?:(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.\d*+)?)?)?)?\s*+(?:[A-Za-z+-].*+)?", re.DOTALL
)
_BEGINS_YEAR: Final = re.compile(r"[+-]?\d{4,7}-")
_INTERVAL: Final = re.compile(r"interval\s+", re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")
_LONG_NUMBER: Final = re.compile(r"[+-]?\d{8,}")


_LARGEST: Final[Mapping[Type, float]] = {FLOAT: (2 - 2**-23) * 2.0**127, DOUBLE: sys.float_info.max}


def check_constant(node: nodes.Constant) -> None:
    """Refuse a literal whose text is no value of its type. Raises SparkRefuses."""
    _check_number(node)
    _check_moment(node)


def _check_number(node: nodes.Constant) -> None:
    """300Y and 1e400 (`AstBuilder.numericLiteral`)."""
    if node.type is None or not isinstance(node.value, int | decimal.Decimal):
        return
    most = _LARGEST.get(node.type)
    held = range_of_type(node.type) if most is None else (-most, most)
    if held is not None and not held[0] <= node.value <= held[1]:
        text = f"{node.text} is outside of what {node.type} holds. Write a smaller number, or one of another type."
        raise refuse("INVALID_NUMERIC_LITERAL_RANGE", text)


def _check_moment(node: nodes.Constant) -> None:
    """DATE '…' and TIMESTAMP '…' that are none (`DateTimeUtils.stringToDate`)."""
    if node.type in {DATE, TIMESTAMP, TIMESTAMP_NTZ} and isinstance(node.value, str):
        value = node.value.strip()
        if not _WORDS.match(value) and not _is_moment(value, is_date=node.type == DATE):
            word = "DATE" if node.type == DATE else "TIMESTAMP"
            text = f"{word} '{value}' is no such value. Write {word} '2026-01-31', with digits of the calendar."
            raise refuse("INVALID_TYPED_LITERAL", text)


def _is_moment(value: str, *, is_date: bool) -> bool:
    found = _DAY.fullmatch(value)
    if found is None:
        # Times without a day are timestamps, too, in more forms than are looked at here.
        return not is_date and not _BEGINS_YEAR.match(value) and _may_be_time(value)
    year, month, day, rest = found.groups()
    if not is_date and rest and not _is_time(rest):
        return False
    leap = calendar.isleap(int(year) % 400 + 400)
    months = 1 <= int(month or 1) <= 12
    return months and 1 <= int(day or 1) <= calendar.monthrange(2024 if leap else 2023, int(month or 1))[1]


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    return found is not None and all(
        int(part or 0) <= most for part, most in zip(found.groups(), (23, 59, 59), strict=True)
    )


def _may_be_time(value: str) -> bool:
    return _DIGIT.search(value) is not None and _LONG_NUMBER.fullmatch(value) is None


# --- intervals


_SPANS: Final[Mapping[str, re.Pattern[str]]] = {
    "year to month": re.compile(r"[+|-]?\d{1,19}-\d{1,19}"),
    "day to hour": re.compile(r"[+|-]?\d{1,19} \d{1,2}"),
    "day to minute": re.compile(r"[+|-]?\d{1,19} \d{1,2}:\d{1,2}"),
    "day to second": re.compile(r"[+|-]?\d{1,19} \d{1,2}:\d{1,2}:\d{1,2}(\.\d{1,9})?"),
    "hour to minute": re.compile(r"[+|-]?\d{1,19}:\d{1,2}"),
    "hour to second": re.compile(r"[+|-]?\d{1,19}:\d{1,2}:\d{1,2}(\.\d{1,9})?"),
    "minute to second": re.compile(r"[+|-]?\d{1,19}:\d{1,2}(\.\d{1,9})?"),
}
"""The forms of `IntervalUtils.scala`."""

_ORDER: Final = ("year", "month", "day", "hour", "minute", "second")
_UNITS: Final[Mapping[str, str]] = {
    **{name: name for name in _ORDER},
    "week": "day",
    "quarter": "month",
    "millisecond": "second",
    "microsecond": "second",
}
_PAIR: Final = re.compile(
    r"[+-]?\s{0,20}+(?:\d{1,400}+(?:\.\d{0,9}+)?|\.\d{1,9}+)\s{1,20}+"
    r"(year|month|week|day|hour|minute|second|millisecond|microsecond)s?(?:\s{1,20}+|$)",
    re.IGNORECASE,
)


def type_interval(node: nodes.IntervalLiteral) -> Type | None:
    """Return the type of an interval: the fields that it has, and those between. Raises SparkRefuses."""
    if "" in node.units:
        return _type_text(node)
    ranges = [unit for unit in node.units if " to " in unit]
    if ranges:
        if len(node.units) > 1:
            raise refuse("_LEGACY_ERROR_TEMP_0024", "INTERVAL '…' DAY TO HOUR stands alone: add others to it.")
        return _type_range(node.values[0], ranges[0])
    if "nanosecond" in node.units:
        raise refuse("INVALID_INTERVAL_FORMAT.INVALID_UNIT", "Spark has no nanoseconds: write microseconds.")
    fields = [_UNITS.get(unit) for unit in node.units]
    known = [field for field in fields if field is not None]
    return _type_fields(known) if len(known) == len(fields) else None


def _type_range(value: nodes.Expression, span: str) -> Type:
    form = _SPANS.get(span)
    if form is None:
        raise refuse("INVALID_INTERVAL_FORMAT.UNSUPPORTED_FROM_TO_EXPRESSION", f"There is no interval {span}.")
    if isinstance(value, nodes.Constant) and value.type == STRING and not form.fullmatch(str(value.value).strip()):
        kind = "UNMATCHED_FORMAT_STRING" + ("" if span == "year to month" else "_WITH_NOTICE")
        raise refuse(f"INVALID_INTERVAL_FORMAT.{kind}", f"'{value.value}' is not of the form of {span.upper()}.")
    start, _, end = span.partition(" to ")
    return Interval(start, end)


def _type_text(node: nodes.IntervalLiteral) -> Type | None:
    """INTERVAL '1 day 2 hours'."""
    value = node.values[0]
    if not isinstance(value, nodes.Constant) or not isinstance(value.value, str):
        return None
    text = value.value.strip()
    word = _INTERVAL.match(text)
    text = text if word is None else text[word.end() :]
    fields: list[str] = []
    place = 0
    while found := _PAIR.match(text, place):
        fields.append(_UNITS[found[1].lower()])
        place = found.end()
    if not fields or place < len(text):
        raise refuse("INVALID_TYPED_LITERAL", f"INTERVAL '{value.value}' is none: write INTERVAL '1 day 2 hours'.")
    return _type_fields(fields)


def _type_fields(names: Sequence[str]) -> Type:
    places = sorted(_ORDER.index(name) for name in names)
    start, end = _ORDER[places[0]], _ORDER[places[-1]]
    if (start in _ORDER[:2]) != (end in _ORDER[:2]):
        text = "An interval has years and months, or days and less, not both: add two intervals."
        raise refuse("_LEGACY_ERROR_TEMP_0029", text)
    return Interval(start, end)
