"""What all engines that speak Spark SQL do alike, and what only those do whose process can be watched.

`test_contract.py` has what every engine does. A difference is declared at its test, with the error or value that it
gives.
"""

from __future__ import annotations

import math
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from lakehouse.errors import EngineUnavailable, QueryCancelled, QueryFailed, QueryTimedOut
from mcp_server.engines.local import LocalEngine
from mcp_server.models import Caps, RowLimit
from mcp_server.results import Origin, shape
from tests.engines.cancelling import endless
from tests.engines.conftest import FILMS, FILMS_AT_FIRST, FIRST_VERSIONS_AGE, SERVERS, Query
from tests.engines.watching import ENDLESS, cpu_seconds, eventually, idles, is_alive, rows, worker_of

NAMELESS_IN_SAIL = {"PARSE_SYNTAX_ERROR", "UNRESOLVED_ROUTINE"}


@pytest.mark.parametrize(
    ("sql", "sql_type", "value"),
    [
        ("NULL", "void", None),
        ("CAST('Infinity' AS double)", "double", math.inf),
        ("INTERVAL '3' DAY", "interval day", timedelta(days=3)),
        ("CAST('abc' AS varchar(5))", "string", "abc"),
        ("timestamp'2024-06-30 12:00:00' = to_timestamp('2024-06-30T12:00:00Z')", "boolean", True),
        ("array(struct(1 AS a), NULL)", "array<struct<a:int>>", [{"a": 1}, None]),
        ("1.10", "decimal(3,2)", Decimal("1.10")),
        ("''", "string", ""),
        ("X'00ff'", "binary", b"\x00\xff"),
        ("CAST(-128 AS tinyint)", "tinyint", -128),
        ("CAST(99999999999999999999999999999999999999 AS decimal(38,0))", "decimal(38,0)", Decimal("9" * 38)),
        ("date'9999-12-31'", "date", date(9999, 12, 31)),
        ("timestamp'1600-01-01 00:00:00'", "timestamp", datetime(1600, 1, 1, tzinfo=UTC)),
        ("timestamp_ntz'1900-01-01 00:00:00'", "timestamp_ntz", datetime(1900, 1, 1)),  # noqa: DTZ001  (it has none)
        ("double('1e308') * 10", "double", math.inf),
        ("map('a', NULL, 'b', array(1, NULL))", "map<string,array<int>>", [("a", None), ("b", [1, None])]),
        (
            "array(map('k', named_struct('x', array(1.5F))))",
            "array<map<string,struct<x:array<float>>>>",
            [[("k", {"x": [1.5]})]],
        ),
        (
            "named_struct('a', NULL, 'b', named_struct('c', 1))",
            "struct<a:void,b:struct<c:int>>",
            {"a": None, "b": {"c": 1}},
        ),
        ("array()", "array<void>", []),
    ],
)
def test_an_expression_arrives_with_its_value(
    engine: LocalEngine, query: Query, sql: str, sql_type: str, value: object
) -> None:
    if engine.name == "databricks" and isinstance(value, timedelta):
        value = "3 00:00:00.000000000"  # the connector asks for intervals as text: it cannot read Arrow's
    found = engine.execute(query(f"SELECT {sql} AS x"), "expression")

    assert (found.types, found.table.to_pylist()) == ((sql_type,), [{"x": value}])


def test_an_interval_of_days_arrives_and_one_of_months_is_said_to_have_no_form(
    engine: LocalEngine, query: Query
) -> None:
    sql = "SELECT INTERVAL '1 02:03:04.5' DAY TO SECOND AS x"
    found = engine.execute(query(sql), "days")

    assert found.types == ("interval day to second",)
    if engine.name != "databricks":  # there it is text
        assert found.table.to_pylist() == [{"x": timedelta(days=1, hours=2, minutes=3, seconds=4.5)}]
        with pytest.raises(QueryFailed) as failure:  # Arrow has none, says PySpark
            engine.execute(query("SELECT INTERVAL '2-3' YEAR TO MONTH AS x"), "months")
        assert failure.value.condition == "UNSUPPORTED_DATA_TYPE_FOR_ARROW_CONVERSION"


def test_within_caps_an_engine_gives_what_an_answer_shows_and_counts_the_rest(
    engine: LocalEngine, query: Query
) -> None:
    sql = "SELECT array_repeat(false, 900000) AS a, repeat('é', 20000) AS t FROM range(40)"
    found = engine.execute(query(sql), "within caps", Caps(60_000, 2_000))

    assert found.found == 40
    assert found.table.nbytes < 2_000_000
    answer = shape(found, RowLimit(100), Caps(60_000, 2_000), Origin("q", engine.name, 1))
    assert 5 < len(answer.rows) < 40
    assert answer.rows[0][0].startswith("[false,false,")
    assert answer.rows[0][1] == "é" * 2_000 + "…[+18000 chars]"
    assert f"first {len(answer.rows)} of 40 rows" in answer.warnings[-1]


def test_an_old_version_is_read_where_the_statement_pins_it(engine: LocalEngine, query: Query) -> None:
    now = rows(engine, query("SELECT * FROM films VERSION AS OF 1 ORDER BY id", "films"))
    before = rows(engine, query("SELECT * FROM imdb.films VERSION AS OF 0 ORDER BY id", "films"))
    both = "SELECT count(*) AS n FROM films VERSION AS OF 0 a JOIN films VERSION AS OF 1 AS b ON a.id = b.id"

    assert now == FILMS.to_pylist()
    assert before == FILMS_AT_FIRST.to_pylist()
    assert rows(engine, query(both, "films")) == [{"n": 3}]


def test_a_version_that_does_not_exist_is_said(engine: LocalEngine, query: Query) -> None:
    with pytest.raises(QueryFailed, match="77"):
        engine.execute(query("SELECT * FROM films VERSION AS OF 77", "films"), "future")


def test_the_version_of_a_moment_is_read_where_the_statement_asks_for_it(engine: LocalEngine, query: Query) -> None:
    between = (datetime.now(UTC) - FIRST_VERSIONS_AGE / 2).replace(microsecond=250_000)
    forms = [
        *(f"{between:%Y-%m-%d %H:%M:%S}", f"{between:%Y-%m-%dT%H:%M:%S}", f"{between:%Y-%m-%d %H:%M:%S.%f}"),
        *(f"{between:%Y-%m-%dT%H:%M:%S}Z", between.astimezone(timezone(timedelta(hours=-11))).isoformat()),
    ]

    for form in forms:  # all that the guard lets pass
        found = rows(engine, query(f"SELECT * FROM films TIMESTAMP AS OF '{form}' ORDER BY id", "films"))
        assert found == FILMS_AT_FIRST.to_pylist()
    with pytest.raises(QueryFailed, match="1999-01-01"):
        rows(engine, query("SELECT * FROM films TIMESTAMP AS OF '1999-01-01'", "films"))


def test_spark_names_its_errors_and_what_was_meant(engine: LocalEngine, query: Query) -> None:
    with pytest.raises(QueryFailed) as failure:
        engine.execute(query("SELECT titel FROM films", "films"), "named")

    assert failure.value.sqlstate == "42703"
    assert "name `titel` cannot be resolved" in str(failure.value)
    if engine.name == "embedded":  # Sail suggests nothing
        assert failure.value.condition == "UNRESOLVED_COLUMN"
    else:
        assert failure.value.condition == "UNRESOLVED_COLUMN.WITH_SUGGESTION"
        assert "Did you mean one of the following? [`title`" in str(failure.value)


@pytest.mark.parametrize(
    ("sql", "condition", "sqlstate"),
    [
        ("SELEC 1", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT * FROM imdb.nosuch", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("SELECT nosuch(1)", "UNRESOLVED_ROUTINE", "42883"),
        ("SELECT 1 / (id - id) FROM films", "DIVIDE_BY_ZERO", "22012"),
        ("SELECT 1 / 0", "DIVIDE_BY_ZERO", "22012"),
        ("SELECT CAST('x' AS int)", "CAST_INVALID_INPUT", "22018"),
        ("SELECT CAST(300 AS tinyint)", "CAST_OVERFLOW", "22003"),
        ("SELECT array(1)[5]", "INVALID_ARRAY_INDEX", "22003"),
        ("SELECT (SELECT id FROM films)", "SCALAR_SUBQUERY_TOO_MANY_ROWS", "21000"),
    ],
)
def test_a_failure_has_sparks_condition_and_sqlstate(
    engine: LocalEngine, query: Query, sql: str, condition: str, sqlstate: str
) -> None:
    with pytest.raises(QueryFailed) as failure:
        engine.execute(query(sql, "films"), "conditions")

    if engine.name == "embedded" and condition in NAMELESS_IN_SAIL:
        assert (failure.value.condition, failure.value.sqlstate) == (None, None)
    else:
        assert (failure.value.condition, failure.value.sqlstate) == (condition, sqlstate)


def test_an_integer_that_overflows_fails(engine: LocalEngine, query: Query) -> None:
    overflowing = query("SELECT max(long) + 1 AS x FROM kinds", "kinds")

    if engine.name == "embedded":  # Sail wraps around
        assert rows(engine, overflowing) == [{"x": -(2**63)}]
    else:
        with pytest.raises(QueryFailed, match="ARITHMETIC_OVERFLOW"):
            rows(engine, overflowing)


def test_a_path_is_no_table_in_spark(engine: LocalEngine, query: Query) -> None:
    if engine.name == "embedded":  # Sail reads any path: the guard and the process's rights are the fence
        assert len(rows(engine, query("SELECT * FROM text.`/etc/hosts`"))) > 0
        return
    for path in (f"delta.`{engine.lake}/films`", f"parquet.`{engine.lake}/films`", "text.`/etc/hosts`"):
        with pytest.raises(QueryFailed, match=r"TABLE_OR_VIEW_NOT_FOUND|UNSUPPORTED_DATASOURCE"):
            rows(engine, query(f"SELECT * FROM {path}"))


@pytest.mark.parametrize("mode", ["simple", "extended", "formatted", "cost"])
def test_a_plan_names_tables_and_no_paths(engine: LocalEngine, query: Query, mode: str) -> None:
    checked = query("SELECT count(*) FROM films WHERE id > 2", "films")
    plan = engine.explain(checked, mode, "plan", Caps(60_000, 2_000)).table["plan"][0].as_py()

    assert "films" in plan
    assert engine.lake.address.strip("/").split("/")[0] + "/" not in plan
    assert "läke" not in plan
    assert "l%C3%A4ke" not in plan


def test_what_a_statement_sets_is_gone_with_the_next(engine: LocalEngine, query: Query) -> None:
    # No guard would let these through; if one did, they would not outlive their statement.
    for sql in (
        "SET spark.sql.caseSensitive = true",
        "CREATE OR REPLACE TEMPORARY VIEW films AS SELECT 'hidden' AS id",
        "USE default",
    ):
        if engine.name == "embedded":  # its text travels as a relation, and Sail knows no command as one
            with pytest.raises(QueryFailed, match=r"expected query node|found default"):
                engine.execute(query(sql), os.urandom(6).hex())
        else:
            engine.execute(query(sql), os.urandom(6).hex())

        assert rows(engine, query("SELECT max(ID) AS id FROM films", "films")) == [{"id": 5}]


def test_a_query_beyond_its_time_is_stopped_in_the_engine(engine: LocalEngine, query: Query) -> None:
    worker = worker_of(engine)

    with pytest.raises(QueryTimedOut, match=r"within 1\.5 s"):
        engine.execute(query(endless(engine), deadline=1.5), "endless")

    idles(worker)
    assert worker_of(engine).pid == worker.pid
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]


def test_a_cancelled_query_is_stopped_in_the_engine(engine: LocalEngine, query: Query) -> None:
    worker = worker_of(engine)
    before = cpu_seconds(worker)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(engine.execute, query(endless(engine)), "to cancel")
        eventually(lambda: cpu_seconds(worker) - before > 0.5)
        engine.cancel("to cancel")

        with pytest.raises(QueryCancelled):
            running.result(timeout=30)

    idles(worker)
    assert worker_of(engine).pid == worker.pid


def test_a_query_whose_process_was_killed_says_so_and_the_next_is_answered(engine: LocalEngine, query: Query) -> None:
    if engine.name in SERVERS:
        pytest.skip("a server is no process of ours: test_databricks.py and test_connect.py restart theirs")
    worker = worker_of(engine)
    family = [worker, *worker.children(recursive=True)]
    before = cpu_seconds(worker)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(engine.execute, query(ENDLESS), "bereft")
        eventually(lambda: cpu_seconds(worker) - before > 0.5)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(EngineUnavailable, match="signal 9"):
            running.result(timeout=30)

    eventually(lambda: not any(is_alive(process) for process in family))
    assert rows(engine, query("SELECT count(*) AS n FROM films", "films")) == [{"n": 5}]
