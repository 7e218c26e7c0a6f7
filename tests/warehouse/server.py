"""The warehouse's door: HTTP on loopback, who may come in, and what goes wrong on the way when a test says so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from databricks.sql.thrift_api.TCLIService import TCLIService
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from tests.ports import free_port
from tests.warehouse.service import Service

HTTP_PATH = "/sql/1.0/warehouses/0123456789abcdef"


@dataclass
class Fault:
    """What happens to the next requests of a method: an HTTP status, or without one a connection that breaks.

    `after` lets the request be done first, so that only its answer is lost.
    """

    method: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    after: bool = False


class WarehouseServer:
    """One warehouse on one port. `tokens` are those that are accepted, None for any."""

    def __init__(self, spark_url: str) -> None:
        self.service = Service(spark_url)
        self.tokens: set[str] | None = None
        self.requests: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self._faults: list[Fault] = []
        self._http: _Http | None = None
        self.port = free_port()
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}{HTTP_PATH}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._http = _Http(("127.0.0.1", self.port), self)
        threading.Thread(target=self._http.serve_forever, args=[0.02], daemon=True).start()

    def stop(self) -> None:
        """Accept no connections and break those that are open; sessions stay as they are."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http.break_connections()
            self._http = None

    def restart(self) -> None:
        """Come back without any memory of sessions and operations."""
        self.stop()
        end = self.service.forget_all()
        self.start()
        end()

    def close(self) -> None:
        self.stop()
        self.service.forget_all()()

    def will(self, *faults: Fault) -> None:
        """Let things go wrong, in this order for each method."""
        self._faults += faults

    def fault(self, method: str) -> Fault | None:
        """The fault of this request, if it has one."""
        found = next((fault for fault in self._faults if fault.method == method), None)
        if found is not None:
            found.times -= 1
            if found.times == 0:
                self._faults.remove(found)
        return found

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = (headers.get("Authorization") or "").partition(" ")
        return scheme == "Bearer" and bool(token) and (self.tokens is None or token in self.tokens)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], warehouse: WarehouseServer) -> None:
        super().__init__(address, _Handler)
        self.warehouse = warehouse
        self.open_sockets: set[socket.socket] = set()

    def break_connections(self) -> None:
        for each in list(self.open_sockets):
            _break(each)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def setup(self) -> None:
        super().setup()
        self.server.open_sockets.add(self.connection)

    def finish(self) -> None:
        self.server.open_sockets.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        warehouse = self.server.warehouse
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method, _, _ = TBinaryProtocol(TMemoryBuffer(body)).readMessageBegin()
        warehouse.requests.append(method)
        warehouse.headers.append(dict(self.headers))
        fault = warehouse.fault(method)
        if fault is not None and not fault.after:
            self._fail(fault)
        elif not warehouse.lets_in(self.headers):
            self._answer(403, b"", {"x-databricks-reason-phrase": "Invalid access token."})
        else:
            answer = TMemoryBuffer()
            TCLIService.Processor(warehouse.service).process(
                TBinaryProtocol(TMemoryBuffer(body)), TBinaryProtocol(answer)
            )
            if fault is not None:
                self._fail(fault)
            else:
                self._answer(200, answer.getvalue(), {"Content-Type": "application/x-thrift"})

    def _fail(self, fault: Fault) -> None:
        if fault.status is None:
            self.close_connection = True
            _break(self.connection)
        else:
            self._answer(fault.status, b"", fault.headers)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is gone already
