"""A load that fails or is killed late: the next one of the same files goes on from there, and no other does."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

from etl.datasets import DATASETS
from etl.gold_views import GOLD_VIEWS
from lakehouse.storage import Lake
from tests.etl.conftest import SMALL_FILES, MakeSource, manifest_of, rows_of, run_etl, run_patched
from tests.etl.live_rows import assert_same_lakes
from tests.etl.loads import write_source

TABLES = ", ".join(dataset.table for dataset in DATASETS)
VIEWS = ", ".join(view.name for view in GOLD_VIEWS)
FAIL_TO_PUBLISH = "pipeline.publish_manifest = lambda *_: 1 / 0"
LENIENT = {"IMDB_MAX_REJECT_PERCENT": "90"}
AT_ONCE = {"IMDB_KEEP_MINUTES": "0", "IMDB_KEEP_GENERATIONS": "2"}
MALFORMED = ["tt0000001\t5.0\t1", "tt0000002\tbad\t1", "tt0000003\t5.0"]
"""Of ratings: the engine finds one by its form, and the inspection another by its number of fields."""


def _load(source: Path, lake: Path | str, *options: str, **environment: str) -> str:
    """Load a source; what was printed below the summary."""
    done = run_etl("load", "--source", source, "--lake", lake, *options, **environment)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.rpartition("┘")[2].split())


def _fail_to_publish(source: Path, lake: Path) -> None:
    """Load all tables and views of a source, and end before they are published."""
    done = run_patched(FAIL_TO_PUBLISH, "--source", source, "--lake", lake)
    assert "ZeroDivisionError" in done.stderr


def _fail_on_malformed(source: Path, lake: Path | str, *options: str, **environment: str) -> None:
    """Load the tables of a source with too many malformed lines, which ends before the views."""
    done = run_etl("load", "--source", source, "--lake", lake, *options, **environment)
    assert "are malformed, more than the" in done.stderr
    assert Lake.parse(str(lake)).read_file("_loading.json") is not None


def _data_files(lake: Path) -> set[Path]:
    return {path for path in lake.glob("*/*.parquet") if path.parent.name not in {"rejects", "_loading"}}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source") / "source", 5)


@pytest.fixture(scope="module")
def loaded(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source, loaded in one go."""
    lake = tmp_path_factory.mktemp("loaded") / "lake"
    _load(source, lake)
    return lake


@pytest.fixture(scope="module")
def unfinished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source, written and not published."""
    lake = tmp_path_factory.mktemp("unfinished") / "lake"
    _fail_to_publish(source, lake)
    return lake


@pytest.fixture
def lake(unfinished: Path, tmp_path: Path) -> Path:
    """A copy of the lake that is not finished."""
    return Path(shutil.copytree(unfinished, tmp_path / "lake"))


def test_what_was_written_before_a_failure_is_not_written_again(source: Path, lake: Path, loaded: Path) -> None:
    files = _data_files(lake)

    said = _load(source, lake)

    assert said.startswith(f"Went on from a load that ended early: {TABLES}, {VIEWS} were written already.")
    assert "principals_delta: " in said  # duplicates and orphans are counted as ever
    assert _data_files(lake) == files
    assert list(manifest_of(lake)["tables"]) == list(manifest_of(loaded)["tables"])
    assert_same_lakes(lake, loaded)
    assert not list(lake.glob("_loading*"))
    said = run_etl("update", "--source", source, "--lake", lake).stdout
    assert "Nothing to update: the files are those of generation 1" in said


def test_rejected_lines_and_notes_are_those_of_a_load_in_one_go(make_source: MakeSource, tmp_path: Path) -> None:
    source, lake, fresh = make_source(title_ratings=MALFORMED), tmp_path / "lake", tmp_path / "fresh"
    (source / "title.crew.tsv.gz").unlink()
    (source / "title.crew.tsv").write_text("tconst\tdirectors\twriters\tmood\ntt0000002\tnm0000001\t\\N\tblue\n")
    _fail_on_malformed(source, lake)

    said = _load(source, lake, **LENIENT)

    went_on = f"Went on from a load that ended early: {TABLES} were written already. "
    assert went_on in said
    assert "has a column mood that is not described here: it is in crew_delta, as text." in said
    assert said.replace(went_on, "") == _load(source, fresh, **LENIENT)
    assert len(DeltaTable(lake / "rejects").to_pyarrow_table()) == 2
    assert_same_lakes(lake, fresh)


def _change_ratings(source: Path, folder: Path) -> Path:
    """The source with other ratings: all have six votes."""
    changed = Path(shutil.copytree(source, folder / "changed"))
    shutil.copy(write_source(folder / "six", 6) / "title.ratings.tsv.gz", changed)
    return changed


def test_a_file_that_changed_is_loaded_with_the_views_of_it_and_the_others_are_not(
    source: Path, lake: Path, tmp_path: Path
) -> None:
    changed = _change_ratings(source, tmp_path)

    said = _load(changed, lake)

    kept = TABLES.removeprefix("ratings_delta, ")
    assert f"Went on from a load that ended early: {kept}, movie_cast, film_people were written already." in said
    assert [row["numVotes"] for row in rows_of(lake, "movies_with_ratings")] == [6, 6, 6]
    assert len(rows_of(lake, "movie_cast")) == 6


@pytest.mark.parametrize(
    "case", ["again", "damaged", "other engine", "other definition", "a later version", "a file is gone"]
)
def test_what_cannot_be_gone_on_from_is_loaded_anew(case: str, source: Path, lake: Path, loaded: Path) -> None:
    options, written = [], lake / "_loading.json"
    match case:
        case "again":
            options = ["--again"]
        case "damaged":
            written.write_text('{"broken')
        case "other engine":
            written.write_text(written.read_text().replace('"embedded"', '"spark"'))
        case "other definition":
            written.write_text(re.sub(r'"made_from": "\w+"', '"made_from": "another"', written.read_text()))
        case "a later version":
            for table in json.loads(written.read_text())["tables"]:
                DeltaTable(lake / table).delete()
        case "a file is gone":
            for path in _data_files(lake):
                path.unlink()

    assert "Went on" not in _load(source, lake, *options)

    assert_same_lakes(lake, loaded)


def test_retention_leaves_what_can_be_gone_on_from_and_removes_it_once_it_is_given_up(
    source: Path, loaded: Path, make_source: MakeSource, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(loaded, tmp_path / "lake"))
    failed = make_source(title_ratings=MALFORMED)
    served = _data_files(lake)
    _fail_on_malformed(failed, lake)
    before = _data_files(lake)
    assert run_etl("maintain", "--lake", lake, **AT_ONCE).returncode == 0
    assert _data_files(lake) == before
    copy = Path(shutil.copytree(lake, tmp_path / "copy"))
    assert "Went on" in _load(failed, copy, **LENIENT)

    changed = _change_ratings(source, tmp_path)
    assert run_etl("update", "--source", changed, "--lake", lake, **AT_ONCE).returncode == 0

    assert _data_files(lake) & before == served
    assert not list(lake.glob("_loading*"))
    assert len(list((lake / "_fingerprints").iterdir())) == len(DATASETS) + 1  # both generations are kept


def test_spark_goes_on_from_spark_alone_and_compacts_what_is_left(
    java: None, make_source: MakeSource, tmp_path: Path
) -> None:
    source, lake = make_source(title_ratings=MALFORMED), tmp_path / "lake"
    small_files = {"SPARK_SUBMIT_OPTS": f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} {SMALL_FILES.replace('1500', '5')}"}
    _fail_on_malformed(source, lake, "--engine", "spark", **small_files)
    other = Path(shutil.copytree(lake, tmp_path / "other"))

    assert "Went on" in _load(source, lake, "--engine", "spark", **LENIENT, **small_files)
    assert "Went on" not in _load(source, other, **LENIENT)

    assert DeltaTable(lake / "movies_delta").history(1)[0]["operation"] == "OPTIMIZE"
    assert_same_lakes(lake, other)


def test_a_load_into_object_storage_is_gone_on_from(bucket: str, make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source(title_ratings=MALFORMED)
    _fail_on_malformed(source, bucket)
    assert f"{TABLES} were written already" in _load(source, bucket, **LENIENT)
    _load(source, tmp_path / "fresh", **LENIENT)
    assert_same_lakes(bucket, tmp_path / "fresh")
    assert Lake.parse(bucket).read_file("_loading.json") is None
    assert Lake.parse(bucket).list_files("_loading") == []
