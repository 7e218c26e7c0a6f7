"""What is the databricks engine's own: sessions, sign-in, and what it does when the warehouse is not well."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from pyspark.sql import SparkSession

from lakehouse.breaker import Breaker
from lakehouse.errors import (
    EngineUnavailable,
    LakeError,
    QueryCancelled,
    QueryFailed,
    QueryTimedOut,
    ResourceLimit,
    UsageError,
)
from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines.databricks.engine import DatabricksEngine
from mcp_server.engines.databricks.sign_in import SignIn
from mcp_server.engines.remote import listing
from mcp_server.engines.remote.arrow import spark_types
from mcp_server.settings import Settings
from tests.connect_server import ConnectServer
from tests.engines.conftest import KIND_TYPES, KINDS, Query
from tests.engines.warehouse import HOST, TOKEN, WarehouseEngine, make_tables
from tests.engines.watching import ENDLESS, eventually, rows
from tests.warehouse.identity import IdentityServer
from tests.warehouse.lake import SCHEMA
from tests.warehouse.server import HTTP_PATH, Fault

ONE = "SELECT 1 AS x"
SECRET = "its-secret"
M2M = {"DATABRICKS_CLIENT_ID": "app", "DATABRICKS_CLIENT_SECRET": SECRET}
AZURE = {"ARM_TENANT_ID": "tenant", "ARM_CLIENT_ID": "app", "ARM_CLIENT_SECRET": SECRET}
Make = Callable[..., WarehouseEngine]


@pytest.fixture(scope="module", autouse=True)
def _tables(connect_server: ConnectServer, warehouse_folder: Path) -> None:
    make_tables(connect_server, warehouse_folder)  # again: another test may have restarted the server


@pytest.fixture
def make(connect_server: ConnectServer, settings_of: Callable[..., Settings]) -> Iterator[Make]:
    """Makes engines of a test's own, each with its warehouse, and ends them."""
    made: list[WarehouseEngine] = []

    def engine(**changes: Any) -> WarehouseEngine:
        made.append(WarehouseEngine(connect_server, settings_of, **changes))
        return made[-1]

    yield engine
    for each in made:
        each.close()


@pytest.fixture
def identity() -> Iterator[IdentityServer]:
    server = IdentityServer(SECRET)
    yield server
    server.close()


def nothing_is_left(engine: WarehouseEngine) -> bool:
    service = engine.warehouse.service
    return not (service.running or service.operations or own_threads())


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("warehouse ")]


# --- sessions


def test_a_warehouse_is_left_alone_until_a_query_needs_it(make: Make) -> None:
    engine = make()
    engine.start()

    assert engine.warehouse.requests == []


def test_a_session_is_opened_with_ansi_utc_and_a_time_limit_of_the_warehouses_own(make: Make, query: Query) -> None:
    engine = make(settings={"query_timeout_seconds": 30})
    rows(engine, query(ONE))

    (configuration,) = engine.warehouse.service.configurations
    assert configuration["ansi_mode"] == "true"
    assert configuration["timezone"] == "UTC"
    assert float(configuration["STATEMENT_TIMEOUT"]) > 30
    where = query("SELECT current_catalog() AS c, current_schema() AS s")
    assert rows(engine, where) == [{"c": "spark_catalog", "s": "imdb"}]


def test_queries_one_after_the_other_share_a_session(make: Make, query: Query) -> None:
    engine = make()
    for _ in range(3):
        rows(engine, query(ONE))
    with pytest.raises(QueryFailed):
        rows(engine, query("SELECT nothing"))
    rows(engine, query(ONE))

    assert engine.warehouse.service.opened == 1


def test_a_session_that_is_not_used_is_closed_so_that_the_warehouse_can_stop(make: Make, query: Query) -> None:
    engine = make(idle_seconds=0.2)
    rows(engine, query(ONE))
    eventually(lambda: not engine.warehouse.service.sessions)

    assert rows(engine, query(ONE)) == [{"x": 1}]
    assert engine.warehouse.service.opened == 2


def test_closing_the_engine_closes_its_sessions_and_stops_what_runs(make: Make, query: Query) -> None:
    engine = make()
    rows(engine, query(ONE))
    with ThreadPoolExecutor() as threads:
        running = threads.submit(rows, engine, query(ENDLESS))
        eventually(lambda: bool(engine.warehouse.service.running))
        DatabricksEngine.close(engine)
        with pytest.raises(EngineUnavailable, match="closed"):
            running.result(timeout=30)

    eventually(lambda: not engine.warehouse.service.sessions)
    assert nothing_is_left(engine)
    with pytest.raises(EngineUnavailable, match="closed"):
        rows(engine, query(ONE))


def test_rows_are_limited_by_the_warehouse_and_not_by_other_words(make: Make, query: Query) -> None:
    engine = make()
    sql = "SELECT id FROM many ORDER BY id DESC"

    assert len(rows(engine, query(sql, "many", limit=2))) == 3
    assert engine.warehouse.service.statements == [sql]


def test_an_answer_that_is_too_large_is_given_up_before_all_of_it_is_here(
    make: Make, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_server.engines.databricks.session.MAX_RESULT_BYTES", 1 << 16)
    engine = make()

    with pytest.raises(ResourceLimit, match="larger than"):
        rows(engine, query("SELECT * FROM many", "many", limit=100_000))
    assert Counter(engine.warehouse.requests)["FetchResults"] == 1
    assert nothing_is_left(engine)


def test_a_server_wakes_its_warehouse_with_the_first_statement_and_answers_it(make: Make) -> None:
    engine = make()
    server = LakehouseServer(engine.settings, lambda: [engine])

    async def ask() -> str:
        async with Client(server) as client:
            await client.list_tools()
            server.toolbox.app.service.warm_up()
            assert engine.warehouse.requests == []
            arguments = {"sql_query": "SELECT count(*) AS n FROM imdb.films", "reasoning": "test"}
            answer: Any = (await client.call_tool("execute_spark_sql", arguments)).content[0]
            return str(answer.text)

    assert anyio.run(ask).splitlines()[-2:] == ["n:bigint", "5"]
    assert not [sql for sql in engine.warehouse.service.statements if sql.startswith("DESCRIBE DETAIL")]


# --- who asks


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ({"DATABRICKS_TOKEN": "t"}, "pat"),
        (M2M, "oauth-m2m"),
        (AZURE, "azure-client-secret"),
        ({"ARM_USE_MSI": True}, "azure-msi"),
        ({"ARM_USE_MSI": True, "ARM_CLIENT_ID": "user-assigned", "ARM_TENANT_ID": "t"}, "azure-msi"),
        ({"DATABRICKS_TOKEN": "t", **AZURE, "DATABRICKS_AUTH_TYPE": "pat"}, "pat"),
        ({"DATABRICKS_TOKEN": "t", **AZURE, "DATABRICKS_AUTH_TYPE": "azure-client-secret"}, "azure-client-secret"),
    ],
)
def test_the_settings_say_how_to_sign_in(settings_of: Callable[..., Settings], given: dict[str, Any], way: str) -> None:
    assert SignIn(settings_of(**given)).way == way


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "DATABRICKS_TOKEN.*DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET.*ARM_CLIENT_SECRET.*ARM_USE_MSI"),
        ({"DATABRICKS_CLIENT_ID": "app"}, "oauth-m2m also needs DATABRICKS_CLIENT_SECRET"),
        ({"ARM_CLIENT_SECRET": "s"}, "also needs ARM_TENANT_ID and ARM_CLIENT_ID"),
        ({"DATABRICKS_TOKEN": "t", **M2M}, "pat, oauth-m2m.*DATABRICKS_AUTH_TYPE"),
        ({"DATABRICKS_TOKEN": "t", "DATABRICKS_AUTH_TYPE": "oauth-m2m"}, "needs DATABRICKS_CLIENT_ID"),
        ({"DATABRICKS_TOKEN": "t", "DATABRICKS_AUTH_TYPE": "kerberos"}, "'kerberos'.*pat, oauth-m2m"),
    ],
)
def test_settings_that_do_not_say_it_are_refused_by_name(
    settings_of: Callable[..., Settings], given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        SignIn(settings_of(**given))


@pytest.mark.parametrize(
    ("lake", "without", "says"),
    [
        ("/data/lake", "", r"--lake /data/lake.*main\.imdb"),
        (SCHEMA, "DATABRICKS_HOST", "DATABRICKS_HOST"),
        (SCHEMA, "DATABRICKS_HTTP_PATH", "DATABRICKS_HTTP_PATH"),
        (SCHEMA, "https", "https://"),
    ],
)
def test_what_the_engine_cannot_serve_is_refused_before_it_starts(
    settings_of: Callable[..., Settings], lake: str, without: str, says: str
) -> None:
    host = "http://adb-1.azuredatabricks.net" if without == "https" else HOST
    given = {"DATABRICKS_HOST": host, "DATABRICKS_HTTP_PATH": HTTP_PATH, "DATABRICKS_TOKEN": TOKEN}
    given.pop(without, None)

    with pytest.raises(UsageError, match=says):
        DatabricksEngine(Lake.parse(lake), settings_of(**given))


def test_a_missing_connector_is_named_with_its_install_command(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make()
    monkeypatch.setitem(sys.modules, "databricks", None)

    with pytest.raises(UsageError, match=r"pip install 'imdb-lakehouse-mcp\[databricks\]'"):
        engine.start()


def test_a_service_principal_signs_in_and_again_when_its_token_is_not_accepted_any_more(
    make: Make, query: Query, identity: IdentityServer
) -> None:
    engine = make(sign_in=M2M | {"DATABRICKS_HOST": identity.url})
    engine.warehouse.tokens = {"token-1"}
    assert rows(engine, query(ONE)) == [{"x": 1}]
    engine.warehouse.tokens = {"token-2"}  # the first is revoked before its time

    assert rows(engine, query(ONE)) == [{"x": 1}]
    assert [path for path, _ in identity.asked] == ["/oidc/v1/token"] * 2
    assert engine.warehouse.service.statements == [ONE, ONE]
    assert engine.warehouse.service.opened == 1


def test_a_sign_in_that_is_not_accepted_twice_is_said_and_not_tried_for_ever(
    make: Make, query: Query, identity: IdentityServer
) -> None:
    engine = make(sign_in=M2M | {"DATABRICKS_HOST": identity.url})
    engine.warehouse.tokens = set()

    with pytest.raises(EngineUnavailable, match="DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET"):
        rows(engine, query(ONE))
    assert len(identity.asked) == 2


def test_a_wrong_secret_is_said_without_the_secret(
    make: Make, query: Query, identity: IdentityServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    identity.secret = "another"
    engine = make(sign_in=M2M | {"DATABRICKS_HOST": identity.url})

    with pytest.raises(EngineUnavailable, match="DATABRICKS_CLIENT_SECRET failed") as refused:
        rows(engine, query(ONE))
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(vars(engine))
    assert SECRET not in caplog.text


def test_an_entra_service_principal_proves_itself_with_both_headers(
    make: Make, query: Query, identity: IdentityServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from databricks.sdk import config, environments

    public = environments.get_environment_for_hostname(HOST)
    entra = replace(public.azure_environment, active_directory_endpoint=f"{identity.url}/")
    monkeypatch.setattr(config, "get_environment_for_hostname", lambda _: replace(public, azure_environment=entra))
    engine = make(sign_in=AZURE | {"DATABRICKS_HOST": identity.url})

    assert rows(engine, query(ONE)) == [{"x": 1}]
    asked = {parameters["resource"] for path, parameters in identity.asked if path == "/tenant/oauth2/token"}
    assert asked == {"2ff814a6-3304-4ab8-85cb-cd0e6f879c1d", "https://management.core.windows.net/"}
    for headers in engine.warehouse.headers:
        assert headers["authorization"] == "Bearer token-1"
        assert headers["X-Databricks-Azure-SP-Management-Token"] == "token-2"


def test_a_managed_identity_is_asked_for_from_the_machine(make: Make, query: Query, identity: IdentityServer) -> None:
    service = f"{identity.url}/metadata/identity/oauth2/token"
    engine = make(sign_in={"ARM_USE_MSI": True, "ARM_CLIENT_ID": "mine"}, identity_service=service)
    engine.warehouse.tokens = {"token-1"}

    assert rows(engine, query(ONE)) == [{"x": 1}]
    (asked,) = [parameters for _, parameters in identity.asked]
    assert (asked["resource"], asked["client_id"]) == ("2ff814a6-3304-4ab8-85cb-cd0e6f879c1d", "mine")


def test_an_expired_token_is_named_by_its_setting_and_not_shown(make: Make, query: Query) -> None:
    engine = make()
    rows(engine, query(ONE))
    engine.warehouse.tokens = set()

    with pytest.raises(EngineUnavailable, match=r"HTTP 403: Invalid access token.*DATABRICKS_TOKEN") as refused:
        rows(engine, query(ONE))
    assert TOKEN not in str(refused.value) + repr(vars(engine))


# --- when the warehouse is not well


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("method", ["OpenSession", "ExecuteStatement", "GetOperationStatus"])
def test_a_warehouse_that_has_no_time_yet_is_asked_again(make: Make, query: Query, method: str, status: int) -> None:
    engine = make()
    engine.warehouse.will(Fault(method, status, {"Retry-After": "0"}, times=2))

    assert rows(engine, query(ONE)) == [{"x": 1}]
    assert engine.warehouse.service.statements == [ONE]


def test_one_that_is_not_up_in_time_is_said_to_be_starting(make: Make, query: Query) -> None:
    engine = make()
    engine.warehouse.will(Fault("OpenSession", 503, {"Retry-After": "30"}, times=9))

    with pytest.raises(EngineUnavailable, match=r"starting or has no time \(HTTP 503\)"):
        rows(engine, query(ONE, deadline=0.5))
    eventually(lambda: not own_threads())
    assert Counter(engine.warehouse.requests) == {"OpenSession": 1}


@pytest.mark.parametrize("method", ["OpenSession", "GetOperationStatus", "CloseOperation"])
def test_a_connection_that_breaks_where_asking_twice_is_safe_goes_unnoticed(
    make: Make, query: Query, method: str
) -> None:
    engine = make()
    engine.warehouse.will(Fault(method))

    assert rows(engine, query(ONE)) == [{"x": 1}]
    assert engine.warehouse.service.statements == [ONE]


def test_a_statement_that_may_have_arrived_is_not_sent_twice(make: Make, query: Query) -> None:
    engine = make()
    engine.warehouse.will(Fault("ExecuteStatement", after=True))

    with pytest.raises(EngineUnavailable, match="may have begun there; it was not sent again"):
        rows(engine, query(ENDLESS))
    assert engine.warehouse.service.statements == [ENDLESS]
    eventually(lambda: nothing_is_left(engine))  # its session was closed, and it with it


def test_rows_that_may_be_on_their_way_are_not_asked_for_twice(make: Make, query: Query) -> None:
    engine = make()
    engine.warehouse.will(Fault("FetchResults", after=True))

    with pytest.raises(EngineUnavailable, match="could not be read"):
        rows(engine, query(ONE))
    assert rows(engine, query("SELECT 2 AS x")) == [{"x": 2}]


def test_a_port_that_refuses_is_said_without_its_name_and_soon_at_once(make: Make, query: Query) -> None:
    now = [0.0]
    engine = make(breaker=Breaker("The warehouse", failures=3, pause_seconds=15, clock=lambda: now[0]))
    engine.warehouse.stop()

    with pytest.raises(EngineUnavailable, match="nothing accepts connections") as refused:
        rows(engine, query(ONE))
    assert not any(address in str(refused.value) for address in (HOST, HTTP_PATH, "127.0.0.1"))
    with pytest.raises(EngineUnavailable, match=r"3 times in a row.* in 15 s"):
        rows(engine, query(ONE))

    engine.warehouse.start()
    now[0] = 15.0
    assert rows(engine, query(ONE)) == [{"x": 1}]


def test_a_restart_between_two_queries_goes_unnoticed(make: Make, query: Query) -> None:
    engine = make()
    rows(engine, query(ONE))
    engine.warehouse.restart()

    assert rows(engine, query("SELECT 2 AS x")) == [{"x": 2}]
    assert len(engine.warehouse.service.sessions) == 1


def test_a_restart_under_a_query_is_said_and_the_next_is_answered(make: Make, query: Query) -> None:
    engine = make()
    with ThreadPoolExecutor() as threads:
        running = threads.submit(rows, engine, query(ENDLESS))
        eventually(lambda: bool(engine.warehouse.service.running))
        engine.warehouse.restart()
        with pytest.raises(EngineUnavailable, match="forgot the query"):
            running.result(timeout=60)

    assert rows(engine, query(ONE)) == [{"x": 1}]


def test_addresses_in_what_the_warehouse_says_are_not_passed_on(make: Make, query: Query) -> None:
    engine = make()
    said = f"no route to {HOST}{HTTP_PATH} nor abfss://data@account.dfs.core.windows.net/lake"
    engine.warehouse.will(Fault("OpenSession", 500, {"x-thriftserver-error-message": said}, times=3))

    with pytest.raises(EngineUnavailable, match="no route to <workspace><warehouse> nor <storage>"):
        rows(engine, query(ONE))


def test_a_warehouse_that_is_not_there_is_said_by_its_setting(make: Make, query: Query) -> None:
    engine = make()
    engine.warehouse.will(Fault("OpenSession", 404))

    with pytest.raises(EngineUnavailable, match="DATABRICKS_HTTP_PATH"):
        rows(engine, query(ONE))


# --- stopping


def test_a_cancel_that_comes_too_early_is_repeated_until_it_holds(make: Make, query: Query) -> None:
    engine = make()
    engine.warehouse.service.deaf_to_cancels = 3
    with ThreadPoolExecutor() as threads:
        running = threads.submit(engine.execute, query(ENDLESS), "stubborn")
        eventually(lambda: bool(engine.warehouse.service.running))
        engine.cancel("stubborn")
        with pytest.raises(QueryCancelled):
            running.result(timeout=30)

    assert nothing_is_left(engine)
    assert Counter(engine.warehouse.requests)["CancelOperation"] >= 4


def test_fifty_stopped_queries_leave_nothing_behind(make: Make, query: Query, connect_server: ConnectServer) -> None:
    engine = make()

    def stop(number: int) -> None:
        wanted = QueryTimedOut if number % 2 else QueryCancelled
        deadline = 0.3 if number % 2 else 60
        if wanted is QueryCancelled:
            threading.Timer(0.05 * (number % 7), engine.cancel, [f"q{number}"]).start()
        with pytest.raises(wanted):
            engine.execute(query(ENDLESS, deadline=deadline), f"q{number}")

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(stop, range(50)))

    eventually(lambda: nothing_is_left(engine) and connect_server.jobs() == 0)
    assert rows(engine, query(ONE)) == [{"x": 1}]
    DatabricksEngine.close(engine)
    assert engine.warehouse.service.sessions == {}


# --- the catalogue


def test_tables_views_comments_and_types_are_read_from_the_catalogue(make: Make) -> None:
    found = {table.name: table for table in make().tables()}

    assert {name: table.kind for name, table in found.items()} == {
        "best": "view", "films": "table", "kinds": "table", "many": "table",
    }  # fmt: skip
    assert found["best"].comment == "The best of them."
    assert found["best"].columns[0].comment == "Number."
    assert tuple(column.type for column in found["kinds"].columns) == KIND_TYPES


def test_a_catalogue_with_an_information_schema_says_the_same_in_two_statements(
    make: Make, connect_server: ConnectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    described = engine.tables()
    spark = SparkSession.builder.remote(connect_server.url).create()
    # As Unity Catalog has it: documentation of Databricks SQL, information_schema.tables and .columns.
    spark.sql("CREATE SCHEMA information_schema")
    tables = [("imdb", t.name, "VIEW" if t.kind == "view" else "MANAGED", t.comment or None) for t in described]
    columns = [
        ("imdb", t.name, c.name, number, c.type if "<" in c.type else c.type.upper(), c.comment or None, "YES")
        for t in described
        for number, c in enumerate(t.columns)
    ]
    try:
        kinds = "table_schema string, table_name string, table_type string, comment string"
        spark.createDataFrame(tables, kinds).write.saveAsTable("information_schema.tables")
        kinds = (
            "table_schema string, table_name string, column_name string, ordinal_position int, "
            "full_data_type string, comment string, is_nullable string"
        )
        spark.createDataFrame(columns, kinds).write.saveAsTable("information_schema.columns")
        another = make()

        assert another.tables() == described
        assert len(another.warehouse.service.statements) == 2

        monkeypatch.setattr(listing, "LISTING_BYTES", 600)
        cut = make().tables()
        assert [table.name for table in cut] == [table.name for table in described]
        assert cut[0] == described[0]
        assert "this table's columns are beyond that" in cut[-1].problem
        assert all(table.problem or table in described for table in cut)
    finally:
        spark.sql("DROP SCHEMA information_schema CASCADE")
        spark.stop()


def test_of_a_catalogue_that_says_more_than_is_kept_the_rest_is_listed_with_the_reason(
    make: Make, connect_server: ConnectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    spark = SparkSession.builder.remote(connect_server.url).create()
    columns = ", ".join(f"c{number} INT COMMENT '{'x' * 3_000}'" for number in range(3))
    monkeypatch.setattr(listing, "LISTING_BYTES", 9_000)
    try:
        for name in ("a1", "a2"):
            spark.sql(f"CREATE TABLE {SCHEMA}.{name} ({columns}) USING delta")
        found = {table.name: table for table in make().tables()}
        assert [*found] == ["a1", "a2", "best", "films", "kinds", "many"]
        assert [column.comment for column in found["a2"].columns] == [f"{'x' * 2_000}…[+1000 chars]"] * 3
        assert {bool(found[name].problem) for name in ("a1", "a2")} == {False}
        assert all("serve a schema that holds fewer tables" in found[name].problem for name in ("best", "many"))

        monkeypatch.setattr(listing, "LISTING_ROWS", 6)
        with pytest.raises(LakeError, match="holds more tables than this server can list"):
            make().tables()
    finally:
        for name in ("a1", "a2"):
            spark.sql(f"DROP TABLE IF EXISTS {SCHEMA}.{name}")
        spark.stop()


def test_the_tables_are_asked_for_once_and_again_when_a_query_finds_them_changed(
    make: Make, query: Query, connect_server: ConnectServer
) -> None:
    engine = make()
    before = engine.tables()
    asked = len(engine.warehouse.service.statements)
    spark = SparkSession.builder.remote(connect_server.url).create()
    try:
        spark.sql(f"CREATE TABLE {SCHEMA}.brief USING delta AS SELECT 1 AS number")
        assert engine.tables() == before
        assert len(engine.warehouse.service.statements) == asked
        assert "brief" in {table.name for table in engine.refresh()}
        spark.sql(f"DROP TABLE {SCHEMA}.brief")
        with pytest.raises(QueryFailed, match="TABLE_OR_VIEW_NOT_FOUND"):
            rows(engine, query("SELECT * FROM brief", "brief"))
        assert engine.tables() == before
    finally:
        spark.sql(f"DROP TABLE IF EXISTS {SCHEMA}.brief")
        spark.stop()


def test_an_estimate_is_the_size_of_whole_tables_and_leaves_views_out(make: Make, query: Query) -> None:
    found = make().estimate(query("SELECT * FROM films JOIN best USING (id)", "films", "best"))

    (scan,) = found.scans
    assert not found.exact
    assert (scan.table, scan.rows) == ("films", None)
    assert scan.files >= 1
    assert scan.bytes > 500


def test_types_are_told_from_arrow_where_the_warehouse_does_not_say_them() -> None:
    assert spark_types(KINDS.schema) == KIND_TYPES
