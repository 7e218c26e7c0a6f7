"""Catalogues that the server asks: what they list is read from the tables' own logs, with the rights that are meant.

`unity` answers as the open-source server has answered once; where `start-uc-server` is on the PATH, the server itself
is asked as well (tests/unity_server.py).
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pydantic import SecretStr

from lakehouse.errors import LakeError, QueryError, UsageError
from lakehouse.storage import Lake, LakeKind
from mcp_server.context.statements import Statements, open_statements
from mcp_server.engines.catalogs import open_tables
from mcp_server.engines.catalogs.access import TableAccess, VendedCredentials
from mcp_server.engines.catalogs.address import CatalogAddress
from mcp_server.engines.catalogs.files import FolderFiles
from mcp_server.engines.catalogs.listing import MOST_LISTED, Access, CatalogError, CatalogTable
from mcp_server.engines.catalogs.tables import MOST_SERVED, CatalogTables
from mcp_server.engines.catalogs.unity import UnityCatalog, to_storage_url
from mcp_server.engines.choice import create_engines
from mcp_server.models import TableInfo
from mcp_server.settings import Settings, load_settings
from tests.engines.watching import eventually
from tests.object_storage import BUCKET
from tests.unity_server import PROGRAM, RecordedServer, UnityServer, unity_server

MakeSettings = Callable[..., Settings]
FILMS = pa.table({"id": [1, 2, 3], "title": ["Alpha", "Beta", "日本"], "place": ["a b", "c=d", "é%"]})
ORDERS = pa.table({"film": [1, 1, 3], "price": [5, 7, 9]})
TOKEN = "a-marker-of-a-token"


@dataclass(frozen=True)
class Served:
    """A catalogue, its tables' folder, and statements on it."""

    catalog: RecordedServer | UnityServer
    folder: Path
    statements: Statements

    def select(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.statements.run_sql(sql).rows]

    def describe(self) -> dict[str, TableInfo]:
        return {table.name: table for table in self.statements.engine.refresh()}


@pytest.fixture(scope="module", params=["recorded", "server"])
def unity(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _object_storage: dict[str, str]
) -> Iterator[Served]:
    """The whole catalogue `main`, whose tables lie on this machine and in object storage."""
    if request.param == "server" and shutil.which(PROGRAM) is None:
        pytest.skip(f"needs {PROGRAM} (a release of github.com/unitycatalog/unitycatalog)")
    folder = tmp_path_factory.mktemp("catalog")
    write_deltalake(folder / "films", FILMS, partition_by=["place"])
    write_deltalake(folder / "films", FILMS.slice(0, 1), mode="append")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _object_storage.items():
            patch.setenv(name, value)
        write_deltalake(f"s3://{BUCKET}/catalog/orders", ORDERS, mode="overwrite")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # only the catalogue has them now
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("IMDB_CATALOG_TOKEN", TOKEN)
        patch.setenv("IMDB_CATALOG_PLACES", str(folder))
        settings = load_settings(state_dir=tmp_path_factory.mktemp("state"), engine_memory_mb=1024)
        if request.param == "recorded":
            with closing(RecordedServer(str(folder))) as recorded, _open(settings, recorded.lake) as statements:
                yield Served(recorded, folder, statements)
        else:
            with unity_server() as server:
                server.fill(str(folder))
                with _open(settings, server.lake) as statements:
                    yield Served(server, folder, statements)


def _open(settings: Settings, lake: str) -> AbstractContextManager[Statements]:
    return open_statements(settings, Lake.parse(lake), "test")


def test_what_a_catalogue_lists_is_described_from_logs_or_with_the_reason_why_not(unity: Served) -> None:
    tables = unity.describe()
    films, orders = tables["films.films"], tables["sales.orders"]
    assert (films.version, films.comment, films.problem) == (1, "All films.", "")
    assert {column.name: (column.type, column.comment) for column in films.columns} == {
        "id": ("bigint", "The film's number."), "title": ("string", ""), "place": ("string", "")
    }  # fmt: skip
    assert [column.name for column in orders.columns] == ["film", "price"]
    assert tables["films.leaflets"].problem == "its format is CSV, and only Delta is read"
    assert "IMDB_CATALOG_PLACES" in tables["films.elsewhere"].problem
    assert "S3 bucket configuration not found" in tables["sales.stranger"].problem
    assert sum(name.startswith("many.") for name in tables) == 53
    assert not any("s3://" in table.problem or str(unity.folder) in table.problem for table in tables.values())


def test_tables_on_this_machine_and_in_storage_are_joined_in_one_statement(unity: Served) -> None:
    joined = "SELECT title, sum(price) AS paid FROM films.films VERSION AS OF 0 f JOIN sales.orders o ON o.film = f.id"
    assert unity.select(f"{joined} GROUP BY title ORDER BY title") == [("Alpha", 12), ("日本", 9)]
    assert unity.select("SELECT place, count(*) FROM films.films GROUP BY place ORDER BY place") == [
        ("a b", 2), ("c=d", 1), ("é%", 1)
    ]  # fmt: skip


def test_statistics_and_versions_come_from_the_log(unity: Served) -> None:
    engine = unity.statements.engine
    assert engine.bounds("films.films") == {"id": (1, 3)}
    assert engine.bounds("sales.orders") == {"film": (1, 3), "price": (5, 9)}
    assert engine.null_shares("sales.orders") == {"film": 0.0, "price": 0.0}
    assert [commit.version for commit in engine.history("films.films", 5) or ()] == [1, 0]
    assert unity.select("SHOW VERSIONS FROM films.films")[0][0] == 1


def test_the_engine_knows_neither_the_catalogue_nor_a_credential_nor_the_folder(unity: Served) -> None:
    unity.select("SELECT 1 FROM films.films LIMIT 1")
    engine = unity.statements.engine
    environment = Path(f"/proc/{engine.process_id}/environ").read_text(errors="replace")  # type: ignore[attr-defined]
    assert not any(marker in environment for marker in (TOKEN, "AWS_", "IMDB_CATALOG"))
    for sql in (
        f"SELECT * FROM text.`{unity.folder}/films`",
        "SELECT * FROM films.elsewhere",
        "SELECT * FROM sales.`s3://x`",
    ):
        with pytest.raises(QueryError):
            unity.select(sql)


def test_the_token_goes_to_the_catalogue_with_each_request(unity: Served) -> None:
    if isinstance(unity.catalog, RecordedServer):
        unity.describe()
        assert {token for _, token in unity.catalog.asked} == {f"Bearer {TOKEN}"}
        assert not any("READ_WRITE" in key for key, _ in unity.catalog.asked)


def test_tables_come_and_go(unity: Served) -> None:
    """The last test of the module: the catalogue stays changed."""
    unity.catalog.change_tables()
    eventually(lambda: "films.later" in unity.describe())
    assert unity.select("SELECT count(*) FROM films.later") == [(4,)]
    with pytest.raises(QueryError, match=r"no table films\.films"):
        unity.select("SELECT count(*) FROM films.films")


class _Broken(BaseHTTPRequestHandler):
    """Answers every request with `said`, a status and a body."""

    said: tuple[int, bytes] = (200, b"")

    def do_GET(self) -> None:
        status, body = self.said
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def broken() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Broken)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"uc://127.0.0.1:{server.server_port}/main"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>", "answered what is no JSON"),
        (200, b'{"schemas": 5}', "answered otherwise than Unity Catalog does"),
        (200, b'{"schemas": []}', "lists no table"),
        (200, b'{"schemas": [], "next_page_token": "again"}', "without an end"),
        (200, b'"' + b"x" * (33 << 20) + b'"', "more than 32 MiB"),
        (302, b"", r"failed \(302\)"),
        (
            401,
            b'{"message": "No."}',
            r"wants a sign-in \(401: 'No.'\). The token in IMDB_CATALOG_TOKEN is not accepted",
        ),
        (403, b'{"message": "\\u001b[2J"}', r"denies this \(403: '\\x1b\[2J'\)"),
        (503, b"", r"failed \(503\). Ask again in a minute"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_goes_wrong_with_a_catalogue_is_one_sentence_without_the_token(
    broken: str, settings_of: MakeSettings, status: int, body: bytes, says: str
) -> None:
    _Broken.said = (status, body)
    with pytest.raises(LakeError, match=says) as failure:
        open_tables(Lake.parse(broken), settings_of(catalog_token=TOKEN)).tables()
    assert TOKEN not in str(failure.value)


def test_a_catalogue_that_cannot_be_reached_or_wants_a_sign_in_or_lacks_the_name_is_said(
    settings_of: MakeSettings,
) -> None:
    with pytest.raises(LakeError, match="cannot be reached"):
        open_tables(Lake.parse("uc://127.0.0.1:9/main"), settings_of()).tables()
    with closing(RecordedServer("/nowhere")) as recorded:
        for lake, says in (
            (recorded.lake.replace("main", "nowhere"), "Catalog not found: nowhere"),
            (f"{recorded.lake}/nowhere", "Schema not found: main.nowhere"),
        ):
            with pytest.raises(LakeError, match=rf"does not have it \(404: '{says}'\). Check the names in --lake"):
                open_tables(Lake.parse(lake), settings_of()).tables()
        recorded.ask_for_tokens()
        with pytest.raises(LakeError, match=r"\(401: 'No authorization found.'\). Set IMDB_CATALOG_TOKEN"):
            open_tables(Lake.parse(recorded.lake), settings_of()).tables()


class _Listing:
    """A catalogue of so many tables in a folder that nobody allows; its credentials last for `seconds`."""

    def __init__(self, count: int, seconds: float = 0) -> None:
        self._count = count
        self._seconds = seconds
        self.vended = 0

    def list_tables(self) -> Iterator[CatalogTable]:
        return (CatalogTable("s", f"t{number:05}", f"/etc/{number}") for number in range(self._count))

    def vend_access(self, table: CatalogTable) -> Access:
        self.vended += 1
        return Access(
            {"access_key_id": "k", "secret_access_key": "s"}, datetime.now(UTC) + timedelta(seconds=self._seconds)
        )


def _tables_of(catalog: _Listing) -> CatalogTables:
    return CatalogTables(Lake.parse("uc://h/main"), catalog, TableAccess(catalog, ["/nowhere"]), has_schema=True)


def test_a_catalogue_of_thousands_is_listed_and_as_many_are_read_as_can_be() -> None:
    tables = _tables_of(_Listing(10_000)).tables()
    assert len(tables) == 10_000
    assert sum("more than 2,000 tables" in table.problem for table in tables) == 10_000 - MOST_SERVED
    with pytest.raises(LakeError, match=r"more than 20,000 tables\. Name one schema"):
        _tables_of(_Listing(MOST_LISTED + 1)).tables()


def test_a_folder_without_a_log_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    class Folder(_Listing):
        def list_tables(self) -> Iterator[CatalogTable]:
            return iter([CatalogTable("s", "t", str(tmp_path / "empty"))])

    catalog = Folder(1)
    tables = CatalogTables(Lake.parse("uc://h/main"), catalog, TableAccess(catalog, [str(tmp_path)]), has_schema=True)
    assert "there is no _delta_log" in tables.tables()[0].problem
    assert tables.locations() == {}


@pytest.mark.parametrize(("seconds", "times"), [(3600, 1), (60, 3)])
def test_credentials_are_asked_for_anew_before_they_end(seconds: float, times: int) -> None:
    catalog = _Listing(0, seconds)
    credentials = VendedCredentials(catalog, CatalogTable("s", "t", "s3://b/t"))
    for _ in range(3):
        assert credentials()["access_key_id"] == "k"
    assert catalog.vended == times
    assert "'k'" not in repr(credentials.renew())


def test_no_link_leads_out_of_a_tables_folder(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "table" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "table" / "file").write_text("y")
    files = FolderFiles(str(tmp_path / "table"))
    assert files.read("file") is not None
    assert files.open_ranges("file", 1).read() == b"y"
    for name in ("link", "../secret", "missing"):
        with pytest.raises(FileNotFoundError):
            files.client._check_inside(name)


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("file:///allowed/../etc", "none of the folders"), ("file:///allowedness", "none of the folders"),
        ("file://host/allowed", "a kind of storage that is not read"), ("https://h/t", "a kind of storage"),
        ("s3://allowed/../b", "its address cannot be read"), ("s3://b/t?x=1", "its address cannot be read"),
        ("s3://allowed/a/%2e%2e/b", "its address"), ("s3://allowed/a/.\t./b", "its address"),
        ("s3a://allowed/a%2f..%5c..", "its address"), ("s3://allowedness/b", "none"), ("s3://ALLOWED/b", "none"),
        ("/allowed/gone", "its folder is not there"), ("", "a kind of storage"),
    ],
)  # fmt: skip
def test_places_that_a_catalogue_may_not_lead_to_are_refused(location: str, problem: str) -> None:
    class Refusing(_Listing):
        def vend_access(self, table: CatalogTable) -> Access:
            raise CatalogError("none")

    catalog = Refusing(0)
    with pytest.raises(LakeError, match=problem):
        TableAccess(catalog, ["/allowed", "s3://allowed"]).open_files(CatalogTable("s", "t", location))


@pytest.mark.parametrize(
    ("text", "url", "catalog", "schema"),
    [
        ("uc://127.0.0.1:8080/unity", "http://127.0.0.1:8080/api/2.1/unity-catalog", "unity", ""),
        ("uc://localhost/unity/default", "http://localhost/api/2.1/unity-catalog", "unity", "default"),
        ("uc://[::1]:80/a%20b", "http://[::1]:80/api/2.1/unity-catalog", "a b", ""),
        ("uc://adb-1.example.net/main/s", "https://adb-1.example.net/api/2.1/unity-catalog", "main", "s"),
        ("uc://10.0.0.1/main", "https://10.0.0.1/api/2.1/unity-catalog", "main", ""),
        ("onelake://MySpace/L.Lakehouse/dbo",
         "https://onelake.table.fabric.microsoft.com/delta/MySpace/L.Lakehouse/api/2.1/unity-catalog",
         "L.Lakehouse", "dbo"),
        ("glue://eu-west-1", "", "", ""), ("glue://us-gov-east-1/sales", "", "", "sales"),
    ],
)  # fmt: skip
def test_addresses_of_catalogues(text: str, url: str, catalog: str, schema: str) -> None:
    lake = Lake.parse(text)
    assert lake.kind is LakeKind.CATALOG
    assert lake.is_asked
    address = CatalogAddress.of(lake)
    assert (address.url, address.catalog, address.schema) == (url, catalog, schema)


@pytest.mark.parametrize(
    "text",
    ["uc://host", "uc://host/a/b/c", "uc:///a", "uc://host:x/a", "uc://u:secret@host/a", "uc://host/a?b", "glue://moon",
     "glue://eu-west-1/a/b", "onelake://space", "uc://host/a%0Ab"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused_without_a_password(text: str, settings_of: MakeSettings) -> None:
    with pytest.raises(UsageError, match="--lake") as refusal:
        create_engines(settings_of(), Lake.parse(text))
    assert "secret" not in str(refusal.value)


def test_other_engines_say_that_they_ask_no_catalogue(settings_of: MakeSettings) -> None:
    lake = Lake.parse("uc://127.0.0.1/main")
    for engine in ("spark", "databricks"):
        with pytest.raises(UsageError, match=r"uc://127\.0\.0\.1/main"):
            create_engines(settings_of(engine=engine), lake)
    assert [each.name for each in create_engines(settings_of(engine="auto"), lake)] == ["embedded"]


def test_files_of_onelake_are_addressed_as_clients_of_azure_do() -> None:
    address = "https://onelake.dfs.fabric.microsoft.com/ws/item/Tables/dbo/films"
    url = to_storage_url(address)
    assert url == "abfss://ws@onelake.dfs.fabric.microsoft.com/item/Tables/dbo/films"
    assert to_storage_url("s3://b/t") == "s3://b/t"
    assert to_storage_url(address.replace("fabric.microsoft.com", "fabric.microsoft.com.evil.org")).startswith("https")


def _to_token(audience: str, expires_at: datetime) -> str:
    claims = json.dumps({"aud": audience, "exp": int(expires_at.timestamp())}).encode()
    return f"header.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


def test_a_token_for_onelake_is_looked_at_before_it_is_sent(settings_of: MakeSettings) -> None:
    soon, lake = datetime.now(UTC) + timedelta(hours=1), Lake.parse("onelake://ws/item.Lakehouse")
    for token, says in (
        (None, "it is not set"),
        ("not-a-token", "cannot be read"),
        (_to_token("https://api.fabric.microsoft.com", soon), r"is for 'https://api\.fabric\.microsoft\.com'"),
    ):
        with pytest.raises(UsageError, match=rf"for https://storage\.azure\.com/ in IMDB_CATALOG_TOKEN.*{says}"):
            create_engines(settings_of(catalog_token=token), lake)
    table = CatalogTable(
        "dbo", "films", to_storage_url("https://onelake.dfs.fabric.microsoft.com/ws/item/Tables/films")
    )
    for ends, is_open in ((soon, True), (datetime.now(UTC) - timedelta(seconds=1), False)):
        token = SecretStr(_to_token("https://storage.azure.com/", ends))
        catalog = UnityCatalog(CatalogAddress.of(lake), str(lake), token)
        with nullcontext() if is_open else pytest.raises(CatalogError, match="has expired"):
            files = TableAccess(catalog, []).open_files(table)
            assert files.client.config["container_name"] == "ws"


@pytest.mark.parametrize("places", ["tables", "/", "/a/..", "s3://b,tables"])
def test_places_that_allow_everything_or_nothing_are_refused(places: str) -> None:
    with pytest.raises(UsageError, match="IMDB_CATALOG_PLACES"):
        load_settings(catalog_places=places)
