"""Arithmetic with intervals, which Sail has for some operands only: a product with a whole number, sums, comparisons.

An interval of days to seconds is a number of microseconds, one of years to months a number of months; what Sail has no
operator for is done with those numbers, in decimals, which fail where Spark does. Spark rounds half up
(`intervalExpressions.scala`).
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import (
    has_fraction,
    is_calendar,
    is_days,
    is_integer,
    is_months,
    is_number,
    is_string,
)
from mcp_server.dialects.sail.rules.literals import micros_of, months_of, span_literal
from mcp_server.dialects.sail.rules.make import constant, fill
from mcp_server.dialects.sail.rules.spans import MICROS, MONTHS, Span, read_quoted, read_span, read_value
from mcp_server.sql.typed.nodes import Binary, Call, Cast, Constant, Expression
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BIGINT,
    INT,
    STRING,
    TINYINT,
    Decimal,
    Interval,
    Type,
)

_MICROS: Final = "unix_micros(timestamp_micros(0) + {0})"
_WHOLE: Final = Decimal(38, 0)
_FIELDS: Final[dict[str, tuple[str, Type]]] = {
    "day": ("CAST({n} DIV 86400000000 AS INT)", INT),
    "hour": ("CAST({n} DIV 3600000000 % 24 AS TINYINT)", TINYINT),
    "minute": ("CAST({n} DIV 60000000 % 60 AS TINYINT)", TINYINT),
    "second": ("CAST(CAST({n} % 60000000 AS DECIMAL(8,0)) * 0.000001BD AS DECIMAL(8,6))", Decimal(8, 6)),
    "year": ("CAST({n} DIV 12 AS INT)", INT),
    "month": ("CAST({n} % 12 AS TINYINT)", TINYINT),
}
"""A field of an interval, of its microseconds or months {n}."""

_NAMES: Final = {
    "year": "year", "y": "year", "years": "year", "yr": "year", "yrs": "year", "month": "month", "mon": "month",
    "mons": "month", "months": "month", "day": "day", "d": "day", "days": "day", "hour": "hour", "h": "hour",
    "hours": "hour", "hr": "hour", "hrs": "hour", "minute": "minute", "m": "minute", "min": "minute", "mins": "minute",
    "minutes": "minute", "second": "second", "s": "second", "sec": "second", "seconds": "second", "secs": "second",
}  # fmt: skip


def number_of(node: Expression, context: Context) -> Expression:
    """The microseconds, or months, of an interval."""
    if is_months(node.type):
        return fill(context, "CAST({0} AS BIGINT)", _as_all(node), gives=BIGINT)
    return fill(context, _MICROS, node, gives=BIGINT)


def _as_all(node: Expression) -> Expression:
    return node.replace(type=Interval("year", "month")) if isinstance(node, Call) else node


def interval_of(count: Expression, kind: Type | None, context: Context) -> Expression:
    """An interval of so many microseconds or months; `count` is a decimal, which fails where it is too large."""
    if is_months(kind):
        return months_of(fill(context, "CAST({0} AS INT)", count), context, kind)
    return micros_of(fill(context, "CAST({0} AS BIGINT)", count), context, kind)


def tried_interval_of(count: Expression, kind: Type | None, context: Context) -> Expression:
    """The same, NULL where it is too large."""
    if is_months(kind):
        return months_of(fill(context, "TRY_CAST({0} AS INT)", count), context, kind)
    return micros_of(fill(context, "TRY_CAST({0} AS BIGINT)", count), context, kind)


def compute_interval(node: Binary, context: Context) -> Expression | None:
    """A product or a quotient of an interval and a number."""
    left, right = node.left, node.right
    if node.operator == "*" and is_number(left.type):
        left, right = right, left
    if node.operator not in {"*", "/"} or is_calendar(left.type) or not is_number(right.type):
        return None
    return interval_of(scaled(node.operator, left, right, context), node.type, context)


def scaled(operator: str, interval: Expression, number: Expression, context: Context) -> Expression:
    """The number of an interval times, or by, a number, rounded half up."""
    count = number_of(interval, context)
    exact = is_integer(number.type) or isinstance(number.type, Decimal)
    wide = fill(context, "CAST({0} AS DECIMAL(19,0))", count) if exact else count
    if operator == "*":
        if is_integer(number.type):
            return fill(context, "{0} * CAST({1} AS DECIMAL(19,0))", wide, number, gives=_WHOLE)
        return fill(context, "round({0} * {1})", wide, number)
    if isinstance(number.type, Decimal):
        # Sail divides to four digits more than the dividend has, and cuts: it keeps a half a half.
        return fill(context, "round({0} / {1})", wide, number)
    return fill(context, "round({0} / {1})", wide, number)


def extract_field(field: str, node: Expression, context: Context) -> Expression | None:
    """extract(hour FROM i): a field of an interval."""
    name = _NAMES.get(field.lower())
    months = is_months(node.type)
    if name is None or months != (name in MONTHS) or is_calendar(node.type):
        return None
    template, kind = _FIELDS[name]
    return fill(context, template, n=number_of(node, context), gives=kind)


def cast_to_interval(node: Cast, context: Context) -> Expression | None:
    """A text or a number as an interval."""
    kind, inner = node.type, node.operand
    if not isinstance(kind, Interval):
        return None
    if isinstance(inner, Constant) and isinstance(inner.value, str) and is_string(inner.type):
        return _read_constant(node, inner.value, kind, context)
    if isinstance(inner.type, Interval) and kind.end is not None and inner.type.end != kind.end:
        return _cut_interval(node, inner, kind, context)
    if not is_number(inner.type) or kind.end is None:
        return None
    unit = MONTHS.get(kind.end) or MICROS[kind.end]
    if is_integer(inner.type):
        count = fill(context, "CAST({0} AS DECIMAL(19,0)) * {unit}", inner, unit=unit)
    else:
        count = fill(context, "round({0} * {unit})", inner, unit=unit)
    return (tried_interval_of if node.tries else interval_of)(count, kind, context)


def _cut_interval(node: Cast, inner: Expression, kind: Interval, context: Context) -> Expression | None:
    """An interval without what is below its smallest unit."""
    unit = MONTHS.get(str(kind.end)) or MICROS[str(kind.end)]
    if unit == 1 or is_months(inner.type) != is_months(kind) or is_calendar(inner.type):
        return None
    whole = fill(context, "{n} DIV {unit} * {unit}", n=number_of(inner, context), unit=unit)
    return (tried_interval_of if node.tries else interval_of)(whole, kind, context)


def _read_constant(node: Cast, text: str, kind: Interval, context: Context) -> Expression:
    if kind.start is None:
        return _read_calendar(text, context)
    unit = kind.start if kind.start == kind.end else f"{kind.start} to {kind.end}"
    quoted = read_quoted(text)
    found = read_value(text, unit) if quoted is None else quoted[0] if quoted[1] == unit else None
    if found is None:
        if node.tries:
            return constant(None, kind)
        raise SparkRefuses("CAST_INVALID_INPUT", f"'{text}' is no {kind}. Correct it, or use try_cast.", node.at)
    return span_literal(found, kind, context) or node


def _read_calendar(text: str, context: Context) -> Expression:
    """A text as a CalendarInterval, NULL where it is none."""
    found, kind = read_span(text), Interval()
    if found is None:
        return constant(None, kind)
    return calendar_of(found, context)


def calendar_of(span: Span, context: Context) -> Expression:
    """A CalendarInterval."""
    whole, micros = divmod(abs(span.micros), 1_000_000)
    sign = "-" if span.micros < 0 else ""
    return fill(
        context,
        "make_interval(0, {months}, 0, {days}, 0, 0, CAST({seconds} AS DECIMAL(18,6)))",
        months=span.months,
        days=span.days,
        seconds=f"{sign}{whole}.{micros:06}",
        gives=Interval(),
    )


def cast_from_interval(node: Cast, context: Context) -> Expression | None:
    """An interval as a number, in its last unit, or as text."""
    inner, kind = node.operand, node.type
    source = inner.type
    if not isinstance(source, Interval) or source.end is None:
        return None
    if kind == STRING:
        return interval_text(inner, source, context)
    if not is_number(kind):
        return None
    unit = MONTHS.get(source.end) or MICROS[source.end]
    count = number_of(inner, context)
    if has_fraction(kind) and is_days(source):
        return fill(context, "CAST(CAST({0} AS DECIMAL(38,6)) / {unit} AS {k})", count, unit=unit, k=kind)
    return fill(context, "CAST({0} DIV {unit} AS {k})", count, unit=unit, k=kind)


def interval_text(node: Expression, kind: Interval, context: Context) -> Expression | None:
    """`INTERVAL '1 02:03:04.5' DAY TO SECOND`, with the fields of the type."""
    if kind.start is None:
        return None
    digits = _month_digits(kind) if kind.of_months else _day_digits(kind)
    span = str(kind).removeprefix("INTERVAL ")
    return fill(
        context,
        "element_at(transform(array({0}), n_ -> concat('INTERVAL \\'', if(n_ < 0, '-', ''), "
        + digits
        + ", {end})), 1)",
        number_of(node, context),
        end=f"' {span}",
        gives=STRING,
    )


def shown_interval(node: Expression, context: Context) -> Expression:
    """An interval of years and months as Spark prints it in results: `-2-4`."""
    template = "element_at(transform(array({0}), n_ -> concat(if(n_ < 0, '-', ''), " + _month_digits(None) + ")), 1)"
    return fill(context, template, number_of(node, context), gives=STRING)


def _month_digits(kind: Interval | None) -> str:
    if kind is not None and kind.start == kind.end:
        return "CAST(abs(n_) DIV 12 AS STRING)" if kind.end == "year" else "CAST(abs(n_) AS STRING)"
    return "CAST(abs(n_) DIV 12 AS STRING), '-', CAST(abs(n_) % 12 AS STRING)"


def _day_digits(kind: Interval) -> str:
    fields = ["day", "hour", "minute", "second"]
    chosen = fields[fields.index(str(kind.start)) : fields.index(str(kind.end)) + 1]
    pieces: list[str] = []
    for index, field in enumerate(chosen):
        count = f"abs(n_) DIV {MICROS[field]}"
        if index:
            pieces.append("' '" if chosen[index - 1] == "day" else "':'")
            limit = 24 if field == "hour" else 60
            count = f"{count} % {limit}"
        if field == "day":
            pieces.append(f"CAST({count} AS STRING)")
        else:
            pieces.append(f"if({count} < 10, '0', ''), CAST({count} AS STRING)")
        if field == "second":
            fraction = "lpad(CAST(abs(n_) % 1000000 AS STRING), 6, '0')"
            pieces.append(f"if(abs(n_) % 1000000 = 0, '', concat('.', trim(TRAILING '0' FROM {fraction})))")
    return ", ".join(pieces)
