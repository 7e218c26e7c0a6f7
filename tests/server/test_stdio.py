"""A real `imdb-mcp serve` over stdio: the wire, warm-up, lakes that come late, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from lakehouse.manifest import LOADING_NAME
from tests.server.lakes import make_lake
from tests.server.processes import COMMAND, busy, descendants, environment, gone, python, started, until

pytestmark = pytest.mark.anyio

HEAVY = ("sqlglot", "rich", "pyarrow", "pyspark", "pysail", "deltalake", "pandas", "grpc")
# Hours of work in little memory: a row of the range meets three hundred credits, and each pair costs a hash. More joins
# would not do: of some the engine collects a gigabyte in seconds, others it cannot stop.
SLOW_SQL = (
    "SELECT max(sha2(concat(CAST(r.id AS STRING), c.tconst, c.nconst), 512)) AS most "
    "FROM principals_delta c JOIN range(10000000) r ON c.ordering = r.id % 3 + 1"
)

INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}  # fmt: skip
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def call(number: int, sql: str) -> dict[str, Any]:
    arguments = {"sql_query": sql, "reasoning": "a test"}
    params = {"name": "execute_spark_sql", "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def client(lake: Path, state: Path, mode: str = "auto", *flags: str) -> Client:
    arguments = [*COMMAND[1:], "serve", "--lake", str(lake), *flags]
    return Client(StdioServerParameters(command=COMMAND[0], args=arguments, env=environment(state)), mode=mode)


def send(server: subprocess.Popen[bytes], *messages: dict[str, Any]) -> None:
    assert server.stdin is not None
    for message in messages:
        server.stdin.write(json.dumps(message).encode() + b"\n")
    server.stdin.flush()


def answer(server: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert server.stdout is not None
    message: dict[str, Any] = json.loads(server.stdout.readline())
    return message


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


async def ask(client: Client, sql: str, **more: Any) -> Any:
    return await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "a test"}, **more)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_of_either_era_is_answered_and_leaves_nothing_behind(
    lake: Path, tmp_path: Path, mode: str
) -> None:
    import os

    before = set(descendants(os.getpid()))
    async with client(lake, tmp_path, mode, "--export-dir", str(tmp_path)) as session:
        result = await ask(session, "SELECT count(*) AS n FROM movies_delta")
        asked = {"query_id": result.structured_content["query_id"], "format": "json"}
        file = (await session.call_tool("export_result", asked)).structured_content["location"]
        processes = [process for process in descendants(os.getpid()) if process not in before]
    assert result.structured_content["rows"] == [[300]]
    assert read_json(tmp_path / Path(file).name) == [{"n": 300}]
    assert len(processes) >= 2
    until(lambda: gone(processes), what="the end of the server and of its engine")


async def test_a_call_during_the_warm_up_waits_and_tells_how_far_it_is(lake: Path, tmp_path: Path) -> None:
    stages: list[str | None] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        stages.append(message)

    async with client(lake, tmp_path) as session:
        result = await ask(session, "SELECT count(*) FROM movies_delta", progress_callback=note)
        first = list(stages)
        stages.clear()
        await ask(session, "SELECT count(*) FROM movies_delta", progress_callback=note)
    assert not result.is_error
    path = ["checking the statement", "running in the engine", "reading the rows"]
    # Which of both is there first, the guard or the engine, is the machine's choice.
    assert first in (path, ["checking the statement", "waiting for the engine to start", *path])
    assert stages == path


async def test_the_handshake_is_answered_before_anything_heavy_is_imported(lake: Path, tmp_path: Path) -> None:
    program = (
        "import sys, mcp_server.app, mcp_server.cli as cli\n"
        f"heavy = {HEAVY!r}\n"
        "def say(_): print('loaded:', [m for m in heavy if m in sys.modules], file=sys.stderr, flush=True)\n"
        "mcp_server.app.LakehouseServer._warm_up = say\n"
        f"cli.main(['serve', '--lake', {str(lake)!r}])\n"
    )
    with python("-c", program, state=tmp_path) as server:
        send(server, INITIALIZE, INITIALIZED, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
        assert {answer(server)["id"], answer(server)["id"]} == {1, 2}
        assert server.stderr is not None
        assert server.stderr.readline() == b"loaded: []\n"


async def test_stdout_carries_nothing_but_the_protocol(lake: Path, tmp_path: Path) -> None:
    with started("serve", "--lake", str(lake), state=tmp_path, IMDB_LOG_LEVEL="DEBUG") as server:
        send(server, INITIALIZE, INITIALIZED)
        assert answer(server)["id"] == 1
        send(server, call(2, "SELECT * FROM nowhere"), call(3, "SELECT 1"))
        assert {answer(server)["id"], answer(server)["id"]} == {2, 3}
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.close()
        assert server.stdout.read() == b""
        assert server.wait(20) == 0


async def test_a_client_that_closes_stdin_with_a_call_open_is_told_nothing_more(lake: Path, tmp_path: Path) -> None:
    """MCP SDK 1.30 fails at its end on what comes after it has closed stdin."""
    with started("serve", "--lake", str(lake), state=tmp_path) as server:
        send(server, INITIALIZE, INITIALIZED)
        assert answer(server)["id"] == 1
        send(server, call(2, SLOW_SQL))
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.close()
        assert server.stdout.read() == b""
        assert server.wait(20) == 0


@pytest.mark.parametrize("end", ["eof", signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
async def test_however_it_ends_it_leaves_no_orphan_and_no_lock(lake: Path, tmp_path: Path, end: Any) -> None:
    with started("serve", "--lake", str(lake), state=tmp_path) as server:
        send(server, INITIALIZE, INITIALIZED, call(2, "SELECT 1"))
        assert [answer(server)["id"], answer(server)["id"]] == [1, 2]
        children = descendants(server.pid)
        assert children
        if end == "eof":
            assert server.stdin is not None
            server.stdin.close()
        else:
            server.send_signal(end)
        code = server.wait(20)
        until(lambda: gone(children), what="the end of the engine")
    assert code == (-signal.SIGKILL if end == signal.SIGKILL else 0)
    async with client(lake, tmp_path) as session:
        assert not (await ask(session, "SELECT 1")).is_error


async def test_a_signal_ends_running_statements_and_audits_them(lake: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with started("serve", "--lake", str(lake), state=tmp_path) as server:
        send(server, INITIALIZE, INITIALIZED, call(2, "SELECT 1"))
        assert [answer(server)["id"], answer(server)["id"]] == [1, 2]
        children = descendants(server.pid)
        send(server, call(3, SLOW_SQL))
        until(lambda: busy(children), what="the statement's start")
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        until(lambda: gone(children), what="the end of the engine")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["ok", "cancelled"]


async def test_two_servers_on_one_lake_both_answer_and_share_one_audit(lake: Path, tmp_path: Path) -> None:
    async with client(lake, tmp_path) as one, client(lake, tmp_path) as two:
        first = await ask(one, "SELECT count(*) FROM movies_delta")
        second = await ask(two, "SELECT count(*) FROM movies_delta")
    assert first.structured_content["rows"] == second.structured_content["rows"] == [[300]]
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 2


async def test_an_engine_that_cannot_start_is_a_clear_answer_and_the_schema_is_still_told(
    lake: Path, tmp_path: Path
) -> None:
    without_java = environment(tmp_path, IMDB_ENGINE="spark", PATH="/nowhere")
    without_java.pop("JAVA_HOME", None)
    arguments = [*COMMAND[1:], "serve", "--lake", str(lake)]
    server = StdioServerParameters(command=COMMAND[0], args=arguments, env=without_java)
    async with Client(server) as session:
        failed = await ask(session, "SELECT 1")
        again = await ask(session, "SELECT 1")
        shown = await ask(session, "SHOW TABLES")
        described = await session.call_tool("describe_schema", {"table": "movies_delta"})
    assert failed.is_error
    assert again.is_error
    assert "Java" in failed.content[0].text
    assert shown.structured_content["row_count"] == 6
    assert "incomplete" in described.structured_content["notes"][0]
    assert described.structured_content["columns"][0]["name"] == "tconst"


@pytest.mark.parametrize("state", ["absent", "empty", "half made"])
async def test_a_lake_that_comes_late_is_served_without_a_restart(tmp_path: Path, state: str) -> None:
    folder = tmp_path / "lake"
    if state != "absent":
        folder.mkdir()
    if state == "half made":
        make_lake(folder, count=20)
        (folder / "_manifest.json").unlink()
        (folder / LOADING_NAME).write_text("{}")
    async with client(folder, tmp_path / "state") as session:
        refused = await ask(session, "SELECT count(*) FROM movies_delta")
        tables = await session.call_tool("describe_schema", {})
        (folder / LOADING_NAME).unlink(missing_ok=True)
        make_lake(folder, count=50)
        served = await ask(session, "SELECT count(*) FROM movies_delta")
        make_lake(folder, count=60, generation=2)
        newer = await ask(session, "SELECT count(*) FROM movies_delta")
    assert refused.is_error
    assert "imdb-etl load" in refused.content[0].text
    assert tables.is_error
    assert served.structured_content["rows"] == [[50]]
    assert newer.structured_content["rows"] == [[60]]
