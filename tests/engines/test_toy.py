"""The toy behind a server: an engine that nothing in the server has heard of (docs/new-engine.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import write_deltalake
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.settings import Settings
from tests.engines.conftest import FILMS
from tests.engines.toy_engine import ToyEngine

pytestmark = pytest.mark.anyio


async def test_a_server_answers_with_an_engine_that_it_has_never_heard_of(
    tmp_path: Path, settings_of: Callable[..., Settings]
) -> None:
    write_deltalake(str(tmp_path / "films"), FILMS)
    lake, settings = Lake.parse(str(tmp_path)), settings_of(lake=str(tmp_path))
    asked = {"sql_query": "SELECT title FROM imdb.films WHERE rating > 8 ORDER BY id", "reasoning": "who is best"}
    forbidden = {"sql_query": "DROP TABLE imdb.films", "reasoning": "to see"}
    async with Client(LakehouseServer(settings, lambda: [ToyEngine(lake, settings)])) as client:
        listed = await client.call_tool("describe_schema", {"table": "films"})
        answer = await client.call_tool("execute_spark_sql", asked)
        refused = await client.call_tool("execute_spark_sql", forbidden)

    assert "rating" in listed.content[0].text
    assert not answer.is_error, answer.content[0].text
    assert answer.structured_content["rows"] == [["日本"]]
    assert refused.is_error
