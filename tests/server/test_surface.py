"""What a client sees before it calls anything: small, stable, complete."""

from __future__ import annotations

import json

import pytest

from tests.server.conftest import Connect, Serve
from tests.server.snapshot import FILE, surface
from tests.server.tokens import count_tokens

pytestmark = pytest.mark.anyio


async def test_the_tool_surface_is_the_committed_one(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        assert await surface(client) == json.loads(FILE.read_text(encoding="utf-8"))


async def test_tools_and_instructions_cost_few_tokens(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        seen = await surface(client)
    tools = json.dumps({"tools": seen["tools"]}, ensure_ascii=False, separators=(",", ":"))
    assert count_tokens(tools) + count_tokens(seen["instructions"]) <= 1_850


async def test_the_tools_have_schemas_for_both_ways(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        tools = {tool["name"]: tool for tool in (await surface(client))["tools"]}
    assert list(tools) == [
        "execute_spark_sql", "query_status", "cancel_query", "describe_schema", "list_views", "ai_movie_summary",
        "ai_person_summary",
    ]  # fmt: skip
    for tool in tools.values():
        assert tool["outputSchema"]["type"] == "object"
        assert sorted(tool["outputSchema"]["required"]) == sorted(tool["outputSchema"]["properties"])
        assert all("description" in argument for argument in tool["inputSchema"]["properties"].values())
        assert tool["annotations"] == {"readOnlyHint": True}
    assert tools["execute_spark_sql"]["inputSchema"]["required"] == ["sql_query", "reasoning"]
