"""`imdb-etl download`: fetches IMDb's published files, and resumes an earlier run.

A file is written to `NAME.part` and renamed when it is complete. A small JSON file beside it stores the server's ETag,
date and size, so that a later run continues only the same version (RFC 9110: `Range` with `If-Range`) and fetches a
complete file again only if it has changed.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from etl.datasets import DATASETS
from lakehouse.errors import SourceError, UsageError

if TYPE_CHECKING:
    import httpx2

TERMS = """\
IMDb's files are for personal and non-commercial use only. They may not be altered, republished, resold or
repurposed into any database of film information, online or offline, except for individual personal use, and
whoever shows data from them must say: "Information courtesy of IMDb (https://www.imdb.com). Used with permission."
IMDb's own words decide: https://developer.imdb.com/non-commercial-datasets/"""

OnProgress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes received so far, and its size in bytes."""

_SETTING = "IMDB_DOWNLOAD_URL"
_GZIP_MAGIC = b"\x1f\x8b"
_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and waits in seconds. `failures` is the limit of attempts in a row without a new byte."""

    failures: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    answer_within: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def compute_wait(self, failures: int, asked: float) -> float:
        """Compute the wait before the next attempt in seconds: exponential backoff with jitter.

        `asked` is the server's `Retry-After` in seconds; it is respected up to the longest wait.
        """
        backoff = self.first_wait * 2.0 ** (failures - 1) * (0.5 + self.chance() / 2)
        return min(max(backoff, asked), self.longest_wait)


def download_files(
    out: Path, *, url: str, progress: OnProgress | None = None, policy: RetryPolicy = RetryPolicy()
) -> list[Path]:
    """Fetch the seven files from `url` into a folder and return their paths.

    Raises UsageError for a URL that is not http(s), and SourceError if a file cannot be completed; received bytes are
    kept for the next run.
    """
    import filelock
    import httpx2

    base = _parse_url(url)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (
            filelock.FileLock(out / ".download.lock", timeout=0),
            httpx2.Client(timeout=policy.answer_within, follow_redirects=True) as client,
        ):
            names = [f"{dataset.file}.tsv.gz" for dataset in DATASETS]
            transfers = [_Transfer(client, f"{base}/{name}", out / name, policy, progress) for name in names]
            return [transfer.fetch_file() for transfer in transfers]
    except filelock.Timeout as error:
        raise SourceError(f"Another download into {out} is running. Wait for it, or give another --out.") from error
    except OSError as error:
        raise SourceError(
            f"The files could not be written to {out}: {error.strerror or error}. What has arrived is kept: make "
            "room or give another --out, and run it again."
        ) from error


@dataclass(frozen=True)
class _Version:
    """The server's metadata of a file. `written` is the modification time of the complete local file (ns), or None."""

    url: str
    etag: str | None
    last_modified: str | None
    size: int
    written: int | None = None

    @property
    def validator(self) -> str | None:
        """Validator for `If-Range`: a strong ETag or the date. A weak ETag is not allowed (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    @property
    def change_conditions(self) -> dict[str, str]:
        """Headers of a conditional request, answered by 304 if this version is current."""
        conditions = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in conditions.items() if value}


class _RetryableError(Exception):
    """A temporary failure of an attempt. `asked` is the server's `Retry-After` in seconds."""

    def __init__(self, reason: str, asked: float = 0.0) -> None:
        super().__init__(reason)
        self.asked = asked


class _Transfer:
    """The download of one file."""

    def __init__(
        self, client: httpx2.Client, url: str, target: Path, policy: RetryPolicy, progress: OnProgress | None
    ) -> None:
        self._client, self._url, self._target, self._policy = client, url, target, policy
        self._progress = progress or (lambda _name, _done, _size: None)
        self._part = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f".{target.name}.json")

    def fetch_file(self) -> Path:
        """Fetch the file. Raises SourceError after too many attempts in a row without a new byte."""
        failures, most = 0, self._count_arrived()
        while True:
            try:
                return self._attempt_fetch()
            except _RetryableError as again:
                failures = 1 if self._count_arrived() > most else failures + 1
                most = max(most, self._count_arrived())
                if failures >= self._policy.failures:
                    raise SourceError(
                        f"{self._target.name} could not be fetched: {again}, {failures} times in a row. "
                        f"What has arrived is kept; run it again later, or set {_SETTING} to another address."
                    ) from again
                self._policy.sleep(self._policy.compute_wait(failures, again.asked))

    def _attempt_fetch(self) -> Path:
        known = self._read_note()
        headers = {"Accept-Encoding": "identity"}
        if known and self._is_complete(known):
            headers |= known.change_conditions
        elif known and known.validator and self._count_arrived():
            headers |= {"Range": f"bytes={self._count_arrived()}-", "If-Range": known.validator}
        with self._open_response(headers) as response:
            if response.status_code == 304 and known:
                return self._finish_file(known)
            if response.status_code == 206 and known:
                return self._receive_rest(response, known)
            if response.status_code == 200:
                return self._receive_whole(response, known)
            if response.status_code in _RETRYABLE_STATUSES:
                raise _RetryableError(f"the server answered {response.status_code}", self._parse_retry_after(response))
            if response.status_code in {206, 304, 416}:
                self._part.unlink(missing_ok=True)
                raise _RetryableError(f"the server's answer {response.status_code} does not fit what is here")
        raise SourceError(f"{self._url} answered {response.status_code} {response.reason_phrase}. Is {_SETTING} right?")

    @contextlib.contextmanager
    def _open_response(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        """Open the response, with its body unread. Converts errors to SourceError or _RetryableError."""
        import httpx2

        try:
            with self._client.stream("GET", self._url, headers=headers) as response:
                yield response
        except httpx2.UnsupportedProtocol as error:
            raise SourceError(
                f"{self._url} was redirected to an address that is not http or https, which is not followed. "
                f"Is {_SETTING} right?"
            ) from error
        except httpx2.TransportError as error:
            if _is_unknown_host(error):
                raise SourceError(
                    f"{self._url} could not be fetched: there is no such host, or no network. Is {_SETTING} right?"
                ) from error
            raise _RetryableError(f"the connection failed ({error or type(error).__name__})") from error
        except httpx2.RequestError as error:  # such as too many redirects
            raise SourceError(f"{self._url} could not be fetched: {error}. Is {_SETTING} right?") from error

    def _receive_whole(self, response: httpx2.Response, known: _Version | None) -> Path:
        """Receive the whole file. Old bytes are removed before the new version is noted."""
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise SourceError(
                f"{self._url} comes without its size, so it cannot be checked. Set {_SETTING} to another."
            )
        version = _Version(self._url, response.headers.get("ETag"), response.headers.get("Last-Modified"), int(length))
        if known and self._is_complete(known) and replace(known, written=None) == version and not version.validator:
            return self._finish_file(known)  # without a validator only the size can be compared
        self._part.unlink(missing_ok=True)
        self._write_note(version)
        return self._receive_bytes(response, version)

    def _receive_rest(self, response: httpx2.Response, known: _Version) -> Path:
        """Receive the rest of the file. Raises _RetryableError if the server has another version."""
        expected = f"bytes {self._count_arrived()}-{known.size - 1}/{known.size}"
        tag = response.headers.get("ETag", known.etag)
        if response.headers.get("Content-Range") != expected or tag != known.etag:
            self._part.unlink(missing_ok=True)
            raise _RetryableError("the file on the server changed in between")
        return self._receive_bytes(response, known)

    def _receive_bytes(self, response: httpx2.Response, version: _Version) -> Path:
        arrived, name = self._count_arrived(), self._target.name
        free = shutil.disk_usage(self._target.parent).free
        if version.size - arrived > free:
            raise SourceError(
                f"{name} needs {(version.size - arrived) / 1e6:,.0f} MB more and {free / 1e6:,.0f} MB are free in "
                f"{self._target.parent}. Make room or give another --out, and run it again."
            )
        with self._part.open("ab") as file:
            for chunk in response.iter_raw():
                if arrived == 0 and not _GZIP_MAGIC.startswith(chunk[:2]):
                    raise SourceError(f"{self._url} is not a gzip file (an error page?). Is {_SETTING} right?")
                file.write(chunk)
                arrived += len(chunk)
                self._progress(name, arrived, version.size)
            file.flush()
            os.fsync(file.fileno())
        if arrived == 0:
            raise SourceError(f"{self._url} is empty. Is {_SETTING} right?")
        if arrived != version.size:
            raise _RetryableError(f"{arrived:,} bytes came of {version.size:,}")
        return self._finish_file(version)

    def _finish_file(self, version: _Version) -> Path:
        """Rename the complete file. The note is written first: a note without its file only causes a new fetch."""
        if self._part.exists():
            self._date_file(version.last_modified)
            self._write_note(replace(version, written=self._part.stat().st_mtime_ns))
            self._part.replace(self._target)
        self._progress(self._target.name, version.size, version.size)
        return self._target

    def _date_file(self, last_modified: str | None) -> None:
        """Give the file the time at which the server says it was made: that of the data."""
        with contextlib.suppress(ValueError, OverflowError, OSError):
            moment = email.utils.parsedate_to_datetime(last_modified or "").timestamp()
            os.utime(self._part, (moment, moment))

    def _read_note(self) -> _Version | None:
        """Read the note about the received bytes: those of the part if there is one, else of the file."""
        try:
            version = _Version(**json.loads(self._note.read_text()))
        except (OSError, ValueError, TypeError):  # missing or foreign: the file is fetched again
            return None
        return version if version.url == self._url else None

    def _is_complete(self, known: _Version) -> bool:
        if self._part.exists():
            return self._count_arrived() == known.size
        if not self._target.exists():
            return False
        here = self._target.stat()
        return (here.st_size, here.st_mtime_ns) == (known.size, known.written)

    def _count_arrived(self) -> int:
        """Return the size of the part in bytes."""
        return self._part.stat().st_size if self._part.exists() else 0

    def _write_note(self, version: _Version) -> None:
        temporary = self._note.with_name(f"{self._note.name}.new")
        temporary.write_text(json.dumps(asdict(version)))
        temporary.replace(self._note)

    def _parse_retry_after(self, response: httpx2.Response) -> float:
        """Parse `Retry-After`, which is a number of seconds or a date (RFC 9110, 10.2.3), to seconds."""
        value = response.headers.get("Retry-After", "")
        if value.isdecimal():
            return float(value)
        try:
            return email.utils.parsedate_to_datetime(value).timestamp() - self._policy.now()
        except ValueError:
            return 0.0


def _parse_url(url: str) -> str:
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise UsageError(f"{_SETTING} is not an address: {error}.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo or parsed.query:
        raise UsageError(f"{_SETTING} is an http or https address of a folder, without user, password or '?'.")
    return str(parsed).rstrip("/")


def _is_unknown_host(error: httpx2.TransportError) -> bool:
    """Return whether the host name does not exist. Other lookup failures may be temporary."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, socket.gaierror):
        cause = cause.__cause__ or cause.__context__
    return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
