"""The tenth load and those around it: engines write a checkpoint then, and old versions must stay readable."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.manifest import PREVIOUS_NAME, publish_manifest, read_manifest
from lakehouse.storage import Lake
from tests.etl.conftest import manifest_of
from tests.etl.loads import Asker, load

PAUSE = 0.4
"""Several times as long as a round of questions takes: the loads have most of a processor. The long run has none."""

COMMITS = 9
"""After which the next one of the embedded engine's is written with a checkpoint."""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake that was loaded, as it is eight loads later."""
    assert load(tmp_path / "lake", 1) == 0
    manifest = read_manifest(Lake.parse(str(tmp_path / "lake")))
    assert manifest is not None
    tables = {}
    for name, entry in manifest.tables.items():
        rows = DeltaTable(tmp_path / "lake" / name).to_pyarrow_table()
        for _ in range(COMMITS - entry.version):
            write_deltalake(tmp_path / "lake" / name, rows, mode="overwrite")
        tables[name] = entry.model_copy(update={"version": COMMITS})
    publish_manifest(
        Lake.parse(str(tmp_path / "lake")), manifest.model_copy(update={"tables": tables, "generation": 2})
    )
    return tmp_path / "lake"


def test_the_tenth_load_takes_no_table_down_whether_it_fails_or_not(lake: Path, tmp_path: Path) -> None:
    with Asker(lake, tmp_path / "state", PAUSE) as asker:
        before = asker.count_all()
        assert load(lake, 10, broken=True) == 1
        assert manifest_of(lake)["tables"]["ratings_delta"]["version"] == COMMITS
        assert asker.count_all() == before
        between = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

        assert load(lake, 11) == 0

        assert asker.votes(manifest_of(lake)["tables"]["ratings_delta"]["version"]) == [11]
        assert asker.votes_at(between) == [10]  # of the load that failed: it is in the history, and nobody's
        assert [asker.votes(version) for version in range(1, 12)] == [[1]] * COMMITS + [[10], [11]]
        assert asker.count_all(PREVIOUS_NAME) == before
    assert list(lake.glob("*/_delta_log/*.checkpoint.parquet"))  # what it is about
    assert not list(lake.glob("*/_delta_log/_last_checkpoint"))  # who reads the lake with Sail alone is misled by it
    assert asker.wrong == []
    assert asker.answers.total() > len(before)


@pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces, which are Linux's")
@pytest.mark.parametrize("storage", ["bucket", "signed_bucket", "container"])
def test_loads_into_storage_take_no_answer_down_and_every_published_version_stays(
    storage: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    lake = request.getfixturevalue(storage)
    assert load(lake, 1) == 0
    with Asker(lake, tmp_path / "state", PAUSE) as asker:
        assert load(lake, 2) == 0
        published = read_manifest(Lake.parse(lake))
        assert published is not None
        between = (published.created_at + timedelta(milliseconds=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
        assert load(lake, 3, broken=True) == 1
        assert load(lake, 4) == 0
        assert [asker.votes(version) for version in range(1, 5)] == [[1], [2], [3], [4]]
        assert asker.votes_at(between) == [2]
        asker.count_all(PREVIOUS_NAME)
    assert asker.wrong == []
    assert asker.answers.total() > 0
