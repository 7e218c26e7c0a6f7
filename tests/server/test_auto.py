"""`auto`: the embedded engine answers, and Spark what that lacks or would answer otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer, build_server
from mcp_server.cli import main
from mcp_server.engines import Engine
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.spark import SparkEngine
from mcp_server.settings import Settings, load_settings
from tests.server.conftest import audit_lines
from tests.server.test_tools import run, text_of

pytestmark = pytest.mark.anyio

Both = Callable[[], LakehouseServer]

QUICK = "SELECT count(*) AS n FROM movies_delta"
OTHERWISE = "SELECT to_json(named_struct('x', 1e8D)) AS j"
"""What the embedded engine would answer otherwise than Spark."""

LACKING = "SELECT count(*) AS n FROM movies_delta WHERE primaryTitle COLLATE UTF8_LCASE = 'x'"


@pytest.fixture(scope="module")
def spark(java: None, lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A local Spark engine that is started by the first statement that needs it."""
    settings = load_settings(lake=str(lake), engine="spark", state_dir=tmp_path_factory.mktemp("spark-state"))
    made = SparkEngine(Lake.parse(str(lake)), settings)
    yield made
    made.close()


@pytest.fixture
def both(engine: Engine, spark: Engine, lake: Path, tmp_path: Path) -> Both:
    # A busy machine may take a minute to start Spark, and no handle is wanted here.
    settings = load_settings(lake=str(lake), engine="auto", state_dir=tmp_path / "state", wait_seconds=250)
    return lambda: LakehouseServer(settings, lambda: [engine, spark])


async def test_what_the_embedded_engine_lacks_is_answered_by_spark(both: Both) -> None:
    server = both()
    async with Client(server) as client:
        quick = await run(client, QUICK)
        lacking = await run(client, LACKING)
    assert (quick.structured_content["engine"], quick.structured_content["rows"]) == ("embedded", [[300]])
    assert (lacking.structured_content["engine"], lacking.structured_content["rows"]) == ("spark", [[0]])
    assert [line["engine"] for line in audit_lines(server)] == ["embedded", "spark"]
    assert "on spark" in text_of(lacking)


async def test_what_the_embedded_engine_only_fails_at_is_answered_by_spark(both: Both) -> None:
    async with Client(both()) as client:
        found = await run(client, "SELECT count(hash(genres)) AS n FROM movies_delta WHERE tconst = 'tt0007919'")
    assert (found.structured_content["engine"], found.structured_content["rows"]) == ("spark", [[1]])


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT CAST(to_timestamp('2019 10:10:10', 'yyyy hh:mm:ss') AS STRING) AS t", [["2019-01-01 10:10:10"]]),
        ("SELECT * FROM inline(array_remove(array(struct(1, 'a')), struct(1, 'a')))", []),
        (
            "SELECT c.u[0].n AS n FROM VALUES (named_struct('u', array(named_struct('n', 'x')))) AS t(c) GROUP BY c",
            [["x"]],
        ),
        ("SELECT * FROM (SELECT 1 AS a, 2 AS a, 3 AS b) NATURAL JOIN (SELECT 1 AS a, 3 AS b)", [[1, 3, 2]]),
    ],
)
async def test_what_the_embedded_engine_refuses_in_its_own_words_is_answered_by_spark(
    both: Both, sql: str, rows: list[list[object]]
) -> None:
    async with Client(both()) as client:
        found = await run(client, sql)
    assert (found.structured_content["engine"], found.structured_content["rows"]) == ("spark", rows)


def make_small(lake: Path, tmp_path: Path) -> tuple[Settings, EmbeddedEngine]:
    """An embedded engine with the least memory that it may have, and the settings of a server that has it."""
    settings = load_settings(
        lake=str(lake), engine="auto", state_dir=tmp_path / "state", wait_seconds=250, engine_memory_mb=512
    )
    return settings, EmbeddedEngine(Lake.parse(str(lake)), settings)


async def test_what_the_embedded_engine_has_no_memory_for_is_answered_by_spark(
    spark: Engine, lake: Path, tmp_path: Path
) -> None:
    settings, small = make_small(lake, tmp_path)
    sql = "SELECT count(DISTINCT array(id), CAST(id AS DOUBLE)) AS n FROM range(200000)"
    alone = LakehouseServer(settings, lambda: [small])
    async with Client(alone) as client:
        failed = await run(client, sql)
    async with Client(LakehouseServer(settings, lambda: [small, spark])) as client:
        found = await run(client, sql)
    small.close()
    assert "memory" in text_of(failed)
    assert (found.structured_content["engine"], found.structured_content["rows"]) == ("spark", [[200_000]])


async def test_what_ends_the_embedded_engine_at_its_ceiling_is_answered_by_spark(
    spark: Engine, lake: Path, tmp_path: Path
) -> None:
    settings, small = make_small(lake, tmp_path)
    sql = "SELECT max(length(repeat(concat('word number ', id), 12000))) AS n FROM range(9000)"
    async with Client(LakehouseServer(settings, lambda: [small])) as client:
        failed = await run(client, sql)
        after = await run(client, QUICK)
    async with Client(LakehouseServer(settings, lambda: [small, spark])) as client:
        found = await run(client, sql)
    small.close()
    assert "needed more memory than the engine may use (512 MiB, IMDB_ENGINE_MEMORY_MB), which ended the" in text_of(
        failed
    )
    assert "Columns of" not in text_of(failed)
    assert after.structured_content["rows"] == [[300]]
    assert (found.structured_content["engine"], found.structured_content["rows"]) == ("spark", [[192_000]])


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT CAST(titleType AS DATE) FROM movies_delta", "CAST_INVALID_INPUT"),
        ("SELECT 1 DIV (startYear - startYear) FROM movies_with_ratings", "DIVIDE_BY_ZERO"),
        ("SELECT m.primaryTitel FROM movies_delta m", "There is no column primaryTitel."),
        ("SELECT x.primaryTitle FROM movies_delta m", "UNRESOLVED_COLUMN"),
        ("SELECT titleType, count(*) FROM movies_delta", "MISSING_GROUP_BY"),
        ("SELECT count(*) FROM movies_delta WHERE startYear = max(startYear)", "INVALID_WHERE_CONDITION"),
        ("SELECT tconst FROM movies_delta a JOIN movies_delta b USING (startYear)", "AMBIGUOUS_REFERENCE"),
        ("SELECT tconst FROM movies_delta WHERE startYear > DATE 'abc'", "INVALID_TYPED_LITERAL"),
        ("SELECT element_at(array(startYear), 5) FROM movies_delta", "INVALID_ARRAY_INDEX_IN_ELEMENT_AT"),
    ],
)
async def test_a_mistake_of_the_sender_stays_on_the_embedded_engine(both: Both, sql: str, says: str) -> None:
    server = both()
    async with Client(server) as client:
        found = await run(client, sql)
    assert found.is_error
    assert says in text_of(found)
    assert ("There is no column" in text_of(found)) == says.startswith("There")
    assert [line["engine"] for line in audit_lines(server)] == ["embedded"]


async def test_what_may_be_answered_otherwise_is_answered_by_spark_and_else_with_a_warning(
    both: Both, engine: Engine, lake: Path, tmp_path: Path
) -> None:
    alone = LakehouseServer(load_settings(lake=str(lake), state_dir=tmp_path / "alone"), lambda: [engine])
    async with Client(both()) as client:
        handed_over = (await run(client, OTHERWISE)).structured_content
    async with Client(alone) as client:
        warned = (await run(client, OTHERWISE)).structured_content
    assert (handed_over["engine"], handed_over["rows"], handed_over["warnings"]) == ("spark", [['{"x":1.0E8}']], [])
    assert warned["engine"] == "embedded"
    assert ["otherwise than Spark" in warning for warning in warned["warnings"]] == [True]


async def test_a_mistake_is_told_by_the_embedded_engine(both: Both) -> None:
    async with Client(both()) as client:
        found = await run(client, "SELECT primaryTitel FROM movies_delta")
    assert found.is_error
    assert "Nearest: primaryTitle" in text_of(found)


@pytest.mark.parametrize(
    ("sql", "engine_name"),
    [(QUICK, "embedded"), (LACKING, "spark"), (OTHERWISE, "spark"), ("SHOW TABLES", "embedded")],
)
async def test_check_and_a_dry_run_name_the_engine_that_then_answers(
    both: Both, lake: Path, capsys: pytest.CaptureFixture[str], sql: str, engine_name: str
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["check", "--lake", str(lake), "--engine", "auto", sql])
    checked = capsys.readouterr().out
    async with Client(both()) as client:
        planned = await run(client, sql, dry_run=True)
        answered = await run(client, sql)
    assert checked.startswith(f"Allowed on the {engine_name} engine;")
    assert [found.structured_content["engine"] for found in (planned, answered)] == [engine_name] * 2


async def test_where_spark_does_not_start_the_lack_is_said_with_the_reason(
    engine: Engine, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no java"))
    settings = load_settings(lake=str(lake), engine="auto", state_dir=tmp_path / "state")
    broken = SparkEngine(Lake.parse(str(lake)), settings)
    server = LakehouseServer(settings, lambda: [engine, broken])
    async with Client(server) as client:
        lacking = await run(client, LACKING)
        quick = await run(client, QUICK)
        otherwise = await run(client, OTHERWISE)
    broken.close()
    assert lacking.is_error
    assert "engine_lacks" in text_of(lacking)
    assert "The spark engine could, and is not there" in text_of(lacking)
    assert quick.structured_content["rows"] == [[300]]
    assert ["otherwise than Spark" in warning for warning in otherwise.structured_content["warnings"]] == [True]
    assert [line["engine"] for line in audit_lines(server)] == ["spark", "embedded", "embedded"]


async def test_without_spark_auto_is_the_embedded_engine(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = load_settings(lake=str(lake), engine="auto", state_dir=tmp_path / "state")
    server = build_server(settings, Lake.parse(str(lake)))
    assert [engine.name for engine in server.toolbox.app.service.router.engines] == ["embedded"]
