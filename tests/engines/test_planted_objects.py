"""Delta logs in object storage that name files outside of their lake, which no engine reads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.errors import EngineUnavailable, LakeError
from lakehouse.manifest import MANIFEST_NAME, Column, Manifest, TableEntry, publish_manifest
from lakehouse.storage import Lake
from mcp_server.engines import Engine
from mcp_server.engines.connect import ConnectEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.settings import Settings
from tests.engines.conftest import Query
from tests.engines.watching import rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces, which are Linux's")

MARK = "a secret of somebody else"
SIDECAR_LOG = f"{1:020}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json"

Plant = Callable[[Lake, str, str, str], None]
"""Makes a table of a lake name the file at a URL, or at a path that leads there from the table's folder."""


def _name(lake: Lake, table: str, path: str, **more: Any) -> None:
    """Commit a data file of that name."""
    add = {"path": path, "partitionValues": {}, "size": 500, "modificationTime": 0, "dataChange": True} | more
    lake.replace_file(f"{table}/_delta_log/{1:020}.json", json.dumps({"add": add}).encode() + b"\n")


def _vector(kind: str, place: str) -> dict[str, Any]:
    return {"deletionVector": {"storageType": kind, "pathOrInlineDv": place, "sizeInBytes": 1, "cardinality": 1}}


def _in_a_checkpoint(lake: Lake, table: str, _url: str, path: str) -> None:
    _name(lake, table, path)
    DeltaTable(lake.table_location(table)).create_checkpoint()
    for version in (0, 1):
        lake.remove_file(f"{table}/_delta_log/{version:020}.json")


def _in_a_sidecar(lake: Lake, table: str, url: str, _path: str) -> None:
    first = (lake.read_file(f"{table}/_delta_log/{0:020}.json") or b"").splitlines()
    kept = [each for line in first if "protocol" in (each := json.loads(line)) or "metaData" in each]
    sidecar = {"path": url, "sizeInBytes": 1, "modificationTime": 0}
    actions = [{"checkpointMetadata": {"version": 1}}, *kept, {"sidecar": sidecar}]
    text = "".join(json.dumps(action) + "\n" for action in actions)
    lake.replace_file(f"{table}/_delta_log/{SIDECAR_LOG}", text.encode())
    lake.replace_file(f"{table}/_delta_log/{1:020}.json", b'{"commitInfo": {}}\n')
    lake.remove_file(f"{table}/_delta_log/{0:020}.json")


PLANTS: dict[str, Plant] = {
    "a URL": lambda lake, table, url, _: _name(lake, table, url),
    "a URL as Hadoop writes it": lambda lake, table, url, _: _name(lake, table, url.replace("s3:", "S3A:")),
    "a URL that leads upwards": lambda lake, table, url, path: _name(
        lake, table, f"{lake.table_location(table)}/{path}"
    ),
    "another bucket": lambda lake, table, url, _: _name(lake, table, url.replace("//lakes/", "//others/")),
    "a longer name": lambda lake, table, *_: _name(lake, table, f"{lake.address}-2/{table}/x.parquet"),
    "this machine": lambda lake, table, *_: _name(lake, table, "file:///etc/passwd"),
    "a path from the root": lambda lake, table, *_: _name(lake, table, "/etc/passwd"),
    "upwards": lambda lake, table, _, path: _name(lake, table, path),
    "upwards, encoded": lambda lake, table, _, path: _name(lake, table, path.replace("..", "%2e%2E")),
    "upwards, slashes encoded": lambda lake, table, _, path: _name(lake, table, path.replace("/", "%2f")),
    "upwards, backslashes": lambda lake, table, _, path: _name(lake, table, path.replace("/", "%5C")),
    "upwards from within": lambda lake, table, _, path: _name(lake, table, f"x/../{path}"),
    "a checkpoint": _in_a_checkpoint,
    "a sidecar": _in_a_sidecar,
    "a deletion vector": lambda lake, table, url, _: _name(lake, table, "a.parquet", **_vector("p", url)),
    "a deletion vector without a URL": lambda lake, table, *_: _name(
        lake, table, "a.parquet", **_vector("p", "/etc/passwd")
    ),
    "a deletion vector upwards": lambda lake, table, *_: _name(
        lake, table, "a.parquet", **_vector("u", "../../" + "0" * 20)
    ),
}


def _publish(lake: Lake, **versions: int) -> None:
    columns = (Column(name="id", type="bigint"), Column(name="title", type="string"))
    tables = {
        name: TableEntry(path=name, version=version, rows=1, bytes=1, files=1, kind="table", columns=columns)
        for name, version in versions.items()
    }
    publish_manifest(lake, Manifest(generation=1, created_at=datetime.now(UTC), engine="test", tables=tables))


@pytest.fixture
def planted(bucket: str) -> Lake:
    """A lake with an honest table and one for each way to plant a file, which lies beside the lake in its bucket."""
    lake, other = Lake.parse(f"{bucket}/lake"), Lake.parse(f"{bucket}/other")
    write_deltalake(other.table_location("films"), pa.table({"id": [7], "title": [MARK]}))
    (name,) = [name for name in other.objects.list_files("films") if name.endswith(".parquet")]
    write_deltalake(lake.table_location("honest"), pa.table({"id": [1], "title": ["Alpha"]}))
    for number, plant in enumerate(PLANTS.values()):
        table = f"planted_{number}"
        write_deltalake(lake.table_location(table), pa.table({"id": [1], "title": ["Alpha"]}))
        plant(lake, table, other.table_location(f"films/{name}"), f"../../other/films/{name}")
    _publish(lake, honest=0, **{f"planted_{number}": 1 for number in range(len(PLANTS))})
    return lake


def _check_refused(engine: Engine, query: Query) -> None:
    for number, way in enumerate(PLANTS):
        table = f"planted_{number}"
        for sql in (f"SELECT * FROM {table}", f"SELECT * FROM {table} VERSION AS OF 1"):
            with pytest.raises(LakeError, match=r"not in the lake|outside of the log") as refused:
                engine.execute(query(sql, table), f"{table}-{len(sql)}")
            assert MARK not in str(refused.value), way


def test_the_embedded_engine_reads_no_object_that_a_log_plants(
    embedded: Callable[..., LocalEngine], query: Query, planted: Lake
) -> None:
    engine = embedded(planted)
    _check_refused(engine, query)
    planted.remove_file(MANIFEST_NAME)  # then it is a folder of tables that nobody's load has made
    assert next(table.name for table in engine.tables() if not table.published) == "honest"
    _check_refused(engine, query)
    assert rows(engine, query("SELECT * FROM honest", "honest")) == [{"id": 1, "title": "Alpha"}]


def test_a_server_of_others_is_given_no_table_in_storage_whose_log_plants_a_file(
    settings_of: Callable[..., Settings], query: Query, planted: Lake
) -> None:
    """The logs are looked through before the server is even reached: there is none here."""
    engine = ConnectEngine(planted, settings_of(spark_remote="sc://127.0.0.1:9"))
    try:
        _check_refused(engine, query)
        with pytest.raises(EngineUnavailable):
            engine.execute(query("SELECT * FROM honest", "honest"), "honest")
        _name(planted, "honest", "../x.parquet")
        planted.remove_file(MANIFEST_NAME)
        with pytest.raises(LakeError, match="not in the lake"):
            engine.execute(query("SELECT * FROM honest VERSION AS OF 0", "honest"), "later")
        planted.remove_file(f"honest/_delta_log/{1:020}.json")
        _check_refused(engine, query)
    finally:
        engine.close()


ODD_NAMES = ("a b", "é日本", "x%41", "50%", "a#b?c", "[x]{y}", 'it\'s "q"', "a+b&c=d", "p=a%2Fb", "~t:u", "`b`", "<x>")


@pytest.mark.parametrize("storage", ["bucket", "signed_bucket"])
def test_objects_elsewhere_in_the_lake_and_of_any_name_are_read(
    embedded: Callable[..., LocalEngine], query: Query, storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As shallow clones name them; and letters that stand for something else within a URL."""
    bucket = request.getfixturevalue(storage)
    lake = Lake.parse(f"{bucket}/a lake of é")
    write_deltalake(str(tmp_path / "films"), pa.table({"id": [1], "title": ["Alpha"]}))
    (file,) = (tmp_path / "films").glob("*.parquet")
    log = (tmp_path / "films" / "_delta_log" / f"{0:020}.json").read_text()
    adds = ""
    for name in ODD_NAMES:
        odd = tmp_path / "films" / name
        odd.mkdir()
        os.link(file, odd / f"{name}.parquet")
        add = {"path": quote(f"{name}/{name}.parquet"), "partitionValues": {}, "size": file.stat().st_size,
               "modificationTime": 0, "dataChange": True}  # fmt: skip
        adds += json.dumps({"add": add}) + "\n"
    _upload_raw(tmp_path / "films", bucket, "a lake of é/films")
    lake.replace_file(f"films/_delta_log/{1:020}.json", adds.encode())
    for number, scheme in enumerate(("s3", "s3a")):
        url = f"{scheme}{quote(lake.address.removeprefix('s3'), safe=':/')}/films/{file.name}"
        lake.replace_file(f"clone_{number}/_delta_log/{0:020}.json", log.replace(file.name, url).encode())
    _publish(lake, films=1, clone_0=0, clone_1=0)

    engine = embedded(lake)

    found = rows(engine, query("SELECT count(*) AS n, max(title) AS t FROM films", "films"))
    assert found == [{"n": 1 + len(ODD_NAMES), "t": "Alpha"}]
    for table in ("clone_0", "clone_1"):
        assert rows(engine, query(f"SELECT title FROM {table}", table)) == [{"title": "Alpha"}]


def _upload_raw(folder: Path, bucket: str, below: str) -> None:
    """Copy files by the client of S3 itself: the names of objects are as they are there, whatever is in them."""
    import boto3

    client: Any = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
    _, _, prefix = bucket.removeprefix("s3://").partition("/")
    for file in folder.rglob("*"):
        if file.is_file():
            key = f"{prefix}/{below}/{file.relative_to(folder)}"
            client.put_object(Bucket="lakes", Key=key, Body=file.read_bytes())
