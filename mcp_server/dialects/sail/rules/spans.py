"""Texts of intervals as Spark reads them: `stringToInterval`, `fromDayTimeString` and the like of `IntervalUtils`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MICROS: Final = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 7 * 86_400_000_000,
}
_DAYS: Final = {"day": 1, "week": 7}
MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
FIELDS: Final = ("day", "hour", "minute", "second")
_LIMITS: Final = {"hour": 23, "minute": 59, "second": 59}

_PAIR: Final = re.compile(
    r"\s{0,20}+([+-]?)\s{0,20}+(\d{1,400}+)?(?:(\.)(\d{0,9}+))?\s{1,20}+([a-z]++)", re.IGNORECASE | re.ASCII
)
_AMOUNT: Final = re.compile(r"([+-]?)\s*(\d{1,400})(?:(\.)(\d{0,9}))?", re.ASCII)
_PREFIX: Final = re.compile(r"\s*interval\s+", re.IGNORECASE | re.ASCII)
_YEAR_MONTH: Final = re.compile(r"([+-]?)(\d{1,400})-(\d{1,400})", re.ASCII)
_SECONDS: Final = re.compile(r"(\d{1,400})(?:\.(\d{1,9}))?", re.ASCII)
_QUOTED: Final = re.compile(
    r"\s{0,20}+interval\s{0,20}+([+-]?)\s{0,20}+'([^']{0,400}+)'\s{0,20}+([a-z]{1,20}+(?:\s{1,20}+to\s{1,20}+[a-z]{1,20}+)?)"
    r"\s{0,20}+",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class Span:
    """An interval: `months`, `days` and `micros` apart, as CalendarInterval keeps them."""

    months: int = 0
    days: int = 0
    micros: int = 0

    def __add__(self, other: Span) -> Span:
        return Span(self.months + other.months, self.days + other.days, self.micros + other.micros)

    def __neg__(self) -> Span:
        return Span(-self.months, -self.days, -self.micros)

    @property
    def length(self) -> int:
        """Days, of 24 hours, and microseconds together, in microseconds."""
        return self.days * MICROS["day"] + self.micros


def read_span(text: str) -> Span | None:
    """Read `1 day -2 hours`, with or without `interval` before it; None where Spark reads no interval."""
    prefix = _PREFIX.match(text)
    at = prefix.end() if prefix is not None else 0
    end = len(text.rstrip())
    total, found = Span(), False
    while at < end:
        match = _PAIR.match(text, at)
        if match is None or (match[2] is None and not match[4]):
            return None
        one = _read_pair(match[1], match[2] or "0", match[4] if match[3] else None, match[5].lower())
        if one is None:
            return None
        total, found, at = total + one, True, match.end()
        if at < end and not text[at].isspace():
            return None
    return total if found else None


def read_value(value: str, unit: str) -> Span | None:
    """Read a value with a unit, which may be `day to second`. The value may have a sign and a fraction of seconds."""
    text = value.strip()
    first, _, last = unit.partition(" to ")
    if last:
        negative = text.startswith("-")
        return _read_range(text.lstrip("+-") if text[:1] in {"+", "-"} else text, first, last, negative=negative)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    return _read_pair(match[1], match[2], match[4] if match[3] else None, first)


def read_quoted(text: str) -> tuple[Span, str] | None:
    """Read `INTERVAL '1 2' DAY TO HOUR` within a text: the interval and its unit."""
    match = _QUOTED.fullmatch(text)
    if match is None:
        return None
    unit = " ".join(match[3].lower().split())
    found = read_value(match[2], unit)
    return None if found is None else (-found if match[1] == "-" else found, unit)


_MOST_DIGITS = 19
"""Of a number in an interval: no more fit 64 bits."""


def _read_pair(sign: str, whole: str, fraction: str | None, unit: str) -> Span | None:
    name = unit.removesuffix("s")
    if len(whole) > _MOST_DIGITS:
        return None
    factor = -1 if sign == "-" else 1
    if name in MONTHS and fraction is None:
        return Span(months=factor * int(whole) * MONTHS[name])
    if name not in MICROS or (fraction is not None and name != "second"):
        return None
    if name in _DAYS:
        return Span(days=factor * int(whole) * _DAYS[name])
    micros = int(whole) * MICROS[name] + int((fraction or "0").ljust(9, "0")[:9]) // 1000
    return Span(micros=factor * micros)


def _read_range(text: str, first: str, last: str, *, negative: bool) -> Span | None:
    if (first, last) == ("year", "month"):
        match = _YEAR_MONTH.fullmatch(text)
        if match is None or int(match[3]) > 11:
            return None
        found = Span(months=int(match[2]) * 12 + int(match[3]))
        return -found if negative else found
    if first not in FIELDS or last not in FIELDS:
        return None
    parts = _split_fields(text, FIELDS[FIELDS.index(first) : FIELDS.index(last) + 1])
    if parts is None:
        return None
    return Span(micros=-parts if negative else parts)


def _split_fields(text: str, fields: Sequence[str]) -> int | None:
    """The microseconds of `1 2:3:4.5`, the first of whose fields has no limit."""
    pieces = text.split(":") if fields[0] != "day" else [*text.split(" ", 1)[:1], *text.split(" ", 1)[-1].split(":")]
    if len(pieces) != len(fields):
        return None
    total = 0
    for index, (field, piece) in enumerate(zip(fields, pieces, strict=True)):
        match = _SECONDS.fullmatch(piece)
        if match is None or (match[2] is not None and field != "second"):
            return None
        if index and int(match[1]) > _LIMITS[field]:
            return None
        total += int(match[1]) * MICROS[field] + int((match[2] or "0").ljust(9, "0")) // 1000
    return total
