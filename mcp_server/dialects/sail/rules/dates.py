"""Functions of dates and times that Sail answers otherwise than Spark."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal as Number
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.casts import write_cast
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.data import sail
from mcp_server.dialects.sail.rules.intervals import extract_field, interval_of
from mcp_server.dialects.sail.rules.kinds import has_fraction, is_number, is_string, is_time
from mcp_server.dialects.sail.rules.literals import big, date_literal
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill, renew
from mcp_server.dialects.sail.rules.moments import DAY_MICROS, days_of
from mcp_server.dialects.sail.rules.numbers import CallRule, whole_constant
from mcp_server.dialects.sail.rules.patterns import read_text
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Cast, Constant, Expression
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BIGINT,
    DATE,
    DOUBLE,
    FRACTIONS,
    INT,
    TIMESTAMP,
    VOID,
    Decimal,
    Interval,
    Type,
)

_MICROSECONDS: Final = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": DAY_MICROS,
    "WEEK": 7 * DAY_MICROS,
}
_MONTHS: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
"""Units between times, and how long they are."""

_MOST_SECONDS: Final = 9_223_372_036
"""Sail counts nanoseconds, in 64 bits."""

_DATE_UNITS: Final = frozenset({"YEAR", "YYYY", "YY", "QUARTER", "MONTH", "MM", "MON", "WEEK"})
_TIME_UNITS: Final = frozenset({"DAY", "DD", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"})

_REACHED: Final = (
    "CAST(timestamp_micros(unix_micros({last}) - (unix_micros({first}) % {day} + {day}) % {day} "
    "+ if({last} < {first}, {rest}, 0)) AS DATE)"
)


def cast_now(node: Expression, kind: Type, context: Context) -> Expression:
    """A cast in Sail's words."""
    made = cast_to(node, kind)
    found = write_cast(made, context) if made is not node else None
    return found if isinstance(found, Expression) else made


def write_field(node: Call, context: Context) -> Node | None:
    """extract(f FROM x) and date_part('f', x): some fields, and the parts of an interval."""
    if len(node.arguments) != 2:
        return None
    field, value = read_text(node.arguments[0]), node.arguments[1]
    if field is None:
        is_null = isinstance(node.arguments[0], Constant) and node.arguments[0].type == VOID
        return constant(None, DOUBLE) if is_null else None
    if isinstance(value.type, Interval):
        found = extract_field(field, value, context)
        if found is None:
            raise lacking(node.name, "the parts of this interval as Spark does", "Take the parts of dates and times.")
        return found
    if is_string(value.type):
        value = cast_now(value, TIMESTAMP, context)
    form = sail().fields.get(field.lower())
    if form is not None:
        return fill(context, form, constant(field), value, gives=INT)
    return renew(node, arguments=(node.arguments[0], value))


def write_truncated(node: Call, context: Context) -> Node | None:
    """trunc and date_trunc: a unit that there is none of gives null; a date becomes its midnight."""
    if len(node.arguments) != 2:
        return None
    of_date = node.name == "trunc"
    unit = read_text(node.arguments[1] if of_date else node.arguments[0])
    units = _DATE_UNITS if of_date else _DATE_UNITS | _TIME_UNITS
    if unit is not None and unit.upper() not in units:
        return constant(None, DATE if of_date else TIMESTAMP)
    if of_date:
        return None
    return fill(context, "date_trunc({0}, CAST({1} AS TIMESTAMP))", *node.arguments, gives=node.type)


def write_difference(node: Call, context: Context) -> Node | None:
    """Whole units between two times, as Java counts them; Sail counts midnights, and begun units below zero.

    Months are those of `LocalDateTime.until`: the later date counts only if its time of day is reached.
    """
    if len(node.arguments) == 2:
        days = tuple(each if each.type == DATE else cast_now(each, DATE, context) for each in node.arguments)
        return fill(context, "CAST({0} AS INT)", node.replace(arguments=days))
    if len(node.arguments) != 3:
        return None
    unit = (read_text(node.arguments[0]) or "").upper()
    first, last = (
        each if each.type == TIMESTAMP else cast_now(each, TIMESTAMP, context) for each in node.arguments[1:]
    )
    if unit in _MICROSECONDS:
        template = "(unix_micros({0}) - unix_micros({1})) DIV {n}"
        return fill(context, template, last, first, n=big(_MICROSECONDS[unit]), gives=BIGINT)
    if unit not in _MONTHS:
        return None
    reached = fill(context, _REACHED, first=first, last=last, day=big(DAY_MICROS), rest=big(DAY_MICROS - 1))
    place = "((year({0}) * 12 + month({0})) * 32 + day({0}))"
    return fill(
        context,
        f"({place} - {place.replace('{0}', '{1}')}) DIV {{n}}",
        reached,
        cast_to(first, DATE),
        n=32 * _MONTHS[unit],
        gives=BIGINT,
    )


def write_moved(node: Call, context: Context) -> Node | None:
    """date_add and date_sub of a date and days, whose texts Sail reads otherwise."""
    if len(node.arguments) != 2:
        return None
    date, days = node.arguments
    if has_fraction(days.type):
        raise lacking(node.name, "a fraction of days as Spark does, which refuses it", "Give whole days.")
    if is_string(days.type):
        days = cast_now(days, INT, context)
    if is_string(date.type) or is_time(date.type):
        date = cast_now(date, DATE, context)
    return renew(node, arguments=(date, days))


def write_date(node: Call, context: Context) -> Node | None:
    """to_date(x) and try_to_date(x) are casts."""
    if len(node.arguments) != 1:
        return None
    made = Cast(operand=node.arguments[0], type=DATE, tries=node.name.startswith("try_"))
    return write_cast(made, context) or made


def write_timestamp(node: Call, _: Context) -> Node | None:
    """to_timestamp(n): a number is one of seconds, and of microseconds to Sail."""
    if len(node.arguments) == 2:
        text, pattern = map(read_text, node.arguments)
        if pattern == "yy" and text is not None and text[:1] in {"-", "+"} and not node.name.startswith("try_"):
            raise SparkRefuses("CANNOT_PARSE_TIMESTAMP", f"'{text}' is no time of the form {pattern}.", node.at)
    if len(node.arguments) != 1 or not is_number(node.arguments[0].type):
        return None
    tries = node.name.startswith("try_")
    return Cast(operand=node.arguments[0], type=TIMESTAMP, tries=tries)


def write_seconds(node: Call, context: Context) -> Node | None:
    """timestamp_seconds: of a double Spark cuts off what is less than a microsecond, of a decimal it refuses it."""
    if not node.arguments:
        return None
    value = node.arguments[0]
    if value.type in FRACTIONS:
        return fill(context, "timestamp_micros(CAST({0} * 1E6D AS BIGINT))", value, gives=TIMESTAMP)
    if isinstance(value.type, Decimal) and value.type.scale > 6:
        template = (
            "timestamp_micros(CAST(if(round({0}, 6) = {0}, CAST(round({0}, 6) AS DECIMAL(20,6)) * 1000000, "
            "CAST('Rounding necessary' AS DECIMAL(30,6))) AS BIGINT))"
        )
        return fill(context, template, value, gives=TIMESTAMP)
    return None


def check_pattern(node: Call, _: Context) -> Node | None:
    """The session is in UTC, which Sail calls Etc/UTC."""
    pattern = read_text(node.arguments[1]) if len(node.arguments) == 2 else None
    if pattern is not None and set("".join(pattern.split("'")[::2])) & {"z", "V"}:
        raise lacking("date_format", "the name of a time zone", "All times here are UTC: write 'UTC' as text.")
    return None


def write_made_date(node: Call, context: Context) -> Node | None:
    """make_date of a year that Sail has no date of."""
    numbers = [whole_constant(each) for each in node.arguments]
    if len(numbers) != 3 or None in numbers:
        return None
    year, month, day = (number or 0 for number in numbers)
    days = days_of(year, month, day)
    if days is None:
        raise SparkRefuses("DATETIME_FIELD_OUT_OF_BOUNDS", f"There is no date {year}-{month}-{day}.", node.at)
    return None if 1 <= year <= 9999 else date_literal(days, context)


def write_unix(node: Call, _: Context) -> Node | None:
    """unix_seconds and the like: Sail cuts what is before 1970 off towards zero."""
    if node.arguments and node.arguments[0].type == DATE:
        raise SparkRefuses(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", f"{node.name} takes a TIMESTAMP: CAST(d AS TIMESTAMP).", node.at
        )
    return None


def write_made_days(node: Call, context: Context) -> Node | None:
    """make_dt_interval, which Sail gives NULL for where it is long, and rounds seconds of."""
    if not node.arguments:
        return None
    units = ("86400000000", "3600000000", "60000000")
    terms = [f"CAST({{{at}}} AS DECIMAL(20,0)) * {unit}BD" for at, unit in enumerate(units[: len(node.arguments)])]
    if len(node.arguments) > 3:
        terms.append("CAST(CAST({3} AS DECIMAL(18,6)) * 1000000BD AS DECIMAL(20,0))")
    return interval_of(fill(context, " + ".join(terms), *node.arguments), node.type, context)


def _is_long(value: object) -> bool:
    return isinstance(value, int | Number) and abs(Number(value)) > _MOST_SECONDS


def write_made_interval(node: Call, context: Context) -> Node | None:
    """make_interval, which Sail gives NULL for where its seconds are many: hours are taken out of them.

    Errors: EngineLacks for more than 292 years of seconds, which its intervals do not hold.
    """
    seconds = node.arguments[6] if len(node.arguments) == 7 else None
    if isinstance(seconds, Constant) and _is_long(seconds.value):
        raise lacking("make_interval", "so many seconds", "Give them as days.")
    if len(node.arguments) != 7 or isinstance(node.arguments[6].type, Interval):
        return None
    template = (
        "make_interval({0}, {1}, {2}, {3}, {4} + CAST(CAST({6} AS DECIMAL(16,6)) DIV 3600 AS INT), {5}, "
        "CAST({6} AS DECIMAL(16,6)) % 3600)"
    )
    return fill(context, template, *node.arguments, gives=node.type)


RULES: Final[Mapping[str, CallRule]] = {
    "date_add": write_moved,
    **dict.fromkeys(("date_diff", "datediff", "timediff", "timestampdiff"), write_difference),
    "date_format": check_pattern,
    **dict.fromkeys(("date_part", "datepart", "extract"), write_field),
    "date_sub": write_moved,
    "date_trunc": write_truncated,
    "dateadd": write_moved,
    "make_date": write_made_date,
    "make_dt_interval": write_made_days,
    "make_interval": write_made_interval,
    "timestamp_seconds": write_seconds,
    "to_date": write_date,
    "try_to_date": write_date,
    "to_timestamp": write_timestamp,
    "trunc": write_truncated,
    "try_to_timestamp": write_timestamp,
    **dict.fromkeys(("unix_micros", "unix_millis", "unix_seconds"), write_unix),
}
