"""`imdb-etl download` against a real server on this machine that cuts, changes, lies and refuses."""

from __future__ import annotations

import gzip
import http.server
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import filelock
import pytest

from etl.datasets import DATASETS
from etl.download import TERMS, RetryPolicy, download_files
from lakehouse.errors import SourceError, UsageError

NAMES = [f"{dataset.file}.tsv.gz" for dataset in DATASETS]
BIG = "title.principals.tsv.gz"
MODIFIED = "Sun, 01 Mar 2026 06:00:00 GMT"
NOW = 1_800_000_000.0


def content(seed: int, size: int) -> bytes:
    """Gzip bytes that do not shrink."""
    return gzip.compress(random.Random(seed).randbytes(size), mtime=0)


@dataclass
class Site:
    """What the server has and how it behaves. `tricks` are used up, one per request for that file."""

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    tricks: dict[str, list[Callable[[Handler], bool]]] = field(default_factory=dict)
    modified: str | None = MODIFIED
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def put(self, name: str, data: bytes, etag: str | None = '"v1"') -> None:
        self.files[name] = data
        self.etags.pop(name, None)
        if etag:
            self.etags[name] = etag

    def headers_of(self, name: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.requests if asked == name]


class Handler(http.server.BaseHTTPRequestHandler):
    """Ranges and conditions as in RFC 9110, and whatever trick is next."""

    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.name = self.path.rsplit("/", 1)[-1]
        self.site.requests.append((self.name, {key.title(): value for key, value in self.headers.items()}))
        tricks = self.site.tricks.get(self.name, [])
        if tricks and tricks.pop(0)(self):
            return
        if self.name not in self.site.files:
            self.answer(404, {}, b"<html>no such file</html>")
            return
        self.serve()

    def serve(self, *, cut_after: int | None = None) -> None:
        data, etag = self.site.files[self.name], self.site.etags.get(self.name)
        common = {"ETag": etag, "Last-Modified": self.site.modified, "Accept-Ranges": "bytes"}
        common = {key: value for key, value in common.items() if value}
        if self.unchanged(etag):
            self.answer(304, common, None)
            return
        begin = self.begin(etag)
        if begin:
            common["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        self.answer(206 if begin else 200, common, data[begin:], cut_after=cut_after)

    def unchanged(self, etag: str | None) -> bool:
        if "If-None-Match" in self.headers:
            return self.headers["If-None-Match"] == etag
        return self.site.modified is not None and self.headers.get("If-Modified-Since") == self.site.modified

    def begin(self, etag: str | None) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range") in {etag, self.site.modified}:
            return int(asked[1])
        return 0

    def answer(self, status: int, headers: dict[str, str], body: bytes | None, *, cut_after: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if body is not None and "Transfer-Encoding" not in headers:
            self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
        self.end_headers()
        sent = (body or b"")[:cut_after]
        self.wfile.write(sent)
        self.site.sent[self.name] += len(sent)
        if cut_after is not None:
            self.close_connection = True

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length":
            if getattr(self, "_length_sent", False):
                return
            self._length_sent = True
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        self._length_sent = False
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    for number, name in enumerate(NAMES):
        site.put(name, content(number, 400_000 if name == BIG else 3_000))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"site": site}))
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Waits:
    """Takes the place of the clock: nothing is waited for, everything is noted."""

    seconds: list[float] = field(default_factory=list)

    @property
    def policy(self) -> RetryPolicy:
        return RetryPolicy(sleep=self.seconds.append, now=lambda: NOW, chance=lambda: 1.0, answer_within=10)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def cut(after: int) -> Callable[[Handler], bool]:
    """Break the connection after so many bytes of the body."""

    def trick(handler: Handler) -> bool:
        handler.serve(cut_after=after)
        return True

    return trick


def status(code: int, **headers: str) -> Callable[[Handler], bool]:
    def trick(handler: Handler) -> bool:
        handler.answer(code, {key.replace("_", "-"): value for key, value in headers.items()}, b"")
        return True

    return trick


def assert_equal(out: Path, site: Site) -> None:
    assert {name: (out / name).read_bytes() for name in NAMES} == site.files
    assert list(out.glob("*.part")) == []


def test_all_seven_files_arrive_whole(tmp_path: Path, site: Site, waits: Waits) -> None:
    told: list[tuple[str, int, int | None]] = []
    files = download_files(
        tmp_path / "new", url=site.url + "/", progress=lambda *now: told.append(now), policy=waits.policy
    )
    assert files == [tmp_path / "new" / name for name in NAMES]
    assert_equal(tmp_path / "new", site)
    size = len(site.files[BIG])
    assert (BIG, size, size) in told
    assert waits.seconds == []
    assert {path.stat().st_mtime for path in files} == {parsedate_to_datetime(MODIFIED).timestamp()}


def test_a_complete_and_unchanged_file_is_not_fetched_again(tmp_path: Path, site: Site) -> None:
    download_files(tmp_path, url=site.url)
    before = site.sent.copy()
    told: list[tuple[str, int, int | None]] = []
    download_files(tmp_path, url=site.url, progress=lambda *now: told.append(now))
    assert site.sent == before
    assert (BIG, len(site.files[BIG]), len(site.files[BIG])) in told


def test_only_what_changed_is_fetched_again(tmp_path: Path, site: Site) -> None:
    download_files(tmp_path, url=site.url)
    site.put(BIG, content(99, 300_000), '"v2"')
    before = site.sent.copy()
    download_files(tmp_path, url=site.url)
    assert site.sent - before == Counter({BIG: len(site.files[BIG])})
    assert_equal(tmp_path, site)


def test_a_file_that_somebody_replaced_here_is_fetched_again(tmp_path: Path, site: Site) -> None:
    download_files(tmp_path, url=site.url)
    (tmp_path / BIG).write_bytes(b"\0" * len(site.files[BIG]))
    download_files(tmp_path, url=site.url)
    assert_equal(tmp_path, site)


def test_without_etag_or_date_the_size_decides(tmp_path: Path, site: Site) -> None:
    site.modified = None
    for name in NAMES:
        site.put(name, site.files[name], etag=None)
    download_files(tmp_path, url=site.url)
    stamp = (tmp_path / BIG).stat().st_mtime_ns
    download_files(tmp_path, url=site.url)
    assert (tmp_path / BIG).stat().st_mtime_ns == stamp
    site.put(BIG, content(5, 10_000), etag=None)
    download_files(tmp_path, url=site.url)
    assert_equal(tmp_path, site)


@pytest.mark.parametrize(("etag", "proof"), [('"v1"', '"v1"'), (None, MODIFIED), ('W/"v1"', MODIFIED)])
def test_a_cut_connection_is_resumed_where_it_broke(
    tmp_path: Path, site: Site, waits: Waits, etag: str | None, proof: str
) -> None:
    site.put(BIG, site.files[BIG], etag)
    site.tricks[BIG] = [cut(150_000), cut(100_000)]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert_equal(tmp_path, site)
    assert [headers.get("Range") for headers in site.headers_of(BIG)] == [None, "bytes=150000-", "bytes=250000-"]
    assert [headers.get("If-Range") for headers in site.headers_of(BIG)] == [None, proof, proof]
    assert site.sent[BIG] == len(site.files[BIG])
    assert waits.seconds == [1.0, 1.0]  # each attempt brought something: not a series of failures


def test_a_version_that_changes_in_between_is_never_mixed(tmp_path: Path, site: Site, waits: Waits) -> None:
    def replaced(_: Handler) -> bool:
        site.put(BIG, content(7, 380_000), '"v2"')
        return False

    site.tricks[BIG] = [cut(200_000), replaced]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert_equal(tmp_path, site)


def test_a_server_that_ignores_if_range_cannot_mix_versions_either(tmp_path: Path, site: Site, waits: Waits) -> None:
    def careless(handler: Handler) -> bool:
        site.put(BIG, content(7, 400_000), '"v2"')
        data, begin = site.files[BIG], 200_000
        handler.answer(
            206, {"ETag": '"v2"', "Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}, data[begin:]
        )
        return True

    site.tricks[BIG] = [cut(200_000), careless]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert_equal(tmp_path, site)


def test_a_range_that_does_not_fit_starts_the_file_anew(tmp_path: Path, site: Site, waits: Waits) -> None:
    def shifted(handler: Handler) -> bool:
        data = site.files[BIG]
        handler.answer(206, {"Content-Range": f"bytes 10-{len(data) - 1}/{len(data)}"}, data[10:])
        return True

    site.tricks[BIG] = [cut(200_000), shifted]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert_equal(tmp_path, site)


def test_a_server_without_ranges_sends_the_file_anew(tmp_path: Path, site: Site, waits: Waits) -> None:
    def whole(handler: Handler) -> bool:
        del handler.headers["Range"]
        return False

    site.tricks[BIG] = [cut(200_000), whole]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert_equal(tmp_path, site)


def test_416_drops_what_is_here_and_begins_again(tmp_path: Path, site: Site, waits: Waits) -> None:
    site.tricks[BIG] = [cut(200_000), status(416)]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert_equal(tmp_path, site)


def test_retry_after_is_honoured_up_to_a_bound(tmp_path: Path, site: Site, waits: Waits) -> None:
    later = formatdate(NOW + 42, usegmt=True)
    site.tricks[NAMES[0]] = [
        status(429, Retry_After="17"),
        status(503, Retry_After=later),
        status(429, Retry_After="9999"),
    ]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert waits.seconds == [17.0, 42.0, 120.0]
    assert_equal(tmp_path, site)


def test_waits_grow_and_give_up_after_a_number_of_failures_in_a_row(tmp_path: Path, site: Site, waits: Waits) -> None:
    site.tricks[NAMES[0]] = [status(502)] * 9
    with pytest.raises(SourceError, match=r"the server answered 502, 6 times in a row.*IMDB_DOWNLOAD_URL"):
        download_files(tmp_path, url=site.url, policy=waits.policy)
    assert waits.seconds == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(site.requests) == 6


def test_chance_spreads_the_waits() -> None:
    assert RetryPolicy(chance=lambda: 0.0).compute_wait(3, 0) == 2.0
    assert RetryPolicy(chance=lambda: 1.0).compute_wait(3, 0) == 4.0


def test_a_size_that_is_never_reached_is_said_and_leaves_no_file(tmp_path: Path, site: Site, waits: Waits) -> None:
    def short(handler: Handler) -> bool:
        data = site.files[BIG]
        handler.answer(200, {"Content-Length": str(len(data) + 5_000)}, data, cut_after=len(data))
        return True

    site.tricks[BIG] = [short] * 20
    with pytest.raises(SourceError, match=f"{BIG} could not be fetched: .*6 times in a row"):
        download_files(tmp_path, url=site.url, policy=waits.policy)
    assert not (tmp_path / BIG).exists()


def test_a_file_without_its_size_is_refused(tmp_path: Path, site: Site) -> None:
    def chunked(handler: Handler) -> bool:
        handler.answer(200, {"Transfer-Encoding": "chunked"}, b"5\r\nabcde\r\n0\r\n\r\n")
        return True

    site.tricks[NAMES[0]] = [chunked]
    with pytest.raises(SourceError, match="comes without its size"):
        download_files(tmp_path, url=site.url)


@pytest.mark.parametrize(("body", "said"), [(b"<html>Sign in</html>", "not a gzip file"), (b"", "is empty")])
def test_what_is_no_gzip_file_is_refused(tmp_path: Path, site: Site, body: bytes, said: str) -> None:
    site.put(NAMES[0], body)
    with pytest.raises(SourceError, match=said):
        download_files(tmp_path, url=site.url)
    assert not (tmp_path / NAMES[0]).exists()


def test_a_missing_file_is_said_at_once(tmp_path: Path, site: Site, waits: Waits) -> None:
    del site.files[NAMES[1]]
    with pytest.raises(SourceError, match=f"{NAMES[1]} answered 404 Not Found. Is IMDB_DOWNLOAD_URL right"):
        download_files(tmp_path, url=site.url, policy=waits.policy)
    assert waits.seconds == []
    assert (tmp_path / NAMES[0]).read_bytes() == site.files[NAMES[0]]


def test_redirects_are_followed_on_http_alone(tmp_path: Path, site: Site, waits: Waits) -> None:
    site.tricks[NAMES[0]] = [status(302, Location=f"{site.url}/elsewhere/{NAMES[0]}")]
    download_files(tmp_path, url=site.url, policy=waits.policy)
    assert_equal(tmp_path, site)
    for target in ("file:///etc/hostname", "ftp://127.0.0.1/x"):
        site.tricks[NAMES[0]] = [status(302, Location=target)]
        with pytest.raises(SourceError, match="not http or https"):
            download_files(tmp_path, url=site.url, policy=waits.policy)
    site.tricks[NAMES[0]] = [status(302, Location=f"/{NAMES[0]}")] * 50
    with pytest.raises(SourceError, match="redirects"):
        download_files(tmp_path, url=site.url, policy=waits.policy)
    assert waits.seconds == []


def test_an_unknown_host_and_a_closed_port_are_said(
    tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(SourceError, match=r"http://nowhere\.invalid/.*(no such host|connection failed)"):
        download_files(tmp_path, url="http://nowhere.invalid", policy=waits.policy)
    with pytest.raises(SourceError, match="the connection failed"):
        download_files(tmp_path, url="http://127.0.0.1:9", policy=waits.policy)


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "file:///tmp", "example.org", "http://", "https://u:secret@h", "http://host:port"]
)
def test_an_address_that_cannot_be_is_wrong_usage_and_hides_secrets(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="IMDB_DOWNLOAD_URL") as caught:
        download_files(tmp_path, url=url)
    assert "secret" not in str(caught.value)


def test_a_full_disk_keeps_what_came_and_the_next_run_goes_on(tmp_path: Path, site: Site) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(SourceError, match=r"could not be written to .* is kept: make room"):
            download_files(tmp_path, url=site.url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = (tmp_path / f"{BIG}.part").stat().st_size
    assert 0 < kept <= 100_000
    download_files(tmp_path, url=site.url)
    assert site.headers_of(BIG)[-1]["Range"] == f"bytes={kept}-"
    assert_equal(tmp_path, site)


def test_a_file_larger_than_the_free_space_is_not_begun(tmp_path: Path, site: Site) -> None:
    def huge(handler: Handler) -> bool:
        handler.answer(200, {"Content-Length": str(10**17)}, b"\x1f\x8b", cut_after=2)
        return True

    site.tricks[NAMES[0]] = [huge]
    with pytest.raises(SourceError, match=r"needs 100,000,000,000 MB more and .* MB are free"):
        download_files(tmp_path, url=site.url)


def test_two_downloads_into_one_folder_do_not_run_at_once(tmp_path: Path, site: Site) -> None:
    with filelock.FileLock(tmp_path / ".download.lock"), pytest.raises(SourceError, match="Another download"):
        download_files(tmp_path, url=site.url)
    assert site.requests == []


def test_a_note_that_is_not_ours_does_no_harm(tmp_path: Path, site: Site) -> None:
    (tmp_path / f".{BIG}.json").write_text('{"size": 3}')
    (tmp_path / f"{BIG}.part").write_bytes(b"left by another program")
    download_files(tmp_path, url=site.url)
    assert_equal(tmp_path, site)


def test_bytes_of_another_address_are_not_continued(tmp_path: Path, site: Site, waits: Waits) -> None:
    site.tricks[BIG] = [cut(100_000)] + [status(500)] * 6
    with pytest.raises(SourceError):
        download_files(tmp_path, url=site.url, policy=waits.policy)
    download_files(tmp_path, url=f"{site.url}/mirror", policy=waits.policy)
    assert "Range" not in site.headers_of(BIG)[-1]
    assert_equal(tmp_path, site)


def test_after_a_kill_in_mid_file_only_the_rest_is_fetched(tmp_path: Path, site: Site) -> None:
    go_on = threading.Event()

    def stalled(handler: Handler) -> bool:
        data = site.files[BIG]
        handler.answer(200, {"ETag": '"v1"', "Content-Length": str(len(data))}, data[:262_144])
        handler.wfile.flush()
        go_on.wait(60)
        handler.close_connection = True
        return True

    site.tricks[BIG] = [stalled]
    code = (
        "import sys; from pathlib import Path; "
        "from etl.download import download_files; download_files(Path('.'), url=sys.argv[1])"
    )
    part = tmp_path / f"{BIG}.part"
    with subprocess.Popen([sys.executable, "-c", code, site.url], cwd=tmp_path, env=os.environ) as process:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 0):
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    go_on.set()
    assert not (tmp_path / BIG).exists()
    kept = part.stat().st_size
    site.sent.clear()
    download_files(tmp_path, url=site.url)
    assert site.sent[BIG] == len(site.files[BIG]) - kept
    assert site.sent[NAMES[0]] == 0
    assert_equal(tmp_path, site)


def test_a_kill_between_the_last_byte_and_the_name_costs_no_second_transfer(tmp_path: Path, site: Site) -> None:
    download_files(tmp_path, url=site.url)
    (tmp_path / BIG).rename(tmp_path / f"{BIG}.part")
    site.sent.clear()
    download_files(tmp_path, url=site.url)
    assert site.sent[BIG] == 0
    assert_equal(tmp_path, site)


def test_the_terms_name_the_source_and_the_restriction() -> None:
    assert "non-commercial" in TERMS
    assert "Information courtesy of IMDb" in TERMS
    assert "https://developer.imdb.com/non-commercial-datasets/" in TERMS
