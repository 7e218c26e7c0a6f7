"""The files of a lake in object storage, read and written whole, with conditional writes.

The client is the one inside the embedded engine and `deltalake` (Rust's `object_store`), so the same variables
configure all of them.
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

from lakehouse.environment import storage_environment
from lakehouse.errors import LakeError, UsageError

_ANSWER_SECONDS = 40.0
_LARGE_SECONDS = 600.0
_FOLDER_SECONDS = 30.0
"""How long the list of a folder may take: that of half a million files."""
_TIMES = {"connect_timeout": "5s", "timeout": "15s"}
_LONG_TIMES = {"connect_timeout": "5s", "read_timeout": "15s", "timeout": "1h"}
"""For a client for files of any size: only a stalled transfer times out."""
_RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}

Store = Literal["s3", "azure", "gcs"]
_STORES: Mapping[str, Store] = {
    "s3": "s3", "s3a": "s3", "abfs": "azure", "abfss": "azure", "az": "azure", "azure": "azure", "adl": "azure",
    "gs": "gcs",
}  # fmt: skip

_ADVICE: Mapping[Store, str] = {
    "s3": "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or AWS_PROFILE; AWS_ENDPOINT_URL names a "
    "store that is not Amazon's.",
    "azure": "Check AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN, or AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_CLIENT_SECRET; the URL is abfss://container@account.dfs.core.windows.net/folder.",
    "gcs": "Check GOOGLE_APPLICATION_CREDENTIALS, which names a file with the key of a service account.",
}
_SWITCHES = ("allow_http", "allow_invalid_certificates")
_CLIENT_OPTIONS = ("proxy_url", "proxy_ca_certificate", "proxy_excludes")
"""Options of the HTTP client, which reads none from variables once it is given some."""

VARIABLES: Mapping[Store, str] = {"s3": "AWS", "azure": "AZURE", "gcs": "GOOGLE"}
"""The prefix of a store's variables."""

_DENIED = re.compile(r"status code: 40[13]\b")
_REFUSED = re.compile(r"status code: 4(?!08|29)[0-9]{2}\b")
"""Not for now: that a request came too late, or too many came, is said with 408 and 429."""
_NO_BUCKET = re.compile(r"<Code>(?:NoSuchBucket|ContainerNotFound)</Code>|The specified bucket does not exist")
_UNREACHABLE = re.compile(r"error sending request|error trying to connect|dns error")

T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """A file as it was read: its bytes, and its version for a conditional write."""

    data: bytes
    version: Mapping[str, str]


class ObjectInfo(NamedTuple):
    """A listed file: the time of its last change, its size in bytes, and its ETag, empty where it has none."""

    modified: datetime
    size: int
    tag: str


class StoredFiles(Protocol):
    """What reads stored files: an `ObjectStore`, or what stands for several. `client` is like those of `obstore`."""

    @property
    def client(self) -> Any: ...

    def read(self, name: str) -> Stored | None:
        """Read a file and its version, or None where it does not exist."""

    def open_ranges(self, name: str, size: int) -> RangeFile:
        """Open a file of this size for reading here and there."""

    def list_files(self, folder: str) -> dict[str, ObjectInfo]:
        """List the files directly below a folder, by name."""


Credentials = Callable[[], dict[str, Any]]
"""Returns credentials in the form of `obstore`, as often as they are needed."""


class StorageError(LakeError):
    """The storage refuses or does not answer."""


class PathRefusedError(StorageError):
    """One path is refused: access to it is denied, or a name below it is no path. Others may well be given.

    Any other StorageError is the storage's as a whole.
    """


class RangeFile(io.RawIOBase):
    """A file of which only what is read is fetched, a request for each read."""

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        """`fetch` returns so many bytes from a position on. Its errors are those of reading."""
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._position, 0)
        length = left if size is None or size < 0 else min(size, left)
        found = self._fetch(self._position, length) if length else b""
        self._position += len(found)
        return found


class ObjectStore:
    """The files below one URL. Every call ends within a minute and can be interrupted by signals.

    Raises UsageError for an invalid URL, StorageError where the storage refuses or does not answer.
    """

    def __init__(self, url: str, *, large: bool = False, credentials: Credentials | None = None) -> None:
        """`large` is for files of any size, which may take longer than a minute to read.

        `credentials` replace those of the environment.
        """
        self._url = url
        self._store = store_of(url)
        self._times = _LONG_TIMES if large else _TIMES
        self._seconds = _LARGE_SECONDS if large else _ANSWER_SECONDS
        self.client = self._open_store(credentials)

    def read(self, name: str) -> Stored | None:
        """Read a file and its version, or None where it does not exist."""

        def get() -> Stored | None:
            try:
                found = self.client.get(name)
            except FileNotFoundError:
                return None
            return Stored(bytes(found.bytes()), _read_version(found.meta))

        return self._run_bounded(f"read {name}", get)

    def open_ranges(self, name: str, size: int) -> RangeFile:
        """Open a file of this size for reading here and there."""
        return RangeFile(size, lambda start, length: self._read_range(name, start, length))

    def _read_range(self, name: str, start: int, length: int) -> bytes:
        return self._run_bounded(f"read {name}", lambda: bytes(self.client.get_range(name, start=start, length=length)))

    def write(self, name: str, data: bytes) -> None:
        """Write a file unconditionally."""
        self._run_bounded(f"write {name}", lambda: self.client.put(name, data))

    def write_over(self, name: str, data: bytes, seen: Stored | None) -> Stored | None:
        """Write a file if it is unchanged since it was `seen` (None: did not exist). Returns None where it changed."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def put() -> Stored | None:
            try:
                done = self.client.put(name, data, mode="create" if seen is None else seen.version)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return None
            return Stored(data, _read_version(done))

        return self._run_bounded(f"write {name}", put)

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""

        def delete() -> None:
            try:
                self.client.delete(name)
            except FileNotFoundError:
                return

        self._run_bounded(f"remove {name}", delete)

    def list_folders(self, within: str | None = None) -> list[str]:
        """List the folders directly below the URL, or below its folder `within`.

        Raises PathRefusedError where there are so many files beside them that the list takes too long.
        """

        async def list_in_time() -> Sequence[str]:
            async with asyncio.timeout(_FOLDER_SECONDS):  # which ends the requests, a thousand files each, as well
                found = await self.client.list_with_delimiter_async(within)
            prefixes: Sequence[str] = found["common_prefixes"]
            return prefixes

        def look() -> list[str]:
            try:
                found = asyncio.run(list_in_time())
            except TimeoutError as error:
                raise PathRefusedError(
                    f"{self._url}: its folder {within or '/'} has too many files to be listed within "
                    f"{_FOLDER_SECONDS:g} s."
                ) from error
            return [each.rstrip("/").rpartition("/")[2] for each in found]

        return self._run_bounded("list folders", look)

    def list_files(self, folder: str, *, after: str | None = None) -> dict[str, ObjectInfo]:
        """List the files directly below a folder, by name; only those whose names sort behind `after`, if given."""

        def look() -> dict[str, ObjectInfo]:
            if after is None:
                found = self.client.list_with_delimiter(folder)["objects"]
            else:
                found = self.client.list(folder, offset=f"{folder}/{after}").collect()
            named = {each["path"].removeprefix(f"{folder}/"): each for each in found}
            return {
                name: ObjectInfo(each["last_modified"], each["size"], each["e_tag"] or "")
                for name, each in named.items()
                if "/" not in name
            }

        return self._run_bounded(f"list {folder}", look)

    def _open_store(self, credentials: Credentials | None) -> Any:
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        variables = storage_environment()
        options = self._times | _client_options(VARIABLES[self._store], variables)
        keys = _profile_keys(variables) if self._store == "s3" and credentials is None else {}
        try:
            if credentials is not None:  # no client with these is kept for another caller
                given = {"client_options": options, "retry_config": _RETRIES, "credential_provider": credentials}
                return from_url(self._url, **given)
            return _open_client(self._url, *(tuple(each.items()) for each in (options, keys, variables)))
        except (BaseError, ValueError) as error:
            raise UsageError(
                f"--lake {self._url}: this storage cannot be opened: {_first_line(error)}. {_ADVICE[self._store]}"
            ) from error

    def _run_bounded(self, what: str, act: Callable[[], T]) -> T:
        """Call `act` in a thread, so that signals are handled while the client waits for an answer."""
        outcome: list[T] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(act())
            except BaseException as error:  # noqa: BLE001  (raised by the caller's thread)
                failure.append(error)

        thread = threading.Thread(target=run, name="storage", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if outcome:
            return outcome[0]
        raise self._explain_failure(what, failure[0] if failure else None)

    def _explain_failure(self, what: str, error: BaseException | None) -> Exception:
        from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError

        kind: type[StorageError] = StorageError
        if error is None:
            reason = f"no answer within {self._seconds:g} s"
        elif isinstance(error, StorageError) or not isinstance(error, (BaseError, OSError)):
            raise error
        elif "BadScheme" in str(error):
            return UsageError(
                f"--lake {self._url}: its endpoint is http://, which nothing encrypts, and is used only where that is "
                f"meant: set {VARIABLES[self._store]}_ALLOW_HTTP=true."
            )
        elif isinstance(error, InvalidPathError):
            return PathRefusedError(f"{self._url}: cannot {what}: {_first_line(error)}. Rename or remove that object.")
        elif _NO_BUCKET.search(str(error)):
            reason = "there is no such bucket or container"
        elif isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(str(error)):
            kind, reason = PathRefusedError, f"access is denied ({_first_line(error)})"
        elif _REFUSED.search(str(error)):
            kind, reason = PathRefusedError, _first_line(error)
        elif _UNREACHABLE.search(str(error)):
            reason = f"it cannot be reached ({_first_line(error)})"
        else:
            reason = _first_line(error)
        return kind(f"{self._url}: cannot {what}: {reason}. {_ADVICE[self._store]}")


def store_of(url: str) -> Store:
    """The kind of storage that a URL names. Raises UsageError where it is not supported."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _STORES or not rest.strip("/"):
        raise UsageError(
            f"--lake {url} is no storage that can be read. Write it as s3://bucket/folder, "
            "abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder."
        )
    return _STORES[scheme.lower()]


def is_same_storage(url: str, lake: str) -> bool:
    """Whether a URL names the bucket or container of a lake's URL; writers of logs use `s3a://` for `s3://`."""
    first, second = urlsplit(url), urlsplit(lake)
    kinds = [_STORES.get(each.scheme.lower()) for each in (first, second)]
    return kinds[0] is not None and kinds[0] == kinds[1] and first.netloc == second.netloc


@functools.lru_cache(maxsize=8)
def _open_client(url: str, options: Any, keys: Any, _variables: Any) -> Any:
    """A client with its connections, cached for as long as its configuration is the same."""
    from obstore.store import from_url

    given: dict[str, Any] = {"client_options": dict(options), "retry_config": _RETRIES} | dict(keys)
    return from_url(url, **given)


def _profile_keys(variables: Mapping[str, str]) -> dict[str, str]:
    """The keys of a profile in ~/.aws/credentials, which the engine's client reads and this one does not."""
    if {"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"} & variables.keys():
        return {}
    import configparser

    profiles = configparser.RawConfigParser()
    try:
        profiles.read(variables.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials", "utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    name = variables.get("AWS_PROFILE", "default")
    section = profiles[name] if profiles.has_section(name) else {}
    known = {"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key"}
    keys = {ours: section[theirs] for theirs, ours in known.items() if theirs in section}
    return keys | ({"token": section["aws_session_token"]} if "aws_session_token" in section else {})


def _client_options(prefix: str, variables: Mapping[str, str]) -> dict[str, Any]:
    said = {option: variables.get(f"{prefix}_{option.upper()}") for option in (*_SWITCHES, *_CLIENT_OPTIONS)}
    switches = {option: (said[option] or "").lower() in {"1", "true", "yes", "on"} for option in _SWITCHES}
    return switches | {option: said[option] for option in _CLIENT_OPTIONS if said[option]}


def _read_version(meta: Any) -> Mapping[str, str]:
    return {key: meta[key] for key in ("e_tag", "version") if meta.get(key) is not None}


def _first_line(error: BaseException) -> str:
    """The first line of a client's error, without the query strings of URLs, which may hold signatures."""
    text = (str(error).splitlines() or [""])[0].strip().rstrip(".")
    return " ".join(word.partition("?")[0] if "://" in word else word for word in text.split(" "))[:400]
