"""Pinned logs on disk: kept while they are used, taken away when they are old or too much."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.delta import LogFolder, TableLog
from lakehouse.errors import LakeError
from mcp_server.engines.pinned import FolderSource, PinnedLogs
from mcp_server.engines.travel import read_travels, reads_latest
from tests.engines.watching import eventually

TABLES, VERSIONS = 6, 4
MOST_BYTES = 12_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    for table in range(TABLES):
        for version in range(VERSIONS):
            write_deltalake(folder / f"t{table}", pa.table({"id": [version]}), mode="overwrite")
    return folder


def _used(folder: Path) -> float:
    """Bytes of all pinned logs; infinite where one goes while it is looked at."""
    try:
        return sum(file.stat().st_size for file in folder.rglob("*.checkpoint.*"))
    except FileNotFoundError:
        return float("inf")


def _asks() -> Iterator[tuple[int, int]]:
    chance = random.Random(4)
    for _ in range(300):
        yield chance.randrange(TABLES), chance.randrange(VERSIONS)


def test_what_is_used_stays_and_the_rest_keeps_within_its_bound(lake: Path, tmp_path: Path) -> None:
    logs = PinnedLogs(str(tmp_path / "tables"), FolderSource(str(lake)), most_bytes=MOST_BYTES)

    def hold(ask: tuple[int, int]) -> bool:
        table, version = f"t{ask[0]}", ask[1]
        sql = f"SELECT * FROM imdb.{table} VERSION AS OF {version}"
        with logs.hold(sql, {table: str(lake / table)}) as held:
            assert held.sql == sql
            root = Path(held.tables[table])
            found = list((root / "_delta_log").glob(f"{version:020}.checkpoint.*"))
            return len(found) == 1 and (root / "data" / "_delta_log").is_dir()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(hold, _asks()))
    hold((0, 0))
    eventually(lambda: _used(tmp_path / "tables") < 1.5 * MOST_BYTES)


def test_a_log_that_grows_is_pinned_anew_and_the_old_one_goes(lake: Path, tmp_path: Path) -> None:
    write_deltalake(lake / "grows", pa.table({"id": [0]}))
    logs = PinnedLogs(str(tmp_path / "tables"), FolderSource(str(lake)))
    here = {"grows": str(lake / "grows")}
    with logs.hold("SELECT * FROM grows", here) as first:
        write_deltalake(lake / "grows", pa.table({"id": [1]}), mode="append")
        with logs.hold("SELECT * FROM grows", here) as second:
            assert first.tables != second.tables
            assert Path(first.tables["grows"]).is_dir()
    eventually(lambda: [root.name for root in (tmp_path / "tables").iterdir()] == ["2"])


class _CleanedUp(FolderSource):
    """A writer cleans up a log each time after it was listed, as often as `times`."""

    def __init__(self, lake: Path, times: int) -> None:
        super().__init__(str(lake))
        self.times = times

    def open_log(self, location: str) -> TableLog:
        log = super().open_log(location)
        assert log.entries
        if self.times:
            self.times -= 1
            DeltaTable(location).create_checkpoint()
            next(Path(location, "_delta_log").glob("0*[0-9].json")).unlink()
        return log


def test_a_log_that_is_cleaned_up_while_it_is_read_is_listed_anew(tmp_path: Path) -> None:
    for version in range(3):
        write_deltalake(tmp_path / "lake" / "t", pa.table({"id": [version]}), mode="overwrite")
    here = {"t": str(tmp_path / "lake" / "t")}
    logs = PinnedLogs(str(tmp_path / "tables"), _CleanedUp(tmp_path / "lake", times=1))
    with logs.hold("SELECT * FROM t", here) as held:
        assert list(Path(held.tables["t"], "_delta_log").glob(f"{2:020}.checkpoint.*"))
    (tmp_path / "lake" / "t" / "_delta_log" / f"{2:020}.checkpoint.parquet").unlink()
    with pytest.raises(LakeError, match="cannot be read"), logs.hold("SELECT * FROM t", here):
        pass


@pytest.mark.parametrize(
    ("sql", "asked"),
    [
        ("SELECT 1 FROM imdb.t VERSION AS OF 3", [("t", 3)]),
        ("SELECT 1 FROM `t``x` FOR SYSTEM_VERSION AS OF 3 AS a", [("t`x", 3)]),
        ("SELECT 1 FROM T TIMESTAMP AS OF '2020-01-01', u version as of 0", [("t", "2020-01-01"), ("u", 0)]),
        (r"SELECT r'\', 'x' FROM t VERSION AS OF 3 WHERE a = 'b'", [("t", 3)]),
        ("""SELECT 'it\\'s FROM t VERSION AS OF 3', "u VERSION AS OF 4" FROM t""", []),
        ("SELECT version AS of, 3 FROM t", []),
        ("SELECT 1 FROM t VERSION AS OF 99999999999999999999999", []),
    ],
)
def test_versions_are_read_where_a_statement_asks_for_them(sql: str, asked: list[tuple[str, int | str]]) -> None:
    assert [(each.table, each.asked) for each in read_travels(sql)] == asked


@pytest.mark.parametrize(
    ("sql", "latest"),
    [
        ("SELECT t.id FROM imdb.t VERSION AS OF 3", False),
        ("SELECT t.id FROM imdb.t VERSION AS OF 3 AS t", False),
        ("SELECT 1 FROM t VERSION AS OF 3 a JOIN t b ON a.id = b.id", True),
        ("SELECT 1 FROM (t)", True),
        ("SELECT 1 FROM t FOR TIMESTAMP AS OF '2020-01-01'", False),
    ],
)
def test_the_newest_version_is_read_where_none_is_named(sql: str, latest: bool) -> None:
    assert reads_latest(sql, "t") is latest


def test_a_file_that_goes_while_a_log_is_listed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, scan = tmp_path / "films" / "_delta_log", os.scandir
    log.mkdir(parents=True)
    for name in ("00000000000000000000.json", "of-a-writer.tmp"):
        (log / name).write_text("{}")

    def scan_while_a_writer_ends(path: Path) -> AbstractContextManager[Iterable[os.DirEntry[str]]]:
        listed = list(scan(path))
        (log / "of-a-writer.tmp").unlink()
        return nullcontext(listed)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scan_while_a_writer_ends)
        assert list(LogFolder(str(log.parent)).entries) == ["00000000000000000000.json"]
