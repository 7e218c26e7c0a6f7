"""What a host of MCP Apps is told of the view of answers, what other clients are not, and whose rows the view reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client, advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID

from tests.server.conftest import Serve
from tests.server.snapshot import FILE, surface
from tests.server.test_many_callers import KEY, Caller
from tests.server.test_stdio import INITIALIZE
from tests.server.test_web import LISTING, room_for_two

pytestmark = pytest.mark.anyio

HOST = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})
OF_OTHER_FORMS = advertise(EXTENSION_ID, {"mimeTypes": ["text/html;profile=other"]})
MANY = "SELECT tconst, primaryTitle FROM movies_delta ORDER BY tconst"


async def read_page(client: Client, query_id: str, offset: int) -> Any:
    return await client.call_tool("read_kept_rows", {"query_id": query_id, "offset": offset})


def read_event(response: httpx2.Response) -> Any:
    """The result in the only event of a response."""
    (line,) = [line for line in response.text.splitlines() if line.startswith("data: {")]
    return json.loads(line.removeprefix("data: "))["result"]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_host_is_told_of_the_view_and_of_the_tool_that_no_model_sees(serve: Serve, mode: Any) -> None:
    async with Client(serve(), mode=mode, extensions=[HOST]) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        ui = {name: tool.meta["ui"] for name, tool in tools.items() if tool.meta}
        view = ui["execute_spark_sql"]["resourceUri"]
        assert ui == {
            "execute_spark_sql": {"resourceUri": view},
            "query_status": {"resourceUri": view},
            "read_kept_rows": {"resourceUri": view, "visibility": ["app"]},
        }
        assert view in [listed.uri for listed in (await client.list_resources()).resources]
        (document,) = (await client.read_resource(view)).contents
    assert document.mime_type == APP_MIME_TYPE
    assert document.meta["ui"]["csp"] == {"connectDomains": [], "resourceDomains": []}
    assert document.text.startswith("<!doctype html>")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("extensions", [[], [OF_OTHER_FORMS]], ids=["no extension", "other forms"])
async def test_other_clients_see_what_they_always_saw(
    serve: Serve, tmp_path: Path, mode: Any, extensions: list[Any]
) -> None:
    async with Client(serve(export_dir=tmp_path), mode=mode, extensions=extensions) as client:
        assert await surface(client) == json.loads(FILE.read_text(encoding="utf-8"))
        assert [listed.uri for listed in (await client.list_resources()).resources] == ["lakehouse://functions"]
        unknown = await client.call_tool("read_kept_row", {})
    assert "read_kept_rows" not in unknown.content[0].text


async def test_a_host_of_the_older_protocol_finds_the_extension_in_the_handshake(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced = {"extensions": {EXTENSION_ID: {"mimeTypes": [APP_MIME_TYPE]}}}
    hello = INITIALIZE | {"params": INITIALIZE["params"] | {"capabilities": announced}}
    async with room_for_two(lake, tmp_path, monkeypatch) as send:
        answer = await send(hello)
        listed = await send(LISTING, answer.headers["Mcp-Session-Id"])
    assert EXTENSION_ID in read_event(answer)["capabilities"]["extensions"]
    assert [tool["name"] for tool in read_event(listed)["tools"] if "_meta" in tool][-1] == "read_kept_rows"


@pytest.mark.parametrize(("most", "is_whole"), [(500, True), (100, False)])
async def test_rows_that_an_answer_had_no_room_for_are_read_in_pages(serve: Serve, most: int, is_whole: bool) -> None:
    async with Client(serve(max_result_bytes=2_000, max_rows=most), extensions=[HOST]) as client:
        asked = {"sql_query": MANY, "reasoning": "a test"}
        first = (await client.call_tool("execute_spark_sql", asked)).structured_content
        shown = len(first["rows"])
        page = (await read_page(client, first["query_id"], shown)).structured_content
        rows = [*first["rows"], *page["rows"]]
        rest = (await read_page(client, first["query_id"], len(rows))).structured_content
    assert 0 < shown < 100 <= len(rows)
    assert page["columns"] == first["columns"]
    assert rows == sorted(rows)
    assert (len(rows) == 300) == is_whole
    assert (page["total_rows"], page["truncated"], rest["rows"]) == (300, not is_whole, [])


async def test_an_offset_that_no_result_has_is_the_views_own_mistake(serve: Serve) -> None:
    async with Client(serve(), extensions=[HOST]) as client:
        asked = {"sql_query": "SELECT 1", "reasoning": "a test"}
        query_id = (await client.call_tool("execute_spark_sql", asked)).structured_content["query_id"]
        beyond = await read_page(client, query_id, 1 << 31)
        refused = await read_page(client, query_id, 1 << 63)
    assert beyond.structured_content["rows"] == []
    assert refused.is_error
    assert refused.content[0].text.startswith("The argument offset does not fit")


async def test_a_row_that_is_larger_than_a_page_is_said_to_be(serve: Serve) -> None:
    async with Client(serve(max_cell_chars=400_000), extensions=[HOST]) as client:
        asked = {"sql_query": "SELECT repeat('x', 300000) AS x", "reasoning": "a test"}
        query_id = (await client.call_tool("execute_spark_sql", asked)).structured_content["query_id"]
        page = await read_page(client, query_id, 0)
    assert page.is_error
    assert "Row 0 is larger than the 250,000 bytes" in page.content[0].text


async def test_nobody_reads_the_rows_of_another_caller(serve: Serve) -> None:
    async with Client(serve(caller_key=KEY), extensions=[HOST]) as client:
        ann, bob = Caller(client), Caller(client)
        query_id = (await ann.ask(MANY)).structured_content["query_id"]
        theirs = await bob.call("read_kept_rows", query_id=query_id, offset=0)
        never = await bob.call("read_kept_rows", query_id="0" * 12, offset=0)
        own = await ann.call("read_kept_rows", query_id=query_id, offset=0)
    assert theirs.is_error
    assert theirs.content[0].text == never.content[0].text.replace("0" * 12, query_id)
    assert len(own.structured_content["rows"]) >= 100


def test_nothing_of_the_view_is_loaded_before_it_is_asked_for() -> None:
    late = ("imdb_lakehouse", "mcp.server.apps")
    code = f"import sys, mcp_server.app; print([name for name in sys.modules if name.startswith({late})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
