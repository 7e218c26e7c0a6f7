"""Lakes that nobody's load has made: what can be read is served, and the rest is listed with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from lakehouse.delta import TableLog
from lakehouse.escaping import escape_controls
from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines import folders
from mcp_server.engines.choice import create_engines
from mcp_server.engines.folders import describe_table
from mcp_server.models import TableInfo
from mcp_server.settings import load_settings
from tests.engines.watching import eventually
from tests.server.strangers import (
    DAMAGES,
    FIRST,
    ODD_NAMES,
    PLAIN_NAMES,
    UNREADABLE_NAMES,
    write_damaged,
    write_named,
    write_table,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["embedded", "spark"])
def strangers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LakehouseServer, Path]]:
    """A server of each engine over a lake of odd names and damaged tables."""
    if request.param == "spark":
        request.getfixturevalue("java")
    folder = tmp_path_factory.mktemp("strangers")
    write_named(folder)
    write_damaged(folder)
    settings = load_settings(
        lake=str(folder),
        state_dir=tmp_path_factory.mktemp("state"),
        engine=request.param,
        engine_memory_mb=1024,
        wait_seconds=240,
    )
    engines = create_engines(settings, Lake.parse(str(folder)))
    engines[0].start()
    yield LakehouseServer(settings, lambda: engines), folder
    for engine in engines:
        engine.close()


async def _ask(client: Client, sql: str) -> Any:
    return await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "a test", "row_limit": 5})


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _text(result: Any) -> str:
    return str(result.content[0].text)


async def test_tables_of_any_name_are_read(strangers: tuple[LakehouseServer, Path]) -> None:
    server, _ = strangers
    async with Client(server) as client:
        for number, name in enumerate((*PLAIN_NAMES, *ODD_NAMES)):
            for written in (_quoted(name.upper()), f"imdb.{_quoted(name.lower())}"):
                result = await _ask(client, f"SELECT t.id FROM {written} AS t WHERE id >= 0")
                assert not result.is_error, (written, _text(result))
                assert result.structured_content["rows"] == [[number]], written


async def test_columns_are_written_with_the_name_of_an_odd_table(strangers: tuple[LakehouseServer, Path]) -> None:
    server, _ = strangers
    async with Client(server) as client:
        for name in ("Orders", "bestellungen_ä", "order-items", "it's"):
            result = await _ask(client, f"SELECT {_quoted(name)}.id FROM {_quoted(name)}")
            assert not result.is_error, (name, _text(result))


_IN_FOLDERS = {
    "SELECT orders.id FROM sales.orders": [[0]],
    "SELECT sales.orders.id, c.id AS c FROM sales.orders JOIN crm.orders AS c ON c.id = sales.orders.id + 1":
        [[0, 1]],
    "SELECT o.id FROM IMDB.SALES.EU.Orders AS o": [[2]],
    "SELECT `my table`.id FROM `größen`.`my table` TABLESAMPLE (100 PERCENT) WHERE `Größen`.`My Table`.id = 3": [[3]],
    "SELECT id FROM crm.`a.b.c`": [[4]],
    "SELECT kinds.* FROM parquet.kinds": [[5]],
    "WITH orders AS (SELECT id + 10 AS id FROM crm.orders) SELECT a.id FROM orders a JOIN sales.orders o "
    "ON a.id = o.id + 11": [[11]],
    "SELECT id FROM sales.orders VERSION AS OF 0": [[0]],
    "SELECT count(*) FROM sales.orders WHERE EXISTS (SELECT 1 FROM crm.orders c WHERE c.id = orders.id + 1)": [[1]],
    # Of several tables whose names end alike, each is meant by its whole name, and by a short one where that is clear.
    "SELECT sales.orders.id, imdb.crm.orders.id FROM sales.orders JOIN imdb.crm.orders "
    "ON crm.orders.id = sales.orders.id + 1": [[0, 1]],
    "SELECT crm.orders.*, sales.eu.orders.* FROM sales.eu.orders, crm.orders WHERE sales.eu.orders.id = "
    "crm.orders.id + 1": [[1, 2]],
    "SELECT orders.id FROM crm.orders UNION ALL SELECT orders.id FROM sales.eu.orders ORDER BY id": [[1], [2]],
    "SELECT orders.id FROM crm.orders WHERE EXISTS (SELECT 1 FROM sales.orders WHERE orders.id = crm.orders.id - 1)":
        [[1]],
    "SELECT orders.id FROM crm.orders WHERE orders.id IN (SELECT orders.id + 1 FROM sales.orders)": [[1]],
    "WITH orders AS (SELECT orders.id + 10 AS id FROM crm.orders) SELECT orders.id FROM orders": [[11]],
    "SELECT orders.n FROM (SELECT id + 1 AS n FROM crm.orders) orders JOIN sales.eu.orders "
    "ON orders.n = sales.eu.orders.id": [[2]],
}  # fmt: skip
_UNCLEAR = (
    "SELECT orders.id FROM sales.orders JOIN crm.orders ON sales.orders.id = crm.orders.id",
    "SELECT orders.* FROM sales.orders JOIN crm.orders ON sales.orders.id = crm.orders.id",
    "SELECT 1 FROM sales.orders JOIN (SELECT id FROM crm.orders) orders ON sales.orders.id = orders.id",
)


async def test_tables_in_folders_are_read_as_schema_and_table(strangers: tuple[LakehouseServer, Path]) -> None:
    server, _ = strangers
    async with Client(server) as client:
        for sql, rows in _IN_FOLDERS.items():
            result = await _ask(client, sql)
            assert not result.is_error, (sql, _text(result))
            assert result.structured_content["rows"] == rows, sql
        for sql in _UNCLEAR:
            said = _text(await _ask(client, sql))
            assert "Refused (ambiguous): orders may be sales.orders or another relation of this FROM." in said, said
            assert "give each an alias: FROM sales.orders AS a." in said
        missing = _text(await _ask(client, "SELECT orders.x FROM sales.orders UNION SELECT orders.id FROM crm.orders"))
        assert "UNRESOLVED_COLUMN" in missing
        described = await client.call_tool("describe_schema", {"table": "sales.eu.orders"})
        assert "sales.eu.orders (table)" in _text(described)
        assert "Columns:\nid bigint: 2 … 2" in _text(described)
        shown = await _ask(client, "SHOW TABLES IN sales")
        assert [row[1] for row in shown.structured_content["rows"]] == [
            "sales.eu.orders",
            "sales.grown",
            "sales.orders",
        ]
        assert "id" in _text(await _ask(client, "DESCRIBE sales.eu.orders"))
        assert "Did you mean sales.orders?" in _text(await _ask(client, "SELECT 1 FROM sales.order"))
        for path in ("parquet.`/etc`", "sales.`../orders`", "`sales/orders`", "parquet.`sales/orders`"):
            assert "Refused (" in _text(await _ask(client, f"SELECT 1 FROM {path}")), path


async def test_a_column_that_no_statement_can_name_hides_no_other(strangers: tuple[LakehouseServer, Path]) -> None:
    server, _ = strangers
    async with Client(server) as client:
        described = await client.call_tool("describe_schema", {"table": "odd_column"})
        assert "Columns:\nid bigint: 1 … 5\nback`tick bigint\nrank bigint: 7 … 9\n" in _text(described)
        assert "Without values of 'back`tick': The name `back``tick` has a character" in _text(described)
        assert described.structured_content is not None
        assert sorted(described.structured_content["sample_rows"]) == [[1, None, 7], [5, None, 9]]


async def test_a_field_of_a_struct_that_is_written_as_a_column_is_found(
    strangers: tuple[LakehouseServer, Path],
) -> None:
    server, _ = strangers
    async with Client(server) as client:
        for name, path in {"city": "place.city", "LAT": "place.geo.lat", "sku": "lines.sku"}.items():
            said = _text(await _ask(client, f"SELECT {name} FROM nested"))
            assert f"It is a field: {path}." in said, said
            assert not (await _ask(client, f"SELECT {path} FROM nested")).is_error
        described = _text(await client.call_tool("describe_schema", {"table": "nested"}))
        assert described.startswith("nested (table)\n")  # nobody has said what it is for


async def test_the_versions_of_a_table_are_listed_with_time_operation_and_rows(
    strangers: tuple[LakehouseServer, Path],
) -> None:
    server, _ = strangers
    async with Client(server) as client:
        found = (await _ask(client, "SHOW VERSIONS FROM sales.grown")).structured_content
        assert [column["name"] for column in found["columns"]] == [
            "version",
            "timestamp",
            "operation",
            "rows_written",
            "rows_deleted",
        ]
        assert [[row[0], *row[2:4]] for row in found["rows"]] == [[version, "WRITE", 1] for version in (2, 1, 0)]
        moments = [datetime.fromisoformat(row[1]) for row in found["rows"]]
        assert moments == sorted(moments, reverse=True)
        assert abs(datetime.now(UTC) - moments[0]) < timedelta(hours=1)
        assert len((await _ask(client, "SHOW VERSIONS IN imdb.sales.grown LIMIT 2")).structured_content["rows"]) == 2
        for sql in (
            "SHOW VERSIONS",
            "SHOW VERSIONS FROM sales.grown VERSION AS OF 1",
            "SHOW VERSIONS FROM `/etc`",
            "DESCRIBE HISTORY sales.grown",
        ):
            assert "Refused (" in _text(await _ask(client, sql)), sql
        assert "no commit" in _text(await _ask(client, "SHOW VERSIONS FROM empty_log"))


async def test_what_cannot_be_read_is_listed_and_refused_with_its_reason(
    strangers: tuple[LakehouseServer, Path],
) -> None:
    server, _ = strangers
    async with Client(server) as client:
        listed = _text(await client.call_tool("describe_schema", {}))
        listed += _text(await client.call_tool("describe_schema", {"page": 2}))
        for name in (*DAMAGES, *UNREADABLE_NAMES):
            assert f"{escape_controls(name)} (table): cannot be read: " in listed, name
        for name in DAMAGES:
            said = _text(await _ask(client, f"SELECT id FROM {_quoted(name)}"))
            assert f"Refused (unreadable_table): The table {name} cannot be read: " in said
            assert "cannot be read: " in _text(await client.call_tool("describe_schema", {"table": name})), name
        assert "cannot be read" in _text(await client.call_tool("list_views", {}))
        assert (await _ask(client, "SELECT id FROM sound")).structured_content["rows"] == [[1]]


async def test_a_table_that_is_mended_is_read(tmp_path: Path) -> None:
    write_damaged(tmp_path / "lake")
    settings = load_settings(
        lake=str(tmp_path / "lake"), state_dir=tmp_path / "state", engine_memory_mb=1024, wait_seconds=240
    )
    engines = create_engines(settings, Lake.parse(str(tmp_path / "lake")))
    async with Client(LakehouseServer(settings, lambda: engines)) as client:
        assert "no commit" in _text(await _ask(client, "SELECT id FROM empty_log"))
        for file in (tmp_path / "lake" / "sound" / "_delta_log").iterdir():
            (tmp_path / "lake" / "empty_log" / "_delta_log" / file.name).write_bytes(file.read_bytes())
        for file in (tmp_path / "lake" / "sound").glob("*.parquet"):
            (tmp_path / "lake" / "empty_log" / file.name).write_bytes(file.read_bytes())
        assert (await _ask(client, "SELECT id FROM empty_log")).structured_content["rows"] == [[1]]
    engines[0].close()


async def test_of_names_that_differ_in_case_alone_one_is_read(tmp_path: Path) -> None:
    for number, name in enumerate(("Films", "films", "FILMS")):
        write_table(tmp_path, name, number)
    settings = load_settings(lake=str(tmp_path), state_dir=tmp_path / "_state", engine_memory_mb=1024, wait_seconds=240)
    engines = create_engines(settings, Lake.parse(str(tmp_path)))
    async with Client(LakehouseServer(settings, lambda: engines)) as client:
        assert (await _ask(client, "SELECT id FROM films")).structured_content["rows"] == [[2]]  # FILMS sorts first
        assert _text(await client.call_tool("describe_schema", {})).count("in case alone") == 2
    engines[0].close()


async def test_letters_that_only_look_like_a_name_are_no_name(strangers: tuple[LakehouseServer, Path]) -> None:
    server, _ = strangers
    async with Client(server) as client:
        said = _text(await _ask(client, "SELECT id FROM `ORDERLINE\u017f`"))  # the long s, whose capital is S
        kelvin = _text(await _ask(client, "SELECT id FROM `\u212ainds`"))
    assert "There is no table ORDERLINE\u017f. Did you mean ORDERLINES?" in said
    assert "The letters of kinds only look like it" in kelvin


def test_a_table_that_cannot_be_read_is_not_read_for_every_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path, "sound", 1)
    first = write_table(tmp_path, "damaged", 2) / FIRST
    whole = first.read_bytes()
    first.write_bytes(b"{not json")
    looked = Counter[str]()

    def describe(log: TableLog, name: str, location: str) -> TableInfo:
        looked[name] += 1
        return describe_table(log, name, location)

    monkeypatch.setattr(folders, "describe_table", describe)
    tables = folders.TableFolders(Lake.parse(str(tmp_path)))
    assert [tables.read_tables()["damaged"].info.problem != "" for _ in range(50)] == [True] * 50
    assert looked["sound"] == 1
    assert looked["damaged"] < 5
    first.write_bytes(whole)  # which the folder's time does not tell
    eventually(lambda: not tables.read_tables()["damaged"].info.problem)
