"""What a catalogue may lead to: how much is read, whose rights read it, and which addresses are catalogues."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pydantic import SecretStr

from lakehouse.errors import LakeError, UsageError
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.catalogs.access import TableAccess, VendedCredentials
from mcp_server.engines.catalogs.address import CatalogAddress
from mcp_server.engines.catalogs.files import FolderFiles
from mcp_server.engines.catalogs.listing import MOST_LISTED, Access, CatalogError, CatalogTable
from mcp_server.engines.catalogs.tables import MOST_SERVED, CatalogTables
from mcp_server.engines.catalogs.unity import UnityCatalog, to_storage_url
from mcp_server.engines.choice import create_engines
from mcp_server.engines.folders import TableFolders
from mcp_server.engines.statistics import Statistics
from mcp_server.settings import Settings, load_settings
from tests.engines.feature_tables import ARCHIVE

MakeSettings = Callable[..., Settings]


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


def test_each_feature_of_delta_is_described_and_counted_as_in_a_folder(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    expected = TableFolders(Lake.parse(str(tmp_path))).read_tables()

    class Folder(_Listing):
        def list_tables(self) -> Iterator[CatalogTable]:
            return (CatalogTable("s", table.info.name, table.location) for table in expected.values())

    catalog = Folder(0)
    tables = CatalogTables(Lake.parse("uc://h/main"), catalog, TableAccess(catalog, [str(tmp_path)]), has_schema=True)
    assert tables.tables() == tuple(table.info for table in expected.values())
    of_folders, of_catalog = Statistics(), Statistics(tables.lake)
    for name, location in tables.locations().items():
        first = of_folders.read_version(name, expected[name].location, None)
        found = of_catalog.read_version(name, location, None)
        assert (found.version, found.named, found.columns) == (first.version, first.named, first.columns)
        assert (found.bounds, found.null_shares) == (first.bounds, first.null_shares), name


def test_a_storage_that_gives_nothing_is_waited_for_once_and_hides_no_other_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("ALLOW_HTTP", "true"), ("REGION", "r")):
        monkeypatch.setenv(f"AWS_{name}", value)
    write_deltalake(tmp_path / "films", pa.table({"id": [1]}))

    class Storage(_Listing):
        def list_tables(self) -> Iterator[CatalogTable]:
            yield CatalogTable("s", "films", str(tmp_path / "films"))
            yield from (CatalogTable("s", f"t{number:02}", f"s3://b/{number}") for number in range(40))

    catalog = Storage(0, 3600)
    tables = CatalogTables(Lake.parse("uc://h/main"), catalog, TableAccess(catalog, [str(tmp_path)]), has_schema=True)
    assert [table.name for table in tables.tables() if not table.problem] == ["films"]
    assert {table.problem for table in tables.tables()[1:]} == {
        "its storage refuses its log or does not give it in time"
    }
    assert catalog.vended <= 8


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


@pytest.mark.parametrize("metadata", [None, [], "x"], ids=str)
def test_a_log_with_other_values_than_delta_has_is_the_reason_of_its_table_alone(
    tmp_path: Path, metadata: object
) -> None:
    write_deltalake(tmp_path / "whole", pa.table({"id": [1]}))
    write_deltalake(tmp_path / "broken", pa.table({"id": [1]}))
    log = tmp_path / "broken" / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    (described,) = (action["metaData"] for action in actions if "metaData" in action)
    schema = json.loads(described["schemaString"])
    schema["fields"][0]["metadata"] = metadata
    described["schemaString"] = json.dumps(schema)
    log.write_text("\n".join(map(json.dumps, actions)))
    found = TableFolders(Lake.parse(str(tmp_path))).read_tables()
    assert found["broken"].info.problem
    assert not found["whole"].info.problem


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("file:///allowed/../etc", "none of the folders"), ("file:///allowedness", "none of the folders"),
        ("file://host/allowed", "a kind of storage that is not read"), ("https://h/t", "a kind of storage"),
        ("s3://allowed/../b", "its address cannot be read"), ("s3://b/t?x=1", "its address cannot be read"),
        ("s3://allowed/a/%2e%2e/b", "its address"), ("s3://allowed/a/.\t./b", "its address"),
        ("s3a://allowed/a%2f..%5c..", "its address"), ("s3://allowedness/b", "none"), ("s3://ALLOWED/b", "none"),
        ("/allowed/gone", "its folder is not there"), ("", "a kind of storage"),
        ("s3://[allowed/b", "its address"), ("/allowed/\0", "its address"), ("file:///allowed/%00", "its address"),
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
    for elsewhere in ("gs://b/t", "s3://b/t", "abfss://c@account.dfs.core.windows.net/t"):
        with pytest.raises(CatalogError, match="outside of OneLake, where its token may not go"):
            TableAccess(catalog, []).open_files(CatalogTable("dbo", "films", elsewhere))


@pytest.mark.parametrize("token", ["secret\nX-Other: 1", "secret token", "sécret", ""])
def test_a_token_that_no_header_may_hold_is_refused_without_its_text(token: str, settings_of: MakeSettings) -> None:
    with pytest.raises(UsageError, match="IMDB_CATALOG_TOKEN has a character") as failure:
        create_engines(settings_of(catalog_token=token), Lake.parse("uc://127.0.0.1/main"))
    assert "cret" not in str(failure.value)


@pytest.mark.parametrize("places", ["tables", "/", "/a/..", "s3://b,tables"])
def test_places_that_allow_everything_or_nothing_are_refused(places: str) -> None:
    with pytest.raises(UsageError, match="IMDB_CATALOG_PLACES"):
        load_settings(catalog_places=places)
