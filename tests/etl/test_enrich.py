"""`imdb-etl enrich`: an AI function over many titles, within its cap, and what is left of a run that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from mcp.client import Client

from ai_functions.ledger_file import LEDGER_NAME
from lakehouse.storage import Lake
from mcp_server.app import build_server
from mcp_server.settings import load_settings
from tests.etl.conftest import run_etl
from tests.openai_server import BAD_KEY, HANGING, OK, OpenAiServer, Received, Reply, serving, titles
from tests.server.lakes import make_lake
from tests.server.processes import until
from tests.test_layers_at_run_time import loaded_by

CALL_NANOS = 100 * 400 + 20 * 1_600
"""What a call of the local server costs: the tokens that it reports, at the price that `environment` sets."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("enriched"))


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    """Three hundred titles, 270 of them rated, without a cache."""
    return shutil.copytree(made, tmp_path / "lake")


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    with serving() as running:
        yield running


@pytest.fixture
def environment(server: OpenAiServer, tmp_path: Path) -> dict[str, str]:
    return {
        "IMDB_STATE_DIR": str(tmp_path / "state"), "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "",
        "AZURE_OPENAI_ENDPOINT": "", "IMDB_AI_INPUT_PRICE": "0.40", "IMDB_AI_OUTPUT_PRICE": "1.60",
        "TMPDIR": str(tmp_path),
    }  # fmt: skip


def charged(tmp_path: Path) -> tuple[int, int]:
    """What the ledger says was spent and what is only reserved, in nano-dollars."""
    with closing(sqlite3.connect(tmp_path / "state" / LEDGER_NAME)) as database:
        sums = dict(database.execute("SELECT settled, sum(nanos) FROM calls GROUP BY settled").fetchall())
    return sums.get(1, 0), sums.get(0, 0)


def kept(lake: Path) -> list[dict[str, Any]]:
    """What the cache holds, without a look at a table that is not there yet."""
    place = str(lake / "_ai_cache")
    return DeltaTable(place).to_pyarrow_table().to_pylist() if DeltaTable.is_deltatable(place) else []


def test_a_run_pays_once_for_each_title_and_the_next_one_for_those_that_are_new(
    lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    looked = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--rows", 130, "--dry-run", **environment)
    assert "130 asked for, 0 of them in the cache. 130 calls would cost at most $0.0" in looked.stdout, looked.stderr
    assert server.calls == []

    server.choose = lambda _: replace(OK, seconds=0.02)  # long enough for another call to begin
    first = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--rows", 130, "--dollars", 1, **environment)
    assert "130 asked for: 130 written; 0 in the cache before. Cost: $0.00936." in first.stderr
    again = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--rows", 140, "--dollars", 1, **environment)
    assert "140 asked for: 10 written; 130 in the cache before. Cost: $0.00072." in again.stderr
    assert (first.returncode, again.returncode) == (0, 0)

    assert set(Counter(titles(server.calls)).values()) == {1}
    assert charged(tmp_path) == (140 * CALL_NANOS, 0)
    votes = DeltaTable(str(lake / "movies_with_ratings")).to_pyarrow_table().to_pylist()
    most_voted = sorted(votes, key=lambda row: (-row["numVotes"], row["tconst"]))[:140]
    assert {row["subject"] for row in kept(lake)} == {row["tconst"] for row in most_voted}
    assert server.most_at_once > 1


@pytest.mark.anyio
async def test_what_a_batch_has_paid_for_costs_those_who_ask_the_server_nothing(
    lake: Path, server: OpenAiServer, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    select = "SELECT tconst FROM movies_delta WHERE primaryTitle = '静かな港の夜'"
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--select", select, "--dollars", 1, **environment)
    assert "1 asked for: 1 written" in done.stderr
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    running = build_server(load_settings(lake=str(lake)), Lake.parse(str(lake)))
    try:
        async with Client(running) as client:
            found = await client.call_tool("ai_movie_summary", {"title": "静かな港の夜"})
    finally:
        running.close()

    assert found.structured_content["text"] == "About 静かな港の夜."
    assert found.structured_content["ai"]["cached"]
    assert len(server.calls) == 1


def test_what_it_is_applied_to_may_be_said_in_sql_and_any_function_will_do(
    lake: Path, server: OpenAiServer, environment: dict[str, str]
) -> None:
    select = "SELECT nconst FROM persons_delta WHERE birthYear < 1911 UNION ALL SELECT 'nm9999999'"
    done = run_etl(
        "enrich", "ai_person_summary", "--lake", lake, "--select", select, "--dollars", 1, **environment
    )  # fmt: skip

    assert "11 asked for: 10 written; 0 in the cache before; 1 not in the lake." in done.stderr
    assert {row["function"] for row in kept(lake)} == {"ai_person_summary"}
    assert len(server.calls) == 10


def test_the_spend_cap_holds_and_a_higher_one_goes_on_from_there(
    lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    capped = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--dollars", 0.004, **environment)

    assert capped.returncode == 1
    assert "imdb-etl: Stopped by a spend cap" in capped.stderr
    assert len(server.calls) * CALL_NANOS == sum(charged(tmp_path)) <= 4_000_000
    assert len(server.calls) > 40  # a call that cost less than its maximum left room for others

    rest = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--dollars", 1, **environment)
    assert rest.returncode == 0
    assert set(Counter(titles(server.calls)).values()) == {1}
    assert len(kept(lake)) == 270


class Halting:
    """Answers so many calls and then none."""

    def __init__(self, answered: int) -> None:
        self.left = answered

    def __call__(self, _: Received) -> Reply:
        self.left -= 1
        return HANGING if self.left < 0 else OK


def started(lake: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-m", "etl.cli", "enrich", "ai_movie_summary", "--lake", str(lake)]
    return subprocess.Popen(
        [*command, "--dollars", "1", *arguments], env=os.environ | environment, stderr=subprocess.PIPE
    )


def test_a_killed_run_pays_twice_for_the_calls_under_way_and_no_more_and_the_ledger_shows_it(
    lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    server.choose = Halting(150)
    run = started(lake, environment)
    until(lambda: len(server.calls) == 158 and len(kept(lake)) == 150, 240)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    spent, reserved = charged(tmp_path)
    assert spent == 150 * CALL_NANOS
    assert reserved >= 8 * CALL_NANOS
    left = list((tmp_path / "state").glob("imdb-etl-*"))
    assert len(left) == 1

    server.choose = None
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--dollars", 1, **environment)

    assert "270 asked for: 120 written; 150 in the cache before." in done.stderr
    asked = Counter(titles(server.calls))
    assert (len(asked), set(asked.values()), sum(asked.values())) == (270, {1, 2}, 278)
    assert charged(tmp_path) == (270 * CALL_NANOS, reserved)
    assert list(tmp_path.glob("**/imdb-etl-*")) == []


def test_a_run_that_is_killed_at_any_moment_repeats_no_more_than_the_calls_under_way(
    lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    server.usual = replace(OK, seconds=0.02)
    for stored in (20, 50):  # the calls are quick, so that many come back while others are stored
        run = started(lake, environment, "--rows", "90")
        until(lambda stored=stored: len(kept(lake)) >= stored, 240)  # type: ignore[misc]
        run.send_signal(signal.SIGKILL)
        run.communicate()
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--rows", 90, "--dollars", 1, **environment)

    assert done.returncode == 0, done.stderr
    assert len(kept(lake)) == 90
    assert len(server.calls) - 90 <= 2 * 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_lets_the_calls_under_way_end_and_reserves_nothing_any_more(
    number: signal.Signals, lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    server.usual = replace(OK, seconds=3)
    run = started(lake, environment)
    until(lambda: len(server.calls) == 8, 240)
    run.send_signal(number)
    _, said = run.communicate(timeout=240)

    assert run.returncode == 130
    lines = said.decode().splitlines()
    assert lines[0].startswith("imdb-etl: waiting for the calls under way")
    assert lines[-2] == "270 asked for: 8 written; 0 in the cache before. Cost: $0.000576."
    assert lines[-1].startswith("imdb-etl: interrupted.")
    assert (len(server.calls), len(kept(lake)), charged(tmp_path)) == (8, 8, (8 * CALL_NANOS, 0))


def test_a_provider_that_answers_nothing_ends_the_run_and_costs_nothing(
    lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    server.usual = BAD_KEY
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--dollars", 1, **environment)

    assert done.returncode == 1
    assert "imdb-etl: Given up after 50 calls in a row without an answer; the last: " in done.stderr
    assert len(server.calls) == 100
    assert charged(tmp_path) == (0, 0)


def test_a_refusal_is_that_titles_reason_and_is_asked_again_another_time(
    lake: Path, server: OpenAiServer, environment: dict[str, str]
) -> None:
    server.will(replace(OK, text=None, refusal="No."))
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--rows", 5, "--dollars", 1, **environment)

    assert done.returncode == 0
    assert "5 asked for: 4 written; 0 in the cache before; 1 without a text: The model refused" in done.stderr
    assert len(kept(lake)) == 4


def test_answers_that_cannot_be_kept_are_not_bought_on_and_on(
    lake: Path, server: OpenAiServer, environment: dict[str, str]
) -> None:
    # Can be read as a cache, and not be added to.
    columns = ["key", "subject", "text", "input_tokens", "output_tokens", "nanos", "created_at"]
    write_deltalake(str(lake / "_ai_cache"), pa.table({name: pa.array([], pa.string()) for name in columns}))
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--dollars", 1, **environment)

    assert done.returncode == 1
    assert "imdb-etl: AI functions are off: the answers that were paid for cannot be written" in done.stderr
    assert len(server.calls) == 100


WRONG = {
    "no such function": (("ai_poem", "--dollars", "1"), 2, "ai_poem is no AI function. There are: ai_movie_summary"),
    "no cap": (("ai_movie_summary",), 2, "No spend cap was given. Add --dollars N, or --dry-run"),
    "a cap that is none": (("ai_movie_summary", "--dollars", "nan"), 2, "'nan' is not an amount in dollars"),
    "no rows": (("ai_movie_summary", "--dollars", "1", "--rows", "0"), 2, "not a whole number above zero"),
    "SQL that fails": (("ai_movie_summary", "--dollars", "1", "--select", "SELECT x FROM nowhere"), 2, "--select"),
    "other keys": (
        ("ai_movie_summary", "--dollars", "1", "--select", "SELECT primaryTitle FROM movies_delta"),
        2,
        "has to give a tconst in its first column; it gave 'The ",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_is_said_and_nothing_is_called(
    name: str, made: Path, server: OpenAiServer, environment: dict[str, str]
) -> None:
    arguments, code, text = WRONG[name]
    done = run_etl("enrich", *arguments, "--lake", made, **environment)

    assert (done.returncode, text in done.stderr) == (code, True), done.stderr
    assert server.calls == []


def test_without_a_provider_nothing_is_started(made: Path, environment: dict[str, str]) -> None:
    done = run_etl(
        "enrich", "ai_movie_summary", "--lake", made, "--dollars", 1, **environment | {"OPENAI_BASE_URL": ""}
    )

    assert done.returncode == 1
    assert "imdb-etl: No model provider is configured." in done.stderr


def test_what_runs_on_executors_knows_neither_ledger_nor_cache() -> None:
    assert loaded_by("import etl.executors") & {"sqlite3", "deltalake", "pyspark", "openai"} == set()


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The Python processes that Spark's executors run."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("pyspark" in part for part in child.cmdline()) and "java" not in child.name():
                found.append(child)
    return found


@pytest.mark.usefixtures("java")
def test_on_spark_the_executors_call_and_what_was_under_way_on_a_lost_one_is_charged(
    lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    server.choose = Halting(100)
    run = started(lake, environment, "--engine", "spark")
    until(lambda: len(server.calls) == 108, 240)
    assert len(kept(lake)) == 100
    for worker in workers_of(run):
        worker.kill()
    _, said = run.communicate(timeout=240)

    assert run.returncode == 1
    assert b"imdb-etl: Spark's executors failed" in said
    assert b"270 asked for: 100 written; 0 in the cache before." in said
    spent, reserved = charged(tmp_path)
    assert spent + reserved >= 108 * CALL_NANOS
    server.choose = None
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, "--dollars", 1, **environment)
    assert "270 asked for: 170 written; 100 in the cache before." in done.stderr
    assert sum(Counter(titles(server.calls)).values()) == 278


class Losing:
    """Answers, slowly the first time; what Spark's tasks that are still to come would read is lost then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lost = False

    def __call__(self, _: Received) -> Reply:
        if self._lost:
            return OK
        files = list(self._folder.glob("**/blockmgr-*/*/shuffle_*"))
        for file in files:
            file.unlink()
        self._lost = bool(files)
        return replace(OK, seconds=20)


@pytest.mark.usefixtures("java")
def test_on_spark_nothing_is_asked_twice_where_what_a_stage_reads_is_lost(
    lake: Path, server: OpenAiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    tasks = 1 + (os.cpu_count() or 1)  # one of them has to wait for another's end
    (tmp_path / "spark-defaults.conf").write_text(f"spark.default.parallelism {tasks}\n")
    server.choose = Losing(tmp_path)
    more = {"SPARK_CONF_DIR": str(tmp_path), "IMDB_AI_CONCURRENCY": str(tasks)}
    run = started(lake, environment | more, "--engine", "spark", "--rows", str(3 * tasks))
    _, said = run.communicate(timeout=300)

    assert run.returncode == 1, said
    assert b"imdb-etl: Spark's executors failed" in said
    assert set(Counter(titles(server.calls)).values()) == {1}
    assert len(server.calls) * CALL_NANOS <= sum(charged(tmp_path))
