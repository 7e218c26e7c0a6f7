"""AWS Glue's catalogue, spoken by moto: tables of Delta in each shape that they have there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import boto3
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.errors import LakeError
from lakehouse.storage import Lake
from mcp_server.context.statements import open_statements
from mcp_server.engines.catalogs import open_tables
from mcp_server.settings import Settings, load_settings
from tests.object_storage import BUCKET, KEYS

MakeSettings = Callable[..., Settings]
REGION = KEYS["AWS_REGION"]
PLACE = f"s3://{BUCKET}/glue"


@pytest.fixture
def glue(bucket: str) -> Iterator[Any]:
    """A client of Glue, whose database `sales` has a table in each shape."""
    write_deltalake(f"{PLACE}/films", pa.table({"id": [1, 2, 3]}), mode="overwrite")
    client = boto3.client("glue", region_name=REGION)
    for name in ("sales", "empty"):
        client.create_database(DatabaseInput={"Name": name})
    for table in (
        _table(
            "by_spark",
            f"{PLACE}/films-__PLACEHOLDER__",
            {"spark.sql.sources.provider": "delta"},
            f"s3a://{PLACE[5:]}/films",
        ),
        _table("by_crawler", f"{PLACE}/films/", {"classification": "delta", "table_type": "DELTA"}),
        _table("by_manifest", f"{PLACE}/films/_symlink_format_manifest", {"table_type": "delta"}),
        _table("elsewhere", f"s3://{BUCKET}/glue-of-others/films", {"table_type": "delta"}),
        _table("in_parquet", f"{PLACE}/parquet", {"classification": "parquet"}),
        _table("in_iceberg", f"{PLACE}/iceberg", {"table_type": "ICEBERG"}),
        _table("nowhere", "", {"table_type": "delta"}),
        _table("a_view", "", {}) | {"TableType": "VIRTUAL_VIEW"},
    ):
        client.create_table(DatabaseName="sales", TableInput=table)
    yield client
    for name in ("sales", "empty"):
        with suppress(client.exceptions.EntityNotFoundException):
            client.delete_database(Name=name)
    client.close()


def _table(name: str, location: str, parameters: dict[str, str], path: str = "") -> dict[str, Any]:
    return {
        "Name": name,
        "Description": "Films by number.",
        "Parameters": parameters,
        "StorageDescriptor": {
            "Location": location,
            "Columns": [{"Name": "id", "Type": "bigint", "Comment": "The number."}],
            "SerdeInfo": {"Parameters": {"path": path} if path else {}},
        },
    }


def test_tables_of_delta_are_read_in_each_shape_and_others_listed_with_the_reason(
    glue: Any, settings_of: MakeSettings
) -> None:
    settings = settings_of(catalog_places=PLACE, engine_memory_mb=1024)
    with open_statements(settings, Lake.parse(f"glue://{REGION}/sales"), "test") as statements:
        tables = {table.name: table for table in statements.list_tables()}
        films = tables["by_spark"]
        assert (films.comment, [(each.name, each.comment) for each in films.columns]) == (
            "Films by number.",
            [("id", "The number.")],
        )
        assert statements.run_sql("SELECT sum(a.id + b.id + c.id) FROM by_spark a JOIN by_crawler b ON a.id = b.id "
                                  "JOIN by_manifest c ON c.id = a.id").rows[0][0] == 18  # fmt: skip
        assert {name: table.problem[:40] for name, table in tables.items() if table.problem} == {
            "elsewhere": "Glue gives no credentials for files: IMD",
            "in_parquet": "its format is parquet, and only Delta is",
            "in_iceberg": "its format is ICEBERG, and only Delta is",
            "nowhere": "the catalogue does not say where it lies",
            "a_view": "it is a view of the catalogue, and only ",
        }


def test_databases_are_schemas_and_what_is_refused_is_said(glue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(catalog_places="s3://")
    names = {
        table.name for table in open_tables(Lake.parse(f"glue://{REGION}"), settings).tables() if not table.problem
    }
    assert {"sales.by_spark", "sales.by_crawler"} <= names
    with pytest.raises(LakeError, match="no such database"):
        open_tables(Lake.parse(f"glue://{REGION}/nowhere"), settings).tables()
    with pytest.raises(LakeError, match="lists no table"):
        open_tables(Lake.parse(f"glue://{REGION}/empty"), settings).tables()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(LakeError, match=r"cannot be asked: NoCredentialsError\. Check AWS_ACCESS_KEY_ID"):
        open_tables(Lake.parse(f"glue://{REGION}"), settings).tables()
