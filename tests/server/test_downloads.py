"""Results by URL: signed, for a while, for the caller who asked, and a few at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pyarrow as pa
import pytest
from mcp.client import Client
from starlette.types import ASGIApp, Message

from lakehouse.callers import META, Callers
from mcp_server import serve as serving
from mcp_server.app import LakehouseServer
from mcp_server.downloads import MOST_AT_ONCE, URL_SECONDS, Downloads
from mcp_server.gate import Gate
from tests.server.conftest import Serve, audit_lines
from tests.server.test_calls import text_of

pytestmark = pytest.mark.anyio

KEY = "k" * 32
SQL = "SELECT tconst FROM movies_delta ORDER BY tconst LIMIT 3"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A server over HTTP without a port, and a client of its tools."""

    def __init__(self, server: LakehouseServer) -> None:
        self.clock = Clock()
        self.server = server
        downloads = Downloads("http://127.0.0.1", self.clock)
        server.export_to(downloads)
        self.app: ASGIApp = Gate(serving._build_web_app(server, "http", downloads), [])
        self.web = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://127.0.0.1")

    async def export(self, client: Client, meta: Any = None, **more: Any) -> dict[str, Any]:
        answered = await client.call_tool("execute_spark_sql", {"sql_query": SQL, "reasoning": "a test"}, meta=meta)
        query_id = answered.structured_content["query_id"]
        found = await client.call_tool("export_result", {"query_id": query_id, **more}, meta=meta)
        assert not found.is_error, text_of(found)
        content: dict[str, Any] = found.structured_content
        return content


@asynccontextmanager
async def opened(server: LakehouseServer) -> AsyncIterator[tuple[Site, Client]]:
    site = Site(server)
    async with Client(server) as client, site.web:
        yield site, client


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("csv", "text/csv"), ("json", "application/json"), ("parquet", "application/vnd.apache.parquet")],
)
async def test_a_url_gives_the_file_and_keeps_it_out_of_caches_logs_and_audit(
    serve: Serve, kind: str, media_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    caplog.set_level("DEBUG")
    async with opened(server) as (site, client):
        found = await site.export(client, format=kind)
        got, head = await site.web.get(found["location"]), await site.web.head(found["location"])
        posted = await site.web.post(found["location"], content=b"{}")
    assert (got.status_code, head.status_code, posted.status_code) == (200, 200, 400)
    assert got.headers["content-type"].startswith(media_type)
    assert got.headers["content-disposition"].startswith('attachment; filename="result-')
    assert (got.headers["cache-control"], got.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert len(got.content) == found["bytes"] == int(head.headers["content-length"])
    assert found["expires"] == "1970-01-12T13:56:40+00:00"
    signature = found["location"].partition("signature=")[2]
    assert signature not in str(audit_lines(server))
    assert all(signature not in record.getMessage() for record in caplog.records if record.name != "httpx2")
    assert [line["tool"] for line in audit_lines(server)][-2:] == ["download", "download"]


async def test_a_url_that_was_changed_or_has_expired_is_unknown(serve: Serve) -> None:
    async with opened(serve()) as (site, client):
        url = (await site.export(client))["location"]
        name = urlsplit(url).path.rpartition("/")[2].partition(".")[0]
        changed = [
            url.replace(".csv", ".json"),
            url.replace("expires=1", "expires=2"),
            url.replace("expires=", "expires=x"),
            url.replace(name, "0" * 12),
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            url.partition("?")[0],
            url.replace(".csv", ".exe"),
            url.replace("signature=", "signature=é"),
        ]
        refused = [await site.web.get(each) for each in changed]
        site.clock.now += URL_SECONDS - 1
        in_time = await site.web.get(url)
        site.clock.now += 1
        refused.append(await site.web.get(url))
    assert [each.status_code for each in refused] == [404] * (len(changed) + 1)
    assert len({each.text for each in refused}) == 1
    assert in_time.status_code == 200


async def test_a_url_is_of_no_use_to_another_caller_or_after_a_restart(serve: Serve) -> None:
    callers = Callers(KEY)
    mine, theirs = callers.new(), callers.new()
    async with opened(serve(caller_key=KEY)) as (site, client):
        url = (await site.export(client, {META: mine}))["location"]
        answers = [
            (await site.web.get(url, headers=headers)).status_code
            for headers in ({}, {"Authorization": f"Bearer {theirs}"}, {"Authorization": f"Bearer {mine}"})
        ]
        async with opened(serve(caller_key=KEY)) as (restarted, _):
            later = await restarted.web.get(url, headers={"Authorization": f"Bearer {mine}"})
    assert answers == [404, 404, 200]
    assert later.status_code == 404


async def test_rows_that_are_gone_are_said_to_be_gone(serve: Serve) -> None:
    async with opened(serve()) as (site, client):
        url = (await site.export(client))["location"]
        site.server.toolbox.app.service.kept.close()
        got = await site.web.get(url)
    assert got.status_code == 404
    assert "Run the statement again" in got.text


async def test_a_file_that_cannot_be_made_is_a_defect_in_the_audit(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(serve()) as (site, client):
        url = (await site.export(client))["location"]
        entries = site.server.toolbox.app.service.kept._entries
        (query_id, entry), *_ = entries.items()
        monkeypatch.setitem(entries, query_id, replace(entry, stream=b"no rows"))
        with pytest.raises(pa.ArrowInvalid):
            await site.web.get(url)
    last = audit_lines(site.server)[-1]
    assert (last["tool"], last["verdict"], last["code"]) == ("download", "error", "ArrowInvalid")


async def test_slow_clients_take_so_many_places_and_no_more(serve: Serve) -> None:
    async with opened(serve()) as (site, client):
        url = (await site.export(client))["location"]
        go, all_begun, begun = anyio.Event(), anyio.Event(), 0

        async def read_slowly() -> None:
            async def send(message: Message) -> None:
                nonlocal begun
                if message["type"] == "http.response.start":
                    begun += 1
                    if begun == MOST_AT_ONCE:
                        all_begun.set()
                    await go.wait()

            async def receive() -> Message:
                await anyio.sleep_forever()
                raise AssertionError

            parts = urlsplit(url)
            scope = {
                "type": "http", "method": "GET", "path": parts.path, "query_string": parts.query.encode(),
                "headers": [(b"host", b"127.0.0.1")], "asgi": {"spec_version": "2.4"}, "http_version": "1.1",
            }  # fmt: skip
            await site.app(scope, receive, send)

        async with anyio.create_task_group() as tasks:
            for _ in range(MOST_AT_ONCE):
                tasks.start_soon(read_slowly)
            with anyio.fail_after(60):
                await all_begun.wait()
            full = await site.web.get(url)
            go.set()
        after = await site.web.get(url)
    assert (full.status_code, full.headers["retry-after"]) == (503, "2")
    assert after.status_code == 200
