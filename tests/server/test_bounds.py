"""What a lake says of its tables: however long, an answer holds no more of it than the caps let through."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from lakehouse.manifest import Column, publish_manifest, read_manifest
from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer, build_server
from mcp_server.settings import load_settings
from tests.server.lakes import make_lake

pytestmark = pytest.mark.anyio

CAP = 60_000
LONG = "é" * 5_000
VIEWS = [f"view_{number:02}_{'v' * 200}" for number in range(60)]


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with sixty views of long names, comments and types, and many columns."""
    folder = make_lake(tmp_path_factory.mktemp("talkative"))
    lake = Lake.parse(str(folder))
    manifest = read_manifest(lake)
    assert manifest is not None
    view = manifest.tables["ratings_delta"]
    columns = [
        *(column.model_copy(update={"comment": LONG}) for column in view.columns),
        *(Column(name=f"c{number}_{'n' * 200}", type=f"struct<{LONG}:int>", comment=LONG) for number in range(300)),
    ]
    tables = dict(manifest.tables)
    for name in VIEWS:
        shutil.copytree(folder / "ratings_delta", folder / name)
        tables[name] = view.model_copy(
            update={"path": name, "kind": "view", "comment": f"{LONG}.", "columns": tuple(columns)}
        )
    publish_manifest(lake, manifest.model_copy(update={"tables": tables, "generation": 2}))
    return folder


@pytest.fixture
def server(talkative: Path, tmp_path: Path) -> Any:
    server = build_server(load_settings(lake=str(talkative), state_dir=tmp_path), Lake.parse(str(talkative)))
    yield server
    server.close()


async def called(server: LakehouseServer, tool: str, **arguments: Any) -> Any:
    """The result of a call, whose text and structured content are each within the caps."""
    async with Client(server) as client:
        result = await client.call_tool(tool, arguments)
    assert sum(len(part.text.encode()) for part in result.content) < CAP + 5_000
    assert len(json.dumps(result.structured_content, ensure_ascii=False).encode()) < CAP + 5_000
    return result


async def test_views_are_listed_as_far_as_they_fit_and_the_rest_is_counted(server: LakehouseServer) -> None:
    result = await called(server, "list_views")
    views, more = result.structured_content["views"], result.structured_content["more"]
    assert 2 < len(views) == 62 - more
    assert f"{more} more views are not listed here; describe_schema lists all." in result.content[0].text
    named = next(view for view in views if view["name"] == VIEWS[0])
    assert "chars]" in named["purpose"]


async def test_tables_stand_on_as_many_pages_as_they_need(server: LakehouseServer) -> None:
    names: list[str] = []
    page, pages = 1, 1
    while page <= pages:
        content = (await called(server, "describe_schema", page=page)).structured_content
        pages = content["pages"]
        names += [table["name"] for table in content["tables"]]
        page += 1
    assert pages > 2
    assert names == sorted(names)
    assert {*VIEWS, "movies_delta"} <= {*names}
    assert len(names) == 66


async def test_a_table_of_many_long_columns_is_described_in_pages(server: LakehouseServer) -> None:
    first = (await called(server, "describe_schema", table=VIEWS[0])).structured_content
    second = (await called(server, "describe_schema", table=VIEWS[0], page=2)).structured_content
    assert first["pages"] == second["pages"] > 30
    assert [column["name"] for column in first["columns"]][:3] == ["tconst", "averageRating", "numVotes"]
    assert "chars]" in first["columns"][0]["comment"]
    assert second["columns"][0]["name"] not in [column["name"] for column in first["columns"]]


async def test_what_there_is_instead_of_an_unknown_name_is_listed_as_far_as_it_fits(server: LakehouseServer) -> None:
    for tool, arguments in (
        ("describe_schema", {"table": "nothing"}),
        ("execute_spark_sql", {"sql_query": "SELECT 1 FROM q", "reasoning": "a test"}),
        ("execute_spark_sql", {"sql_query": f"SELECT nothing FROM {VIEWS[0]}", "reasoning": "a test"}),
    ):
        result = await called(server, tool, **arguments)
        assert result.is_error
        assert len(result.content[0].text) < 15_100
    assert "more" in (await called(server, "describe_schema", table="nothing")).content[0].text
