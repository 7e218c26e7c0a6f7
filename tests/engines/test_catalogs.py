"""Catalogues that the server asks: what they list is read from the tables' own logs, with the rights that are meant.

`unity` answers as the open-source server has answered once; where `start-uc-server` is on the PATH, the server itself
is asked as well (tests/unity_server.py).
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.errors import LakeError, QueryError
from lakehouse.storage import Lake
from mcp_server.context.statements import Statements, open_statements
from mcp_server.engines.catalogs import asking, open_tables
from mcp_server.engines.catalogs import unity as unity_catalog
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

    def make_answer(self) -> tuple[int, bytes]:
        return self.said

    def do_GET(self) -> None:
        status, body = self.make_answer()
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class _Endless(BaseHTTPRequestHandler):
    """Answers with blanks, one after the other, for as long as somebody reads them."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b" ")
                Event().wait(0.01)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def _serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"uc://127.0.0.1:{server.server_port}/main"
    server.shutdown()
    server.server_close()


@pytest.fixture
def broken() -> Iterator[str]:
    with _serve(_Broken) as lake:
        yield lake


def test_an_answer_that_goes_on_is_given_up_after_the_time_for_all_of_it(
    settings_of: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_ANSWER_SECONDS", 0.5)
    with _serve(_Endless) as lake, pytest.raises(LakeError, match=r"did not answer within 0.5 s"):
        open_tables(Lake.parse(lake), settings_of()).tables()


class _Paged(_Broken):
    """Answers with pages that have nothing in them, each with a token for the next one."""

    def make_answer(self) -> tuple[int, bytes]:
        return 200, json.dumps({"schemas": [], "next_page_token": uuid.uuid4().hex}).encode()


def test_a_list_whose_pages_never_end_is_given_up_after_the_time_for_all_of_them(
    settings_of: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unity_catalog, "_LIST_SECONDS", 0.3)
    with _serve(_Paged) as lake, pytest.raises(LakeError, match=r"took more than 0.3 s for its list"):
        open_tables(Lake.parse(lake), settings_of()).tables()


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
