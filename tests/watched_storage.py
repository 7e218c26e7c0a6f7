"""A way to object storage that counts what is asked of it, and refuses what a test wants refused."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Refusal = Callable[[str], int | None]
"""The status that a request gets instead of an answer, None for an answer; given its decoded path and query."""


class WatchedStorage:
    """The requests that came, oldest first, each as its method, its decoded path with its query, and its range."""

    def __init__(self, endpoint: str) -> None:
        self.requests: list[str] = []
        self.refuse: Refusal = lambda _: None
        self._to = urlsplit(endpoint).netloc
        watched = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                watched.answer(self)

            def do_HEAD(self) -> None:
                watched.answer(self)

            def do_PUT(self) -> None:
                watched.answer(self)

            def do_POST(self) -> None:
                watched.answer(self)

            def do_DELETE(self) -> None:
                watched.answer(self)

            def log_message(self, *_: object) -> None: ...

        ThreadingHTTPServer.request_queue_size = 256
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self) -> list[str]:
        """Return the requests since the last call."""
        taken, self.requests = self.requests, []
        return taken

    def answer(self, request: Any) -> None:
        asked = " ".join([request.command, unquote(request.path), *request.headers.get_all("Range", [])])
        self.requests.append(asked)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        status = self.refuse(asked)
        if status is not None:
            request.send_response(status)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        with closing(http.client.HTTPConnection(self._to, timeout=60)) as storage:
            storage.request(request.command, request.path, body, dict(request.headers))
            found = storage.getresponse()
            content = found.read()
        request.send_response(found.status)
        for name, value in found.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                request.send_header(name, value)
        length = found.getheader("Content-Length") if request.command == "HEAD" else None
        request.send_header("Content-Length", length or str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def watched_storage(endpoint: str) -> Iterator[WatchedStorage]:
    watched = WatchedStorage(endpoint)
    try:
        yield watched
    finally:
        watched.close()
