"""The order of the rows in the files, on every engine: a look-up by the clustering key reads little only then."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lakehouse.coverage import Coverage, read_coverage
from lakehouse.storage import Lake
from tests.etl.conftest import AWKWARD, MakeSource, manifest_of, notes_of, rows_of, run_etl, run_patched


def data_files(lake: Path, table: str) -> list[pa.Table]:
    """The live files of a table, each as it lies on the disk."""
    entry = manifest_of(lake)["tables"][table]
    files = DeltaTable(str(lake / entry["path"]), version=entry["version"]).file_uris()
    return [pq.read_table(file.removeprefix("file://"), partitioning=None) for file in files]


def read_keys(lake: Path, table: str) -> list[list[Any]]:
    """The first column of the clustering key in each file, without nulls; text as bytes, as statistics compare it."""
    key = manifest_of(lake)["tables"][table]["clustered_by"][0]
    files = (content.column(key).drop_null().to_pylist() for content in data_files(lake, table))
    return [[value.encode() if isinstance(value, str) else value for value in file] for file in files]


def assert_in_order(lake: Path, table: str) -> None:
    for keys in read_keys(lake, table):
        assert keys == sorted(keys), table


def test_every_file_of_every_table_is_in_the_order_of_its_clustering_key(embedded_sample_lake: Path) -> None:
    tables = manifest_of(embedded_sample_lake)["tables"]
    assert all(entry["clustered_by"] for entry in tables.values())
    for table in tables:
        assert_in_order(embedded_sample_lake, table)


def test_a_key_is_in_one_or_two_of_the_files_that_spark_wrote(spark_sample_lake: Path) -> None:
    # OPTIMIZE orders by ranges of the key: those of files touch, and the rows of a range come in any order.
    several = 0
    for table in manifest_of(spark_sample_lake)["tables"]:
        files = [keys for keys in read_keys(spark_sample_lake, table) if keys]
        bounds = [(min(keys), max(keys)) for keys in files]
        several += len(files) > 2
        for key in {key for keys in files for key in keys}:
            assert sum(low <= key <= high for low, high in bounds) <= 2, (table, key)
    assert several >= 3


def test_a_source_in_another_order_is_sorted(make_source: MakeSource, tmp_path: Path) -> None:
    rows = [f"tt{number:07}\t{1 + number % 9}.0\t{number}" for number in range(3000)]
    random.Random(1).shuffle(rows)
    source = make_source(title_ratings=[*AWKWARD["title.ratings"], *rows])
    assert run_etl("load", "--source", source, "--lake", tmp_path / "lake").returncode == 0
    assert_in_order(tmp_path / "lake", "ratings_delta")


def read_counts(lake: Path) -> Coverage:
    counted = read_coverage(Lake.parse(str(lake)), 1)
    assert counted is not None
    assert counted.joins
    assert counted.measures
    return counted


_SMALL_STEPS = """
import etl.sorted_tables
pipeline.limit_slices = lambda *_: 250_000
etl.sorted_tables._SORTED_ROWS, etl.sorted_tables._FILE_ROWS = 500, 1_200
"""
"""Views are joined in some twenty slices, and written as several files."""


def test_the_files_of_a_view_follow_each_other_in_its_order_however_it_was_joined(sample: Path, tmp_path: Path) -> None:
    assert run_patched(_SMALL_STEPS, "--source", sample, "--lake", tmp_path / "lake").returncode == 0
    for view in ("movie_cast", "film_people"):
        files = sorted(keys for keys in read_keys(tmp_path / "lake", view) if keys)
        assert len(files) > 5
        assert all(before[-1] <= after[0] for before, after in pairwise(files)), view


def test_views_and_counts_made_slice_by_slice_are_those_made_at_once(
    sample: Path, embedded_sample_lake: Path, tmp_path: Path
) -> None:
    lake, at_once = tmp_path / "lake", run_etl("load", "--source", sample, "--lake", tmp_path / "whole")
    done = run_patched(_SMALL_STEPS, "--source", sample, "--lake", lake)
    assert done.returncode == 0, done.stderr
    assert notes_of(done) == notes_of(at_once) != []
    for view in ("movies_with_ratings", "movie_cast", "film_people"):
        assert rows_of(lake, view) == rows_of(embedded_sample_lake, view)
        assert_in_order(lake, view)
    assert read_counts(lake) == read_counts(tmp_path / "whole")


def test_a_load_that_needs_more_memory_says_which_setting(sample: Path, tmp_path: Path) -> None:
    little = {"SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(4 << 20)}
    done = run_etl("load", "--source", sample, "--lake", tmp_path / "lake", **little)
    assert done.returncode == 1
    assert "IMDB_LOAD_MEMORY_MB" in done.stderr.splitlines()[-1]


def test_look_ups_of_a_view_by_person_and_title_skip_row_groups(embedded_sample_lake: Path) -> None:
    for view, columns in {
        "movies_with_ratings": {"tconst"},
        "movie_cast": {"nconst", "tconst"},
        "film_people": {"nconst", "tconst"},
    }.items():
        entry = manifest_of(embedded_sample_lake)["tables"][view]
        files = DeltaTable(str(embedded_sample_lake / entry["path"]), version=entry["version"]).file_uris()
        for file in files:
            group = pq.read_metadata(file.removeprefix("file://")).row_group(0)
            found = {
                chunk.path_in_schema for chunk in map(group.column, range(group.num_columns)) if _has_filter(chunk)
            }
            assert found == columns, view


def _has_filter(chunk: pq.ColumnChunkMetaData) -> bool:
    return chunk.bloom_filter_offset is not None
