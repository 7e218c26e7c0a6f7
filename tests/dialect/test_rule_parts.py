"""The parts of rules for expressions that read texts: intervals, dates and times, numbers in any base, templates."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.data import sail
from mcp_server.dialects.sail.rules.make import constant, fill
from mcp_server.dialects.sail.rules.moments import DAY_MICROS, Moment, date_of, days_of, read_date, read_timestamp
from mcp_server.dialects.sail.rules.spans import Span, read_quoted, read_span, read_value
from mcp_server.dialects.sail.rules.strings import convert
from mcp_server.dialects.sail.rules.template import read_template
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.typed.nodes import Binary, Call, Cast, Column, Lambda, Parameter
from mcp_server.sql.typed.printer import print_expression
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import BIGINT, DOUBLE, INT, Decimal

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def start(*names: str) -> Context:
    """A context without tables."""
    return Context.start(Catalog("imdb", ()), names, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 day -2 hours", Span(days=1, micros=-7_200_000_000)),
        ("interval 3 year 1 month", Span(months=37)),
        ("+     1 second", Span(micros=1_000_000)),
        (".5 second", Span(micros=500_000)),
        ("- -1 second", None),
        ("1 day 2", None),
        ("2 hours3 minutes", None),
        ("1.5 days", None),
    ],
)
def test_an_interval_is_read_as_spark_reads_it(text: str, found: Span | None) -> None:
    assert read_span(text) == found


@pytest.mark.parametrize(
    ("text", "unit", "found"),
    [
        ("-1 02:03:04.5", "day to second", Span(micros=-93_784_500_000)),
        ("2-4", "year to month", Span(months=28)),
        ("22:33.123456789", "minute to second", Span(micros=1_353_123_456)),
        ("1 2:03", "hour to second", None),
        ("1 25", "day to hour", None),
        ("-\t 1", "day", Span(days=-1)),
        ("1-12", "year to month", None),
    ],
)
def test_a_value_is_read_with_its_unit(text: str, unit: str, found: Span | None) -> None:
    assert read_value(text, unit) == found


def test_an_interval_may_be_quoted_within_a_text() -> None:
    assert read_quoted("INTERVAL -'1 2' DAY TO HOUR") == (Span(micros=-93_600_000_000), "day to hour")


@pytest.mark.parametrize("text", ["1999 Jan 08", "1999 01 08", "2020-02-30", "20200203", "2020-02-03x", ""])
def test_what_is_no_date_is_none(text: str) -> None:
    assert read_date(text) is None


def test_dates_before_and_beyond_the_years_of_four_digits() -> None:
    for year in (-1, 0, 1, 1582, 9999, 999_999):
        days = days_of(year, 2, 28)
        assert days is not None
        assert date_of(days) == (year, 2, 28)
    assert read_date(" 2020-02-03T12:00 ") == days_of(2020, 2, 3)


def test_times_with_zones_are_those_of_utc() -> None:
    assert read_timestamp("2020-02-03 12:00Europe/Berlin", NOW) == Moment(1_580_727_600_000_000, zoned=True)
    assert read_timestamp("2018-11-17 13:33:33.123Z", NOW) == Moment(1_542_461_613_123_000, zoned=True)
    assert read_timestamp("2020-02 12:00", NOW) is None
    today = read_timestamp("12:30", NOW)
    assert today is not None
    assert today.micros % DAY_MICROS == 45_000_000_000


def test_numbers_in_any_base() -> None:
    assert convert("9223372036854775808", 10, 16) == "8000000000000000"
    assert convert("-10", 16, -10) == "-16"
    assert convert("-15", 10, 16) == "FFFFFFFFFFFFFFF1"
    assert convert("1a", 10, 16) == "1"
    with pytest.raises(SparkRefuses):
        convert("9223372036854775807", 36, 10)


def test_all_forms_are_templates() -> None:
    tables = sail()
    for table in (tables.forms, tables.lengths, tables.fields):
        for form in table.values():
            read_template(form)


def test_a_template_is_filled_with_nodes_and_types() -> None:
    value = Column(name="x", type=DOUBLE)
    made = fill(start("x"), "CAST({0} AS {k}) + {n}", value, k=Decimal(10, 2), n=1)
    assert isinstance(made, Binary)
    assert isinstance(made.left, Cast)
    assert print_expression(made) == "CAST(x AS DECIMAL(10, 2)) + 1"


def test_parameters_of_templates_are_fresh_and_equal_for_equal_expressions() -> None:
    context = start("v_")
    first = fill(context, "transform({0}, v_ -> v_ + {1})", Column(name="a"), constant(1))
    second = fill(context, "transform({0}, v_ -> v_ + {1})", Column(name="a"), constant(1))
    assert print_expression(first) == print_expression(second) == "transform(a, v_2 -> v_2 + 1)"
    nested = fill(context, "transform({0}, v_ -> {1})", Column(name="b"), first)
    assert isinstance(nested, Call)
    assert {node.name for node in nested.walk() if isinstance(node, Parameter)} == {"v_2", "v_3"}


def test_a_template_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks"):
        read_template("CAST({0} AS BIGINT")
    with pytest.raises(ValueError, match="goes on"):
        read_template("{0} {1}")


def test_literals_have_their_types() -> None:
    assert constant(5).type == INT
    assert constant(2**40).type == BIGINT
    found = read_template("x -> 1.50BD")
    assert isinstance(found, Lambda)
    assert found.body.type == Decimal(3, 2)
