"""What every engine does alike, whatever SQL it speaks: rows, limits, failures, cancels, deadlines, tables.

An engine that cannot do one of these has a `gap` there, with the reason. `test_spark_contract.py` has what engines of
Spark SQL do besides.
"""

from __future__ import annotations

import contextlib
import math
import os
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from lakehouse.errors import EngineUnavailable, QueryCancelled, QueryFailed, QueryTimedOut
from mcp_server.engines import Engine
from mcp_server.models import Caps, RowLimit, Scan
from mcp_server.results import Origin, shape
from tests.engines.cancelling import endless
from tests.engines.conftest import KIND_TYPES, KINDS, Query, every_engine, gap
from tests.engines.watching import eventually, rows

pytestmark = every_engine


def test_every_type_arrives_with_its_value_and_its_sql_name(engine: Engine, query: Query) -> None:
    found = engine.execute(query("SELECT * FROM kinds ORDER BY whole NULLS LAST", "kinds"), "types")

    assert found.types == KIND_TYPES
    first, second = found.table.to_pylist()
    wanted = KINDS.to_pylist()[0]
    assert math.isnan(first.pop("number"))
    assert math.isnan(wanted.pop("number"))
    assert first == wanted
    assert set(second.values()) == {None}


def test_columns_of_one_name_all_arrive(engine: Engine, query: Query) -> None:
    found = engine.execute(query("SELECT id, id, title AS id FROM films WHERE id = 1", "films"), "same")

    assert found.table.column_names == ["id", "id", "id"]
    assert [column.to_pylist() for column in found.table.columns] == [[1], [1], ["Alpha"]]


def test_an_answer_without_rows_keeps_its_columns(engine: Engine, query: Query) -> None:
    found = engine.execute(query("SELECT id, genres FROM films WHERE id < 0", "films"), "none")

    assert (found.table.num_rows, found.types) == (0, ("int", "array<string>"))
    assert found.table.schema.names == ["id", "genres"]


def test_one_row_more_than_the_limit_arrives_and_no_other(engine: Engine, query: Query) -> None:
    assert len(rows(engine, query("SELECT * FROM many", "many", limit=7))) == 8
    assert len(rows(engine, query("SELECT * FROM many LIMIT 3", "many", limit=7))) == 3
    assert len(rows(engine, query("SELECT id FROM films", "films", limit=5))) == 5


def test_within_caps_an_answer_is_cut_and_the_rest_is_counted(engine: Engine, query: Query) -> None:
    sql = "SELECT repeat('é', 20000) AS t FROM range(400)"
    found = engine.execute(query(sql, limit=1_000), "cut", Caps(60_000, 2_000))

    assert found.found == 400
    assert found.table.nbytes < 2_000_000
    answer = shape(found, RowLimit(1_000), Caps(60_000, 2_000), Origin("q", engine.name, 1))
    assert answer.rows[0][0] == "é" * 2_000 + "…[+18000 chars]"
    assert f"first {len(answer.rows)} of 400 rows" in answer.warnings[-1]


def test_the_order_of_a_statement_survives_the_limit(engine: Engine, query: Query) -> None:
    found = rows(engine, query("SELECT id FROM many ORDER BY id DESC", "many", limit=2))

    assert [row["id"] for row in found] == [299_999, 299_998, 299_997]


def test_tables_are_found_with_and_without_their_schema(engine: Engine, query: Query) -> None:
    sql = "SELECT count(*) AS n FROM imdb.films f JOIN films g ON f.id = g.id"

    assert rows(engine, query(sql, "films")) == [{"n": 5}]


def test_text_that_looks_like_quoting_stays_as_it_is(engine: Engine, query: Query) -> None:
    assert rows(engine, query("SELECT title FROM films WHERE id = 3", "films")) == [{"title": 'A "quoted" one'}]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT titel FROM films", '[`"]titel[`"]'),
        ("SELECT f.titel FROM films f", '[`"]titel[`"]'),
        ("SELECT title FROM films GROUP BY id", "GROUP BY"),
        ("SELECT * FROM no_such_table", "no_such_table"),
        ("SELECT no_such_function(1)", "no_such_function"),
        ("SELEC 1", "(?i)selec"),
        pytest.param(
            *("SELECT 1 / (id - id) FROM films", "(?i)divi"),
            marks=gap("toy", "DuckDB divides by zero: its answer is infinity", pytest.fail.Exception),
        ),
        ("SELECT CAST(title AS int) FROM films WHERE id = 1", "Alpha"),
        ("SELECT explode(title) FROM films", "explode"),
    ],
)
def test_a_failure_is_one_line_that_names_the_cause(engine: Engine, query: Query, sql: str, says: str) -> None:
    with pytest.raises(QueryFailed, match=says) as failure:
        engine.execute(query(sql, "films"), "failing")

    text = str(failure.value)
    assert "\n" not in text
    assert len(text) < 800
    assert not any(
        dump in text for dump in ("Relation", "org.apache", "== SQL", "ObjectName", "grpc", "l%C3%A4ke", "läke")
    )


def test_a_query_that_fails_leaves_nothing_in_the_way_of_the_next(engine: Engine, query: Query) -> None:
    for sql in ("SELECT titel FROM films", "SELECT 1 / (id - id) FROM films", "SELEC", "SELECT id FROM films"):
        with contextlib.suppress(QueryFailed):
            engine.execute(query(sql, "films"), os.urandom(6).hex())

        assert rows(engine, query("SELECT count(*) AS n FROM films", "films")) == [{"n": 5}]


def test_a_query_cancelled_before_it_begins_does_not_run(engine: Engine, query: Query) -> None:
    engine.cancel("early")

    with pytest.raises(QueryCancelled):
        engine.execute(query(endless(engine)), "early")
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]


def test_cancelling_what_does_not_run_does_nothing(engine: Engine, query: Query) -> None:
    assert engine.execute(query("SELECT 1 AS x"), "over").table.num_rows == 1

    engine.cancel("over")

    assert rows(engine, query("SELECT 2 AS x")) == [{"x": 2}]


def test_a_slow_query_does_not_hold_up_a_quick_one(engine: Engine, query: Query) -> None:
    engine.start()
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(engine.execute, query(endless(engine)), "slow")
        quick = threads.submit(rows, engine, query("SELECT count(*) AS n FROM films", "films"))
        assert quick.result(timeout=60) == [{"n": 5}]
        assert not slow.done()
        engine.cancel("slow")
        with pytest.raises(QueryCancelled):
            slow.result(timeout=30)


def test_many_at_once_all_get_their_own_answer(engine: Engine, query: Query) -> None:
    threads, each = (16, 20) if engine.name == "embedded" else (4, 3)

    def ask(number: int) -> None:
        for turn in range(each):
            wanted = number * 1000 + turn
            sql = f"SELECT id, word FROM many WHERE id = {wanted}"
            found = engine.execute(query(sql, "many"), f"{number}-{turn}").table
            assert found.equals(pa.table({"id": [wanted], "word": [f"word number {wanted}"]}, schema=found.schema))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ask, range(threads)))


def test_tables_and_comments_are_known_without_the_engine(engine: Engine) -> None:
    films = next(table for table in engine.tables() if table.name == "films")

    # A catalogue is asked for its tables, and tells neither version nor rows; there is no manifest. Whoever has no old
    # versions names none, so that none is pinned.
    published = {"databricks": (None, None), "toy": (None, 5)}.get(engine.name, (1, 5))
    assert (films.version, films.rows, films.kind) == (*published, "table")
    assert films.columns[0].comment == "Number of the film."


def test_an_estimate_names_the_table_and_what_there_is_of_it(engine: Engine, query: Query) -> None:
    checked = query("SELECT id FROM many", "many")
    object.__setattr__(checked, "scans", (Scan("many", None),))

    (scan,) = engine.estimate(checked).scans

    assert scan.table == "many"
    assert 1 <= scan.files <= scan.files_total
    assert 0 < scan.bytes <= scan.bytes_total


def test_a_plan_is_one_cell_and_names_no_place(engine: Engine, query: Query) -> None:
    found = engine.explain(
        query("SELECT count(*) FROM films WHERE id > 2", "films"), "simple", "plan", Caps(60_000, 2_000)
    )

    assert found.table.column_names == ["plan"]
    (plan,) = found.table["plan"].to_pylist()
    assert "films" in plan
    assert "läke" not in plan


def test_a_query_beyond_its_time_ends_and_the_next_is_answered(engine: Engine, query: Query) -> None:
    engine.start()
    with pytest.raises(QueryTimedOut, match=r"within 1\.5 s"):
        engine.execute(query(endless(engine), deadline=1.5), "beyond")

    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]


def test_what_waits_longer_than_its_time_never_runs(engine: Engine, query: Query) -> None:
    with pytest.raises((QueryTimedOut, EngineUnavailable)):
        engine.execute(query(endless(engine), deadline=0), "no time")

    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]


def test_a_cancelled_query_ends_and_its_id_is_free(engine: Engine, query: Query) -> None:
    engine.start()
    with ThreadPoolExecutor() as threads:
        running = threads.submit(engine.execute, query(endless(engine)), "again")
        eventually(running.running)
        engine.cancel("again")
        with pytest.raises(QueryCancelled):
            running.result(timeout=60)

    assert engine.execute(query("SELECT 1 AS x"), "again").table.to_pylist() == [{"x": 1}]
