"""Literals that the embedded engine reads otherwise than Spark, or not at all.

A doubled quote ends a text for Sail (`'it''s'` is `its`), the smallest whole numbers are read apart from their sign,
and
dates beyond the year 9999, times with the name of a zone and intervals at the ends of their range are errors. Spark
refuses `DATE '1999 Jan 08'`, of which Sail takes the year.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.make import constant, fill
from mcp_server.dialects.sail.rules.moments import (
    DAY_MICROS,
    NoZoneError,
    date_of,
    read_date,
    read_special_date,
    read_timestamp,
)
from mcp_server.dialects.sail.rules.spans import Span, read_span, read_value
from mcp_server.sql.compose import compose, quote_text
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Cast, Constant, Expression, IntervalLiteral
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BIGINT,
    DATE,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    TINYINT,
    Interval,
    Type,
)

_SMALLEST: Final = {-(2**7): TINYINT, -(2**15): SMALLINT, -(2**31): INT, -(2**63): BIGINT}
_MOST_MONTHS: Final = 2**31
_MOST_MICROS: Final = 2**63
_TYPED: Final = frozenset({DATE, TIMESTAMP, TIMESTAMP_NTZ})


def write_constant(node: Node, context: Context) -> Node | None:
    """Texts, the smallest whole numbers, dates and times."""
    if not isinstance(node, Constant) or node.at is None:
        return None
    if isinstance(node.value, str):
        if node.type in _TYPED:
            return _write_moment(node, context)
        return node.replace(text=quote_text(node.value), at=None) if node.type == STRING else None
    if isinstance(node.value, int) and _SMALLEST.get(node.value) == node.type:
        return Cast(operand=constant(str(node.value)), type=node.type)
    return None


def _write_moment(node: Constant, context: Context) -> Expression:
    text = str(node.value)
    found = (
        moment_literal(text, node.type, context)
        if node.type != DATE
        else date_literal(_days(text, context, special=True), context)
    )
    if found is None:
        raise SparkRefuses(
            "INVALID_TYPED_LITERAL", f"The value of {node.type} '{text}' is none. Write it as in '2026-01-31'.", node.at
        )
    return found


def _days(text: str, context: Context, *, special: bool) -> int | None:
    found = read_special_date(text, context.catalog.now()) if special else None
    return read_date(text) if found is None else found


def cast_text(text: str, kind: Type | None, context: Context) -> Expression | None:
    """A text that is cast to a date or a time, None where Spark reads none."""
    if kind == DATE:
        return date_literal(_days(text, context, special=False), context)
    return moment_literal(text, kind, context, special=False)


def date_literal(days: int | None, context: Context) -> Expression | None:
    """A day since 1970."""
    if days is None or not -(2**31) <= days < 2**31:
        return None
    year, month, day = date_of(days)
    if 1 <= year <= 9999:
        text = f"{year:04}-{month:02}-{day:02}"
        return Constant(text=compose("DATE {}", quote_text(text)), value=text, type=DATE)
    return fill(context, "date_from_unix_date({0})", constant(days), gives=DATE)


def moment_literal(text: str, kind: Type | None, context: Context, *, special: bool = True) -> Expression | None:
    """A text as a time. Without a zone, TIMESTAMP is of UTC; TIMESTAMP_NTZ keeps its own time. Errors: EngineLacks."""
    now = context.catalog.now()
    days = read_special_date(text, now) if special else None
    if days is not None and text.strip().lower() != "now":
        micros: int = days * DAY_MICROS
    elif days is not None:
        return fill(context, "current_timestamp()", gives=TIMESTAMP) if kind == TIMESTAMP else None
    else:
        try:
            found = read_timestamp(text, now)
        except NoZoneError as zone:
            raise lacking("time zone", f"a time with the zone {zone}", "Write its offset, as in +08:00.") from None
        if found is None:
            return None
        if kind == TIMESTAMP_NTZ and found.zoned:
            raise lacking("TIMESTAMP_NTZ", "a time without a zone whose text has one", "Leave the zone out.")
        micros = found.micros
    return _micros_literal(micros, kind, context)


def _micros_literal(micros: int, kind: Type | None, context: Context) -> Expression | None:
    if not -_MOST_MICROS <= micros < _MOST_MICROS:
        return None
    days, rest = divmod(micros, DAY_MICROS)
    year, month, day = date_of(days)
    if not 1 <= year <= 9999:
        found = fill(context, "timestamp_micros({0})", big(micros), gives=TIMESTAMP)
        return found if kind == TIMESTAMP else fill(context, "CAST({0} AS {t})", found, t=TIMESTAMP_NTZ)
    seconds, fraction = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    text = f"{year:04}-{month:02}-{day:02} {clock}" + (f".{fraction:06}" if fraction else "")
    word = "TIMESTAMP {}" if kind == TIMESTAMP else "TIMESTAMP_NTZ {}"
    return Constant(text=compose(word, quote_text(text)), value=text, type=kind)


def big(value: int) -> Expression:
    """A BIGINT, the smallest of which has no literal."""
    if value == -_MOST_MICROS:
        return Cast(operand=constant(str(value)), type=BIGINT)
    return constant(value, BIGINT)


def write_interval(node: Node, context: Context) -> Node | None:
    """Intervals, in one form of each kind."""
    if not isinstance(node, IntervalLiteral) or node in context.steps:
        return None
    if len(node.units) > 1 and any(" to " in unit for unit in node.units):
        raise SparkRefuses("_LEGACY_ERROR_TEMP_0024", "Write one interval of the form '1 2' DAY TO HOUR.", node.at)
    total = Span()
    for value, unit in zip(node.values, node.units, strict=True):
        text = _text_of(value)
        if text is None:
            return None
        found = read_value(text, unit) if unit else read_span(text)
        if found is None:
            raise SparkRefuses(
                "INVALID_INTERVAL_FORMAT", f"The interval '{text}' {unit.upper()} cannot be read.", node.at
            )
        total += found
    return span_literal(total, node.type, context)


def _text_of(node: Expression) -> str | None:
    """The text of a value, which may have a sign of its own."""
    if isinstance(node, Constant):
        return node.value if isinstance(node.value, str) else str(node.text)
    sign, inner = getattr(node, "operator", None), getattr(node, "operand", None)
    if sign in {"-", "+"} and isinstance(inner, Constant):
        text = _text_of(inner)
        if text is None or sign == "+":
            return text
        return text.strip()[1:] if text.strip().startswith("-") else f"-{text.strip().removeprefix('+')}"
    return None


def span_literal(span: Span, kind: Type | None, context: Context) -> Expression | None:
    """An interval of months, or of microseconds."""
    months = isinstance(kind, Interval) and kind.of_months
    if months or (span.months and not span.length):
        if not -_MOST_MONTHS <= span.months < _MOST_MONTHS:
            raise SparkRefuses("INVALID_INTERVAL_FORMAT.ARITHMETIC_EXCEPTION", "The interval is too long.")
        return months_of(constant(span.months), context, kind)
    if span.months:
        return None
    if not -_MOST_MICROS <= span.length < _MOST_MICROS:
        raise SparkRefuses("INVALID_INTERVAL_FORMAT.ARITHMETIC_EXCEPTION", "The interval is too long.")
    if abs(span.length) == _MOST_MICROS:
        return micros_of(big(span.length), context, kind)
    seconds, fraction = divmod(abs(span.length), 1_000_000)
    clock = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"
    text = f"{'-' if span.length < 0 else ''}{seconds // 86_400} {clock}"
    return Constant(text=compose("INTERVAL {} DAY TO SECOND", quote_text(text)), value=text, type=kind)


def months_of(count: Expression, context: Context, kind: Type | None) -> Expression:
    """So many months."""
    return fill(context, "make_ym_interval(0, {0})", count, gives=kind or Interval("year", "month"))


def micros_of(count: Expression, context: Context, kind: Type | None) -> Expression:
    """So many microseconds: the difference of two times has all of their range, and make_dt_interval has not."""
    return fill(context, "timestamp_micros({0}) - timestamp_micros(0)", count, gives=kind or Interval("day", "second"))
