"""The order of the rows in the files, on every engine: a look-up by the clustering key reads little only then."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.etl.conftest import AWKWARD, MakeSource, manifest_of, run_etl


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


def test_joins_that_do_not_fit_in_memory_give_the_same_view(tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert run_etl("sample", "--out", source, "--titles", 100_000, "--seed", 5).returncode == 0
    settings = {"hash": load_settings(load_memory_mb=512), "merge": load_settings(load_memory_mb=MERGE_MEMORY_MB)}
    size = sum(file.stat().st_size for file in source.iterdir())
    for join, chosen in settings.items():
        config = engine_config("embedded", chosen, size)
        assert config["SAIL_OPTIMIZER__PREFER_HASH_JOIN"] == str(join == "hash").lower()
        memory = str(chosen.load_memory_mb)
        done = run_etl("load", "--source", source, "--lake", tmp_path / join, IMDB_LOAD_MEMORY_MB=memory)
        assert done.returncode == 0, done.stderr
    ours, theirs = (pa.concat_tables(data_files(tmp_path / name, "movie_cast")) for name in settings)
    order = [("tconst", "ascending"), ("ordering", "ascending")]
    assert ours.sort_by(order).equals(theirs.sort_by(order))
