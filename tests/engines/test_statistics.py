"""What an estimate says of a table, by the statistics of its Delta log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.errors import LakeError
from mcp_server.engines import Engine
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.statistics import FileStatistics, Statistics
from mcp_server.models import GUARD_SEAL, CheckedQuery, Filter, Principal, RowLimit, Scan
from tests.engines.conftest import Query, of_our_own

TYPES = {
    "id": "long", "name": "string", "weight": "double", "price": "decimal(38,10)", "day": "date", "at": "timestamp",
    "small": "float", "region": "string",
}  # fmt: skip
Stats = Mapping[str, Any] | None


def table_of(folder: Path, *files: Stats, region: str | None = None, **configuration: str) -> FileStatistics:
    """A table whose log says this of its files; the files themselves do not exist."""
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in TYPES.items()]
    actions: list[Any] = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "1", "format": {"provider": "parquet", "options": {}}, "configuration": configuration,
                "schemaString": json.dumps({"type": "struct", "fields": fields}), "partitionColumns": ["region"],
            }
        },
    ]  # fmt: skip
    for number, stats in enumerate(files):
        actions.append(
            {
                "add": {
                    "path": f"region=x/{number}.parquet", "partitionValues": {"region": region}, "size": 100,
                    "modificationTime": 1, "dataChange": True, "stats": None if stats is None else json.dumps(stats),
                }
            }
        )  # fmt: skip
    (folder / "_delta_log").mkdir(parents=True)
    (folder / "_delta_log" / f"{0:020}.json").write_text("\n".join(json.dumps(action) for action in actions))
    return Statistics().read_version("t", str(folder), 0)


def span(column: str, low: Any, high: Any, *, nulls: int | None = 0, rows: int = 10) -> Stats:
    """The statistics of a file of which one column is known."""
    counts = {} if nulls is None else {"nullCount": {column: nulls}}
    return {"numRecords": rows, "minValues": {column: low}, "maxValues": {column: high}} | counts


def kept(found: FileStatistics, *filters: Filter) -> int:
    return found.estimate(Scan("t", None, filters)).files


@pytest.mark.parametrize(
    ("op", "values", "files"),
    [
        ("=", (15,), 1), ("=", (10,), 1), ("=", (100,), 0), ("<", (10,), 1), ("<=", (10,), 2), (">", (29,), 0),
        (">=", (29,), 1), ("in", (3, 25), 2), ("in", tuple(range(12, 200)), 2), ("=", (15.5,), 1),
        ("=", (Decimal("9.5"),), 0), ("=", (2**70,), 0), (">", (-(2**70),), 3), ("is null", (), 0),
        ("is not null", (), 3), ("=", ("15",), 3), ("=", (True,), 3), ("=", (date(2020, 1, 1),), 3),
    ],
)  # fmt: skip
def test_files_are_left_out_by_their_bounds(tmp_path: Path, op: Any, values: tuple[Any, ...], files: int) -> None:
    found = table_of(tmp_path, span("id", 0, 9), span("id", 10, 19), span("id", 20, 29))

    assert kept(found, Filter("id", op, values)) == files


def test_what_is_known_of_nulls_leaves_files_out(tmp_path: Path) -> None:
    empty = {"numRecords": 10, "minValues": {}, "maxValues": {}, "nullCount": {"id": 10}}
    found = table_of(tmp_path, span("id", 0, 9, nulls=2), empty, span("id", 0, 9))

    assert kept(found, Filter("id", "is null")) == 2
    assert kept(found, Filter("id", "is not null")) == 2
    assert kept(found, Filter("id", "=", (5,))) == 2


def test_a_file_that_says_nothing_is_always_read_and_its_rows_are_not_known(tmp_path: Path) -> None:
    found = table_of(tmp_path, span("id", 0, 9), None, span("name", "a", "b"), span("id", 0, 9, nulls=None))
    estimate = found.estimate(Scan("t", None, (Filter("id", "=", (50,)),)))

    assert (estimate.files, estimate.files_total, estimate.bytes, estimate.bytes_total) == (2, 4, 200, 400)
    assert estimate.rows is None
    assert found.bounds == {}


@pytest.mark.parametrize(
    ("column", "low", "high", "op", "value", "files"),
    [
        # Delta's writers cut strings to 32 characters, and not all of them mark the end of a maximum that was cut.
        ("name", "a", "b" * 32, ">", "b" * 32, 1),
        ("name", "a", "b" * 31, ">", "b" * 31, 0),
        ("name", "b" * 32, "c", "<", "b" * 32, 0),
        ("name", "b" * 32, "c", "=", "b" * 32, 1),
        ("name", "a", "ä", "=", "日", 0),
        # NaN is greater than any number and in no statistic.
        ("weight", 1.0, 2.0, ">", 5.0, 1),
        ("weight", 1.0, 2.0, "=", 5.0, 0),
        ("weight", 1.0, 2.0, "<", 0.5, 0),
        ("weight", -0.0, 0.0, "=", 0, 1),
        ("small", 0.1, 0.1, "=", 0.10000000149011612, 1),
        # A decimal in a log may have been written as a double.
        ("price", 0.1, 123456789012345678.0, "=", Decimal("123456789012345678.9"), 1),
        ("price", 0.1, 5.0, "=", Decimal(6), 0),
        # Times are cut to milliseconds.
        ("at", "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00.123Z", "=",
         datetime(2020, 1, 1, 0, 0, 0, 123999, UTC), 1),
        ("at", "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00.123Z", ">", datetime(2020, 1, 2, tzinfo=UTC), 0),
        ("day", "2020-01-01", "2020-01-31", "=", date(2020, 2, 1), 0),
        ("day", "2020-01-01", "2020-01-31", "<=", date(2020, 1, 1), 1),
    ],
)  # fmt: skip
def test_what_statistics_do_not_say_exactly_is_not_trusted(
    tmp_path: Path, column: str, low: Any, high: Any, op: Any, value: Any, files: int
) -> None:
    assert kept(table_of(tmp_path, span(column, low, high)), Filter(column, op, (value,))) == files


@pytest.mark.parametrize(("region", "value", "files"), [("eu", "eu", 1), ("eu", "us", 0), (None, "eu", 0)])
def test_partition_columns_leave_files_out(tmp_path: Path, region: str | None, value: str, files: int) -> None:
    found = table_of(tmp_path, None, region=region)

    assert kept(found, Filter("region", "=", (value,))) == files
    assert kept(found, Filter("region", "is null")) == (region is None)
    assert kept(found, Filter("region", "is not null")) == (region is not None)


def test_under_mapped_names_nothing_is_left_out(tmp_path: Path) -> None:
    mapped = {"delta.columnMapping.mode": "name"}
    found = table_of(tmp_path, span("id", 0, 9), **mapped)

    assert kept(found, Filter("id", "=", (50,))) == 1
    assert found.bounds == {}


def test_bounds_are_of_integer_columns_that_every_file_tells(tmp_path: Path) -> None:
    files: list[Any] = [span("id", 3, 9), span("id", -5, 4), span("id", None, None, nulls=10)]
    found = table_of(tmp_path, *files)

    assert found.bounds == {"id": (-5, 9)}


def test_every_condition_must_leave_something(tmp_path: Path) -> None:
    found = table_of(tmp_path, span("id", 0, 9), span("id", 10, 19))

    assert kept(found, Filter("id", ">=", (5,)), Filter("id", "<", (10,))) == 1
    assert kept(found, Filter("id", ">=", (10,)), Filter("id", "<", (10,))) == 0


def test_each_version_has_its_own_statistics_and_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, known = str(tmp_path / "t"), Statistics()
    write_deltalake(place, pa.table({"id": [1, 2]}))
    write_deltalake(place, pa.table({"id": [3]}), mode="append")
    before = datetime.fromtimestamp(DeltaTable(place).history()[-1]["timestamp"] / 1000, UTC)

    assert known.read_version("t", place, 0).bounds == {"id": (1, 2)}
    assert known.read_version("t", place, None).bounds == {"id": (1, 3)}
    assert known.read_version("t", place, before).version == 0
    monkeypatch.setattr("deltalake.DeltaTable", None)
    assert known.read_version("t", place, 1).estimate(Scan("t", None)).rows == 3


def test_what_was_not_asked_for_longest_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_server.engines.statistics._CACHE_BYTES", 1)
    known = Statistics()
    for name in ("one", "two"):
        write_deltalake(str(tmp_path / name), pa.table({"id": [1]}))
        known.read_version(name, str(tmp_path / name), 0)

    assert [place for place, _ in known._known] == [str(tmp_path / "two")]


def test_a_version_that_does_not_exist_is_said(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), pa.table({"id": [1]}))

    with pytest.raises(LakeError, match="films at version 77 cannot be read"):
        Statistics().read_version("films", str(tmp_path), 77)
    with pytest.raises(LakeError, match="films cannot be read"):
        Statistics().read_version("films", str(tmp_path / "nowhere"), None)


@of_our_own
def test_an_engine_estimates_the_pinned_version_and_the_one_that_is_asked_for(engine: Engine, query: Query) -> None:
    scans = (Scan("films", None), Scan("films", None, version=0), Scan("many", None, (Filter("id", "<", (0,)),)))
    plain = query("SELECT 1", "films", "many")
    pinned = CheckedQuery(
        plain.sent, plain.sql, plain.tables, frozenset(), RowLimit(1), 60.0, Principal("x"), {"films": 1}, (),
        GUARD_SEAL, scans=scans,
    )  # fmt: skip

    found = engine.estimate(pinned)

    assert (found.files, found.bytes) == (sum(s.files for s in found.scans), sum(s.bytes for s in found.scans))
    assert engine.bounds("no_such_table") == {}
    if not isinstance(engine, LocalEngine) or not found.exact:  # the log is not ours to read: whole tables
        assert not found.exact
        assert all(scan.files == scan.files_total > 0 for scan in found.scans)
        return
    assert [(scan.table, scan.version, scan.files, scan.rows) for scan in found.scans] == [
        ("films", 1, 1, 5), ("films", 0, 1, 3), ("many", 0, 0, 0),
    ]  # fmt: skip
    assert engine.bounds("FILMS") == {"id": (1, 5)}
