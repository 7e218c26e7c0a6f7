"""The open-source Unity Catalog server, or its answers as it gave them once, over a socket.

    python -m tests.unity_server

Starts the server, asks it what the tests ask, and writes its answers to `tests/data/catalogs/unity.json`. The program
`start-uc-server` has to be on the PATH: it comes with the server's releases (github.com/unitycatalog/unitycatalog),
and no package registry has them. The answers are those of version 0.6.0.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2

from tests.object_storage import BUCKET, KEYS, _wait_for

PROGRAM: Final = "start-uc-server"
ANSWERS: Final = Path(__file__).parent / "data" / "catalogs" / "unity.json"
FOLDER: Final = "{folder}"
"""Stands in the recorded answers for the folder of the test's tables."""
API: Final = "/api/2.1/unity-catalog"
GONE: Final = "00000000-0000-4000-8000-000000000000"
MANY: Final = 53
"""Tables of the schema `many`: more than one page."""

_CONFIGURATION = f"""
server.env=test
server.authorization={{authorization}}
s3.bucketPath.0=s3://{BUCKET}
s3.region.0={KEYS["AWS_REGION"]}
s3.accessKey.0={KEYS["AWS_ACCESS_KEY_ID"]}
s3.secretKey.0={KEYS["AWS_SECRET_ACCESS_KEY"]}
s3.sessionToken.0=session
"""
_DATABASE = """
hibernate.connection.driver_class=org.h2.Driver
hibernate.connection.url=jdbc:h2:mem:uc;DB_CLOSE_DELAY=-1
hibernate.hbm2ddl.auto=update
"""


class UnityServer:
    """A catalogue `main`: schemas `films` on this machine, `sales` in object storage, `many` of tables in CSV."""

    def __init__(self, port: int) -> None:
        self.lake = f"uc://127.0.0.1:{port}/main"
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{port}{API}/", timeout=60)

    def fill(self, folder: str) -> None:
        """Register the tables. Nothing has to lie where they are."""
        self._post("catalogs", name="main")
        for schema in ("films", "sales", "many"):
            self._post("schemas", name=schema, catalog_name="main")
        self._register("films", "films", f"file://{folder}/films", comment="All films.")
        self._register("films", "elsewhere", "file:///etc")
        self._register("films", "leaflets", f"file://{folder}/leaflets", format="CSV")
        self._register("sales", "orders", f"s3://{BUCKET}/catalog/orders")
        self._register("sales", "stranger", "s3://strangers/orders")
        for number in range(MANY):
            self._register("many", f"t{number:02}", f"file://{folder}/{number}", format="CSV")

    def close(self) -> None:
        self._client.close()

    def change_tables(self) -> None:
        """Take `films.films` away and register `films.later` in its place."""
        self._client.delete("tables/main.films.films").raise_for_status()
        self._register("films", "later", f"file://{self._folder}/films")

    def ask(self, method: str, target: str, body: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Ask as the product does; the status and the document."""
        answer = self._client.request(method, target, json=body)
        return answer.status_code, answer.json()

    def _register(self, schema: str, name: str, location: str, *, format: str = "DELTA", comment: str = "") -> None:  # noqa: A002
        self._folder = location.removeprefix("file://").rpartition("/")[0] if "file://" in location else self._folder
        column = {"name": "id", "type": "long", "nullable": True, "metadata": {}}
        self._post(
            "tables", name=name, catalog_name="main", schema_name=schema, table_type="EXTERNAL",
            data_source_format=format, storage_location=location, comment=comment,
            columns=[{"name": "id", "type_text": "bigint", "type_name": "LONG", "type_json": json.dumps(column),
                      "position": 0, "nullable": True, "comment": "The film's number."}],
        )  # fmt: skip

    def _post(self, what: str, **about: Any) -> None:
        self._client.post(what, json=about).raise_for_status()


@contextmanager
def unity_server(*, authorization: str = "disable") -> Iterator[UnityServer]:
    """The real server with an empty database, while it runs. Costs 10 s of processor time."""
    program, port = shutil.which(PROGRAM), _find_two_ports()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "etc" / "conf"
        settings.mkdir(parents=True)
        (settings / "server.properties").write_text(_CONFIGURATION.format(authorization=authorization))
        (settings / "hibernate.properties").write_text(_DATABASE)
        server = subprocess.Popen(
            [program, "--port", str(port)], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for(port)
            with closing(UnityServer(port)) as served:
                yield served
        finally:
            server.terminate()
            server.wait(60)


def _find_two_ports() -> int:
    """A free port with a free one behind it, which the server takes as well; below those that the system hands out."""
    for port in range(20_000 + os.getpid() % 5_000, 32_000, 2):
        with (
            suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", port + 1)),
        ):
            return port
    raise AssertionError("no two free ports")


class RecordedServer:
    """Answers as the real server did, in the order of its states; `asked` are the requests and their tokens."""

    def __init__(self, folder: str) -> None:
        first, changed, closed = json.loads(ANSWERS.read_text().replace(FOLDER, folder))
        self._states: list[dict[str, list[Any]]] = [first, first | changed, closed]
        self._state = 0
        self.asked: list[tuple[str, str | None]] = []
        self.broken: tuple[int, bytes] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self, b"")

            def do_POST(self) -> None:
                outer._answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.lake = f"uc://127.0.0.1:{self._server.server_port}/main"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def change_tables(self) -> None:
        """As the real server's; its answers are those after the change."""
        self._state = 1

    def ask_for_tokens(self) -> None:
        """From now on the answers are those of a server that wants a sign-in."""
        self._state = 2

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        key = _to_key(request.command, request.path.removeprefix(f"{API}/"), json.loads(body) if body else None)
        self.asked.append((key, request.headers.get("Authorization")))
        status, document = self._states[self._state].get(key) or self._states[self._state]["*"]
        data = json.dumps(document).encode()
        if self.broken is not None:
            status, data = self.broken
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


def _to_key(method: str, target: str, body: Mapping[str, str] | None) -> str:
    return f"{method} {target}" if body is None else f"{method} {target} {json.dumps(body, sort_keys=True)}"


def _record_state(server: UnityServer) -> dict[str, tuple[int, Any]]:
    found: dict[str, tuple[int, Any]] = {}

    def ask(method: str, target: str, body: Mapping[str, str] | None = None) -> Any:
        _, document = found[_to_key(method, target, body)] = server.ask(method, target, body)
        return document

    def ask_pages(what: str, **about: str) -> None:
        parameters = about | {"max_results": "50"}
        while token := ask("GET", f"{what}?{urlencode(parameters)}").get("next_page_token"):
            parameters["page_token"] = token

    for catalog in ("main", "nowhere"):
        ask_pages("schemas", catalog_name=catalog)
    for schema in ("films", "sales", "many", "nowhere"):
        ask_pages("tables", catalog_name="main", schema_name=schema)
    tables = [table for _, document in found.values() for table in document.get("tables", ())]
    for name in ("orders", "stranger"):
        number = next(table["table_id"] for table in tables if table["name"] == name)
        ask("POST", "temporary-table-credentials", {"table_id": number, "operation": "READ"})
    ask("POST", "temporary-table-credentials", {"table_id": GONE, "operation": "READ"})
    return found


def main() -> None:
    with unity_server() as server:
        server.fill(FOLDER.replace("{", "/").replace("}", ""))
        first = _record_state(server)
        server.change_tables()
        changed = _record_state(server)
        states = [first, {key: answer for key, answer in changed.items() if answer != first[key]}]
    with unity_server(authorization="enable") as server:
        states.append({"*": server.ask("GET", "schemas?catalog_name=main&max_results=50")})
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(states, separators=(",", ":")).replace('{"name":', '\n{"name":')  # a line for each table
    ANSWERS.write_text(text.replace("file:///folder", f"file://{FOLDER}") + "\n")


if __name__ == "__main__":
    main()
