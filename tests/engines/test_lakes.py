"""Which tables an engine serves, as a lake comes, goes and changes."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.errors import LakeError, Refused, UsageError
from lakehouse.manifest import LOADING_NAME, MANIFEST_NAME
from lakehouse.storage import Lake
from lakehouse.table_search import FolderSearch
from mcp_server import checking
from mcp_server.engines import folders
from mcp_server.engines.local import LocalEngine
from mcp_server.models import CheckedQuery, Principal, ResultSet
from mcp_server.settings import Settings
from mcp_server.terms import catalog_of
from tests.engines.conftest import ENGINES, FILMS, FILMS_AT_FIRST, KIND_TYPES, Query, publish, write_lake
from tests.engines.watching import eventually, rows

Embedded = Callable[..., LocalEngine]


def ask(engine: LocalEngine, sql: str) -> list[dict[str, Any]]:
    """The rows of a statement that goes the whole way of a caller's."""
    rows: list[dict[str, Any]] = answer(engine, sql).table.to_pylist()
    return rows


def answer(engine: LocalEngine, sql: str) -> ResultSet:
    """The answer to a statement that goes the whole way of a caller's."""
    checked = checking.check(
        sql,
        catalog=catalog_of(engine, engine.refresh()),
        limits=checking.Limits(100, 10_000, 60.0),
        principal=Principal("tester"),
        read=lambda sql, tables, stage: engine.read(sql, tables, stage, uuid.uuid4().hex),
    )
    assert isinstance(checked, CheckedQuery)
    return engine.execute(checked, uuid.uuid4().hex)


def test_a_lake_that_changes_under_the_engine_is_served_anew(embedded: Embedded, query: Query, tmp_path: Path) -> None:
    lake = write_lake(tmp_path / "lake")
    publish(lake, 2, films=0)
    engine = embedded(lake)
    assert {table.name: table.version for table in engine.refresh()}["films"] == 0
    assert rows(engine, query("SELECT max(id) AS m FROM films VERSION AS OF 0", "films")) == [{"m": 3}]

    assert ask(engine, f"SELECT max(id) AS m FROM films TIMESTAMP AS OF '{datetime.now(UTC).isoformat()}'") == [
        {"m": 3}
    ]
    with pytest.raises(Refused, match="has the versions 0 to 0 here"):
        ask(engine, "SELECT * FROM films VERSION AS OF 1")  # as of a load that is not done

    assert [commit.version for commit in engine.history("films", 10) or ()] == [0]

    publish(lake, 3, films=1)

    assert [commit.version for commit in engine.history("films", 10) or ()] == [1, 0]
    assert ask(engine, "SELECT max(id) AS m FROM films VERSION AS OF 1") == [{"m": 5}]
    assert {table.name: table.version for table in engine.refresh()}["films"] == 1
    assert rows(engine, query("SELECT max(id) AS m FROM films VERSION AS OF 1", "films")) == [{"m": 5}]
    # A query that was checked before the change still reads what it was pinned to.
    assert rows(engine, query("SELECT max(id) AS m FROM films VERSION AS OF 0", "films")) == [{"m": 3}]


def test_someone_elses_lake_is_served_at_its_latest_versions(embedded: Embedded, query: Query, tmp_path: Path) -> None:
    write_lake(tmp_path)
    (tmp_path / MANIFEST_NAME).unlink()
    (tmp_path / "notes").mkdir()
    engine = embedded(Lake.parse(str(tmp_path)))

    tables = {table.name: table for table in engine.refresh()}
    assert list(tables) == ["films", "kinds", "many"]
    assert (tables["films"].version, tables["films"].rows) == (1, None)
    assert tuple(column.type for column in tables["kinds"].columns) == KIND_TYPES
    assert rows(engine, query("SELECT * FROM films ORDER BY id", "films")) == FILMS.to_pylist()

    with pytest.raises(Refused, match="has the versions 0 to 1 here"):
        ask(engine, "SELECT * FROM films VERSION AS OF 2")

    write_deltalake(str(tmp_path / "films"), FILMS_AT_FIRST, mode="overwrite", schema_mode="overwrite")
    assert ask(engine, "SELECT max(id) AS m FROM films VERSION AS OF 2") == [{"m": 3}]
    write_deltalake(str(tmp_path / "later"), pa.table({"x": [1]}))

    assert {table.name: table.version for table in engine.refresh()} == {"films": 2, "kinds": 0, "later": 0, "many": 0}
    assert rows(engine, query("SELECT x FROM later", "later")) == [{"x": 1}]


def test_tables_that_appear_in_folders_or_go_are_seen_without_a_restart(embedded: Embedded, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "orders"), pa.table({"id": [1]}))
    write_deltalake(str(tmp_path / "sales" / "orders"), pa.table({"id": [2]}))
    engine = embedded(Lake.parse(str(tmp_path)))
    assert ask(engine, "SELECT orders.id FROM sales.orders") == [{"id": 2}]

    write_deltalake(str(tmp_path / "sales" / "eu" / "de" / "orders"), pa.table({"id": [3]}))
    shutil.rmtree(tmp_path / "sales" / "orders")
    write_deltalake(str(tmp_path / "a" / "b" / "c" / "d" / "e"), pa.table({"id": [4]}))
    write_deltalake(str(tmp_path / "a" / "b" / "c" / "d" / "f" / "too_deep"), pa.table({"id": [5]}))
    (tmp_path / "sales" / "again").symlink_to(tmp_path)

    eventually(lambda: {table.name for table in engine.refresh()} == {"a.b.c.d.e", "orders", "sales.eu.de.orders"})
    assert ask(engine, "SELECT o.id, e.id AS e FROM sales.eu.de.orders o JOIN a.b.c.d.e ON e.id = o.id + 1") == [
        {"id": 3, "e": 4}
    ]
    with pytest.raises(Refused, match=r"no table sales.orders. Did you mean sales.eu.de.orders"):
        ask(engine, "SELECT 1 FROM sales.orders")


def test_what_appears_right_behind_a_look_at_the_folders_is_there_for_whoever_asks_anew(
    embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_TRUSTED_SHARE", 1e9)
    monkeypatch.setattr(FolderSearch, "trusted_seconds", 1e9)
    write_deltalake(str(tmp_path / "orders"), pa.table({"id": [1]}))
    engine = embedded(Lake.parse(str(tmp_path)))
    seen = [[table.name for table in engine.tables()] for _ in range(2)]

    write_deltalake(str(tmp_path / "later"), pa.table({"id": [2]}))

    assert [*seen, [table.name for table in engine.tables()]] == [["orders"]] * 3
    assert ask(engine, "SELECT id FROM later") == [{"id": 2}]


def test_a_data_file_that_was_deleted_is_a_matter_of_the_lake(embedded: Embedded, query: Query, tmp_path: Path) -> None:
    for number in range(2):
        write_deltalake(str(tmp_path / "orders"), pa.table({"id": [number]}), mode="overwrite")
    DeltaTable(str(tmp_path / "orders")).vacuum(0, dry_run=False, enforce_retention_duration=False)
    engine = embedded(Lake.parse(str(tmp_path)))
    with pytest.raises(LakeError, match=r"The data file orders/data/part-.* cannot be read: No such file.*VACUUM"):
        rows(engine, query("SELECT id FROM orders VERSION AS OF 0", "orders"))
    assert rows(engine, query("SELECT id FROM orders", "orders")) == [{"id": 1}]


def test_comments_are_read_from_a_delta_log(embedded: Embedded, tmp_path: Path) -> None:
    commented = pa.schema([pa.field("id", pa.int32(), nullable=False, metadata={"comment": "The key."})])
    data = pa.table({"id": pa.array([1], pa.int32())}, schema=commented)
    write_deltalake(str(tmp_path / "t"), data, description="What it is.")

    (table,) = embedded(Lake.parse(str(tmp_path))).tables()

    assert table.comment == "What it is."
    assert (table.columns[0].comment, table.columns[0].nullable) == ("The key.", False)


@pytest.mark.parametrize(
    ("told", "type_"), [("varchar(3)", "varchar(3)"), ("varchar(3)); DROP", "string"), ("", "string")]
)
def test_a_type_that_a_log_tells_beside_the_columns_own_counts_where_it_is_one(
    told: str, type_: str, embedded: Embedded, tmp_path: Path
) -> None:
    fields = [pa.field("name", pa.string(), metadata={"__CHAR_VARCHAR_TYPE_STRING": told})]
    write_deltalake(str(tmp_path / "t"), pa.table({"name": ["a"]}, schema=pa.schema(fields)))
    assert embedded(Lake.parse(str(tmp_path))).tables()[0].columns[0].type == type_


def _absent(folder: Path) -> None: ...


def _empty(folder: Path) -> None:
    folder.mkdir()


def _other_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "title.basics.tsv.gz").write_bytes(b"")


def _holds(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"")

    return make


def _pipe(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "pipe")


def _lost_link(folder: Path) -> None:
    folder.symlink_to(folder.parent / "nowhere")


def _loop(folder: Path) -> None:
    folder.mkdir()
    (folder / "again").symlink_to(folder)


def _too_deep(folder: Path) -> None:
    write_deltalake(str(folder / "a/b/c/d/e/table"), pa.table({"x": [1]}))


def _a_table(folder: Path) -> None:
    write_deltalake(str(folder), pa.table({"x": [1]}))


def _half_made(folder: Path) -> None:
    write_deltalake(str(folder / "movies"), pa.table({"x": [1]}))
    (folder / LOADING_NAME).write_text("{}")


def _a_file(folder: Path) -> None:
    folder.write_text("")


def _damaged_manifest(folder: Path) -> None:
    folder.mkdir()
    (folder / MANIFEST_NAME).write_text("{")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (_absent, "There is no lake at .*imdb-etl load"),
        (_empty, "is empty.*imdb-etl load"),
        (_other_files, "is no lake.*imdb-etl load"),
        (_a_table, "is a Delta table, not a lake.*Give the folder above it"),
        (_half_made, "no finished lake.*imdb-etl load"),
        (_a_file, "is a file, not a lake. Give the folder with the Delta tables"),
        (_holds("t/a.parquet"), r"Parquet files without a Delta log \(t\).*convert_to_deltalake"),
        (_holds("db/t/metadata/v1.metadata.json"), r"Iceberg tables \(db/t\), and only Delta tables are served"),
        (_holds("a.csv"), r"files of text \(.\), and only Delta tables are served"),
        (_too_deep, "a Delta table in a/b/c/d/e/table.*Give the folder above it: --lake .*/lake/a/b/c/d/e$"),
        (_pipe, "is no lake.*Give the folder right above the tables"),
        (_loop, "is no lake.*Give the folder right above the tables"),
        (_lost_link, "is a link that leads nowhere"),
        (_damaged_manifest, "cannot be read.*Load the lake again"),
    ],
)
def test_a_lake_that_cannot_be_served_says_what_to_do(
    embedded: Embedded, query: Query, tmp_path: Path, state: Callable[[Path], None], says: str
) -> None:
    state(tmp_path / "lake")
    engine = embedded(Lake.parse(str(tmp_path / "lake")))

    for ask in (engine.tables, engine.start, lambda: engine.execute(query("SELECT 1"), "none")):
        with pytest.raises(LakeError, match=says):
            ask()
    assert engine.process_id is None


def test_a_lake_that_is_loaded_while_the_server_waits_is_served(
    embedded: Embedded, query: Query, tmp_path: Path
) -> None:
    engine = embedded(Lake.parse(str(tmp_path / "lake")))
    with pytest.raises(LakeError):
        engine.start()

    write_lake(tmp_path / "lake")

    assert rows(engine, query("SELECT count(*) AS n FROM films", "films")) == [{"n": 5}]


@pytest.mark.parametrize("name", list(ENGINES))
def test_a_catalogue_is_not_a_lake_for_these_engines(name: str, settings_of: Callable[..., Settings]) -> None:
    with pytest.raises(UsageError, match="names a catalogue"):
        ENGINES[name](Lake.parse("main.imdb"), settings_of())
