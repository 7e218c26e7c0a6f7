"""AI functions in SQL where the engine is another: a warehouse that no function can be registered in, and Spark."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines import Engine
from mcp_server.engines.connect import ConnectEngine
from mcp_server.settings import Settings, load_settings
from tests.connect_server import ConnectServer
from tests.engines.warehouse import WarehouseEngine
from tests.openai_server import OpenAiServer, serving
from tests.server.test_tools import run, text_of
from tests.warehouse.lake import register

pytestmark = pytest.mark.anyio

HONEST = Path(__file__).parent.parent / "data" / "guard" / "own-honest.jsonl"
STATEMENTS = [
    line["sql"] for line in map(json.loads, HONEST.read_text("utf-8").splitlines()) if line["class"] == "ai-ok"
]
ELSEWHERE = """WITH c AS (SELECT * FROM movie_cast WHERE tconst < 'tt0050000')
SELECT *, ai_movie_summary(primaryTitle), ai_person_summary(primaryName) AS p
FROM c ORDER BY tconst, ordering LIMIT 4"""
"""Asked of every engine, and answered alike."""


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAiServer]:
    with serving() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@asynccontextmanager
async def opened(engine: Engine, state: Path, **flags: Any) -> AsyncIterator[Client]:
    """A client of a server on an engine."""
    # A busy machine may take a minute to start Spark, and no handle is wanted here.
    server = LakehouseServer(load_settings(state_dir=state, wait_seconds=250, **flags), lambda: [engine])
    async with Client(server) as client:
        yield client
    server.toolbox.app.ai.close()


@pytest.fixture(scope="module")
def warehouse_tables(connect_server: ConnectServer, lake: Path) -> None:
    """The small lake as the tables of the warehouse's schema."""
    register(connect_server.url, lake, *(path.parent.name for path in sorted(lake.glob("*/_delta_log"))))


async def test_every_honest_statement_is_answered_within_its_calls(
    engine: Engine, tmp_path: Path, models: OpenAiServer
) -> None:
    async with opened(engine, tmp_path, ai_queries_per_hour=100) as client:
        for sql in STATEMENTS:
            before = len(models.calls)
            found = await run(client, sql)
            assert not found.is_error, f"{sql}: {text_of(found)}"
            assert len(models.calls) - before == found.structured_content["ai"]["calls"] <= 50


async def test_a_warehouse_and_spark_answer_as_the_embedded_engine_does(
    connect_server: ConnectServer,
    warehouse_tables: None,
    engine: Engine,
    lake: Path,
    tmp_path: Path,
    models: OpenAiServer,
) -> None:
    def settings_of(**flags: Any) -> Settings:
        return load_settings(state_dir=tmp_path / "engines", **flags)

    warehouse = WarehouseEngine(connect_server, settings_of)
    spark = ConnectEngine(Lake.parse(str(lake)), settings_of(engine="spark", SPARK_REMOTE=connect_server.url))
    answers = {}
    for name, each in (("embedded", engine), ("warehouse", warehouse), ("spark", spark)):
        async with opened(each, tmp_path / name) as client:
            answers[name] = await run(client, ELSEWHERE)
    warehouse.close()
    spark.close()

    found = answers.pop("embedded").structured_content
    assert found["ai"]["calls"] == len(models.calls) / 3 > 4
    for name, answer in answers.items():
        assert not answer.is_error, f"{name}: {text_of(answer)}"
        assert answer.structured_content["rows"] == found["rows"]
        assert answer.structured_content["columns"] == found["columns"]
        assert answer.structured_content["ai"] == found["ai"]
    assert not [sql for sql in warehouse.warehouse.service.statements if "ai_movie_summary" in sql]
