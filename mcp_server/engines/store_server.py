"""Serves the files of a lake in object storage to the embedded engine: read only, in the protocol of S3.

The engine's process has no network but its own loopback and no credentials. It finds two buckets there, whatever store
the lake is in:

    s3://lake/…                       → the files of the lake, for the log reader in that process
    s3://pinned/7/_delta_log/…        → a pinned log, from the work folder of that process (`pinned.py`)
    s3://pinned/7/lake/…              → the files of the lake, which the pinned log names
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from lakehouse.errors import LakehouseError
from lakehouse.storage import Lake

log = logging.getLogger(__name__)

LAKE_URL: Final = "s3://lake"
PINNED_URL: Final = "s3://pinned"
UNAVAILABLE: Final = "the lake's storage refuses it or does not answer"

_IDLE_SECONDS = 120.0
_CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))")
_PINNED_FILE = re.compile(r"([0-9]{1,19})/_delta_log/([0-9A-Za-z.-]+)")
_PINNED_FOLDER = re.compile(r"([0-9]{1,19})/_delta_log(?:/.*)?")
_PINNED_DATA = re.compile(r"[0-9]{1,19}/lake/(.+)", re.DOTALL)
_METHODS = frozenset({"GET", "HEAD"})


class _Meta(NamedTuple):
    """A file: its size in bytes, when it was written, and its version."""

    size: int
    modified: datetime
    tag: str


@dataclass(frozen=True)
class _StoreRequest:
    """A request. `bounds` are the first byte and the one after the last, or the number of last bytes (None, n)."""

    method: str
    bucket: str
    key: str
    query: dict[str, list[str]]
    bounds: tuple[int | None, int | None] | None


class _RefusedError(Exception):
    """A request is refused. `status` is the HTTP status, the text the reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class StoreServer:
    """Answers on the connections of an engine's process; `logs` is the folder with its pinned logs, once it has one."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.logs: Path | None = None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests in sequence until the connection ends."""
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                try:
                    await self._route_request(_read_request(head), writer)
                except _RefusedError as error:
                    await _send_error(writer, error, head)

    async def _route_request(self, request: _StoreRequest, writer: asyncio.StreamWriter) -> None:
        if not request.key:
            await self._send_listing(request, writer)
        elif request.bucket == "lake":
            await self._send_object(request, request.key, writer)
        elif found := _PINNED_FILE.fullmatch(request.key):
            await self._send_log(request, found[1], found[2], writer)
        elif found := _PINNED_DATA.fullmatch(request.key):
            await self._send_object(request, found[1], writer)
        else:
            raise _refuse_missing(request.key)

    async def _send_listing(self, request: _StoreRequest, writer: asyncio.StreamWriter) -> None:
        prefix = request.query.get("prefix", [""])[0]
        after = request.query.get("start-after", [""])[0]
        if request.bucket == "lake":
            files, folders = await self._list_lake(prefix)
        else:
            found = _PINNED_FOLDER.fullmatch(prefix)
            files, folders = (self._list_log(found[1]) if found and self.logs else []), []
        named = [(key, meta) for key, meta in files if key.startswith(prefix) and key > after]
        body = _to_listing(request.bucket, prefix, named, folders).encode()
        await _send_response(writer, "200 OK", [("Content-Type", "application/xml")], body, request.method)

    async def _list_lake(self, prefix: str) -> tuple[list[tuple[str, _Meta]], list[str]]:
        try:
            found = await self._get_client().list_with_delimiter_async(prefix.rstrip("/"))
        except Exception as error:
            raise self._refuse_unavailable(prefix, error) from error
        files = [(each["path"], _to_meta(each)) for each in found["objects"]]
        return files, [f"{each}/" for each in found["common_prefixes"]]

    def _list_log(self, number: str) -> list[tuple[str, _Meta]]:
        found = []
        with suppress(OSError):
            folder = self._open_log_folder(number)
            try:
                for name in sorted(os.listdir(folder)):
                    about = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISREG(about.st_mode):
                        found.append((f"{number}/_delta_log/{name}", _meta_of_file(about)))
            finally:
                os.close(folder)
        return found

    def _open_log_folder(self, number: str) -> int:
        """A descriptor of the folder of one pinned log. No link is followed: the engine's process made the folder."""
        if self.logs is None:
            raise FileNotFoundError(number)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        above = os.open(self.logs, flags)
        try:
            table = os.open(number, flags, dir_fd=above)
        finally:
            os.close(above)
        try:
            return os.open("_delta_log", flags, dir_fd=table)
        finally:
            os.close(table)

    async def _send_log(self, request: _StoreRequest, number: str, name: str, writer: asyncio.StreamWriter) -> None:
        try:
            folder = self._open_log_folder(number)
            try:
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise _refuse_missing(name) from error
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise _refuse_missing(name)
            meta = _meta_of_file(about)
            start, end = _resolve_bounds(request.bounds, meta.size)
            file.seek(start)

            async def chunks() -> AsyncIterator[bytes]:
                left = end - start
                while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                    left -= len(chunk)
                    yield chunk

            await _send_range(writer, request, meta, start, end, chunks())

    async def _send_object(self, request: _StoreRequest, key: str, writer: asyncio.StreamWriter) -> None:
        options: dict[str, Any] = {}
        if request.bounds is not None:
            first, last = request.bounds
            if first is None:
                options["range"] = {"suffix": last}
            else:
                options["range"] = {"offset": first} if last is None else (first, last)
        client = self._get_client()
        try:
            if request.method == "HEAD":
                meta = _to_meta(await client.head_async(key))
                await _send_range(writer, request, meta, 0, meta.size, None)
                return
            found = await client.get_async(key, options=options)
        except FileNotFoundError as error:
            raise _refuse_missing(key) from error
        except Exception as error:
            raise self._refuse_unavailable(key, error) from error
        start, end = found.range
        await _send_range(writer, request, _to_meta(found.meta), start, end, found.stream(_CHUNK_BYTES))

    def _get_client(self) -> Any:
        """Return the client of the lake's store, cached as long as its settings are unchanged."""
        try:
            return self._lake.stored_files.client
        except LakehouseError as error:
            raise self._refuse_unavailable("", error) from error

    def _refuse_unavailable(self, key: str, error: Exception) -> _RefusedError:
        # The store's client has retried already: this status does not make the engine's client retry too.
        log.warning("The lake's storage did not give %.200r: %.300s", key, error)
        return _RefusedError("403 Forbidden", UNAVAILABLE)


def _read_request(head: bytes) -> _StoreRequest:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[0] not in _METHODS:
        raise _RefusedError("405 Method Not Allowed", "the lake is read only")
    try:
        url = urlsplit(words[1])
    except ValueError as error:
        raise _RefusedError("400 Bad Request", "its address cannot be read") from error
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    if bucket not in {"lake", "pinned"} or not {".", ".."}.isdisjoint(key.split("/")):
        raise _refuse_missing(key)
    asked = next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("range:")), None)
    return _StoreRequest(words[0], bucket, key, parse_qs(url.query), None if asked is None else _read_range(asked))


def _read_range(text: str) -> tuple[int | None, int | None]:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise _RefusedError("416 Range Not Satisfiable", "the range cannot be read")
    if found[3] is not None:
        return None, int(found[3])
    return int(found[1]), int(found[2]) + 1 if found[2] is not None else None


def _resolve_bounds(bounds: tuple[int | None, int | None] | None, size: int) -> tuple[int, int]:
    """Resolve bounds to the first byte and the one after the last of a file of this size."""
    if bounds is None:
        return 0, size
    first, last = bounds
    if first is None:
        return max(size - (last or 0), 0), size
    if first >= size:
        raise _RefusedError("416 Range Not Satisfiable", "the range begins behind the end")
    return first, size if last is None else min(last, size)


def _to_meta(found: Any) -> _Meta:
    return _Meta(found["size"], found["last_modified"], found["e_tag"] or "")


def _meta_of_file(about: os.stat_result) -> _Meta:
    return _Meta(about.st_size, datetime.fromtimestamp(about.st_mtime, UTC), f'"{about.st_ino}-{about.st_mtime_ns}"')


def _refuse_missing(key: str) -> _RefusedError:
    return _RefusedError("404 Not Found", f"there is no {key[-200:]}")


def _to_listing(bucket: str, prefix: str, files: Iterable[tuple[str, _Meta]], folders: Iterable[str]) -> str:
    """Return the answer to ListObjectsV2 (Amazon S3 API Reference)."""
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_to_iso(meta.modified)}</LastModified>"
        f"<ETag>{escape(meta.tag)}</ETag><Size>{meta.size}</Size></Contents>"
        for key, meta in files
    )
    below = "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>{bucket}</Name>'
        f"<Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{contents}{below}</ListBucketResult>"
    )


def _to_iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _send_range(
    writer: asyncio.StreamWriter,
    request: _StoreRequest,
    meta: _Meta,
    start: int,
    end: int,
    chunks: Any,
) -> None:
    """Send the bytes from `start` to before `end` of a file, or its head alone."""
    headers = [
        ("Content-Length", str(end - start)),
        ("Last-Modified", format_datetime(meta.modified.astimezone(UTC), usegmt=True)),
        ("ETag", quote(meta.tag, safe='"-')),
        ("Accept-Ranges", "bytes"),
    ]
    if request.bounds is not None:
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{meta.size}"))
    writer.write(_to_head("200 OK" if request.bounds is None else "206 Partial Content", headers))
    if request.method != "HEAD":
        left = end - start
        try:
            async for chunk in chunks:
                writer.write(bytes(chunk))
                left -= len(chunk)
                await writer.drain()
        except Exception as error:  # the store's client has errors of many kinds
            raise ConnectionAbortedError("the storage broke off") from error
        if left:
            raise ConnectionAbortedError("the storage gave less than it said")
    await writer.drain()


async def _send_error(writer: asyncio.StreamWriter, error: _RefusedError, head: bytes) -> None:
    """Send an error. The body of a request is not read, so a connection with one is closed."""
    ends = not head.startswith((b"GET ", b"HEAD "))
    method = head.partition(b" ")[0].decode("latin-1")
    await _send_response(writer, error.status, [("Connection", "close")] if ends else [], str(error).encode(), method)
    if ends:
        raise ConnectionAbortedError("the request was refused")


async def _send_response(
    writer: asyncio.StreamWriter, status: str, headers: list[tuple[str, str]], body: bytes, method: str
) -> None:
    writer.write(_to_head(status, [*headers, ("Content-Length", str(len(body)))]))
    if method != "HEAD":
        writer.write(body)
    await writer.drain()


def _to_head(status: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
