"""What is special about a Spark Connect server: it is somebody else's, it comes and goes, and others use it too."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from lakehouse.errors import EngineUnavailable, LakeError, QueryCancelled, QueryFailed, QueryTimedOut, UsageError
from lakehouse.storage import Lake
from mcp_server.engines.connect import ConnectEngine, read_url
from mcp_server.engines.local.process import Process
from mcp_server.models import Scan
from mcp_server.settings import Settings
from tests.connect_server import ConnectServer
from tests.engines.conftest import FILMS, Query, write_lake
from tests.engines.served import ServedEngine
from tests.engines.watching import ENDLESS, eventually, idles, is_alive, rows

Make = Callable[..., ServedEngine]

SLOW_TO_STOP = "SELECT count(*) FROM range(3000000) a JOIN range(3000000) b ON a.id * b.id % 7 = 11"
"""A join without keys, whose loop looks for an interrupt only now and then."""


@pytest.fixture
def make(connect_engine: ServedEngine, settings_of: Callable[..., Settings]) -> Iterator[Make]:
    """Makes engines on the server of `connect_engine`, and ends them."""
    made: list[ServedEngine] = []

    def one(lake: Lake | None = None, **changes: Any) -> ServedEngine:
        made.append(ServedEngine(connect_engine.server, lake or connect_engine.lake, settings_of, **changes))
        return made[-1]

    yield one
    for engine in made:
        engine.close()


@pytest.fixture
def given(connect_engine: ServedEngine, make: Make, query: Query) -> ServedEngine:
    """An engine whose lake is the schema that the contract's engine has registered."""
    rows(connect_engine, query("SELECT 1 FROM films f, kinds k, many m LIMIT 1", "films", "kinds", "many"))
    return make(Lake.parse("spark_catalog.imdb"))


def begin(engine: ServedEngine, query: Any, query_id: str, threads: ThreadPoolExecutor) -> Any:
    """A query that runs on the server by now, and alone."""
    eventually(lambda: engine.server.jobs() == 0)
    running = threads.submit(engine.execute, query, query_id)
    eventually(lambda: engine.server.jobs() > 0 or running.done())
    return running


def test_a_server_that_dies_under_a_query_is_said_and_the_next_query_finds_the_new_one(
    make: Make, query: Query
) -> None:
    engine = make()
    count = query("SELECT count(*) AS n FROM films", "films")
    assert rows(engine, count) == [{"n": 5}]
    with ThreadPoolExecutor() as threads:
        running = begin(engine, query(ENDLESS), "bereft", threads)
        engine.server.kill()
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:\d+ \(SPARK_REMOTE\) cannot be reached or has gone"):
            running.result(timeout=60)
        with pytest.raises(EngineUnavailable, match="SPARK_REMOTE"):
            rows(engine, count)
    worker = engine.worker_id

    engine.server.start()

    assert rows(engine, count) == [{"n": 5}]
    assert engine.worker_id == worker


def test_a_server_that_was_restarted_while_nobody_asked_is_not_noticed(make: Make, query: Query) -> None:
    with_a_session, without = make(), make()
    count = query("SELECT count(*) AS n FROM films", "films")
    assert rows(with_a_session, count) == rows(without, count) == [{"n": 5}]
    with pytest.raises(QueryTimedOut):
        without.execute(query(ENDLESS, deadline=1.0), "takes the session with it")

    without.server.restart()

    assert rows(with_a_session, count) == rows(without, count) == [{"n": 5}]


def test_a_stopped_query_is_over_on_the_server(make: Make, query: Query) -> None:
    engine = make()
    with ThreadPoolExecutor() as threads:
        running = begin(engine, query(ENDLESS), "to cancel", threads)
        engine.cancel("to cancel")
        with pytest.raises(QueryCancelled):
            running.result(timeout=30)
        with pytest.raises(QueryTimedOut):
            engine.execute(query(ENDLESS, deadline=1.0), "too long")

    eventually(lambda: engine.server.jobs() == 0 and engine.server.running() == set())


@pytest.mark.parametrize("sql", [ENDLESS, SLOW_TO_STOP])
def test_who_stops_a_query_asks_once_and_the_child_asks_until_it_has_stopped(
    make: Make, query: Query, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    engine = make()
    rows(engine, query("SELECT 1 AS x"))
    asked: list[str] = []
    ask = Process.interrupt

    def ask_once(process: Process, call: str) -> None:
        if not asked:
            asked.append(call)
            ask(process, call)

    monkeypatch.setattr(Process, "interrupt", ask_once)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(engine.execute, query(sql), "slow")
        eventually(lambda: engine._admission.find_call("slow") is not None)
        engine.cancel("slow")  # before it can have arrived
        with pytest.raises(QueryCancelled):
            running.result(timeout=60)

    assert asked == ["slow"]
    eventually(lambda: engine.server.jobs() == 0 and engine.server.running() == set(), seconds=120)
    idles(engine.server.process)


def test_closing_stops_what_runs_on_the_server(make: Make, query: Query) -> None:
    engine = make()
    with ThreadPoolExecutor() as threads:
        running = begin(engine, query(ENDLESS), "running", threads)
        worker = psutil.Process(engine.worker_id)
        engine.close()
        with pytest.raises(EngineUnavailable, match="closed"):
            running.result(timeout=10)

    eventually(lambda: engine.server.jobs() == 0 and engine.server.running() == set())
    assert not is_alive(worker)
    assert engine.server.process.is_running()


def test_a_server_of_ours_that_was_killed_leaves_nothing_running_on_theirs(
    connect_engine: ServedEngine, tmp_path: Path
) -> None:
    ours = textwrap.dedent(f"""
        from mcp_server.settings import load_settings
        from lakehouse.storage import Lake
        from mcp_server.engines.connect import ConnectEngine
        from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit

        engine = ConnectEngine(Lake.parse({connect_engine.lake.address!r}), load_settings(engine="spark"))
        engine.start()
        print(engine.process_id, flush=True)
        none = frozenset()
        engine.execute(CheckedQuery({ENDLESS!r}, {ENDLESS!r}, none, none, RowLimit(1), 600, Principal("x"), {{}}, (),
                                    GUARD_SEAL), "endless")
    """)
    environment = os.environ | {"SPARK_REMOTE": connect_engine.server.url, "IMDB_STATE_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", ours], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        eventually(lambda: connect_engine.server.jobs() > 0)
        parent.kill()

    eventually(lambda: not is_alive(worker), seconds=10)
    eventually(lambda: connect_engine.server.jobs() == 0 and connect_engine.server.running() == set())


def test_a_schema_of_a_catalogue_is_served_with_what_it_has(given: ServedEngine, query: Query) -> None:
    tables = {table.name: table for table in given.tables()}

    assert given.schema == "spark_catalog.imdb"
    assert list(tables) == ["films", "kinds", "many"]
    assert [(column.name, column.type) for column in tables["films"].columns] == [
        ("id", "int"), ("title", "string"), ("rating", "double"), ("genres", "array<string>"),
    ]  # fmt: skip
    assert rows(given, query("SELECT * FROM spark_catalog.imdb.films ORDER BY id", "films")) == FILMS.to_pylist()
    assert rows(given, query("SELECT count(*) AS n FROM films", "films")) == [{"n": 5}]


def test_what_a_table_of_a_catalogue_weighs_is_asked_for(given: ServedEngine, query: Query) -> None:
    checked = query("SELECT id FROM many WHERE id < 5", "many")

    estimate = given.estimate(checked)

    assert not estimate.exact
    assert [(scan.table, scan.files, scan.rows) for scan in estimate.scans] == [("many", 1, None)]
    assert estimate.bytes > 100_000
    assert given.bounds("many") == {}


def test_a_lake_that_both_can_read_is_estimated_from_its_log(connect_engine: ServedEngine, query: Query) -> None:
    checked = query("SELECT id FROM many", "many")
    object.__setattr__(checked, "scans", (Scan("many", None),))

    assert connect_engine.estimate(checked).exact
    assert connect_engine.bounds("many") == {"id": (0, 299_999)}


def test_a_catalogue_that_is_not_there_says_so(make: Make) -> None:
    with pytest.raises((LakeError, QueryFailed), match="nowhere"):
        make(Lake.parse("spark_catalog.nowhere")).tables()


def test_another_lake_under_the_same_names_is_refused_and_not_replaced(
    connect_engine: ServedEngine, make: Make, query: Query, tmp_path: Path
) -> None:
    count = query("SELECT count(*) AS n FROM films", "films")
    assert rows(connect_engine, count) == [{"n": 5}]
    other = make(write_lake(tmp_path / "other"))

    with pytest.raises(LakeError, match=r"another table under the name .*films.*IMDB_SCHEMA_NAME"):
        rows(other, count)

    assert rows(connect_engine, count) == [{"n": 5}]
    assert rows(make(other.lake, schema_name="others"), count) == [{"n": 5}]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a path that is another one for each process")
def test_a_lake_that_the_server_cannot_read_is_said(
    make: Make, query: Query, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lake(tmp_path / "lake")
    elsewhere = Path.cwd()  # the server's
    monkeypatch.chdir(tmp_path)
    engine = make(Lake.parse("/proc/self/cwd/lake"), schema_name="unreadable")

    with pytest.raises(LakeError, match=r"cannot read the table films.*storage URL.*catalog\.schema"):
        rows(engine, query("SELECT count(*) AS n FROM films", "films"))

    assert not (elsewhere / "lake" / "films").exists()  # Delta would make an empty table


def test_nothing_is_registered_in_a_catalogue_that_outlives_the_server(
    java: None, lake: Lake, settings_of: Callable[..., Settings], query: Query, tmp_path: Path
) -> None:
    server = ConnectServer(tmp_path, {"spark.sql.catalog.spark_catalog": "org.example.SharedCatalog"})
    server.start()
    engine = ServedEngine(server, lake, settings_of)
    try:
        with pytest.raises(LakeError, match=r"catalogue of others.*SharedCatalog.*Give the lake as catalog\.schema"):
            rows(engine, query("SELECT count(*) AS n FROM films", "films"))
    finally:
        engine.close()
        server.kill()


def test_a_token_lets_in_and_is_shown_to_nobody(
    java: None, lake: Lake, settings_of: Callable[..., Settings], query: Query, tmp_path: Path
) -> None:
    server = ConnectServer(tmp_path, token="s3cr3t-0f-the-server")
    server.start()
    engine = ServedEngine(server, lake, settings_of)
    stranger = ServedEngine(server, lake, settings_of, SPARK_REMOTE=server.url.replace("s3cr3t", "gu3ss3d"))
    try:
        assert rows(engine, query("SELECT count(*) AS n FROM films", "films")) == [{"n": 5}]
        child = psutil.Process(engine.worker_id)
        assert "s3cr3t" not in " ".join([*child.cmdline(), *child.environ().values()])
        with pytest.raises(QueryFailed) as failure:
            rows(engine, query("SELECT `s3cr3t-0f-the-server`"))
        assert "s3cr3t" not in str(failure.value)
        with pytest.raises(EngineUnavailable, match=r"SPARK_REMOTE.*does not let this server in") as refused:
            rows(stranger, query("SELECT 1"))
        assert "gu3ss3d" not in str(refused.value)
    finally:
        engine.close()
        stranger.close()
        server.kill()


def test_nothing_is_connected_before_a_query_needs_it(lake: Lake, settings_of: Callable[..., Settings]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.5)
        url = f"sc://127.0.0.1:{listening.getsockname()[1]}"
        engine = ConnectEngine(lake, settings_of(engine="spark", SPARK_REMOTE=url))
        engine.start()
        assert [table.name for table in engine.tables()] == ["films", "kinds", "many"]
        with pytest.raises(TimeoutError):
            listening.accept()
        engine.close()


def test_a_server_that_cannot_be_reached_is_said_soon_and_then_at_once(
    lake: Lake, settings_of: Callable[..., Settings], query: Query
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"sc://127.0.0.1:{unused.getsockname()[1]}"
        engine = ConnectEngine(lake, settings_of(engine="spark", SPARK_REMOTE=url))
        try:
            for _ in range(5):
                with pytest.raises(EngineUnavailable, match=r"SPARK_REMOTE.*refused.*Check that it runs"):
                    rows(engine, query("SELECT 1"))
            with pytest.raises(EngineUnavailable, match="5 times in a row"):
                rows(engine, query("SELECT 1"))
        finally:
            engine.close()


@pytest.mark.parametrize(
    "url",
    ["", "spark://host:7077", "http://host:15002", "sc://", "sc://host:port", "sc://host/path", "sc://host/;t0ken",
     "sc://host:15002;token=t0ken", "sc://host?token=t0ken"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(UsageError, match=r"SPARK_REMOTE .*sc://host:15002") as refused:
        read_url(url)

    assert "t0ken" not in str(refused.value)


def test_a_url_is_read_as_the_client_reads_it() -> None:
    assert read_url("sc://host") == ("host:15002", "")
    assert read_url("sc://[::1]:1/;use_ssl=true;token=a%2Bb;x-cluster=7") == ("[::1]:1", "a+b")


def test_a_missing_client_is_named_with_its_install_command(
    lake: Lake, settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = ConnectEngine(lake, settings_of(engine="spark", SPARK_REMOTE="sc://nowhere"))

    with pytest.raises(EngineUnavailable, match=r"did not start: The spark engine is not installed.*\[embedded\]"):
        engine.start()
    engine.close()


def test_sessions_are_used_again_and_their_tables_registered_once(make: Make, query: Query) -> None:
    engine = make()
    count = query("SELECT count(*) AS n FROM films", "films")
    rows(engine, count)
    before = len(engine.server.operations())
    for _ in range(5):
        rows(engine, count)

    assert len(engine.server.operations()) - before == 5


def test_two_at_once_have_sessions_of_their_own(make: Make, query: Query) -> None:
    engine = make()
    both = threading.Barrier(2)

    def ask(number: int) -> list[dict[str, Any]]:
        both.wait(60)
        return rows(engine, query(f"SELECT count(*) + {number} AS n FROM films", "films"))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(ask, (1, 2))) == [[{"n": 6}], [{"n": 7}]]
