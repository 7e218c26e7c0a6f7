"""`imdb-etl download`: fetches IMDb's published files, resuming where an earlier run stopped.

A file arrives as `NAME.part` and gets its own name when it is complete. Beside it a small JSON file keeps
what the server said of it (ETag, date, size), so that a later run continues only the very same version
(RFC 9110: `Range` with `If-Range`) and fetches a complete file again only if it has changed.
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
"""Called with a file's name, the bytes here so far, and its size."""

_SETTING = "IMDB_DOWNLOAD_URL"
_GZIP_MAGIC = b"\x1f\x8b"
_WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """How long to insist, in seconds. `failures` counts attempts in a row that brought no new byte."""

    failures: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    answer_within: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def wait(self, failures: int, asked: float) -> float:
        """Twice as long each time, spread by chance so that many clients do not come back together.

        `asked` is what the server asked for (`Retry-After`); it is kept, up to the longest wait.
        """
        backoff = self.first_wait * 2.0 ** (failures - 1) * (0.5 + self.chance() / 2)
        return min(max(backoff, asked), self.longest_wait)


def download(out: Path, *, url: str, progress: OnProgress | None = None, patience: Patience = Patience()) -> list[Path]:
    """Fetches the seven files from `url` into the folder and gives their paths.

    Raises UsageError for an address that is not http(s), SourceError for whatever prevents a complete
    file; what has arrived is kept for the next run.
    """
    import filelock
    import httpx2

    base = _checked(url)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (
            filelock.FileLock(out / ".download.lock", timeout=0),
            httpx2.Client(timeout=patience.answer_within, follow_redirects=True) as client,
        ):
            names = [f"{dataset.file}.tsv.gz" for dataset in DATASETS]
            transfers = [_Transfer(client, f"{base}/{name}", out / name, patience, progress) for name in names]
            return [transfer.run() for transfer in transfers]
    except filelock.Timeout as error:
        raise SourceError(f"Another download into {out} is running. Wait for it, or give another --out.") from error
    except OSError as error:
        raise SourceError(
            f"The files could not be written to {out}: {error.strerror or error}. What has arrived is kept: make "
            "room or give another --out, and run it again."
        ) from error


@dataclass(frozen=True)
class _Version:
    """What the server said of a file. `written` is the time stamp of the complete file here, else null."""

    url: str
    etag: str | None
    last_modified: str | None
    size: int
    written: int | None = None

    @property
    def validator(self) -> str | None:
        """Proves that bytes belong to the same version. A weak ETag does not (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    @property
    def unless_changed(self) -> dict[str, str]:
        """Headers of a request that answers 304 for this version."""
        conditions = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in conditions.items() if value}


class _AgainError(Exception):
    """An attempt failed in a way that may pass. `asked`: seconds that the server wants to be left alone."""

    def __init__(self, reason: str, asked: float = 0.0) -> None:
        super().__init__(reason)
        self.asked = asked


class _Transfer:
    """One file on its way from its address to its place."""

    def __init__(
        self, client: httpx2.Client, url: str, target: Path, patience: Patience, progress: OnProgress | None
    ) -> None:
        self._client, self._url, self._target, self._patience = client, url, target, patience
        self._progress = progress or (lambda _name, _done, _size: None)
        self._part = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f".{target.name}.json")

    def run(self) -> Path:
        """Attempts until the file is here, or until nothing new came too many times in a row."""
        failures, most = 0, self._arrived()
        while True:
            try:
                return self._attempt()
            except _AgainError as again:
                failures = 1 if self._arrived() > most else failures + 1
                most = max(most, self._arrived())
                if failures >= self._patience.failures:
                    raise SourceError(
                        f"{self._target.name} could not be fetched: {again}, {failures} times in a row. "
                        f"What has arrived is kept; run it again later, or set {_SETTING} to another address."
                    ) from again
                self._patience.sleep(self._patience.wait(failures, again.asked))

    def _attempt(self) -> Path:
        known = self._known()
        headers = {"Accept-Encoding": "identity"}
        if known and self._is_complete(known):
            headers |= known.unless_changed
        elif known and known.validator and self._arrived():
            headers |= {"Range": f"bytes={self._arrived()}-", "If-Range": known.validator}
        with self._answer(headers) as response:
            if response.status_code == 304 and known:
                return self._finish(known)
            if response.status_code == 206 and known:
                return self._go_on(response, known)
            if response.status_code == 200:
                return self._start(response, known)
            if response.status_code in _WORTH_RETRYING:
                raise _AgainError(f"the server answered {response.status_code}", self._retry_after(response))
            if response.status_code in {206, 304, 416}:
                self._part.unlink(missing_ok=True)
                raise _AgainError(f"the server's answer {response.status_code} does not fit what is here")
        raise SourceError(f"{self._url} answered {response.status_code} {response.reason_phrase}. Is {_SETTING} right?")

    @contextlib.contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        """The answer, its body still to come; whatever goes wrong on the way is sorted here."""
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
            if _unknown_host(error):
                raise SourceError(
                    f"{self._url} could not be fetched: there is no such host, or no network. Is {_SETTING} right?"
                ) from error
            raise _AgainError(f"the connection failed ({error or type(error).__name__})") from error
        except httpx2.RequestError as error:  # such as too many redirects
            raise SourceError(f"{self._url} could not be fetched: {error}. Is {_SETTING} right?") from error

    def _start(self, response: httpx2.Response, known: _Version | None) -> Path:
        """The whole file, from its first byte. The old bytes go before the new version is noted."""
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise SourceError(
                f"{self._url} comes without its size, so it cannot be checked. Set {_SETTING} to another."
            )
        version = _Version(self._url, response.headers.get("ETag"), response.headers.get("Last-Modified"), int(length))
        if known and self._is_complete(known) and replace(known, written=None) == version and not version.validator:
            return self._finish(known)  # the size is all there is to go by
        self._part.unlink(missing_ok=True)
        self._remember(version)
        return self._receive(response, version)

    def _go_on(self, response: httpx2.Response, known: _Version) -> Path:
        """The rest of the file, if it is the rest of the same file."""
        expected = f"bytes {self._arrived()}-{known.size - 1}/{known.size}"
        tag = response.headers.get("ETag", known.etag)
        if response.headers.get("Content-Range") != expected or tag != known.etag:
            self._part.unlink(missing_ok=True)
            raise _AgainError("the file on the server changed in between")
        return self._receive(response, known)

    def _receive(self, response: httpx2.Response, version: _Version) -> Path:
        arrived, name = self._arrived(), self._target.name
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
            raise _AgainError(f"{arrived:,} bytes came of {version.size:,}")
        return self._finish(version)

    def _finish(self, version: _Version) -> Path:
        """The complete bytes get their name. Noted first: a note without its file is only fetched again."""
        if self._part.exists():
            self._remember(replace(version, written=self._part.stat().st_mtime_ns))
            self._part.replace(self._target)
        self._progress(self._target.name, version.size, version.size)
        return self._target

    def _known(self) -> _Version | None:
        """What was noted of the bytes that are here: of the part if there is one, else of the file."""
        try:
            version = _Version(**json.loads(self._note.read_text()))
        except (OSError, ValueError, TypeError):  # none, or not ours: then the file is fetched anew
            return None
        return version if version.url == self._url else None

    def _is_complete(self, known: _Version) -> bool:
        if self._part.exists():
            return self._arrived() == known.size
        if not self._target.exists():
            return False
        here = self._target.stat()
        return (here.st_size, here.st_mtime_ns) == (known.size, known.written)

    def _arrived(self) -> int:
        """The bytes of the part."""
        return self._part.stat().st_size if self._part.exists() else 0

    def _remember(self, version: _Version) -> None:
        temporary = self._note.with_name(f"{self._note.name}.new")
        temporary.write_text(json.dumps(asdict(version)))
        temporary.replace(self._note)

    def _retry_after(self, response: httpx2.Response) -> float:
        """Seconds, given as such or as a date (RFC 9110, 10.2.3)."""
        value = response.headers.get("Retry-After", "")
        if value.isdecimal():
            return float(value)
        try:
            return email.utils.parsedate_to_datetime(value).timestamp() - self._patience.now()
        except ValueError:
            return 0.0


def _checked(url: str) -> str:
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise UsageError(f"{_SETTING} is not an address: {error}.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo or parsed.query:
        raise UsageError(f"{_SETTING} is an http or https address of a folder, without user, password or '?'.")
    return str(parsed).rstrip("/")


def _unknown_host(error: httpx2.TransportError) -> bool:
    """Whether the name was looked up in vain. Another failure of the look-up may pass."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, socket.gaierror):
        cause = cause.__cause__ or cause.__context__
    return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
