"""Start, end, and what happens to everybody else when a query or a process goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from lakehouse.errors import EngineUnavailable, QueryCancelled, QueryTimedOut, ResourceLimit
from lakehouse.storage import Lake
from mcp_server.engines.disk import used_bytes
from mcp_server.engines.local import LocalEngine, supervisor
from mcp_server.engines.spark import SparkEngine
from mcp_server.models import CheckedQuery
from mcp_server.settings import Settings
from tests.engines.cancelling import UNHEARD, asking, checked, endless, is_lost
from tests.engines.conftest import Query, of_our_own
from tests.engines.watching import ENDLESS, cpu_seconds, eventually, is_alive, rows, worker_of
from tests.ports import is_reached, listening_ports

LINUX = sys.platform == "linux"
Embedded = Callable[..., LocalEngine]

SOME_SECONDS = "SELECT sum(id % 7) % 2 AS s FROM range(200000000)"
# One call of one function, which looks for nothing while it works.
UNSTOPPABLE = "SELECT levenshtein(repeat(max(word), 20000), repeat(min(word), 20000)) FROM many"
# One batch of strings that is larger than the ceiling; the pool for sorts and joins does not know of it.
BLOW_UP = "SELECT max(length(repeat(word, 8000))) FROM many"


def test_a_query_that_blows_up_the_memory_ends_alone(embedded: Embedded, query: Query) -> None:
    engine = embedded(engine_memory_mb=768)
    worker = worker_of(engine)
    before = cpu_seconds(worker)
    with ThreadPoolExecutor() as threads:
        bystander = threads.submit(rows, engine, query(SOME_SECONDS))
        eventually(lambda: cpu_seconds(worker) - before > 0.3)
        with pytest.raises(ResourceLimit, match=r"memory.*768 MiB.*Read less"):
            engine.execute(query(BLOW_UP, "many"), "blow up")
        assert len(bystander.result(timeout=60)) == 1

    assert rows(engine, query("SELECT count(*) AS n FROM films", "films")) == [{"n": 5}]
    assert worker_of(engine).pid != worker.pid


def test_a_query_that_blows_up_sparks_heap_says_so(
    java: None, lake: Lake, settings_of: Callable[..., Settings], query: Query
) -> None:
    engine = SparkEngine(lake, settings_of(engine="spark", engine_memory_mb=600))
    try:
        with pytest.raises(ResourceLimit, match=r"memory.*600 MiB.*Read less"):
            rows(engine, query("SELECT length(repeat(concat_ws(',', collect_list(word)), 200)) FROM many", "many"))
    finally:
        engine.close()


def test_a_query_that_cannot_be_stopped_takes_the_process_and_nobody_else(embedded: Embedded, query: Query) -> None:
    engine = embedded()
    worker = worker_of(engine)
    with ThreadPoolExecutor() as threads:
        bystander = threads.submit(rows, engine, query(SOME_SECONDS))
        with pytest.raises(QueryTimedOut, match="was restarted"):
            engine.execute(query(UNSTOPPABLE, "many", deadline=1.0), "unstoppable")
        assert len(bystander.result(timeout=60)) == 1

    eventually(lambda: not is_alive(worker))


@pytest.mark.skipif(not LINUX, reason="needs Linux, which tells what a thread does")
def test_a_join_that_goes_on_after_its_cancel_takes_the_process_with_it(embedded: Embedded, query: Query) -> None:
    engine = embedded()
    worker = worker_of(engine)
    with ThreadPoolExecutor() as threads:
        unheard = threads.submit(engine.execute, query(UNHEARD, "many"), "unheard")
        eventually(is_lost(worker))
        engine.cancel("unheard")
        with pytest.raises(QueryCancelled):
            unheard.result(timeout=60)

    eventually(lambda: not is_alive(worker))
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]


@pytest.mark.skipif(not LINUX, reason="needs Linux, which tells what a thread does")
def test_what_goes_on_after_its_cancel_ends_once_others_have_their_answer(embedded: Embedded, query: Query) -> None:
    engine = embedded()
    worker = worker_of(engine)
    with ThreadPoolExecutor() as threads:
        unheard = threads.submit(engine.execute, query(UNHEARD, "many"), "unheard")
        eventually(is_lost(worker))
        bystander = threads.submit(rows, engine, query(SOME_SECONDS))
        engine.cancel("unheard")
        with pytest.raises(QueryCancelled):
            unheard.result(timeout=60)
        assert len(bystander.result(timeout=60)) == 1

    eventually(lambda: not is_alive(worker))


@pytest.mark.skipif(not LINUX, reason="needs Linux, which tells what a thread does")
def test_what_goes_on_after_its_cancel_ends_within_seconds_though_others_keep_asking(
    embedded: Embedded, query: Query
) -> None:
    engine = embedded()
    worker = worker_of(engine)
    with asking(engine) as answered, ThreadPoolExecutor() as threads:
        unheard = threads.submit(engine.execute, query(UNHEARD, "many"), "unheard")
        eventually(lambda: len(answered) > 3)
        eventually(is_lost(worker))
        engine.cancel("unheard")
        with pytest.raises(QueryCancelled, match="was restarted"):
            unheard.result(timeout=30)
        eventually(lambda: not is_alive(worker), seconds=5)
        before = len(answered)
        eventually(lambda: len(answered) > before + 3)


@pytest.mark.skipif(not LINUX, reason="needs Linux, which tells what a thread does")
def test_what_goes_on_after_its_cancel_holds_its_place_until_it_ends(embedded: Embedded, query: Query) -> None:
    engine = embedded(max_concurrent_queries=1)
    worker = worker_of(engine)
    with ThreadPoolExecutor() as threads:
        unheard = threads.submit(engine.execute, query(UNHEARD, "many"), "unheard")
        eventually(is_lost(worker))
        engine.cancel("unheard")
        assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]
        assert not is_alive(worker)
        assert isinstance(unheard.exception(timeout=30), QueryCancelled)


@pytest.mark.skipif(not LINUX, reason="needs Linux, which tells what a thread does")
def test_a_cancel_that_is_heard_leaves_the_joins_of_others_alone(embedded: Embedded, query: Query) -> None:
    engine = embedded()
    worker = worker_of(engine)
    with ThreadPoolExecutor() as threads:
        join = threads.submit(engine.execute, query(UNHEARD, "many"), "join")
        eventually(is_lost(worker, seconds=1))  # all of its threads are settled in the join
        joining = cpu_seconds(worker)
        heard = threads.submit(engine.execute, checked(endless(engine)), "heard")
        eventually(lambda: cpu_seconds(worker) - joining > 0.6)
        engine.cancel("heard")
        assert str(heard.exception(timeout=30)) == "The query was cancelled."
        assert is_alive(worker)
        assert not join.done()
        engine.close()
        assert join.exception(timeout=30) is not None


def test_a_query_that_twice_lost_its_process_to_others_gets_the_next_one_to_itself(
    embedded: Embedded, query: Query
) -> None:
    engine = embedded()
    with ThreadPoolExecutor() as threads:
        bystander = threads.submit(engine.execute, checked(endless(engine)), "bystander")
        for _ in range(2):
            worker = worker_of(engine)
            before = cpu_seconds(worker)
            eventually(lambda before=before, worker=worker: cpu_seconds(worker) - before > 0.1)
            assert engine._supervisor.process is not None
            engine._supervisor.process.kill("another")
            eventually(lambda worker=worker: not is_alive(worker))
        last = worker_of(engine)
        before = cpu_seconds(last)
        eventually(lambda: cpu_seconds(last) - before > 0.1)
        with pytest.raises(QueryTimedOut, match="waiting for other queries"):
            engine.execute(query("SELECT 1", deadline=0.3), "other")
        engine.cancel("bystander")
        assert isinstance(bystander.exception(timeout=30), QueryCancelled)


def test_sorting_more_than_fits_spills_to_disk(embedded: Embedded, query: Query) -> None:
    engine = embedded(engine_memory_mb=768)
    sql = """
        SELECT count(*) AS n, max(r) AS last FROM (
            SELECT row_number() OVER (PARTITION BY a.id % 2 ORDER BY a.word, b.id) AS r, a.word
            FROM many a CROSS JOIN range(15) b)
    """

    assert rows(engine, query(sql, "many")) == [{"n": 4_500_000, "last": 2_250_000}]


def spilling(rows: int) -> str:
    """A sort of so many times 300,000 rows that cannot be compressed much."""
    return f"""
        SELECT count(*) AS n FROM (
            SELECT row_number() OVER (PARTITION BY a.id % 2 ORDER BY md5(concat(a.word, b.id))) AS r
            FROM many a CROSS JOIN range({rows}) b)
        WHERE r > 0
    """


def most_temporary(engine: LocalEngine, sql: CheckedQuery, folder: Path) -> tuple[int, str]:
    """The most bytes of temporary files at any time while a query fails, and what it is told."""
    most = 0
    with ThreadPoolExecutor() as threads:
        running = threads.submit(engine.execute, sql, "spilling")
        while not running.done():
            most = max(most, used_bytes(folder))
            time.sleep(0.02)
        with pytest.raises(ResourceLimit) as said:
            running.result()
    return most, str(said.value)


def test_temporary_files_are_capped_on_the_embedded_engine_and_leave_nothing(
    embedded: Embedded, query: Query, tmp_path: Path
) -> None:
    engine = embedded(state_dir=tmp_path, engine_memory_mb=1024, engine_temp_mb=100)
    most, said = most_temporary(engine, query(spilling(15), "many"), tmp_path)
    assert "temporary files" in said
    assert "Read less" in said
    assert most < 200 << 20
    assert rows(engine, query(spilling(1), "many")) == [{"n": 300_000}]
    eventually(lambda: used_bytes(tmp_path) < 1 << 20)


def test_temporary_files_are_capped_on_spark_and_leave_nothing(
    java: None, lake: Lake, settings_of: Callable[..., Settings], query: Query, tmp_path: Path
) -> None:
    engine = SparkEngine(lake, settings_of(engine="spark", state_dir=tmp_path, engine_temp_mb=100))
    try:
        engine.start()
        most, said = most_temporary(engine, query(spilling(15), "many"), tmp_path)
        assert "temporary files than the engine may have (100 MiB)" in said
        assert most < 400 << 20
        eventually(lambda: used_bytes(tmp_path) < 10 << 20, seconds=20)
    finally:
        engine.close()


def litter(folder: Path, mebibytes: int) -> None:
    """Leave so much in the engine's work folder."""
    (work,) = folder.glob("imdb-engine-*")
    (work / "left").write_bytes(bytes(mebibytes << 20))


def test_bystanders_of_a_process_that_wrote_too_much_are_answered(
    embedded: Embedded, query: Query, tmp_path: Path
) -> None:
    engine = embedded(state_dir=tmp_path, engine_temp_mb=64)
    worker = worker_of(engine)
    before = cpu_seconds(worker)
    with ThreadPoolExecutor() as threads:
        running = [threads.submit(rows, engine, query(SOME_SECONDS)) for _ in range(2)]
        eventually(lambda: cpu_seconds(worker) - before > 0.3)
        litter(tmp_path, 65)
        assert [len(each.result(timeout=60)) for each in running] == [1, 1]
    assert not is_alive(worker)


def test_no_statement_pays_for_temporary_files_of_those_before_it(
    embedded: Embedded, query: Query, tmp_path: Path
) -> None:
    engine = embedded(state_dir=tmp_path, engine_temp_mb=64)
    worker = worker_of(engine)
    litter(tmp_path, 40)
    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]
    eventually(lambda: not is_alive(worker))
    assert rows(engine, query("SELECT 2 AS x")) == [{"x": 2}]
    assert used_bytes(tmp_path) < 1 << 20


def test_an_answer_that_is_too_large_is_refused(embedded: Embedded, query: Query) -> None:
    with pytest.raises(ResourceLimit, match=r"larger than 128 MiB.*Read less"):
        embedded().execute(
            query("SELECT repeat(word, 30000) FROM (SELECT word FROM many LIMIT 500)", "many", limit=500), "large"
        )


def test_an_idle_process_that_keeps_much_memory_is_replaced(
    embedded: Embedded, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_HELD_SHARE", 0.01)
    engine = embedded()
    first = worker_of(engine)

    def is_replaced() -> bool:
        assert rows(engine, query("SELECT 2 AS x")) == [{"x": 2}]
        return not is_alive(first)

    eventually(is_replaced)


def test_more_queries_than_places_wait_and_are_all_answered(embedded: Embedded, query: Query) -> None:
    engine = embedded(max_concurrent_queries=2)
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda i: rows(engine, query(f"SELECT {i} AS x")), range(36)))

    assert found == [[{"x": i}] for i in range(36)]


def test_a_query_that_finds_no_place_in_time_says_so(embedded: Embedded, query: Query) -> None:
    engine = embedded(max_concurrent_queries=1)
    worker = worker_of(engine)
    before = cpu_seconds(worker)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(engine.execute, query(ENDLESS), "first")
        eventually(lambda: cpu_seconds(worker) - before > 0.3)
        with pytest.raises(QueryTimedOut, match="waiting for other queries"):
            engine.execute(query("SELECT 1", deadline=0.3), "second")
        engine.cancel("first")
        assert first.exception(timeout=30) is not None


@of_our_own
def test_closing_ends_what_runs_and_leaves_nothing(engine: LocalEngine, lake: Lake, query: Query) -> None:
    own = type(engine)(lake, engine.settings)
    worker = worker_of(own)
    family = [worker, *worker.children(recursive=True)]
    before = cpu_seconds(worker)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(own.execute, query(ENDLESS), "running")
        eventually(lambda: cpu_seconds(worker) - before > 0.5)
        own.close()
        own.close()
        with pytest.raises(EngineUnavailable, match="closed"):
            running.result(timeout=10)

    eventually(lambda: not any(is_alive(process) for process in family))
    with pytest.raises(EngineUnavailable, match="closed"):
        own.execute(query("SELECT 1"), "after")


def test_work_folders_of_the_dead_are_taken_away_and_those_of_the_living_kept(
    embedded: Embedded, query: Query, tmp_path: Path
) -> None:
    left = tmp_path / "imdb-engine-left"
    left.mkdir()
    (left / "spilled").write_text("…")
    first, second = embedded(state_dir=tmp_path), embedded(state_dir=tmp_path)
    first.start()
    (kept,) = tmp_path.glob("imdb-engine-*")
    second.start()

    assert not left.exists()
    assert kept.exists()
    first.close()
    second.close()
    assert list(tmp_path.glob("imdb-engine-*")) == []


def test_a_failed_start_gives_its_reason_and_is_tried_again(
    embedded: Embedded, query: Query, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pysail").mkdir()
    (tmp_path / "pysail" / "__init__.py").write_text("")
    engine = embedded()
    with monkeypatch.context() as broken:
        broken.setenv("PYTHONPATH", str(tmp_path))
        for ask in (engine.start, lambda: engine.execute(query("SELECT 1"), "too early")):
            with pytest.raises(EngineUnavailable, match=r"did not start: The embedded engine is not installed"):
                ask()

    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]


def test_spark_without_java_says_what_to_install(
    lake: Lake, settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(EngineUnavailable, match="needs Java 17 or newer"):
        SparkEngine(lake, settings_of(engine="spark")).start()


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("", r"pyspark\.sql is missing.*pip install 'imdb-lakehouse-mcp\[spark\]'"),
        ("sql", r"thin client.*pip install 'imdb-lakehouse-mcp\[auto\]'"),
    ],
)
def test_a_missing_spark_is_named_with_its_install_command(
    java: None,
    lake: Lake,
    settings_of: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    package: str,
    says: str,
) -> None:
    for folder in {tmp_path / "pyspark", tmp_path / "pyspark" / package}:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("SparkSession = None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = SparkEngine(lake, settings_of(engine="spark"))

    with pytest.raises(EngineUnavailable, match=says):
        engine.start()
    engine.close()


def test_callers_during_the_start_wait_for_the_same_start(embedded: Embedded, query: Query) -> None:
    engine = embedded()
    with ThreadPoolExecutor(6) as threads:
        starts = [threads.submit(engine.start) for _ in range(3)]
        asked = [threads.submit(rows, engine, query("SELECT 1 AS x")) for _ in range(3)]
        assert [answer.result(timeout=60) for answer in asked] == [[{"x": 1}]] * 3
        assert [start.result(timeout=60) for start in starts] == [None] * 3

    assert len(psutil.Process(engine.process_id).parent().children()) >= 1


def test_a_query_that_cannot_wait_for_the_start_says_when_to_come_back(embedded: Embedded, query: Query) -> None:
    with pytest.raises(EngineUnavailable, match="still starting"):
        embedded().execute(query("SELECT 1", deadline=0.01), "impatient")


@of_our_own
def test_no_process_outlives_a_server_that_was_killed(engine: LocalEngine, lake: Lake) -> None:
    server = textwrap.dedent(f"""
        import threading
        from mcp_server.settings import load_settings
        from lakehouse.storage import Lake
        from {type(engine).__module__} import {type(engine).__name__} as Engine
        from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit

        engine = Engine(Lake.parse({lake.address!r}), load_settings(engine={engine.name!r}))
        engine.start()
        print(engine.process_id, flush=True)
        none = frozenset()
        engine.execute(CheckedQuery({ENDLESS!r}, {ENDLESS!r}, none, none, RowLimit(1), 600, Principal("x"), {{}}, (),
                                    GUARD_SEAL), "endless")
    """)
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        before = cpu_seconds(worker)
        eventually(lambda: cpu_seconds(worker) - before > 1)
        family = [process for process in (worker, *worker.children(recursive=True)) if is_alive(process)]
        assert len(family) == (1 if engine.name == "embedded" else 2)
        parent.kill()

    eventually(lambda: not any(is_alive(process) for process in family), seconds=10)


def test_the_process_has_its_own_session_and_none_of_our_settings(
    embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-hidden")
    worker = worker_of(embedded())

    environment = worker.environ()
    assert os.getsid(worker.pid) == worker.pid
    assert not [name for name in environment if name.startswith("IMDB_")]
    assert "hidden" not in "".join(environment.values())


@pytest.mark.skipif(not LINUX, reason="needs Linux")
def test_nobody_else_reaches_the_engine_and_it_reaches_nobody(embedded: Embedded) -> None:
    ours = os.readlink("/proc/self/ns/net")
    isolated, open_to_all = worker_of(embedded()), worker_of(embedded(engine_isolation="off"))

    assert os.readlink(f"/proc/{isolated.pid}/ns/net") != ours
    assert os.readlink(f"/proc/{open_to_all.pid}/ns/net") == ours
    for worker, is_open in ((isolated, False), (open_to_all, True)):
        ports = listening_ports(worker.pid)
        assert ports
        assert any(is_reached(worker.pid, port) for port in ports) is is_open


@pytest.mark.skipif(not LINUX, reason="needs Linux")
@pytest.mark.parametrize(("isolation", "says"), [("auto", "shares the machine's network"), ("required", "cannot have")])
def test_where_the_system_allows_no_network_of_its_own_it_is_said(lake: Lake, isolation: str, says: str) -> None:
    start = textwrap.dedent(f"""
        import logging, sys
        from lakehouse.errors import EngineUnavailable
        from mcp_server.settings import load_settings
        from lakehouse.storage import Lake
        from mcp_server.engines.embedded import EmbeddedEngine

        open("/proc/sys/user/max_net_namespaces", "w").write("0")
        logging.basicConfig(stream=sys.stdout)
        engine = EmbeddedEngine(Lake.parse({lake.address!r}), load_settings(engine_isolation={isolation!r}))
        try:
            engine.start()
            print("started")
        except EngineUnavailable as error:
            print("refused:", error)
        engine.close()
    """)
    # Within a user namespace of its own, whose limits bind nobody else.
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", start]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unshare failed" in found.stderr:
        pytest.skip("needs user namespaces")

    assert says in found.stdout
    assert ("started" in found.stdout) == (isolation == "auto")


def test_a_killed_process_is_noticed_without_a_query(embedded: Embedded, query: Query) -> None:
    engine = embedded()
    worker = worker_of(engine)
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: engine.process_id is None)

    assert rows(engine, query("SELECT 1 AS x")) == [{"x": 1}]
    assert threading.active_count() < 50
