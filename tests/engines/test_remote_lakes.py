"""Lakes in object storage: who reaches the engine, what it reaches, and what is said where nothing can be read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lakehouse import isolation
from lakehouse.errors import LakeError, LakehouseError, UsageError
from lakehouse.gateway import Gateway, Proxy
from lakehouse.outlet import Outlet, outlet_of
from lakehouse.storage import Lake
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.worker import confinement
from tests.engines.conftest import ENGINES, Query
from tests.ports import is_reached, listening_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces, which are Linux's")

Embedded = Callable[..., LocalEngine]


def _say(engine: LocalEngine, query: Query, sql: str, *tables: str) -> str:
    """The rows of an answer, or why there is none, as text."""
    try:
        return str(engine.execute(query(sql, *tables), uuid.uuid4().hex).table.to_pylist())
    except LakehouseError as error:
        return str(error)


@pytest.mark.parametrize("isolation", ["auto", "required"])
def test_a_lake_in_object_storage_is_read_and_nobody_else_reaches_its_engine(
    embedded: Embedded, query: Query, remote_lake: Lake, tmp_path: Path, isolation: str
) -> None:
    (tmp_path / "secret.txt").write_text("a marker in a file\n")
    engine = embedded(remote_lake, engine_isolation=isolation)

    assert _say(engine, query, "SELECT sum(id) AS s FROM films VERSION AS OF 0", "films") == "[{'s': 15}]"

    assert os.readlink(f"/proc/{engine.process_id}/ns/net") != os.readlink("/proc/self/ns/net")
    assert engine.process_id is not None
    ports = listening_ports(engine.process_id)
    assert ports
    assert not [port for port in ports if is_reached(engine.process_id, port)]
    assert "denied" in _say(engine, query, f"SELECT * FROM text.`{tmp_path}/secret.txt`")


def test_without_isolation_the_danger_is_said(
    embedded: Embedded, query: Query, remote_lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    engine = embedded(remote_lake, engine_isolation="off")
    assert _say(engine, query, "SELECT count(*) AS n FROM films", "films") == "[{'n': 5}]"
    assert "every user of this machine can reach the embedded engine" in caplog.text


@pytest.mark.parametrize(
    ("setting", "is_remote", "starts"), [("auto", True, False), ("required", False, False), ("auto", False, True)]
)
def test_where_no_network_of_its_own_can_be_had_a_remote_lake_is_not_served(
    monkeypatch: pytest.MonkeyPatch, setting: str, is_remote: bool, starts: bool
) -> None:
    def isolate_network() -> None:
        raise isolation.IsolationError("the system does not allow it")

    monkeypatch.setattr(isolation, "isolate_network", isolate_network)
    settings = {"isolation": setting, "is_remote": is_remote, "kind": "embedded", "gateway": None}
    if starts:
        assert "Other users of this machine could reach it" in (confinement._confine_network(settings) or "")
    else:
        with pytest.raises(UsageError, match=r"cannot have a network of its own.*IMDB_ENGINE_ISOLATION"):
            confinement._confine_network(settings)


class _Store(BaseHTTPRequestHandler):
    """Answers with its path, once it may."""

    protocol_version = "HTTP/1.1"
    gate = threading.Event()

    def do_GET(self) -> None:
        if self.path.endswith("/slow"):
            self.gate.wait(20)
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def store() -> Iterator[ThreadingHTTPServer]:
    ThreadingHTTPServer.request_queue_size = 256
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _Store.gate.clear()
    yield server
    _Store.gate.set()
    server.shutdown()
    server.server_close()


_CHILD = """
import socket, sys, threading, urllib.request
from lakehouse import isolation
isolation.isolate_network()
isolation.use_proxy(isolation.open_way_out(int(sys.argv[1])))
def fetch(url):
    try:
        return urllib.request.urlopen(url, timeout=30).read().decode()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
{body}
"""


def _in_network_of_its_own(outlet: Outlet, body: str, *arguments: str) -> list[str]:
    """The lines that a process prints that has no way out but a gateway."""
    gateway = Gateway(Proxy(outlet).answer)
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD.replace("{body}", body), str(gateway.descriptor), *arguments],
            pass_fds=(gateway.descriptor,),
            stdout=subprocess.PIPE,
            text=True,
        )
        gateway.hand_over()
        return child.communicate(timeout=60)[0].splitlines()
    finally:
        gateway.close()


def test_the_way_out_leads_to_the_store_and_nowhere_else(store: ThreadingHTTPServer) -> None:
    body = """
for url in sys.argv[2:]:
    print(fetch(url))
host, port = sys.argv[2].split("/")[2].split(":")
try:
    socket.create_connection((host, int(port)), 2)
except OSError as error:
    print(type(error).__name__)
tunnel = socket.create_connection(tuple(urllib.request.getproxies()["http"].removeprefix("http://").split(":")), 5)
tunnel.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\n\\r\\nGET /tunnelled HTTP/1.0\\r\\n\\r\\n".encode())
print(b"".join(iter(lambda: tunnel.recv(4096), b"")).decode().split()[-1])
"""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"http://127.0.0.1:{store.server_port}"
        urls = [f"{address}/films", f"http://127.0.0.1:{other.getsockname()[1]}/", "http://169.254.169.254/latest/"]
        outlet = Outlet(frozenset({f"127.0.0.1:{store.server_port}"}))
        answers = _in_network_of_its_own(outlet, body, *urls)
    refused = "HTTPError: HTTP Error 403: Forbidden"
    assert answers == ["/films", refused, refused, "ConnectionRefusedError", "/tunnelled"]


def test_more_connections_than_the_way_out_takes_wait_for_their_turn(store: ThreadingHTTPServer) -> None:
    body = """
answers = []
threads = [threading.Thread(target=lambda: answers.append(fetch(sys.argv[2]))) for _ in range(150)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len([each for each in answers if each.endswith("/slow")]))
"""
    threading.Timer(3, _Store.gate.set).start()
    outlet = Outlet(frozenset({f"127.0.0.1:{store.server_port}"}))
    assert _in_network_of_its_own(outlet, body, f"http://127.0.0.1:{store.server_port}/slow") == ["150"]


@pytest.mark.parametrize(
    ("lake", "variables", "allowed", "refused"),
    [
        ("s3://lakes/imdb", {}, ["s3.eu-west-1.amazonaws.com:443", "lakes.s3.amazonaws.com:443", "169.254.169.254:80"],
         ["others.s3.amazonaws.com:443", "s3.amazonaws.com:80", "example.com:443", "lakes.s3.example.com:443"]),
        ("s3://lakes/imdb", {"AWS_ENDPOINT_URL": "http://minio:9000", "AWS_ACCESS_KEY_ID": "k"}, ["minio:9000"],
         ["s3.amazonaws.com:443", "minio:80", "169.254.169.254:80"]),
        ("abfss://lakes@account.dfs.core.windows.net/imdb", {"AZURE_STORAGE_ACCOUNT_KEY": "a2V5"},
         ["account.blob.core.windows.net:443", "login.microsoftonline.com:443"],
         ["other.blob.core.windows.net:443", "169.254.169.254:80"]),
        ("gs://lakes/imdb", {}, ["storage.googleapis.com:443", "oauth2.googleapis.com:443"], ["google.com:443"]),
    ],
)  # fmt: skip
def test_the_hosts_of_a_store_are_those_of_its_url_and_its_variables(
    monkeypatch: pytest.MonkeyPatch, lake: str, variables: dict[str, str], allowed: list[str], refused: list[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outlet = outlet_of(Lake.parse(lake))
    assert outlet is not None
    for address in (*allowed, *refused):
        host, _, port = address.rpartition(":")
        assert outlet.allows(host, int(port)) == (address in allowed), address


def test_a_lake_on_this_machine_has_no_way_out_but_to_what_else_is_named(lake: Lake) -> None:
    assert outlet_of(lake) is None
    outlet = outlet_of(lake, ["https://api.openai.com/v1", "http://[::1]:11434/v1", "no url"])
    assert outlet is not None
    assert outlet.allows("api.openai.com", 443)
    assert outlet.allows("::1", 11434)
    for host, port in (("api.openai.com", 80), ("openai.com", 443), ("s3.amazonaws.com", 443), ("::1", 80)):
        assert not outlet.allows(host, port)


def test_the_proxy_of_a_store_leads_to_the_store_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROXY_URL", "http://proxy.of.store:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.of.all:3128")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    outlet = outlet_of(Lake.parse("s3://lakes/imdb"), ["https://api.openai.com/v1"])
    assert outlet is not None
    assert outlet.proxy_to("s3.amazonaws.com", 443) == "http://proxy.of.store:3128"
    assert outlet.proxy_to("api.openai.com", 443) == "http://proxy.of.all:3128"
    assert outlet.proxy_to("169.254.169.254", 80) is None


@pytest.mark.parametrize(
    ("url", "variables", "says"),
    [
        ("s3://lakes/imdb", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "k",
                             "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "r"}, "set AWS_ALLOW_HTTP=true"),
        ("s3://lakes/imdb", {"AWS_ACCESS_KEY_ID": "k"}, "AWS_SECRET_ACCESS_KEY"),
        ("abfss://lakes@account.dfs.core.windows.net/imdb", {"AZURE_STORAGE_ACCOUNT_KEY": "no base64!"}, "Check AZURE"),
        ("abfss://lakes/imdb", {}, "abfss://container@account"),
        ("gs://lakes/imdb", {"GOOGLE_APPLICATION_CREDENTIALS": "/no/such/file"}, "GOOGLE_APPLICATION_CREDENTIALS"),
        ("ftp://lakes/imdb", {}, "no storage that can be read"),
        ("s3://", {}, "no storage that can be read"),
    ],
)  # fmt: skip
def test_storage_that_cannot_be_read_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], says: str
) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((LakeError, UsageError), match=says) as failure:
        Lake.parse(url).read_file("_manifest.json")
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("s3://lakes/imdb", {"AWS_ENDPOINT_URL": "{silent}", "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "k",
                             "AWS_SECRET_ACCESS_KEY": "s"}),
        ("abfss://lakes@account.dfs.core.windows.net/imdb", {"AZURE_PROXY_URL": "{silent}",
                                                             "AZURE_STORAGE_ACCOUNT_KEY": "a2V5"}),
    ],
)  # fmt: skip
def test_a_load_into_storage_that_does_not_answer_ends_at_a_signal(
    url: str, variables: dict[str, str], tmp_path: Path
) -> None:
    load = [sys.executable, "-W", "ignore", "-m", "etl.cli"]
    subprocess.run([*load, "sample", "--out", tmp_path / "source", "--titles", "20"], check=True, capture_output=True)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = os.environ | {name: value.format(silent=address) for name, value in variables.items()}
        command = [*load, "load", "--source", str(tmp_path / "source"), "--lake", url]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
            silent.settimeout(60)
            connection, _ = silent.accept()
            started = time.monotonic()
            child.send_signal(signal.SIGTERM)
            assert "interrupted" in child.communicate(timeout=60)[1]
        connection.close()
    assert child.returncode == 130
    assert time.monotonic() - started < 10


def test_spark_of_this_machine_says_that_it_reads_no_object_storage(settings_of: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="no client for object storage"):
        ENGINES["spark"](Lake.parse("s3://lakes/imdb"), settings_of())  # type: ignore[arg-type]
