"""`imdb-etl rollback`, and questions about all tables of an earlier generation."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from etl.gold_views import TABLE_NAMES
from tests.etl.conftest import run_etl
from tests.etl.live_rows import assert_same_lakes, published
from tests.etl.loads import Asker, load

KEPT = {"IMDB_KEEP_MINUTES": "60"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of two generations, whose ratings tell which one they are of."""
    lake = tmp_path_factory.mktemp("rollback") / "lake"
    assert [load(lake, number) for number in (1, 2)] == [0, 0]
    return lake


@pytest.fixture
def lake(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(loaded, tmp_path / "lake"))


def _votes(lake: Path, asker: Asker) -> list[int]:
    return asker.votes(published(lake).tables["ratings_delta"].version)


def test_a_rollback_serves_the_generation_before_while_others_ask(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    first = shutil.copytree(lake, tmp_path / "first")
    shutil.copy(lake / "_manifest.previous.json", first / "_manifest.json")
    with Asker(lake, tmp_path / "state", 0.1) as asker:
        assert _votes(lake, asker) == [2]
        done = run_etl("rollback", "--lake", lake)
        assert "Generation 3 of" in done.stdout
        assert "has the tables of generation 1" in done.stdout
        assert _votes(lake, asker) == [1]
        assert run_etl("rollback", "--lake", lake, "--generation", 2).returncode == 0
        assert _votes(lake, asker) == [2]
    assert asker.wrong == []
    assert run_etl("rollback", "--lake", lake).returncode == 0
    assert_same_lakes(lake, first)


def test_a_damaged_manifest_is_replaced_by_the_generation_before(lake: Path) -> None:
    (lake / "_manifest.json").write_text('{"broken')
    assert run_etl("rollback", "--lake", lake).returncode == 0
    assert published(lake).generation == 2


@pytest.mark.parametrize("arguments", [["--generation", "7"], ["--generation", "1"]])
def test_what_is_gone_is_one_sentence(arguments: list[str], lake: Path) -> None:
    before = (lake / "_manifest.json").read_bytes()
    for path in lake.glob("movies_delta/*.parquet"):
        path.unlink()
    done = run_etl("rollback", "--lake", lake, *arguments)
    assert done.returncode == 2
    assert ("has not kept generation 7" in done.stderr) or ("files of its table movies_delta are gone" in done.stderr)
    assert (lake / "_manifest.json").read_bytes() == before


def test_a_moment_of_a_generation_asks_all_its_tables_also_behind_rollbacks_and_failed_loads(
    lake: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    assert load(lake, 3, broken=True) == 1
    assert run_etl("rollback", "--lake", lake, **KEPT).returncode == 0
    generation = published(lake)
    assert load(lake, 4) == 0
    moment = (generation.created_at + timedelta(milliseconds=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
    with Asker(lake, tmp_path / "state", 0.1) as asker:
        assert asker.votes_at(moment) == [1]
        for table in set(TABLE_NAMES) & generation.tables.keys():
            assert asker.count_at(table, moment) == generation.tables[table].rows, table
        join = (
            f"SELECT count(*) AS n FROM movies_delta TIMESTAMP AS OF '{moment}' m "
            f"JOIN ratings_delta TIMESTAMP AS OF '{moment}' r ON m.tconst = r.tconst WHERE r.numVotes = 1"
        )
        rated = generation.tables["movies_with_ratings"].rows
        assert asker.ask(join, "movies_delta", "ratings_delta") == [{"n": rated}]
