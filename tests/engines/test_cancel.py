"""A cancel reaches the engine and leaves nothing behind. What is looked at is the engine, not what it says.

How long it takes is measured by `python -m tests.engines.cancelling`; here the bounds only tell that it happens.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import psutil
import pytest

from lakehouse.errors import EngineUnavailable, QueryCancelled, QueryTimedOut
from mcp_server.engines import Engine
from mcp_server.engines.local import LocalEngine
from tests.engines.cancelling import (
    Footprint,
    Storm,
    busy,
    checked,
    cpu_seconds,
    endless,
    seconds_until_idle,
    settled,
)
from tests.engines.watching import eventually

QUERIES = int(os.environ.get("CANCELLED_QUERIES", "15"))
"""How many queries are cancelled; a thousand on request: CANCELLED_QUERIES=1000."""

QUICK = (
    "SELECT count(*) AS n FROM many a JOIN many b ON a.id % 7000 = b.id WHERE a.word > b.word",
    "SELECT word, count(*) AS n FROM many GROUP BY word ORDER BY n LIMIT 1",
)

DEAF = "SELECT max(levenshtein(repeat(CAST(id AS STRING), 20000), repeat('b', 20000))) FROM range(0, 4, 1, 2)"
"""One call that takes Java seconds, in which a thread looks for nothing."""

FEW_THREADS = 40
"""Threads more than before that an engine may keep for its next work. One left by each query would be more."""

SOME_DESCRIPTORS = 8
MOST_MIB = 700
"""Memory that an engine may keep for its next work, which allocators and heaps do. A leak of a batch of results for
each of fifty queries is above it."""


def test_a_cancelled_query_leaves_the_processor_idle(engine: Engine) -> None:
    engine.start()
    before = cpu_seconds(engine)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(engine.execute, checked(endless(engine)), "cancelled while it works")
        eventually(busy(engine, before))
        engine.cancel("cancelled while it works")
        idle = seconds_until_idle(engine)

        with pytest.raises(QueryCancelled):
            running.result(timeout=30)
    assert idle < 30
    assert engine.execute(checked("SELECT 1 AS x"), "next").table.to_pylist() == [{"x": 1}]


def test_a_query_beyond_its_time_leaves_the_processor_idle(engine: Engine) -> None:
    engine.start()

    with pytest.raises(QueryTimedOut):
        engine.execute(checked(endless(engine), deadline=2.0), "beyond its time")

    assert seconds_until_idle(engine) < 30


def test_a_cancel_at_any_moment_of_the_beginning_holds(engine: Engine) -> None:
    engine.start()
    with ThreadPoolExecutor() as threads:
        for number in range(8):
            query_id = f"early {number}"
            running = threads.submit(engine.execute, checked(endless(engine)), query_id)
            time.sleep(0.004 * 2**number / 4)  # 1 ms to 128 ms: before the session, within it, before the first job
            engine.cancel(query_id)
            with pytest.raises(QueryCancelled):
                running.result(timeout=60)

    assert seconds_until_idle(engine) < 30


@pytest.mark.parametrize("engine", ["spark"], indirect=True)
def test_a_cancelled_query_does_not_wait_for_what_lingers_of_another(engine: Engine) -> None:
    engine.start()
    before = cpu_seconds(engine)
    with ThreadPoolExecutor() as threads:
        deaf = threads.submit(engine.execute, checked(DEAF), "deaf")
        eventually(busy(engine, before))
        other = threads.submit(engine.execute, checked(endless(engine)), "other")
        engine.cancel("deaf")
        engine.cancel("other")

        assert isinstance(other.exception(timeout=60), QueryCancelled)
        assert not deaf.done()
        assert isinstance(deaf.exception(timeout=60), QueryCancelled)


def test_closing_ends_what_is_at_work(embedded: Callable[..., LocalEngine]) -> None:
    engine = embedded()
    engine.start()
    before = cpu_seconds(engine)
    with ThreadPoolExecutor() as threads:
        running = [threads.submit(engine.execute, checked(endless(engine)), f"closed {i}") for i in range(3)]
        eventually(busy(engine, before))
        engine.close()

        for each in running:
            assert isinstance(each.exception(timeout=30), EngineUnavailable | QueryCancelled)
    assert engine.process_id is None


def test_many_queries_cancelled_at_random_moments_leave_nothing(engine: Engine) -> None:
    engine.start()
    for sql in (*QUICK, *QUICK):  # a cold JVM plans for seconds, and is replaced for what is cancelled meanwhile
        engine.execute(checked(sql), os.urandom(6).hex())
    Storm(engine, Random(1)).run(12)  # pools, sessions and heaps have by then what they keep
    seconds_until_idle(engine)
    before, process = Footprint.of(engine), engine_process(engine)

    storm = Storm(engine, Random(2))
    storm.run(QUERIES)
    idle = seconds_until_idle(engine)
    after = settled(engine, lambda now: is_little_more(now, before))

    assert storm.ends["cancelled"] > QUERIES / 2
    assert idle < 30
    if engine_process(engine) == process or engine.name == "embedded":
        assert engine_process(engine) == process
        assert is_little_more(after, before), (before, after)
    else:  # Spark on a busy machine is replaced where it does not let go in time: then it is gone, with all it held
        assert not psutil.pid_exists(process)
    assert engine.execute(checked("SELECT count(*) AS n FROM many"), "after all").table.to_pylist() == [{"n": 300_000}]


def is_little_more(now: Footprint, before: Footprint) -> bool:
    """Whether an engine and this process hold about what they held before."""
    more_threads = max(now.threads_here - before.threads_here, now.threads - before.threads)
    more_descriptors, more_memory = now.descriptors - before.descriptors, now.memory - before.memory
    return more_threads <= FEW_THREADS and more_descriptors <= SOME_DESCRIPTORS and more_memory <= MOST_MIB


def engine_process(engine: Engine) -> int:
    """The process that does the work: it is not replaced because a query was cancelled."""
    found: int = engine.process_id  # type: ignore[attr-defined]  # every engine of these tests has one
    return found
