"""The order of the rows in the files, on every engine: a look-up by the clustering key reads little only then."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.etl.conftest import AWKWARD, MakeSource, manifest_of, notes_of, rows_of, run_etl, run_patched


@pytest.fixture(params=["embedded", "spark"])
def lake(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_sample_lake")
    return found


def data_files(lake: Path, table: str) -> list[pa.Table]:
    """The live files of a table, each as it lies on the disk."""
    entry = manifest_of(lake)["tables"][table]
    files = DeltaTable(str(lake / entry["path"]), version=entry["version"]).file_uris()
    return [pq.read_table(file.removeprefix("file://"), partitioning=None) for file in files]


def assert_in_order(lake: Path, table: str) -> None:
    key = manifest_of(lake)["tables"][table]["clustered_by"][0]
    for content in data_files(lake, table):
        values = [value for value in content.column(key).to_pylist() if value is not None]
        # Bytes, as Parquet's statistics compare them.
        order = [value.encode() if isinstance(value, str) else value for value in values]
        assert order == sorted(order), table


def test_every_file_of_every_table_is_in_the_order_of_its_clustering_key(lake: Path) -> None:
    tables = manifest_of(lake)["tables"]
    assert all(entry["clustered_by"] for entry in tables.values())
    for table in tables:
        assert_in_order(lake, table)


def test_a_source_in_another_order_is_sorted(make_source: MakeSource, tmp_path: Path) -> None:
    rows = [f"tt{number:07}\t{1 + number % 9}.0\t{number}" for number in range(3000)]
    random.Random(1).shuffle(rows)
    source = make_source(title_ratings=[*AWKWARD["title.ratings"], *rows])
    assert run_etl("load", "--source", source, "--lake", tmp_path / "lake").returncode == 0
    assert_in_order(tmp_path / "lake", "ratings_delta")


def test_views_and_counts_made_slice_by_slice_are_those_made_at_once(
    sample: Path, embedded_sample_lake: Path, tmp_path: Path
) -> None:
    lake, at_once = tmp_path / "lake", run_etl("load", "--source", sample, "--lake", tmp_path / "whole")
    done = run_patched("pipeline._limit_slices = lambda *_: 250_000", "--source", sample, "--lake", lake)
    assert done.returncode == 0, done.stderr
    assert notes_of(done) == notes_of(at_once) != []
    for view in ("movies_with_ratings", "movie_cast"):
        assert rows_of(lake, view) == rows_of(embedded_sample_lake, view)
        assert_in_order(lake, view)
    assert len(data_files(lake, "movie_cast")) > 20


def test_a_load_that_needs_more_memory_says_which_setting(sample: Path, tmp_path: Path) -> None:
    little = {"SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(4 << 20)}
    done = run_etl("load", "--source", sample, "--lake", tmp_path / "lake", **little)
    assert done.returncode == 1
    assert "IMDB_LOAD_MEMORY_MB" in done.stderr.splitlines()[-1]
