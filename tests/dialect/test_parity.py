"""Generated queries are answered equally by both engines, or their callers are told: 50 in every run.

They are the same in each run, so that a red one belongs to the change at hand. Others on request: PARITY_SEED, and
`python -m tests.parity --count 500`.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import islice

import pytest

from lakehouse.errors import QueryFailed
from mcp_server.dialects.sail.rules.data import sail
from tests.expected import Answer, Ask
from tests.parity.calls import CALLS, DECLARED
from tests.parity.compare import End, called, compare
from tests.parity.functions import PLACE, outcomes
from tests.parity.generate import queries

SEED = int(os.environ.get("PARITY_SEED") or 1)

WITHOUT_VALUES = {
    *("current_timezone", "e", "grouping", "grouping_id", "pi", "range", "window_time"),
    *("st_asbinary", "st_geogfromwkb", "st_geomfromwkb"),
}
"""Functions that take no value of these types."""

ONE = Answer((("a", "int"),), ((1,), (2,)))


@pytest.mark.parametrize("sql", list(islice(queries(SEED), 50)))
def test_a_generated_query_is_answered_as_spark_does_or_its_caller_is_told(sql: str, embedded: Ask, spark: Ask) -> None:
    outcome = compare(sql, embedded, spark)

    assert outcome.end is not End.DIFFERENT, outcome.what


@pytest.mark.parametrize("call", CALLS[::90])
def test_a_call_over_the_edges_of_its_types_is_answered_as_spark_does(call: str, embedded: Ask, spark: Ask) -> None:
    found = [outcome for outcome in outcomes(call, embedded, spark) if outcome.end is End.DIFFERENT]

    assert not found or call in DECLARED, found[0].what


def test_every_function_is_called_over_the_edges_of_its_types() -> None:
    found = set[str]().union(*(called(f"SELECT {PLACE.sub('c', call)}") for call in CALLS))
    same = {name for name, status in sail().status.items() if status in {"equal", "rewritten", "digits", "ties"}}

    assert same - found == WITHOUT_VALUES


def test_what_is_declared_is_called() -> None:
    assert set(CALLS) >= DECLARED


def test_most_generated_queries_have_an_answer(embedded: Ask, spark: Ask) -> None:
    ends = Counter(compare(sql, embedded, spark).end for sql in islice(queries(SEED), 20))

    assert ends[End.EQUAL] > 10, ends


def test_the_same_seed_gives_the_same_queries() -> None:
    assert list(islice(queries(3), 50)) == list(islice(queries(3), 50))
    assert list(islice(queries(3), 50)) != list(islice(queries(4), 50))


@pytest.mark.parametrize(
    ("sql", "found", "expected", "what"),
    [
        ("SELECT a FROM t ORDER BY a", ((2,), (1,)), ((1,), (2,)), "2 rows, such as"),
        ("SELECT a FROM t", ((2,), (1,)), ((1,), (2,)), ""),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a)", ((2,), (1,)), ((1,), (2,)), ""),
        ("SELECT a FROM t", ((1,), (2,), (2,)), ((1,), (2,)), "3 rows for 2"),
        ("SELECT a FROM t", ((1.0,), (2,)), ((1,), (2,)), "1 rows, such as"),
        ("SELECT a FROM t ORDER BY a", ((None,), (2,)), ((1,), (2,)), "1 rows, such as"),
        ("SELECT a / 3 AS a FROM t", ((0.1,), (2,)), ((0.1 + 1e-16,), (2,)), "1 rows, such as"),
        ("SELECT sum(a) AS a FROM t", ((0.1,), (2,)), ((0.1 + 1e-16,), (2,)), ""),
    ],
)
def test_the_comparison_sees_values_types_and_order(sql: str, found: tuple, expected: tuple, what: str) -> None:
    outcome = compare(sql, lambda _: Answer(ONE.columns, found), lambda _: Answer(ONE.columns, expected))

    assert outcome.what.startswith(what)
    assert outcome.end is (End.DIFFERENT if what else End.EQUAL)


def test_a_difference_that_the_caller_is_told_of_is_no_failure() -> None:
    told = Answer(ONE.columns, ((3,), (2,)), ("an estimate",))

    assert compare("SELECT a FROM t", lambda _: told, lambda _: ONE).end is End.WARNED


def test_an_answer_where_spark_fails_is_a_difference() -> None:
    def fails(_: str) -> Answer:
        raise QueryFailed("overflow")

    assert compare("SELECT a FROM t", lambda _: ONE, fails).end is End.DIFFERENT
    assert compare("SELECT a FROM t", fails, fails).end is End.BOTH_FAIL
    assert compare("SELECT a FROM t", fails, lambda _: ONE).end is End.FAILS_EARLY
