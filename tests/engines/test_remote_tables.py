"""Tables in object storage that no load of ours has made: which are found, what that costs, what is said of others."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse import objects, table_search
from lakehouse.errors import LakeError
from lakehouse.objects import StorageError
from lakehouse.storage import Lake
from lakehouse.table_search import ObjectSearch
from mcp_server.engines.catalog import LakeCatalog
from tests.server.strangers import write_damaged, write_named
from tests.watched_storage import WatchedStorage, watched_storage

ONLY_IN_FOLDERS = {"log_is_a_file", "empty_log", "a=b", "new\nline"}
"""Neither empty folders nor files named like folders are in storage, its clients take no line end in a name, and a name
with `=`, of which a table in another format has thousands, is not looked into."""


@pytest.fixture
def watched(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedStorage]:
    """The bucket's storage, reached by this process through a proxy."""
    with watched_storage(os.environ["AWS_ENDPOINT_URL"]) as storage:
        monkeypatch.setenv("AWS_ENDPOINT_URL", storage.url)
        yield storage


@pytest.fixture(autouse=True)
def _nothing_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look counts for no longer than it lasts, so that every change is seen at once."""
    monkeypatch.setattr(ObjectSearch, "trusted_seconds", 0.0)


@pytest.mark.parametrize("storage", ["bucket", "container"])
def test_the_tables_of_a_storage_are_those_of_the_same_folders(
    storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lake = Lake.parse(request.getfixturevalue(storage))
    write_named(tmp_path)
    write_damaged(tmp_path)
    for name in ("a/b/c/d/e", "a/b/c/d/f/too_deep", "_hidden", ".hidden", "sales/year=2024/parts"):
        write_deltalake(str(tmp_path / name), pa.table({"id": [1]}))
    written = [file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()]
    for path in written:
        if path.parts[0] not in ONLY_IN_FOLDERS | ({"back\\slash"} if storage == "container" else set()):
            lake.replace_file(str(path), (tmp_path / path).read_bytes())

    found = {table.name: table for table in LakeCatalog(lake).tables()}
    there = {table.name: table for table in LakeCatalog(Lake.parse(str(tmp_path))).tables()}

    assert there.keys() - found.keys() == ONLY_IN_FOLDERS | ({"back\\slash"} if storage == "container" else set())
    assert [name for name in found if name not in there] == []
    assert list(found) == [name for name in there if name in found]
    assert {"a.b.c.d.e", "sales.eu.orders", "Größen.my table"} < found.keys()
    for name, table in found.items():
        if name != "hint_is_a_pipe":  # the pipe itself cannot be in storage
            assert table == there[name], name


def test_a_look_asks_for_each_table_once_and_reads_what_has_changed(bucket: str, watched: WatchedStorage) -> None:
    for name in ("sales/orders", "sales/items", "films"):
        for number in range(3):
            write_deltalake(f"{bucket}/{name}", pa.table({"id": [number]}), mode="append")
    catalog = LakeCatalog(Lake.parse(bucket))
    assert [(table.name, table.version) for table in catalog.tables()] == [
        ("films", 2), ("sales.items", 2), ("sales.orders", 2),
    ]  # fmt: skip
    DeltaTable(f"{bucket}/films").create_checkpoint()
    catalog.tables()
    watched.take()

    catalog.tables()
    # A manifest and a load under way, the folder itself and `sales`, and four logs: `sales` might have one.
    assert len(watched.take()) == 8
    write_deltalake(f"{bucket}/sales/orders", pa.table({"id": [9]}), mode="append")
    watched.take()
    assert [table.version for table in catalog.tables()] == [2, 2, 3]
    asked = watched.take()
    assert not [each for each in asked if "films" in each and "GET /lakes?" not in each]
    listed = next(each for each in asked if "start-after" in each and "films" in each)
    assert "films/_delta_log/00000000000000000002." in listed


def test_of_a_large_checkpoint_its_schema_alone_is_fetched(bucket: str, watched: WatchedStorage) -> None:
    lake, first = Lake.parse(bucket), f"films/_delta_log/{0:020}.json"
    write_deltalake(f"{bucket}/films", pa.table({"id": [1]}))
    commit = (lake.read_file(first) or b"").splitlines()
    (add,) = [json.loads(line)["add"] for line in commit if b'"add"' in line]
    adds = [json.dumps({"add": {**add, "path": f"{os.urandom(60).hex()}.parquet"}}) for _ in range(20_000)]
    lake.replace_file(f"films/_delta_log/{1:020}.json", "\n".join(adds).encode())
    DeltaTable(f"{bucket}/films").create_checkpoint()
    (checkpoint,) = [name for name in lake.list_files("films/_delta_log") if name.endswith(".checkpoint.parquet")]
    lake.remove_file(first)
    lake.remove_file(f"films/_delta_log/{1:020}.json")
    watched.take()

    (table,) = LakeCatalog(lake).tables()

    assert (table.version, [column.name for column in table.columns]) == (1, ["id"])
    fetched = [each.rpartition("bytes=")[2].split("-") for each in watched.take() if checkpoint in each]
    assert len(fetched) < 5
    assert sum(int(last) + 1 - int(start) for start, last in fetched) < 200_000


def test_tables_that_appear_go_or_begin_anew_are_seen(bucket: str) -> None:
    lake = Lake.parse(bucket)
    for _ in range(3):
        write_deltalake(f"{bucket}/sales/orders", pa.table({"id": [1]}), mode="append")
    catalog = LakeCatalog(lake)
    assert [(table.name, table.version) for table in catalog.tables()] == [("sales.orders", 2)]
    edition = catalog.edition

    write_deltalake(f"{bucket}/films", pa.table({"title": ["Alpha"]}))
    _remove(lake, "sales/orders")
    assert [(table.name, table.version) for table in catalog.tables()] == [("films", 0)]
    write_deltalake(f"{bucket}/sales/orders", pa.table({"name": ["x"]}))
    assert [(table.name, table.version) for table in catalog.tables()] == [("films", 0), ("sales.orders", 0)]
    assert [column.name for column in catalog.tables()[1].columns] == ["name"]
    assert catalog.edition == edition + 2
    write_deltalake(f"{bucket}/sales/orders", pa.table({"name": ["y"]}), mode="append")
    assert catalog.tables()[1].version == 1

    _remove(lake, "sales/orders")
    write_deltalake(f"{bucket}/sales/orders", pa.table({"other": ["x"]}))  # before anybody has looked
    assert [(table.version, table.columns[0].name) for table in catalog.tables()] == [(0, "title"), (0, "other")]

    _remove(lake, "sales/orders")
    _remove(lake, "films")
    with pytest.raises(LakeError, match="There is no lake at"):
        catalog.tables()


def _remove(lake: Lake, table: str) -> None:
    for folder in (table, f"{table}/_delta_log"):
        for name in lake.objects.list_files(folder):
            lake.remove_file(f"{folder}/{name}")


def test_unknown_names_do_not_make_a_storage_be_searched_each_time(
    bucket: str, watched: WatchedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_server.engines.folders._TRUSTED_SHARE", 1e9)
    monkeypatch.setattr(ObjectSearch, "trusted_seconds", 1e9)
    write_deltalake(f"{bucket}/films", pa.table({"id": [1]}))
    catalog = LakeCatalog(Lake.parse(bucket))
    catalog.tables()
    write_deltalake(f"{bucket}/later", pa.table({"id": [1]}))
    watched.take()

    assert [table.name for table in catalog.tables()] == ["films"]
    assert watched.take() == []
    assert [table.name for table in catalog.refresh()] == ["films", "later"]
    for _ in range(20):
        catalog.refresh()
    assert len([each for each in watched.take() if "_manifest" in each]) == 3


def test_a_folder_that_is_denied_hides_no_other(
    bucket: str, watched: WatchedStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_search, "_REFUSED_SHARE", 0.0)
    for name in ("films", "private/salaries"):
        write_deltalake(f"{bucket}/{name}", pa.table({"id": [1]}))
    Lake.parse(bucket).replace_file("odd/x", b"")
    watched.refuse = lambda asked: 403 if "private/" in asked else None
    catalog = LakeCatalog(Lake.parse(bucket))

    for _ in range(2):
        assert [table.name for table in catalog.tables()] == ["films"]
    assert caplog.text.count("What lies below 'private' in the lake is not served.") == 1
    assert "access is denied" in caplog.text

    watched.refuse = lambda asked: 403 if "/private/salaries/_delta_log/0" in asked else None
    (salaries,) = [table for table in catalog.tables() if table.name == "private.salaries"]
    assert salaries.problem == "the lake's storage refuses its log"


def test_a_folder_with_too_many_files_to_be_listed_hides_no_other_and_is_left_alone(
    bucket: str, watched: WatchedStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_deltalake(f"{bucket}/films", pa.table({"id": [1]}))
    Lake.parse(bucket).replace_file("landing/0.json", b"")
    listed, ended = threading.Event(), threading.Event()

    def hold_up(asked: str) -> None:
        if asked.endswith("landing/"):
            monkeypatch.setattr(objects, "_FOLDER_SECONDS", 30.0)
            listed.set()
            ended.wait(60)

    watched.refuse = hold_up
    monkeypatch.setattr(objects, "_FOLDER_SECONDS", 5.0)
    catalog = LakeCatalog(Lake.parse(bucket))
    try:
        assert [[table.name for table in catalog.tables()] for _ in range(3)] == [["films"]] * 3
    finally:
        ended.set()
    assert listed.is_set()
    assert caplog.text.count("its folder landing has too many files to be listed within") == 1
    assert len([each for each in watched.take() if each.endswith("landing/")]) == 1


def test_a_storage_that_breaks_off_is_no_fault_of_a_table_and_what_it_gave_is_kept(
    bucket: str, watched: WatchedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_server.engines.catalog._FAILED_SECONDS", 0.0)
    for name in ("films", "sales/orders"):
        write_deltalake(f"{bucket}/{name}", pa.table({"id": [1]}))
    watched.refuse = lambda asked: 503 if "/orders/_delta_log/0" in asked else None
    catalog = LakeCatalog(Lake.parse(bucket))
    with pytest.raises(StorageError, match="503"):
        catalog.tables()
    watched.refuse = lambda _: None
    watched.take()

    assert [table.problem for table in catalog.tables()] == ["", ""]
    assert len([each for each in watched.take() if "/_delta_log/0" in each and "?" not in each]) == 1


@pytest.mark.parametrize(
    ("url", "status", "says"),
    [
        ("{bucket}", 403, "access is denied .*Check AWS_ACCESS_KEY_ID"),
        ("s3://nobodys-bucket/lake", None, "there is no such bucket or container.*Check AWS"),
        ("{bucket}", 0, "it cannot be reached.*Check AWS"),
        ("{bucket}/nothing", None, "There is no lake at"),
    ],
)  # fmt: skip
def test_what_keeps_a_storage_from_being_listed_is_said(
    url: str, status: int | None, says: str, bucket: str, watched: WatchedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.refuse = lambda _: status
    if status == 0:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    catalog = LakeCatalog(Lake.parse(url.format(bucket=bucket)))
    with pytest.raises(LakeError, match=says) as failure:
        catalog.tables()
    assert "\n" not in str(failure.value)


def test_callers_that_waited_for_a_storage_in_vain_do_not_wait_in_turn(
    bucket: str, watched: WatchedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_server.engines.catalog._FAILED_SECONDS", 60.0)
    monkeypatch.setattr(table_search, "_SEARCH_SECONDS", -1.0)
    write_deltalake(f"{bucket}/films", pa.table({"id": [1]}))
    catalog = LakeCatalog(Lake.parse(bucket))
    watched.take()

    def fail(_: int) -> str:
        with pytest.raises(StorageError) as failure:
            catalog.tables()
        return str(failure.value)

    with ThreadPoolExecutor(8) as callers:
        said = list(callers.map(fail, range(8)))
    assert len(set(said)) == 1
    assert "could not be listed within" in said[0]
    assert len(watched.take()) == 1
