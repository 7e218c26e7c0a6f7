"""`imdb-etl maintain`, and what loads and updates remove of earlier generations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.etl.conftest import run_etl
from tests.etl.live_rows import assert_same_lakes, published
from tests.etl.loads import Asker, load
from tests.etl.tomorrow import write_tomorrow

AT_ONCE = {"IMDB_KEEP_MINUTES": "0", "IMDB_KEEP_GENERATIONS": "2"}


def _bytes_of(lake: Path) -> int:
    return sum(path.stat().st_size for path in lake.rglob("*") if path.is_file())


def test_many_loads_take_the_room_of_the_generations_that_are_kept(
    sample: Path, nothing_declared: dict[str, str], tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    sizes = []
    for _ in range(4):
        done = run_etl("load", "--source", sample, "--lake", lake, "--again", **AT_ONCE, **nothing_declared)
        assert done.returncode == 0, done.stderr
        sizes.append(_bytes_of(lake))
    assert sizes[3] < 2.2 * sizes[0]
    assert sorted(path.stem for path in (lake / "_manifests").iterdir()) == ["3"]
    assert run_etl("rollback", "--lake", lake).returncode == 0
    assert not list(lake.glob("*/_delta_log/00000000000000000001.json"))


def test_a_generation_that_was_served_minutes_ago_stays_whatever_its_number(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    for number in range(1, 5):
        assert load(lake, number) == 0
    assert len(list((lake / "_manifests").iterdir())) == 3
    assert "Generations removed: none" in run_etl("maintain", "--lake", lake, IMDB_KEEP_MINUTES="10").stdout
    assert "Generations removed: 2, 1" in run_etl("maintain", "--lake", lake, **AT_ONCE).stdout
    assert published(lake).generation == 4


def test_what_a_running_server_reads_is_never_removed(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    (tmp_path / "state").mkdir()
    for number in range(1, 4):
        assert load(lake, number) == 0
    with Asker(lake, tmp_path / "state", 0.4) as asker:
        pinned = published(lake).tables["ratings_delta"].version
        assert run_etl("maintain", "--lake", lake, **AT_ONCE).returncode == 0
        assert load(lake, 5) == 0
        assert run_etl("maintain", "--lake", lake, **AT_ONCE).returncode == 0
        assert asker.votes(pinned) == [3]  # as of a statement that began before the load
    assert asker.wrong == []
    assert asker.answers.total() > 0


def test_what_updates_scattered_is_written_in_order_again(
    sample: Path, embedded_sample_lake: Path, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(embedded_sample_lake, tmp_path / "lake"))
    source = write_tomorrow(sample, tmp_path / "source", share=0.08)
    assert run_etl("update", "--source", source, "--lake", lake).returncode == 0
    before = shutil.copytree(lake, tmp_path / "before")

    done = run_etl("maintain", "--lake", lake)

    assert done.returncode == 0, done.stderr
    assert "movie_cast: 2 files with" in done.stdout
    assert published(lake).generation == 3
    assert_same_lakes(lake, before)
    assert "Generation 3 of" in run_etl("maintain", "--lake", lake).stdout  # nothing is left to do
    assert published(lake).generation == 3


def test_a_view_in_files_that_all_hold_all_names_is_written_in_order_again(
    embedded_sample_lake: Path, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(embedded_sample_lake, tmp_path / "lake"))
    scatter_rows(lake, "movie_cast", files=6)
    before = shutil.copytree(lake, tmp_path / "before")

    done = run_etl("maintain", "--lake", lake)

    assert done.returncode == 0, done.stderr
    assert "movie_cast: 6 files with" in done.stdout
    assert "film_people" not in done.stdout
    assert_same_lakes(lake, before)
    assert "Generation 2 of" in run_etl("maintain", "--lake", lake).stdout


def scatter_rows(lake: Path, table: str, files: int) -> None:
    """Write a table in several files of the same range, as earlier releases wrote large views."""
    manifest = published(lake)
    entry = manifest.tables[table]
    rows = DeltaTable(str(lake / table), version=entry.version).to_pyarrow_table()
    for number in range(files):
        part = rows.take(pa.array(range(number, rows.num_rows, files)))
        write_deltalake(str(lake / table), part, mode="append" if number else "overwrite")
    newest = DeltaTable(str(lake / table)).version()
    tables = manifest.tables | {table: entry.model_copy(update={"version": newest, "files": files})}
    (lake / "_manifest.json").write_text(manifest.model_copy(update={"tables": tables}).model_dump_json())


def test_a_lake_that_was_never_loaded_is_told_to_load(tmp_path: Path) -> None:
    done = run_etl("maintain", "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "Load it first: imdb-etl load" in done.stderr


@pytest.mark.parametrize("storage", ["bucket"])
def test_lakes_in_storage_are_updated_maintained_and_rolled_back(
    storage: str, request: pytest.FixtureRequest, sample: Path, nothing_declared: dict[str, str], tmp_path: Path
) -> None:
    lake = request.getfixturevalue(storage)
    source = write_tomorrow(sample, tmp_path / "source", share=0.08)
    fresh = tmp_path / "fresh"
    for command in (
        ("load", "--source", sample, "--lake", lake),
        ("update", "--source", source, "--lake", lake),
        ("maintain", "--lake", lake),
        ("load", "--source", source, "--lake", fresh),
    ):
        done = run_etl(*command, **AT_ONCE, **nothing_declared)
        assert done.returncode == 0, done.stderr
    assert_same_lakes(lake, fresh)
    assert run_etl("rollback", "--lake", lake).returncode == 0
    assert published(lake).generation == 4
    assert_same_lakes(lake, fresh)
