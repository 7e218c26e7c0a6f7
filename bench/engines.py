"""The whole server beside the bare engine: the same questions, in turn, in one run; cold starts; many callers at once.

    python -m bench.engines --lake DIR [--engine embedded --engine spark …] [--runs 7] [--callers 32]

Bare is one warm session of the engine with the tables registered, given the very text that the server would run; the
server is asked by an MCP client in this process, and checks, runs, shapes and audits. `connect` and `databricks` stand
on a Spark Connect server that is started here; the warehouse is the tests' stand-in, so its figure is of the wire and
of our side only. Prints medians in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client

from lakehouse.session import fetch, open_session
from lakehouse.settings import Runtime
from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.app import LakehouseServer
from mcp_server.engines import Engine
from mcp_server.engines.connect import ConnectEngine
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.spark import SparkEngine
from mcp_server.models import CheckedQuery, Principal
from mcp_server.settings import load_settings
from mcp_server.terms import catalog_of, limits_of
from tests.connect_server import ConnectServer
from tests.engines.warehouse import TOKEN, WarehouseEngine
from tests.warehouse.lake import register
from tests.warehouse.server import HTTP_PATH

QUESTIONS = Path(__file__).parent.parent / "tests/data/evals/questions.jsonl"
RUNTIMES: tuple[Runtime, ...] = ("embedded", "spark", "connect", "databricks")
QUICK_MS = 200

Bare = Callable[[str], object]


@dataclass(frozen=True)
class Rig:
    """An engine behind a server, and the same engine bare."""

    engine: Engine
    bare: Bare


@contextmanager
def open_rig(runtime: Runtime, lake: Path, state: Path) -> Iterator[Rig]:
    """Both, with the lake's tables."""
    with ExitStack() as stack:
        engine, bare = _MAKERS[runtime](stack, lake, state)
        stack.callback(engine.close)
        yield Rig(engine, bare)


def _open_embedded(stack: ExitStack, lake: Path, state: Path) -> tuple[Engine, Bare]:
    session = stack.enter_context(open_session("embedded", work_dir=str(state)))
    _register_tables(session.spark, lake)
    return EmbeddedEngine(Lake.parse(str(lake)), load_settings(state_dir=state)), _bare_session(session.spark)


def _open_spark(stack: ExitStack, lake: Path, state: Path) -> tuple[Engine, Bare]:
    session = stack.enter_context(open_session("spark", work_dir=str(state)))
    _register_tables(session.spark, lake)
    settings = load_settings(state_dir=state, engine="spark")
    return SparkEngine(Lake.parse(str(lake)), settings), _bare_session(session.spark)


def _open_connect(stack: ExitStack, lake: Path, state: Path) -> tuple[Engine, Bare]:
    from pyspark.sql import SparkSession

    server = _start_connect_server(stack, state)
    settings = load_settings(state_dir=state, engine="spark", SPARK_REMOTE=server.url)
    engine = ConnectEngine(Lake.parse(str(lake)), settings)
    engine.start()
    session = SparkSession.builder.remote(server.url).create()
    stack.callback(session.stop)
    _register_tables(session, lake)
    return engine, _bare_session(session)


def _open_databricks(stack: ExitStack, lake: Path, state: Path) -> tuple[Engine, Bare]:
    from databricks import sql

    server = _start_connect_server(stack, state)
    register(server.url, lake, *_list_tables(lake))
    engine = WarehouseEngine(server, lambda **given: load_settings(state_dir=state, **given))
    connection = sql.connect(
        server_hostname="127.0.0.1",
        http_path=HTTP_PATH,
        access_token=TOKEN,
        _connection_uri=engine.warehouse.uri,
        enable_telemetry=False,
        schema="imdb",
        catalog="spark_catalog",
    )
    stack.callback(connection.close)
    cursor = connection.cursor(row_limit=501)
    return engine, lambda text: cursor.execute(text).fetchall_arrow()


_MAKERS: dict[Runtime, Callable[[ExitStack, Path, Path], tuple[Engine, Bare]]] = {
    "embedded": _open_embedded,
    "spark": _open_spark,
    "connect": _open_connect,
    "databricks": _open_databricks,
}


def _start_connect_server(stack: ExitStack, state: Path) -> ConnectServer:
    server = ConnectServer(state)
    server.start()
    stack.callback(server.kill)
    return server


def _list_tables(lake: Path) -> list[str]:
    return sorted(log.parent.name for log in lake.glob("*/_delta_log"))


def _register_tables(session: Any, lake: Path) -> None:
    session.sql("CREATE SCHEMA IF NOT EXISTS imdb")
    for name in _list_tables(lake):
        session.sql(f"CREATE TABLE IF NOT EXISTS imdb.{name} USING delta LOCATION '{lake / name}'")


def _bare_session(session: Any) -> Bare:
    return lambda text: fetch(session.sql(text).limit(501))


def read_texts(engine: Engine, questions: Sequence[dict[str, str]]) -> dict[str, str]:
    """What the server would run for each question."""
    settings = load_settings()
    catalog = catalog_of(engine, engine.tables())
    found = {}
    for question in questions:
        checked = checking.check(
            question["sql"], catalog=catalog, limits=limits_of(settings), principal=Principal("bench")
        )
        assert isinstance(checked, CheckedQuery)
        found[question["id"]] = checked.sql
    return found


def milliseconds(started: float) -> float:
    return (time.perf_counter() - started) * 1_000


async def time_query(client: Client, sql: str) -> float:
    started = time.perf_counter()
    result = await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "bench"})
    taken = milliseconds(started)
    if result.is_error:
        raise RuntimeError(f"{sql}: {result.content[0]}")
    return taken


async def compare_with_bare(rig: Rig, questions: Sequence[dict[str, str]], runs: int, state: Path) -> None:
    """Each question in turn: bare, then through the server; after one round that is not counted."""
    run_texts = read_texts(rig.engine, questions)
    bare: dict[str, list[float]] = {name: [] for name in run_texts}
    served: dict[str, list[float]] = {name: [] for name in run_texts}
    server = LakehouseServer(load_settings(state_dir=state), lambda: [rig.engine])
    async with Client(server, read_timeout_seconds=600) as client:
        for turn in range(runs + 1):
            for question in questions:
                name = question["id"]
                started = time.perf_counter()
                rig.bare(run_texts[name])
                alone = milliseconds(started)
                governed = await time_query(client, question["sql"])
                if turn:
                    bare[name].append(alone)
                    served[name].append(governed)
    pairs = {name: (statistics.median(bare[name]), statistics.median(served[name])) for name in run_texts}
    quick = {name: pair for name, pair in pairs.items() if pair[0] < QUICK_MS}
    for name, (alone, governed) in pairs.items():
        print(f"  {name:8} bare {alone:8.1f}  served {governed:8.1f}  {governed / alone:5.2f} ×")
    for what, chosen in (("all questions", pairs), (f"those under {QUICK_MS} ms", quick)):
        if chosen:
            ratio = statistics.median(governed / alone for alone, governed in chosen.values())
            extra = statistics.median(governed - alone for alone, governed in chosen.values())
            print(f"  median of {len(chosen)} ({what}): {ratio:.2f} ×, {extra:+.1f} ms")


async def run_crowd(rig: Rig, questions: Sequence[dict[str, str]], callers: int, state: Path) -> None:
    """All callers at once, each with every question, beginning at a place of its own."""
    taken: list[float] = []
    settings = load_settings(state_dir=state, max_queries_per_caller=8)
    server = LakehouseServer(settings, lambda: [rig.engine])

    async def one(client: Client, first: int) -> None:
        taken.extend(
            [await time_query(client, question["sql"]) for question in [*questions[first:], *questions[:first]]]
        )

    started = time.perf_counter()
    async with Client(server, read_timeout_seconds=1_200) as client, anyio.create_task_group() as tasks:
        for caller in range(callers):
            tasks.start_soon(one, client, caller % len(questions))
    seconds = time.perf_counter() - started
    cuts = statistics.quantiles(taken, n=100)
    print(
        f"  {callers} callers × {len(questions)} questions: {len(taken)} answered in {seconds:.1f} s "
        f"({len(taken) / seconds:.1f} a second), p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--engine", action="append", choices=RUNTIMES)
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--callers", type=int, default=32)
    options = parser.parse_args()
    questions = [json.loads(line) for line in options.questions.read_text().splitlines()]
    for runtime in options.engine or RUNTIMES:
        print(f"{runtime}, load average before {os.getloadavg()[0]:.2f}")
        with tempfile.TemporaryDirectory() as folder, open_rig(runtime, options.lake.resolve(), Path(folder)) as made:
            started = time.perf_counter()
            made.engine.start()
            up = milliseconds(started)
            anyio.run(time_first_answer, made, Path(folder), up)
            anyio.run(compare_with_bare, made, questions, options.runs, Path(folder))
            anyio.run(run_crowd, made, questions, options.callers, Path(folder))
        print(f"  load average after {os.getloadavg()[0]:.2f}")
        sys.stdout.flush()


async def time_first_answer(rig: Rig, state: Path, up: float) -> None:
    """The first statement of a server whose engine was only just started."""
    async with Client(LakehouseServer(load_settings(state_dir=state), lambda: [rig.engine])) as client:
        first = await time_query(client, "SELECT count(*) FROM movies_delta")
    print(f"  start {up:.0f} ms, first answer after it {first:.0f} ms")


if __name__ == "__main__":
    main()
