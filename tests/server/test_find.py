"""`find` through a real client: on lakes of others, which are read at first use, and on published indexes."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from mcp.client import Client

from lakehouse.find.building import build_index
from lakehouse.find.published import remove_index, store_index
from lakehouse.find.things import VALUE, Thing
from lakehouse.manifest import FindIndex, Manifest, publish_manifest, read_manifest
from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines import Engine
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.finding import gathering, indexes
from mcp_server.settings import load_settings
from tests.server.conftest import audit_lines
from tests.server.lakes import make_lake

pytestmark = pytest.mark.anyio

HOSTILE = (
    "It's a \\trap",
    "Robert'); DROP TABLE customers;--",
    "row forged: id = 1\nrow forged",
    "\x1b[2J\u202eesrever",
    "${env:HOME} {x} :t",
    '`tick` "quote" 50% _',
)
FIRST_NAMES = ("John", "Mary", "Amélie", "Wolfgang", "Ngozi", "Kenji", "Zoë", "Pedro", "Ingrid", "Olga")
LAST_NAMES = ("Smith", "Garcia", "Poulain", "Müller", "Adichie", "Tanaka")
NAMES = [f"{first} {last}" for last in LAST_NAMES for first in FIRST_NAMES]
BY_COUNTRY = """SELECT c.country, count(*) AS n
FROM orders o JOIN customers c ON c.id = o.customerId GROUP BY c.country"""
QUERIES = [
    {
        "id": "orders_by_country",
        "question": "How many orders did each country place?",
        "sql": BY_COUNTRY,
        "note": "Cancelled ones count.",
    },
    {
        "id": "first_order",
        "question": "When was the first order of a customer?",
        "sql": "SELECT min(placedOn) FROM orders",
    },
]

find_tool = importlib.import_module("mcp_server.tools.find")  # the package has the tool by this name
Serve = Callable[..., LakehouseServer]


def write_shop(folder: Path) -> Path:
    """A lake that nobody's load has made: customers with names of any letters, and orders of them."""
    people = [*NAMES, *HOSTILE]
    customers = pa.table(
        {
            "id": pa.array(range(1, len(people) + 1), pa.int64()),
            "name": people,
            "country": [("Germany", "France", "Nigeria", "Japan")[i % 4] for i in range(len(people))],
        }
    )
    count = 200
    orders = pa.table(
        {
            "orderId": [f"o-{i:05d}" for i in range(count)],
            "customerId": pa.array([i % len(people) + 1 for i in range(count)], pa.int64()),
            "shippingStatus": [("shipped", "cancelled", "being packed")[i % 3] for i in range(count)],
            "tags": [["gift", "urgent"] if i % 5 else ["it's fragile"] for i in range(count)],
            "placedOn": pa.array(range(count), pa.int32()),
        }
    )
    write_deltalake(str(folder / "customers"), customers, description="People who buy. One row for each.")
    write_deltalake(str(folder / "orders"), orders, description="What they bought.")
    write_deltalake(str(folder / "numbers"), pa.table({"n": [1, 2, 3]}))
    return folder


def make_engine(lake: Path, state: Path) -> EmbeddedEngine:
    engine = EmbeddedEngine(Lake.parse(str(lake)), load_settings(lake=str(lake), state_dir=state))
    engine.start()
    return engine


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def shop_engine(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = make_engine(shop, tmp_path_factory.mktemp("state"))
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, an index is waited for."""
    monkeypatch.setattr(find_tool, "PATIENCE_SECONDS", 240.0)


@pytest.fixture
def serve(shop: Path, shop_engine: Engine, tmp_path: Path) -> Serve:
    """Servers of the shop, each with the state folder of the test."""

    def make(engine: Engine | None = None, lake: Path | None = None, **flags: Any) -> LakehouseServer:
        place = str(lake or shop)
        settings = load_settings(lake=place, state_dir=tmp_path / "state", **flags)
        return LakehouseServer(settings, lambda: [engine or shop_engine], Lake.parse(place))

    return make


def with_context(folder: Path, declarations: str = "") -> Path:
    folder.mkdir()
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))
    (folder / "lake.toml").write_text(declarations)
    return folder


async def find(client: Client, text: str, **arguments: Any) -> tuple[list[dict[str, Any]], str]:
    """The hits of a call, and the text of it."""
    result = await client.call_tool("find", {"text": text, **arguments})
    return (result.structured_content or {}).get("hits", []), result.content[0].text


async def ask(client: Client, sql: str) -> dict[str, Any]:
    result = await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "test"})
    assert not result.is_error, result.content
    return result.structured_content


def builds(server: LakehouseServer) -> list[dict[str, Any]]:
    return [line for line in audit_lines(server) if "builds" in line["arguments"]]


# --- what is found


async def test_names_values_and_columns_of_a_lake_of_others_are_found_with_their_filters(serve: Serve) -> None:
    async with Client(serve()) as client:
        for text, filter_ in (
            ("jon smyth", "id = 1"),
            ("amelie pulain", "id = 23"),
            ("shiped", "shippingStatus = 'shipped'"),
            ("packed", "shippingStatus = 'being packed'"),
            ("germany", "country = 'Germany'"),
            ("fragile", "array_contains(tags, 'it\\'s fragile')"),
        ):
            hits, said = await find(client, text)
            assert hits[0]["filter"] == filter_, said
            assert f": {filter_}" in said
        hits, said = await find(client, "a gift that was shipped to Germany")
        assert {"country = 'Germany'", "shippingStatus = 'shipped'", "array_contains(tags, 'gift')"} == {
            hit["filter"] for hit in hits
        }, said
        hits, _ = await find(client, "shipping")
        assert ("column", "orders.shippingStatus") in [(hit["kind"], hit["id"]) for hit in hits]
        hits, _ = await find(client, "people", kind="table")
        assert [hit["id"] for hit in hits] == ["customers"]


async def test_a_filter_selects_what_was_found_whatever_its_letters_are(serve: Serve) -> None:
    async with Client(serve()) as client:
        for name in (*HOSTILE, *NAMES[:3]):
            hits, said = await find(client, name, kind="row", limit=1)
            assert said.count("\n") == 1, said
            assert all(line.isprintable() for line in said.split("\n"))
            found = await ask(client, f"SELECT name FROM {hits[0]['table']} WHERE {hits[0]['filter']}")
            assert found["rows"] == [[name]]
        hits, _ = await find(client, "fragile", kind="value")
        assert (await ask(client, f"SELECT count(*) FROM orders WHERE {hits[0]['filter']}"))["rows"] == [[40]]


async def test_a_question_finds_the_verified_query_and_its_sql(serve: Serve, tmp_path: Path) -> None:
    async with Client(serve(context_dir=with_context(tmp_path / "context"))) as client:
        hits, said = await find(client, "number of orders placed per country?")
        assert (hits[0]["kind"], hits[0]["id"], hits[0]["sql"]) == ("query", "orders_by_country", BY_COUNTRY)
        assert "Cancelled ones count." in said
        assert "  FROM orders o JOIN customers c" in said
        hits, _ = await find(client, "first ordr of a custmer", kind="query")
        assert [hit["id"] for hit in hits] == ["first_order"]
        hits, _ = await find(client, "shipped")
        assert hits[0]["kind"] == "value"


async def test_a_declared_entity_is_found_by_all_its_names_and_the_best_known_first(
    serve: Serve, tmp_path: Path
) -> None:
    declared = with_context(
        tmp_path / "context",
        """
        [[entity]]
        kind = "customer"
        table = "customers"
        column = "name"
        id = "id"
        sql = \"\"\"
        SELECT CAST(id AS STRING) AS id, name AS label, array(concat('client ', name), 'x') AS others,
          country AS detail, CASE WHEN name LIKE '%Garcia' THEN id * 1000 ELSE 1 END AS weight FROM customers
        \"\"\"

        [[entity]]
        kind = "broken"
        table = "customers"
        column = "name"
        id = "id"
        sql = "SELECT id FROM nowhere"
        """,
    )
    async with Client(serve(context_dir=declared)) as client:
        hits, said = await find(client, "client olga tanaka")
        assert (hits[0]["kind"], hits[0]["label"], hits[0]["filter"]) == ("customer", "Olga Tanaka", "id = 60")
        assert "found as client Olga Tanaka" in said
        hits, _ = await find(client, "zoe")
        assert (hits[0]["label"], hits[0]["detail"]) == ("Zoë Garcia", "Germany")
        assert not [hit for hit in hits if hit["kind"] == "row"]
        hits, said = await find(client, "no such thing at all")
        assert hits == []
        assert "It lacks names of broken:" in said


async def test_names_that_no_index_has_are_said_where_nothing_likely_is_found(serve: Serve, tmp_path: Path) -> None:
    declared = 'unindexed = ["orders.shippingStatus", "orders.no_such", "no_such.name"]'
    async with Client(serve(context_dir=with_context(tmp_path / "context", declared))) as client:
        note = "Not searched: orders.shippingStatus. Use SQL there."
        assert note in (await find(client, "xyzzyqwv"))[1]
        hits, said = await find(client, "jonathan smyth")
        assert hits
        assert "these are the nearest of: row, value, table, column, query." in said
        assert note in said
        assert "Not searched" not in (await find(client, "john smith"))[1]


async def test_what_is_asked_wrongly_is_told(serve: Serve) -> None:
    async with Client(serve()) as client:
        _, said = await find(client, "john", kind="planet")
        assert said == "There is no kind 'planet'. Kinds: row, value, table, column, query."
        assert "a letter or a digit" in (await find(client, " …! "))[1]
        assert "limit" in (await find(client, "john", limit=51))[1]
        assert "text" in (await find(client, "x" * 501))[1]
        hits, said = await find(client, "xyzzyqwv")
        assert hits == []
        assert "Searched: row, value, table, column, query." in said
        assert len((await find(client, "smith", limit=2))[0]) == 2


# --- built at first use


async def test_twenty_callers_at_once_share_one_build(serve: Serve) -> None:
    server = serve()
    found: list[str] = []
    async with Client(server) as client:

        async def ask_once() -> None:
            found.append((await find(client, "wolfgang mueller"))[0][0]["label"])

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask_once)
    assert found == ["Wolfgang Müller"] * 20
    (line,) = builds(server)
    assert (line["tool"], line["verdict"]) == ("find", "ok")
    assert line["sql_run"]


async def test_an_index_is_kept_for_the_next_server(serve: Serve) -> None:
    for _ in range(2):
        server = serve()
        async with Client(server) as client:
            assert (await find(client, "smth"))[0][0]["label"].endswith("Smith")
    assert len(builds(server)) == 1


async def test_a_caller_that_leaves_does_not_end_what_others_wait_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, began = threading.Event(), threading.Event()
    real = gathering.gather

    def wait_and_gather(*arguments: Any, **more: Any) -> gathering.Gathered:
        began.set()
        assert may_go_on.wait(60)
        return real(*arguments, **more)

    monkeypatch.setattr(indexes, "gather", wait_and_gather)
    server = serve()
    async with Client(server) as client:
        async with anyio.create_task_group() as first:
            first.start_soon(find, client, "john")
            await anyio.to_thread.run_sync(began.wait, 30)
            first.cancel_scope.cancel()
        async with anyio.create_task_group() as second:
            found: list[Any] = []

            async def ask_again() -> None:
                found.append((await find(client, "john smith"))[0][0]["label"])

            second.start_soon(ask_again)
            await anyio.lowlevel.checkpoint()
            may_go_on.set()
    assert found == ["John Smith"]
    assert len(builds(server)) == 1


async def test_who_does_not_wait_for_the_rows_hears_so_and_finds_tables_meanwhile(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    real = gathering.gather

    def wait_and_gather(*arguments: Any, **more: Any) -> gathering.Gathered:
        assert may_go_on.wait(60)
        return real(*arguments, **more)

    monkeypatch.setattr(indexes, "gather", wait_and_gather)
    monkeypatch.setattr(find_tool, "PATIENCE_SECONDS", 0.01)
    server = serve()
    async with Client(server) as client:
        for text, kinds in (("customers", {"table", "column"}), ("john smith", set())):
            hits, said = await find(client, text)
            assert {hit["kind"] for hit in hits} == kinds
            assert "Names and values of rows are still being read (" in said
            assert "Call find again in a minute" in said
        monkeypatch.setattr(find_tool, "PATIENCE_SECONDS", 120.0)
        may_go_on.set()
        hits, said = await find(client, "john smith")
        assert hits[0]["label"] == "John Smith"
        assert "still being read" not in said
    assert len(builds(server)) == 1


async def test_a_lake_that_has_changed_is_read_again(tmp_path: Path, serve: Serve) -> None:
    lake = write_shop(tmp_path / "changing")
    engine = make_engine(lake, tmp_path / "engine")
    server = serve(engine, lake)
    async with Client(server) as client:
        assert (await find(client, "Barnabas Collins"))[0] == []
        more = pa.table({"id": pa.array([900], pa.int64()), "name": ["Barnabas Collins"], "country": ["Maine"]})
        write_deltalake(str(lake / "customers"), more, mode="append")
        assert (await find(client, "Barnabas Collins"))[0][0]["filter"] == "id = 900"
        shutil.rmtree(lake / "customers")
        hits, said = await find(client, "Barnabas Collins")
        assert hits == [], said
        assert (await find(client, "customers", kind="table"))[0] == []
    engine.close()
    kept = [path for path in (tmp_path / "state" / "find-built").glob("*/*") if path.is_dir()]
    assert len(kept) == 1


async def test_what_takes_too_long_is_left_out_and_said(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_SECONDS", 0.0)
    async with Client(serve()) as client:
        hits, said = await find(client, "john smith")
        assert hits == []
        assert "The index of names is not whole. It lacks names of customers: reading all takes over 0 s." in said
        assert (await find(client, "customers"))[0][0]["kind"] == "table"
        assert (await ask(client, "SELECT * FROM customers WHERE name = 'Jon'"))["warnings"] == []


async def test_a_part_of_the_names_is_said_to_be_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_ENTITIES", 12)
    async with Client(serve()) as client:
        _, said = await find(client, "Olga Tanaka", kind="row")
        assert "It lacks names of customers.name: only 12 are read." in said
        (warning,) = (await ask(client, "SELECT * FROM customers WHERE name = 'Jon Smith'"))["warnings"]
        assert warning == "No name in the index of names is 'Jon Smith'; nearest: John Smith (id 1)."


KILLED = """
import os, signal, sys
from pathlib import Path
from lakehouse.storage import Lake
from mcp_server.finding.indexes import Indexes

def write(folder):
    folder.mkdir()
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

Indexes(Lake.parse(sys.argv[1]), Path(sys.argv[2]), None, metered=False)._keep("edition", write)
"""


async def test_a_build_that_is_killed_leaves_nothing_to_the_next(serve: Serve, shop: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = await anyio.run_process([sys.executable, "-c", KILLED, str(shop), str(state)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(state.rglob("half"))
    async with Client(serve()) as client:
        assert (await find(client, "john smith"))[0][0]["filter"] == "id = 1"
    assert not list(state.rglob("half"))


class Other:
    """The shop's engine with other traits."""

    def __init__(self, engine: Engine, *, metered: bool) -> None:
        self._engine = engine
        self.capabilities = replace(engine.capabilities, metered=metered)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def tables(self) -> Any:
        return tuple(replace(table, version=None) for table in self._engine.tables())

    refresh = tables


async def test_where_statements_cost_money_nothing_is_read_that_is_not_declared(
    serve: Serve, shop_engine: Engine, tmp_path: Path
) -> None:
    server = serve(Other(shop_engine, metered=True))
    async with Client(server) as client:
        hits, said = await find(client, "john smith")
        assert hits == []
        assert "whatever runs here is paid for" in said
        assert (await find(client, "customers"))[0][0]["kind"] == "table"
    assert builds(server) == []
    assert not [line for line in audit_lines(server) if line["sql_run"]]
    names = "SELECT CAST(id AS STRING) AS id, name AS label FROM customers"
    entity = f'[[entity]]\nkind = "buyer"\ntable = "customers"\ncolumn = "name"\nid = "id"\nsql = "{names}"'
    server = serve(Other(shop_engine, metered=True), context_dir=with_context(tmp_path / "context", entity))
    async with Client(server) as client:
        assert (await find(client, "jon smith"))[0][0]["kind"] == "buyer"
    assert [len(line["sql_run"]) for line in builds(server)] == [2]


async def test_a_catalogue_that_tells_no_versions_has_its_index_in_memory(
    serve: Serve, shop_engine: Engine, tmp_path: Path
) -> None:
    server = serve(Other(shop_engine, metered=False))
    async with Client(server) as client:
        assert (await find(client, "jon smith"))[0][0]["filter"] == "id = 1"
        assert (await find(client, "shiped"))[0][0]["kind"] == "value"
    assert len(builds(server)) == 1
    assert not list((tmp_path / "state").glob("find-built/*/*"))


# --- published with the lake

THINGS = [
    Thing("title", "movies_delta", "primaryTitle", "tt0007919", "The Twin Bridges", "tconst", ("Les ponts",), "1951"),
    Thing("person", "persons_delta", "primaryName", "nm0000007", "Person Road 7", "nconst"),
]  # fmt: skip
VALUES = [Thing(VALUE, "movies_delta", "titleType", "movie", "movie", "titleType", ("film",), "200 rows", 200)]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A lake that was published with an index of its names."""
    lake = make_lake(tmp_path / "published", count=40)
    shutil.rmtree(lake / "_context")
    built = build_index(lake / "_find" / "1", THINGS, VALUES)
    publish(lake, FindIndex(path="_find/1", bytes=built.bytes, files=built.files, count=3))
    return lake


def publish(lake: Path, index: FindIndex, without: str = "") -> None:
    place = Lake.parse(str(lake))
    manifest = read_manifest(place)
    assert manifest is not None
    tables = {name: entry for name, entry in manifest.tables.items() if name != without}
    publish_manifest(
        place, manifest.model_copy(update={"generation": manifest.generation + 1, "find": index, "tables": tables})
    )


async def test_a_published_index_is_opened_and_nothing_is_read_for_it(
    published: Path, serve: Serve, tmp_path: Path
) -> None:
    engine = make_engine(published, tmp_path / "engine")
    server = serve(engine, published)
    async with Client(server) as client:
        assert (await ask(client, "SELECT * FROM movie_cast WHERE primaryName = 'Person Rod 7'"))["warnings"] == [
            "No primaryName of persons_delta is 'Person Rod 7'; nearest: Person Road 7 (nconst nm0000007)."
        ]
        hits, _ = await find(client, "les pont")
        assert hits == [
            {
                "kind": "title", "id": "tt0007919", "label": "The Twin Bridges", "detail": "1951, found as Les ponts",
                "table": "movies_delta", "filter": "tconst = 'tt0007919'",
            }
        ]  # fmt: skip
        assert (await find(client, "film"))[0][0]["filter"] == "titleType = 'movie'"

        manifest = read_manifest(Lake.parse(str(published)))
        assert manifest is not None
        assert manifest.find is not None
        publish(published, manifest.find, without="persons_delta")
        assert (await find(client, "Person Road 7", kind="person"))[0] == []
        assert (await find(client, "les ponts"))[0][0]["kind"] == "title"
    assert builds(server) == []
    engine.close()


async def test_a_damaged_index_is_replaced_by_one_that_the_server_builds(
    published: Path, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (published / "_find" / "1" / "index.json").write_text("{")
    engine = make_engine(published, tmp_path / "engine")
    server = serve(engine, published)
    async with Client(server) as client:
        assert (await find(client, "twin bridge"))[0][0]["label"] == "The Twin Bridges"
        assert (await find(client, "twin bridges"))[0][0]["kind"] == "row"
    assert len(builds(server)) == 1
    assert "the server builds another" in caplog.text
    engine.close()


async def test_an_index_in_object_storage_is_fetched_once(bucket: str, shop_engine: Engine, tmp_path: Path) -> None:
    lake = Lake.parse(bucket)
    built = build_index(tmp_path / "index", [Thing("client", "customers", "name", "1", "Jonathan Smith", "id")])
    store_index(lake, tmp_path / "index", "_find/1")
    entry = FindIndex(path="_find/1", bytes=built.bytes, files=built.files, count=1)
    made = datetime.now(UTC)
    publish_manifest(lake, Manifest(generation=1, created_at=made, engine="embedded", tables={}, find=entry))
    settings = load_settings(lake=bucket, state_dir=tmp_path / "state")
    for _ in range(2):
        server = LakehouseServer(settings, lambda: [shop_engine], lake)
        async with Client(server) as client:
            assert (await find(client, "jonatan smiht"))[0][0]["filter"] == "id = 1"
        assert builds(server) == []
        remove_index(lake, "_find/1")


# --- answers without rows


async def test_an_answer_without_rows_says_which_text_is_nowhere_and_what_is_like_it(serve: Serve) -> None:
    server = serve()
    async with Client(server) as client:
        lost = "SELECT * FROM customers WHERE name = 'Jon Smith'"
        assert (await ask(client, lost))["warnings"] == []  # nothing is built for it
        assert builds(server) == []
        await find(client, "anything")
        assert (await ask(client, lost))["warnings"] == ["No name is 'Jon Smith'; nearest: John Smith (id 1)."]
        for sql, said in (
            ("SELECT count(*) FROM orders WHERE shippingStatus = 'Shipped'",
             "No shippingStatus is 'Shipped'; nearest: shipped (case counts)."),
            ("SELECT sum(placedOn), count(*) FROM orders WHERE shippingStatus = 'lost'",
             "No shippingStatus is 'lost'; it has cancelled, shipped, being packed."),
            ("SELECT o.orderId FROM orders o JOIN customers c ON c.id = o.customerId WHERE c.name = 'Xyzzyqwv'",
             "No name is 'Xyzzyqwv'; nor is any like it."),
            ("SELECT count(*) FROM customers WHERE lower(name) LIKE '%jhon smith%'",
             "No name with 'jhon smith' in it was found; nearest: John Smith (id 1)."),
            ("SELECT * FROM customers WHERE lower(name) = 'jon smith'",
             "No name with 'jon smith' in it was found; nearest: John Smith (id 1)."),
            ("SELECT * FROM customers WHERE country IN ('Nigeria', 'nigeria', 'Germanny') AND id < 0",
             "No country is 'nigeria'; nearest: Nigeria (case counts)."),
        ):  # fmt: skip
            assert said in (await ask(client, sql))["warnings"], sql


async def test_an_answer_that_is_right_says_nothing_of_names(serve: Serve) -> None:
    async with Client(serve()) as client:
        await find(client, "anything")
        for sql in (
            "SELECT * FROM customers WHERE name = 'John Smith' AND country = 'Japan'",
            "SELECT * FROM customers WHERE id = 5000",
            "SELECT * FROM customers WHERE name LIKE '%smith%'",
            "SELECT * FROM customers WHERE name LIKE 'J_n Sm%th'",
            "SELECT * FROM orders WHERE orderId = 'o-99999'",
            "SELECT count(*) FROM customers WHERE name = 'Jon Smith' OR id = 1",
            "SELECT * FROM customers WHERE name <> 'Jon Smith' AND id < 0",
            "SELECT * FROM (SELECT 'Jon' AS name) WHERE name = 'Jo'",
        ):
            assert (await ask(client, sql))["warnings"] == [], sql


async def test_what_the_lake_does_not_hold_is_told_in_the_words_of_its_page(serve: Serve, tmp_path: Path) -> None:
    context = with_context(tmp_path / "context")
    (context / "context.md").write_text("# The shop\n\n- Not here: prices, delivery dates.\n")
    async with Client(serve(context_dir=context)) as client:
        _, said = await find(client, "the delivery dates")
        assert "The lake's page says: Not here: prices, delivery dates." in said
        _, said = await find(client, "John Smith")
        assert "page says" not in said
