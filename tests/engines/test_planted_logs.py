"""Delta logs that name files outside of their lake, which no engine reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.delta import LogFolder, read_snapshot
from lakehouse.errors import EngineUnavailable, LakeError
from lakehouse.storage import Lake
from mcp_server.engines import Engine
from mcp_server.engines.connect import ConnectEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.settings import Settings
from tests.engines.conftest import Query
from tests.engines.watching import rows

Plant = Callable[[Path, Path], None]
"""Makes the table at its first argument name the file at its second one."""

MARK = "a secret of somebody else"


def _name(table: Path, path: str, **more: Any) -> None:
    """Commit a data file of that name."""
    log = table / "_delta_log"
    last = max(int(each.stem) for each in log.glob("0*.json") if each.stem.isdigit())
    add = {"path": path, "partitionValues": {}, "size": 500, "modificationTime": 0, "dataChange": True} | more
    (log / f"{last + 1:020}.json").write_text(json.dumps({"add": add}) + "\n")


def _relative(table: Path, secret: Path) -> str:
    return os.path.relpath(secret, table)


def _link_to_folder(table: Path, secret: Path) -> None:
    (table / "part").symlink_to(secret.parent)
    _name(table, f"part/{secret.name}")


def _link_to_file(table: Path, secret: Path) -> None:
    (table / "part.parquet").symlink_to(secret)
    _name(table, "part.parquet")


def _in_place_of_a_file(table: Path, secret: Path) -> None:
    (file,) = table.glob("*.parquet")
    file.unlink()
    file.symlink_to(secret)


def _in_a_checkpoint(table: Path, secret: Path) -> None:
    _name(table, quote(str(secret)))
    DeltaTable(table).create_checkpoint()
    for commit in (table / "_delta_log").glob("*.json"):
        commit.unlink()


def _in_a_sidecar_elsewhere(table: Path, secret: Path) -> None:
    log = table / "_delta_log"
    actions = [json.loads(line) for line in (log / f"{0:020}.json").read_text().splitlines()]
    kept = [each for each in actions if "protocol" in each or "metaData" in each]
    sidecar = {"path": str(secret), "sizeInBytes": 1, "modificationTime": 0}
    rows = [{"checkpointMetadata": {"version": 1}}, *kept, {"sidecar": sidecar}]
    name = f"{1:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json"
    (log / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    _name(table, "nothing.parquet")


def _vector(kind: str, place: str) -> dict[str, Any]:
    return {"deletionVector": {"storageType": kind, "pathOrInlineDv": place, "sizeInBytes": 1, "cardinality": 1}}


PLANTS: dict[str, Plant] = {
    "absolute": lambda table, secret: _name(table, quote(str(secret))),
    "a URL": lambda table, secret: _name(table, f"file://{quote(str(secret))}"),
    "a short URL": lambda table, secret: _name(table, f"FILE:{quote(str(secret))}"),
    "a URL of a host": lambda table, secret: _name(table, f"file://localhost{quote(str(secret))}"),
    "storage": lambda table, secret: _name(table, f"s3a://bucket{secret}"),
    "upwards": lambda table, secret: _name(table, quote(_relative(table, secret))),
    "upwards, encoded": lambda table, secret: _name(table, _relative(table, secret).replace("..", "%2e%2E")),
    "upwards, slashes encoded": lambda table, secret: _name(table, _relative(table, secret).replace("/", "%2f")),
    "upwards from within": lambda table, secret: _name(table, f"x/../{quote(_relative(table, secret))}"),
    "a link": _link_to_file,
    "a linked folder": _link_to_folder,
    "a link in place of a file": _in_place_of_a_file,
    "a checkpoint": _in_a_checkpoint,
    "a deletion vector": lambda table, secret: _name(
        table, "a.parquet", **_vector("p", f"file://{quote(str(secret))}")
    ),
    "a deletion vector upwards": lambda table, _: _name(table, "a.parquet", **_vector("u", "../../" + "0" * 20)),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lake with an honest table, and beside it a file of somebody else's that looks like one of its own."""
    write_deltalake(str(tmp_path / "other"), pa.table({"id": [7], "title": [MARK]}))
    write_deltalake(str(tmp_path / "lake" / "honest"), pa.table({"id": [1], "title": ["Alpha"]}))
    return tmp_path / "lake"


@pytest.fixture
def secret(folder: Path) -> Path:
    (file,) = (folder.parent / "other").glob("*.parquet")
    return file


def _planted(folder: Path, secret: Path) -> Iterator[str]:
    """A table for each way to plant a file."""
    for number, plant in enumerate(PLANTS.values()):
        shutil.copytree(folder / "honest", folder / f"planted_{number}")
        plant(folder / f"planted_{number}", secret)
        yield f"planted_{number}"


def _check_refused(engine: Engine, query: Query, planted: dict[str, str]) -> None:
    for table, way in planted.items():
        for sql in (f"SELECT * FROM {table}", f"SELECT * FROM {table} VERSION AS OF 1"):
            if way == "a link in place of a file" and "VERSION" in sql:
                continue
            with pytest.raises(LakeError, match="not in the lake") as refused:
                engine.execute(query(sql, table), f"{table}-{len(sql)}")
            assert MARK not in str(refused.value), way


def test_the_embedded_engine_reads_no_file_that_a_log_plants(
    embedded: Callable[..., LocalEngine], query: Query, folder: Path, secret: Path
) -> None:
    planted = dict(zip(_planted(folder, secret), PLANTS, strict=True))
    engine = embedded(Lake.parse(str(folder)))

    _check_refused(engine, query, planted)

    assert rows(engine, query("SELECT * FROM honest", "honest")) == [{"id": 1, "title": "Alpha"}]


def test_a_spark_engine_is_given_no_table_whose_log_plants_a_file(
    settings_of: Callable[..., Settings], query: Query, folder: Path, secret: Path
) -> None:
    """The logs are looked through before a server is even reached: there is none here."""
    planted = dict(zip(_planted(folder, secret), PLANTS, strict=True))
    engine = ConnectEngine(Lake.parse(str(folder)), settings_of(spark_remote="sc://127.0.0.1:9"))
    try:
        _check_refused(engine, query, planted)
        with pytest.raises(EngineUnavailable):
            engine.execute(query("SELECT * FROM honest", "honest"), "honest")
        (folder / "honest" / "later.parquet").symlink_to(secret)
        _name(folder / "honest", "later.parquet")
        with pytest.raises(LakeError, match="not in the lake"):
            engine.execute(query("SELECT * FROM honest VERSION AS OF 0", "honest"), "later")
    finally:
        engine.close()


def test_a_checkpoint_in_another_place_is_not_followed(folder: Path, secret: Path) -> None:
    _in_a_sidecar_elsewhere(folder / "honest", secret)
    with pytest.raises(LakeError, match="outside of the log"):
        read_snapshot(LogFolder(folder / "honest"), 1)


def test_files_elsewhere_in_the_lake_and_of_any_name_are_read(
    embedded: Callable[..., LocalEngine], query: Query, folder: Path
) -> None:
    """As shallow clones name them; and letters that one engine or another reads otherwise within a path."""
    (file,) = (folder / "honest").glob("*.parquet")
    odd = ["a b", "é日本", "x%41", "50%", "a#b?c", "[x]{y}", 'it\'s "q"', "a\\b", "a+b&c=d", "p=a%2Fb", "~t:u", "`b`"]
    for name in odd:
        (folder / "honest" / name).mkdir()
        shutil.copy(file, folder / "honest" / name / f"{name}.parquet")
    shutil.copytree(folder / "honest", folder / "clone", ignore=lambda *_: [file.name, *odd])
    log = folder / "clone" / "_delta_log" / f"{0:020}.json"
    log.write_text(log.read_text().replace(f'"{file.name}"', f'"file:{quote(str(file))}"'))
    for name in odd:
        _name(folder / "honest", quote(f"{name}/{name}.parquet"), size=file.stat().st_size)

    engine = embedded(Lake.parse(str(folder)))

    assert rows(engine, query("SELECT count(*) AS n, max(title) AS t FROM honest", "honest")) == [
        {"n": 1 + len(odd), "t": "Alpha"}
    ]
    assert rows(engine, query("SELECT title FROM clone", "clone")) == [{"title": "Alpha"}]
