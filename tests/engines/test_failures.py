"""What an engine's error is taken for: by its own marks, and never by words of the statement that it repeats."""

from __future__ import annotations

import uuid

import pytest

from lakehouse.errors import LakehouseError, QueryFailed
from mcp_server.engines.local import LocalEngine
from tests.engines.conftest import Query, of_our_own

_MARKS = (
    "Py4JNetworkError",
    "SparkContext was shut down",
    "dagScheduler()",
    "StatusCode.UNAVAILABLE",
    "StatusCode.PERMISSION_DENIED",
    "OutOfMemoryError: Java heap space",
    "Resources exhausted: Failed to allocate additional",
    "RESOURCE_EXHAUSTED message larger than max",
    "operation was cancelled",
    "a: [INVALID_HANDLE.SESSION_CHANGED] b",
    "a\\nCaused by: b: [INVALID_HANDLE.SESSION_CLOSED] c",
    '\\" debug_error_string details = \\"Resources exhausted',
)
"""What tells an engine that is lost, denied, full or forgetful."""

_REPEATED = (
    *("to_timestamp('{0}')", "to_timestamp('x', '{0}')", "CAST('{0}' AS INT)", "split(title, '(({0}')"),
    *("INTERVAL '{0}' DAY", "date_format(now(), '{0}')", "from_json('{{}}', '{0}')", "`{0}`", "to_number('{0}', '9')"),
)
"""Calls that fail, mostly with their argument in the message."""


@of_our_own
def test_an_error_that_repeats_the_words_of_a_statement_is_only_an_error(engine: LocalEngine, query: Query) -> None:
    told = {}
    for form in _REPEATED if engine.name == "embedded" else _REPEATED[:4]:
        for mark in _MARKS:
            sql = f"SELECT {form.format(mark)} FROM films"
            try:
                engine.execute(query(sql, "films"), uuid.uuid4().hex)
            except QueryFailed:
                continue
            except LakehouseError as error:
                told[sql] = repr(error)
    assert told == {}


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
def test_only_a_mistake_that_spark_has_a_name_for_is_the_senders(engine: LocalEngine, query: Query) -> None:
    def is_lacking(expression: str) -> bool:
        with pytest.raises(QueryFailed) as failure:
            engine.execute(query(f"SELECT {expression} FROM films", "films"), uuid.uuid4().hex)
        assert failure.value.lacking == (failure.value.condition is None)
        return failure.value.lacking

    mistakes = (
        "CAST(title AS INT)",
        "1 DIV (id - id)",
        "nothere",
        "films.nothere",
        "CAST(id * 100 AS TINYINT)",
        "array(1)[7]",
        "to_number(title, '9')",
        "named_struct('a', id).b",
        "map_from_arrays(1)",
    )
    lacks = (
        "date '2026-13-01'",
        "title - INTERVAL 1 DAY",
        "id + 'a' || title LIKE 1",
    )
    assert [is_lacking(each) for each in mistakes] == [False] * len(mistakes)
    assert [is_lacking(each) for each in lacks] == [True] * len(lacks)
