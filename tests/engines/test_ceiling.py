"""An engine near its memory ceiling: what lacks memory is said to, nobody else fails for it, and nothing hangs."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from pyspark.errors.exceptions.connect import SparkConnectGrpcException

from lakehouse.errors import ResourceLimit
from lakehouse.session import ThreadTime
from mcp_server.engines import embedded as embedded_engine
from mcp_server.engines import rest
from mcp_server.engines.failures import explain_failure
from mcp_server.engines.local import LocalEngine, supervisor
from mcp_server.engines.rest import Rest
from tests.engines.conftest import Query
from tests.engines.test_life import BLOW_UP
from tests.engines.watching import eventually, is_alive, rows, worker_of

LINUX = sys.platform == "linux"
Embedded = Callable[..., LocalEngine]

SORT = "SELECT max(r) AS r FROM (SELECT row_number() OVER (ORDER BY word, id) AS r FROM many)"
GROUPS = "SELECT count(*) AS n FROM (SELECT word, count(*) AS n FROM many GROUP BY word)"


@pytest.mark.skipif(not LINUX, reason="needs Linux, which has the ceiling")
def test_sixteen_queries_at_once_under_half_a_gibibyte_are_all_answered(embedded: Embedded, query: Query) -> None:
    engine = embedded(engine_memory_mb=512, max_concurrent_queries=16)
    with ThreadPoolExecutor(16) as threads:
        asked = [query(sql, "many") for sql in (SORT, GROUPS) * 8]
        found = list(threads.map(lambda each: rows(engine, each), asked))

    assert found == [[{"r": 300_000}], [{"n": 300_000}]] * 8


@pytest.mark.skipif(not LINUX, reason="needs Linux, which has the ceiling")
def test_beside_a_query_that_needs_more_memory_than_there_is_others_are_answered(
    embedded: Embedded, query: Query
) -> None:
    engine = embedded(engine_memory_mb=512, max_concurrent_queries=8)
    with ThreadPoolExecutor(5) as threads:
        greedy = threads.submit(engine.execute, query(BLOW_UP, "many"), "greedy")
        modest = [threads.submit(rows, engine, query(GROUPS, "many")) for _ in range(3)]

        assert [each.result(timeout=120) for each in modest] == [[{"n": 300_000}]] * 3
        assert isinstance(greedy.exception(timeout=120), ResourceLimit)
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]


def lower_limit(worker: psutil.Process, name: str, limit: int) -> None:
    """Set a limit of a running process, below what it has."""
    import resource

    kind = getattr(resource, name)
    _, most = resource.prlimit(worker.pid, kind)
    resource.prlimit(worker.pid, kind, (limit, most))


@pytest.mark.skipif(not LINUX, reason="needs Linux, which has the ceiling")
def test_a_process_that_has_no_memory_for_a_thread_is_replaced_and_the_query_is_run_again(
    embedded: Embedded, query: Query
) -> None:
    engine = embedded()
    worker = worker_of(engine)
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]
    lower_limit(worker, "RLIMIT_DATA", worker.memory_info().data // 2)

    found = [rows(engine, query("SELECT count(*) AS n FROM films", "films")) for _ in range(3)]
    assert found == [[{"n": 5}]] * 3
    assert worker_of(engine).pid != worker.pid


@pytest.mark.skipif(not LINUX, reason="needs Linux, which has the limits")
@pytest.mark.parametrize("spare_mb", [0, 2])
def test_statements_at_once_in_a_process_that_is_nearly_out_of_memory_are_answered_by_the_next_one(
    embedded: Embedded, query: Query, spare_mb: int
) -> None:
    engine = embedded(max_concurrent_queries=4)
    worker = worker_of(engine)
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]
    lower_limit(worker, "RLIMIT_DATA", worker.memory_info().data + (spare_mb << 20))

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: rows(engine, query(GROUPS, "many")), range(6)))
    assert found == [[{"n": 300_000}]] * 6


@pytest.mark.skipif(not LINUX, reason="needs Linux, which has the limits")
def test_statements_in_a_process_that_can_open_no_file_are_answered_by_the_next_one(
    embedded: Embedded, query: Query
) -> None:
    engine = embedded()
    worker = worker_of(engine)
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]
    lower_limit(worker, "RLIMIT_NOFILE", 3)

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: rows(engine, query("SELECT count(*) AS n FROM films", "films")), range(3)))
    assert found == [[{"n": 5}]] * 3
    assert worker_of(engine).pid != worker.pid


@pytest.mark.skipif(not LINUX, reason="needs Linux, which tells what is reserved")
def test_an_idle_process_whose_allocator_keeps_most_of_the_ceiling_is_replaced(
    embedded: Embedded, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = embedded()
    first = worker_of(engine)
    monkeypatch.setattr(supervisor, "_RESERVED_SHARE", 0.01)
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]
    eventually(lambda: not is_alive(first))
    monkeypatch.undo()
    assert rows(engine, query("SELECT 2 AS x")) == [{"x": 2}]


def test_a_process_that_has_answered_often_is_replaced_while_idle_and_nobody_notices(
    embedded: Embedded, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_engine, "_MOST_ANSWERS", 3)
    engine = embedded()
    first = worker_of(engine)
    for number in range(2):
        assert rows(engine, query(f"SELECT {number} AS x")) == [{"x": number}]
    assert is_alive(first)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: rows(engine, query(f"SELECT {number} AS x")), range(12)))
    assert found == [[{"x": number}] for number in range(12)]
    eventually(lambda: not is_alive(first))


@pytest.mark.parametrize(
    "text",
    [
        "can't start new thread",
        "failed to spawn thread: Os { code: 11, kind: WouldBlock }",
        "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)",
        "memory allocation of 98304 bytes failed",
        "malloc of size 67108864 failed",
        "[Errno 12] Cannot allocate memory",
    ],
)
def test_words_for_a_process_without_memory_are_no_fault_of_the_statement(text: str) -> None:
    failure = explain_failure(RuntimeError(text), {})
    assert (failure.kind, failure.lacking) == ("starved", False)


def test_a_message_that_the_process_has_no_memory_to_read_is_no_fault_of_the_statement() -> None:
    failure = explain_failure(SparkConnectGrpcException("Exception deserializing response!"), {})
    assert (failure.kind, failure.lacking) == ("starved", False)


@pytest.mark.parametrize(
    "text", ["Stream removed (RST_STREAM (Received RST_STREAM with error code 8))", "Socket closed"]
)
def test_words_for_a_connection_that_broke_are_no_fault_of_the_statement(text: str) -> None:
    failure = explain_failure(SparkConnectGrpcException(text), {})
    assert (failure.kind, failure.lacking) == ("lost", False)


def test_an_engine_that_computes_nothing_for_what_it_was_asked_is_told_to_be_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rest, "_STUCK_SECONDS", 0.3)
    stuck = threading.Event()
    running: dict[str, bool] = {}
    at_work: dict[int, ThreadTime] = {}
    watcher = Rest(lambda _: dict(at_work), lambda: dict(running), lambda _: None, stuck.set)

    running["asked"], at_work[7] = True, ThreadTime(1.0, 1)
    watcher.watch()
    assert not stuck.wait(0.8)
    at_work.clear()
    assert stuck.wait(60)


def test_a_thread_that_wakes_now_and_then_is_no_sign_that_an_engine_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_STUCK_SECONDS", 1.0)
    stuck, looks = threading.Event(), itertools.count()
    watcher = Rest(
        lambda _: {7: ThreadTime(1.0, next(looks))} if next(looks) % 3 == 0 else {},
        lambda: {"asked": True},
        lambda _: None,
        stuck.set,
    )

    watcher.watch()
    assert stuck.wait(60)


def test_a_process_that_is_given_up_for_one_query_loses_none_of_the_others(embedded: Embedded, query: Query) -> None:
    engine = embedded()
    engine.start()
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(rows, engine, query(f"SELECT {number} AS x")) for number in range(24)]
        eventually(found[3].done)
        with engine._admission.changed:
            assert engine._supervisor.process is not None
            engine._supervisor.process.give_up("another")

        assert [each.result(timeout=120) for each in found] == [[{"x": number}] for number in range(24)]
