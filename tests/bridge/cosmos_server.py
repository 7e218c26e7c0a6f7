"""Two servers that speak like Azure Cosmos DB: an emulator from npm, and a script that answers as it is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

EMULATOR = "@vercel/cosmosdb-server@1.0.1"
KEY = "c2VjcmV0LWtleQ=="


@contextmanager
def emulating(folder: Path) -> Iterator[str]:
    """The address of an emulator, installed into `folder` once. Skips the test where there is no Node or no registry.

    It keeps items and honours If-Match. It does not expire items, and a batch neither undoes what it has done before
    a failure nor knows a replacement: the script is for these.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node and npm, for the emulator of Azure Cosmos DB")
    program = folder / "node_modules" / "@vercel" / "cosmosdb-server" / "lib" / "cli.js"
    if not program.exists():
        install = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", EMULATOR]
        if subprocess.run(
            [*install, "--prefix", str(folder)], capture_output=True, check=False, timeout=120
        ).returncode:
            pytest.skip("needs npm's registry, for the emulator of Azure Cosmos DB")
    command = [node, str(program), "--port", "0", "--host", "127.0.0.1", "--no-ssl"]
    environment = {"PATH": os.environ["PATH"]}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield "http://" + process.stdout.readline().split()[-1]
        finally:
            process.kill()


@dataclass(frozen=True)
class Received:
    """One request as it came; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """What one request for an item is answered with."""

    status: int = 201
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class ScriptedCosmos:
    """An account with a database and a container that are as `container` says; missing where that is None.

    Requests for items are answered from `script`, in order; all that came are `requests`.
    """

    def __init__(self, container: Mapping[str, Any] | None) -> None:
        self.container = container
        self.requests: list[Received] = []
        self.script: deque[Reply] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[ScriptedCosmos]:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, received: Received) -> Reply:
        self.requests.append(received)
        path = received.path.strip("/")
        if path == "":
            here = [{"name": "here", "databaseAccountEndpoint": self.url}]
            return Reply(200, {"id": "a", "writableLocations": here, "readableLocations": here})
        if "/docs" in path:
            return self.script.popleft()
        if path.endswith("/pkranges"):
            return Reply(200, {"PartitionKeyRanges": [{"id": "0", "minInclusive": "", "maxExclusive": "FF"}]})
        if path.endswith("/colls") and received.method == "POST":
            self.container = received.body
        if path.endswith(("/dbs", "/colls")):
            return Reply(201, received.body)
        if "/colls/" in path:
            return Reply(404) if self.container is None else Reply(200, {"_rid": "AAAA", **self.container})
        return Reply(200, {"id": "imdb-chat", "_rid": "AA=="})

    def items(self, method: str) -> list[Received]:
        """The requests for items that came with a method."""
        return [request for request in self.requests if "/docs" in request.path and request.method == method]


def _handler(server: ScriptedCosmos) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.answer(Received(self.command, self.path, headers, body))
            sent = b"" if reply.status == 204 else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(sent)), **reply.headers}.items():
                self.send_header(name, value)
            self._headers_buffer.append(b"\r\n" + sent)  # one packet: two would wait for each other
            self.flush_headers()

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler
