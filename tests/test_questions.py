"""The questions that analysts ask, over IMDb's own rows, through the server, on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from lakehouse.storage import Lake
from mcp_server.app import build_server
from mcp_server.settings import load_settings
from tests.conftest import ROOT
from tests.connect_server import ConnectServer
from tests.etl.conftest import run_etl

QUESTIONS = [json.loads(line) for line in (ROOT / "tests/data/evals/questions.jsonl").read_text().splitlines()]

Answers = dict[str, Any]


@pytest.fixture(scope="module")
def real_lake(real_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("questions") / "lake"
    done = run_etl("load", "--source", real_rows, "--lake", lake)
    assert done.returncode == 0, done.stderr
    return lake


def ask_all(lake: Path, engine: str, state: Path, **more: str) -> Answers:
    """Every question's structured result, or the text of its error."""

    async def run() -> Answers:
        settings = load_settings(
            engine=engine, state_dir=state, max_rows=100_000, max_result_bytes=50_000_000, wait_seconds=280, **more
        )
        server = build_server(settings, Lake.parse(str(lake)))
        answers: Answers = {}
        try:
            async with Client(server, read_timeout_seconds=300) as client:
                for question in QUESTIONS:
                    arguments = {"sql_query": question["sql"], "reasoning": question["question"]}
                    result = await client.call_tool("execute_spark_sql", arguments)
                    answers[question["id"]] = str(result.content) if result.is_error else result.structured_content
        finally:
            server.close()
        return answers

    return anyio.run(run)


@pytest.fixture(scope="module")
def embedded(real_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return ask_all(real_lake, "embedded", tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def spark(connect_server: ConnectServer, real_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    state = tmp_path_factory.mktemp("state")
    return ask_all(real_lake, "spark", state, SPARK_REMOTE=connect_server.url, schema_name="questions")


@pytest.mark.parametrize("name", [question["id"] for question in QUESTIONS])
def test_a_question_is_answered_equally_by_both_engines(name: str, embedded: Answers, spark: Answers) -> None:
    expected = spark[name]
    assert not isinstance(expected, str), expected
    assert expected["rows"] or expected["row_count"] == 0
    found = embedded[name]
    assert not isinstance(found, str), found
    assert found["rows"] == expected["rows"]
    assert found["columns"] == expected["columns"]
