"""Streamable HTTP and SSE on real ports: answers, fences, and how a client that goes away stops its statement."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client

from lakehouse.storage import Lake
from mcp_server import serve
from mcp_server.app import build_server
from mcp_server.downloads import Downloads
from mcp_server.settings import load_settings
from tests.server.processes import busy, descendants, gone, started, until
from tests.server.test_stdio import INITIALIZE, SLOW_SQL, ask

LISTING = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}

pytestmark = pytest.mark.anyio


@contextmanager
def web_server(lake: Path, state: Path, transport: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server on a free port, and its address as it says it itself."""
    arguments = ("serve", "--lake", str(lake), "--transport", transport, "--port", "0")
    with started(*arguments, state=state) as server:
        assert server.stderr is not None
        said = server.stderr.readline().decode()
        assert said.startswith("Serving on http://127.0.0.1:")
        yield server, said.split()[-1]


def session(transport: str, url: str, mode: str = "auto") -> Client:
    return Client(url if transport == "http" else sse_client(url), mode=mode)


@pytest.mark.parametrize(("transport", "mode"), [("http", "legacy"), ("http", "auto"), ("sse", "legacy")])
async def test_a_web_client_is_answered_and_the_server_leaves_nothing_behind(
    lake: Path, tmp_path: Path, transport: str, mode: str
) -> None:
    with web_server(lake, tmp_path, transport) as (server, url):
        async with session(transport, url, mode) as client:
            result = await ask(client, "SELECT count(*) AS n FROM movies_delta")
            asked = {"query_id": result.structured_content["query_id"], "format": "json"}
            file = (await client.call_tool("export_result", asked)).structured_content["location"]
        async with httpx2.AsyncClient() as web:
            downloads = [await web.get(file), await web.head(file), await web.get(file[:-1])]
        children = descendants(server.pid)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        until(lambda: gone(children), what="the end of the engine")
    assert result.structured_content["rows"] == [[300]]
    assert [each.status_code for each in downloads] == [200, 200, 404]
    assert downloads[0].json() == [{"n": 300}]
    assert children


async def test_a_client_that_goes_away_stops_its_statement_in_the_engine(lake: Path, tmp_path: Path) -> None:
    with web_server(lake, tmp_path, "http") as (server, url):
        async with session("http", url) as client:
            await ask(client, "SELECT 1")
            children = descendants(server.pid)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, client, SLOW_SQL)
                await anyio.to_thread.run_sync(until, lambda: busy(children), 20, "the statement's start")
                tasks.cancel_scope.cancel()
        until(lambda: not busy(children), what="the end of the statement")
    verdicts = [json.loads(line)["verdict"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert verdicts == ["ok", "cancelled"]


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_page_that_rebinds_its_name_to_loopback_is_refused(lake: Path, tmp_path: Path, transport: str) -> None:
    with web_server(lake, tmp_path, transport) as (_, url):
        refusals = []
        for header in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            async with httpx2.AsyncClient() as web:
                answer = await web.get(url, headers={"Accept": "text/event-stream", **header})
                refusals.append(answer.status_code)
    assert refusals == [421, 403]


@asynccontextmanager
async def room_for_two(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[httpx2.Response]]]:
    """Sends requests to a server that has room for two sessions."""
    monkeypatch.setattr(serve, "_MOST_SESSIONS", 2)
    server = build_server(load_settings(state_dir=tmp_path), Lake.parse(str(lake)))
    app = serve._build_web_app(server, "http", Downloads("http://127.0.0.1"))
    accept = {"Accept": "application/json, text/event-stream"}
    web = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1", headers=accept)

    async def send(message: Any, session: str | None = None, method: str = "POST") -> httpx2.Response:
        headers = {} if session is None else {"Mcp-Session-Id": session}
        return await web.request(method, "/mcp", json=message, headers=headers)

    try:
        async with app.router.lifespan_context(app), web:
            yield send
    finally:
        server.close()


async def test_a_new_session_takes_the_place_of_the_one_that_was_idle_for_longest(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room_for_two(lake, tmp_path, monkeypatch) as send:
        first, second = [(await send(INITIALIZE)).headers["Mcp-Session-Id"] for _ in range(2)]
        used = await send(LISTING, first)
        third = await send(INITIALIZE)
        left = [await send(LISTING, each) for each in (first, second, third.headers["Mcp-Session-Id"])]
    assert (used.status_code, third.status_code) == (200, 200)
    assert [each.status_code for each in left] == [200, 404, 200]


async def test_a_session_with_a_request_under_way_gives_way_to_none(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room_for_two(lake, tmp_path, monkeypatch) as send:
        sessions = [(await send(INITIALIZE)).headers["Mcp-Session-Id"] for _ in range(2)]
        async with anyio.create_task_group() as tasks:
            for each in sessions:
                tasks.start_soon(send, None, each, "GET")
            await anyio.wait_all_tasks_blocked()
            refused = await send(INITIALIZE)
            ended = await send(None, sessions[0], "DELETE")
            tasks.cancel_scope.cancel()
        again = await send(INITIALIZE)
    assert [each.status_code for each in (refused, ended, again)] == [503, 200, 200]


def test_a_port_in_use_is_one_clear_sentence(lake: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(
            "serve", "--lake", str(lake), "--transport", "http", "--port", str(port), state=tmp_path
        ) as server:
            out, err = server.communicate(timeout=20)
    assert (server.returncode, out) == (1, b"")
    (line,) = err.decode().splitlines()
    assert f"Port {port}" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
def test_an_address_that_others_reach_is_refused(lake: Path, tmp_path: Path, host: str) -> None:
    with started("serve", "--lake", str(lake), "--transport", "http", "--host", host, state=tmp_path) as server:
        _, err = server.communicate(timeout=20)
    assert server.returncode == 2
    assert "--host" in err.decode()
