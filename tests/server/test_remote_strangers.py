"""A server over tables in object storage that no load of ours has made: every tool answers as over a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.doctor.lake import check_lake
from mcp_server.engines.choice import create_engines
from mcp_server.settings import Settings, load_settings

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces, which are Linux's"),
]


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a lake with tables in folders, one of which cannot be read."""
    url = request.getfixturevalue(request.param)
    for number in range(3):
        rows = pa.table({"id": pa.array([number], pa.int64()), "city": [f"Ulm {number}"]})
        write_deltalake(f"{url}/sales/eu/orders", rows, mode="append")
    write_deltalake(f"{url}/films", pa.table({"id": [1, 2], "title": ["Alpha", "Größenwahn"]}))
    Lake.parse(url).replace_file("Größen/my a#b?c/_delta_log/00000000000000000000.json", _read_first_commit(url))
    (data,) = [name for name in Lake.parse(url).list_files("films") if name.endswith(".parquet")]
    Lake.parse(url).replace_file(f"Größen/my a#b?c/{data}", Lake.parse(url).read_file(f"films/{data}") or b"")
    Lake.parse(url).replace_file("sales/damaged/_delta_log/00000000000000000000.json", b"{not json")
    return load_settings(lake=url, state_dir=tmp_path / "state", engine_memory_mb=1024, wait_seconds=240)


def _read_first_commit(url: str) -> bytes:
    return Lake.parse(url).read_file("films/_delta_log/00000000000000000000.json") or b""


@pytest.fixture
def server(settings: Settings) -> Iterator[LakehouseServer]:
    engines = create_engines(settings, Lake.parse(settings.lake or ""))
    yield LakehouseServer(settings, lambda: engines)
    for engine in engines:
        engine.close()


async def _ask(client: Client, sql: str) -> Any:
    return await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "a test", "row_limit": 5})


def _text(result: Any) -> str:
    return str(result.content[0].text)


@pytest.mark.parametrize("settings", ["bucket", "container"], indirect=True)
async def test_tools_answer_over_tables_in_storage_that_nobodys_load_has_made(
    server: LakehouseServer, settings: Settings
) -> None:
    url = settings.lake
    async with Client(server) as client:
        listed = _text(await client.call_tool("describe_schema", {}))
        assert "sales.eu.orders (table)" in listed
        assert "sales.damaged (table): cannot be read: The Delta log of the table damaged" in listed
        assert "id bigint: 0 … 2" in _text(await client.call_tool("describe_schema", {"table": "sales.eu.orders"}))

        for sql, rows in {
            "SELECT f.title FROM films f JOIN sales.eu.orders o ON o.id = f.id WHERE o.city = 'Ulm 1'": [["Alpha"]],
            "SELECT max(id) FROM sales.eu.orders VERSION AS OF 1": [[1]],
            "SELECT title FROM `größen`.`my a#b?c` WHERE id = 2": [["Größenwahn"]],
        }.items():
            result = await _ask(client, sql)
            assert not result.is_error, (sql, _text(result))
            assert result.structured_content["rows"] == rows, sql
        versions = (await _ask(client, "SHOW VERSIONS FROM sales.eu.orders")).structured_content["rows"]
        assert [row[0] for row in versions] == [2, 1, 0]
        past = await _ask(client, f"SELECT max(id) FROM sales.eu.orders TIMESTAMP AS OF '{versions[1][1]}'")
        assert past.structured_content["rows"] == [[1]]
        unknown = await _ask(client, "SELECT 1 FROM sales.eu.orders VERSION AS OF 9")
        assert "has the versions 0 to 2 here" in _text(unknown)
        assert "Größenwahn" in _text(await client.call_tool("find", {"text": "groessenwahn größenwahn"}))

        write_deltalake(f"{url}/sales/later", pa.table({"id": [7]}))
        assert (await _ask(client, "SELECT id FROM sales.later")).structured_content["rows"] == [[7]]
        assert "There is no table sales.nowhere" in _text(await _ask(client, "SELECT 1 FROM sales.nowhere"))
        for place in (f"delta.`{url}/films`", f"parquet.`{url}/films`", "`s3://lake/films`", "sales.`../films`"):
            assert "Refused (" in _text(await _ask(client, f"SELECT 1 FROM {place}")), place


@pytest.mark.parametrize("settings", ["bucket"], indirect=True)
def test_the_doctor_reports_on_tables_in_storage(settings: Settings) -> None:
    said = [finding.text for finding in check_lake(settings, online=False)]
    assert said[0] == f"{settings.lake}: 3 tables, each served as it is"
    assert any("sales.damaged is not served: The Delta log" in text for text in said)
    assert any("answered SELECT 1" in text for text in said)
