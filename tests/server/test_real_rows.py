"""Answers over IMDb's own rows stay small."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import build_server
from mcp_server.settings import load_settings
from tests.etl.conftest import run_etl
from tests.server.tokens import count_tokens

pytestmark = pytest.mark.anyio


async def test_a_hundred_real_rows_of_a_view_take_few_tokens(real_rows: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert run_etl("load", "--source", real_rows, "--lake", lake).returncode == 0
    server = build_server(load_settings(state_dir=tmp_path / "state"), Lake.parse(str(lake)))
    view = "SELECT * FROM movies_with_ratings"
    sizes = {}
    try:
        async with Client(server) as client:
            for order in ("", " ORDER BY numVotes DESC", " ORDER BY startYear DESC, tconst"):
                arguments = {"sql_query": f"{view}{order} LIMIT 100", "reasoning": "a test"}
                result = await client.call_tool("execute_spark_sql", arguments)
                assert result.structured_content["row_count"] == 100
                sizes[order] = count_tokens(result.content[0].text)
            described = await client.call_tool("describe_schema", {"table": "movies_with_ratings"})
    finally:
        server.close()
    assert max(sizes.values()) <= 3_900, sizes  # titles and original titles in full: 3,762 for the most voted
    coverage, snapshot = described.structured_content["notes"]
    assert coverage.startswith("movies_with_ratings knows ratings for 84 % of films")
    assert snapshot.startswith("The source's files are of ")
    assert count_tokens(described.content[0].text) <= 700
