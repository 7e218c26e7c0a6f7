"""What an engine's process gets of a lake in object storage: its files and pinned logs to read, and nothing else."""

from __future__ import annotations

import http.client
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lakehouse.errors import LakeError
from lakehouse.gateway import Gateway
from lakehouse.isolation import open_way_out
from lakehouse.storage import Lake
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.store_server import StoreServer
from tests.engines.conftest import Query
from tests.engines.watching import rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces, which are Linux's")

Ask = Callable[..., tuple[int, bytes]]
CONTENT = bytes(range(256)) * 20_000  # more than one piece of it
PINNED = "/pinned/7/_delta_log/00000000000000000003.checkpoint.json"


@pytest.fixture
def ask(bucket: str, tmp_path: Path) -> Iterator[Ask]:
    """Sends a request to a server of a lake with the file `films/a b.parquet`; its status and body."""
    lake = Lake.parse(f"{bucket}/lake")
    lake.replace_file("films/a b.parquet", CONTENT)
    lake.replace_file("films/empty", b"")
    Lake.parse(bucket).replace_file("other/secret", b"secret")
    (tmp_path / "secret").write_text("secret")
    logs = tmp_path / "tables"
    (logs / "7" / "_delta_log").mkdir(parents=True)
    (logs / "7" / "_delta_log" / PINNED.rpartition("/")[2]).write_text("{}\n")
    (logs / "7" / "_delta_log" / "link.json").symlink_to(tmp_path / "secret")
    (logs / "8").mkdir()
    (logs / "8" / "_delta_log").symlink_to(tmp_path)
    (logs / "9").symlink_to(logs / "7")
    server = StoreServer(lake)
    server.logs = logs
    gateway = Gateway(server.answer)
    address = urlsplit(open_way_out(os.dup(gateway.descriptor))).netloc

    def send(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    yield send
    gateway.close()


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=1048570-1048589", 1048570, 1048590), ("bytes=5119990-", 5119990, 5120000),
     ("bytes=-7", 5119993, 5120000), ("bytes=5119999-9999999", 5119999, 5120000), ("", 0, 5120000)],
)  # fmt: skip
def test_ranges_of_a_file_are_those_bytes_of_it(ask: Ask, asked: str, start: int, end: int) -> None:
    for path in ("/lake/films/a%20b.parquet", "/pinned/7/lake/films/a%20b.parquet"):
        status, body = ask(path, **({"Range": asked} if asked else {}))
        assert (status, body == CONTENT[start:end]) == (206 if asked else 200, True)


def test_pinned_logs_are_listed_and_read_and_no_link_in_them_is_followed(ask: Ask) -> None:
    assert ask(PINNED) == (200, b"{}\n")
    assert ask(PINNED, Range="bytes=1-1") == (206, b"}")
    status, listing = ask("/pinned?list-type=2&prefix=7%2F_delta_log%2F")
    assert status == 200
    assert listing.count(b"<Key>") == 1
    assert b"7/_delta_log/00000000000000000003.checkpoint.json" in listing
    for listed in ("8/_delta_log/", "9/_delta_log/", "10/_delta_log/", "../", ""):
        assert b"<Key>" not in ask(f"/pinned?list-type=2&prefix={listed}")[1]
    for path in ("/pinned/7/_delta_log/link.json", "/pinned/8/_delta_log/secret", "/pinned/9" + PINNED[9:]):
        assert ask(path)[0] == 404, path


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/lake/films/a%20b.parquet", 405), ("POST", "/lake?delete", 405), ("DELETE", PINNED, 405),
        ("GET", "/lake/../other/secret", 404), ("GET", "/lake/%2e%2e/other/secret", 404), ("GET", "/lake/nothing", 404),
        ("GET", "/pinned/7/lake/../../other/secret", 404), ("GET", "/pinned/7/secret", 404), ("GET", "/lakes/x", 404),
        ("GET", "http://169.254.169.254/latest/meta-data/", 404), ("HEAD", "/lake/nothing", 404), ("GET", "/", 404),
        ("GET", "//[::1/x", 400),
        ("HEAD", "/lake/films/empty", 200), ("GET", "/lake/films/empty", 200),
    ],
)  # fmt: skip
def test_nothing_is_written_and_nothing_beside_the_lake_is_read(ask: Ask, method: str, path: str, status: int) -> None:
    found, body = ask(path, method)
    assert found == status
    assert b"secret" not in body.replace(b"/secret", b"")
    assert ask("/lake/films/a%20b.parquet", Range="bytes=0-3") == (206, CONTENT[:4])


def test_many_readers_at_once_get_their_own_bytes(ask: Ask) -> None:
    def read(start: int) -> bool:
        asked = f"bytes={start}-{start + 299_999}"
        return ask("/lake/films/a%20b.parquet", Range=asked) == (206, CONTENT[start : start + 300_000])

    with ThreadPoolExecutor(24) as threads:
        assert all(threads.map(read, range(0, 4_800_000, 20_000)))


def test_the_engine_has_no_credentials_and_no_network_but_its_own(
    embedded: Callable[..., LocalEngine], query: Query, remote_lake: Lake
) -> None:
    engine = embedded(remote_lake)
    assert rows(engine, query("SELECT sum(id) AS s FROM films", "films")) == [{"s": 15}]
    assert b"AWS_" not in Path(f"/proc/{engine.process_id}/environ").read_bytes()
    assert os.readlink(f"/proc/{engine.process_id}/ns/net") != os.readlink("/proc/self/ns/net")


class _Failing(BaseHTTPRequestHandler):
    """Passes requests on to the storage, but for those of data files."""

    storage = ""

    def do_GET(self) -> None:
        if ".parquet" in self.path:
            self.send_error(500)
            return
        with closing(http.client.HTTPConnection(self.storage, timeout=30)) as onward:
            onward.request(self.command, self.path, headers=dict(self.headers))
            answer = onward.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_a_storage_that_does_not_answer_is_not_taken_for_a_file_that_is_gone(
    embedded: Callable[..., LocalEngine],
    query: Query,
    remote_lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(_Failing, "storage", urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(LakeError, match=r"refuses it or does not answer\. Ask again in a minute"):
            rows(embedded(remote_lake), query("SELECT sum(id) AS s FROM films", "films"))
        server.shutdown()
    assert "The lake's storage did not give 'films/" in caplog.text


def test_a_data_file_that_is_gone_is_said_by_its_name(
    embedded: Callable[..., LocalEngine], query: Query, remote_lake: Lake
) -> None:
    (name,) = [each for each in remote_lake.objects.list_files("films") if each.endswith(".parquet")]
    remote_lake.remove_file(f"films/{name}")
    with pytest.raises(LakeError, match=rf"data file 1/lake/films/{name} cannot be read: there is no films/"):
        rows(embedded(remote_lake), query("SELECT sum(id) AS s FROM films", "films"))
