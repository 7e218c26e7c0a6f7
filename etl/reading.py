"""Reads the bytes of a source file, packed or plain, in blocks of whole lines."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from etl.packed import DamagedError, Unpacker
from lakehouse.errors import SourceError

BLOCK_BYTES = 1 << 20

OnProgress = Callable[[int], None]
"""Called with the compressed bytes read so far."""


class SourceReader:
    """Reads a source file whose lines end with `line_end`.

    `is_plain`, valid after reading, is true if every reader of gzip sees the same bytes.
    """

    def __init__(self, path: Path, line_end: bytes = b"\n") -> None:
        self.is_plain = True
        self._path = path
        self._line_end = line_end

    def read_start(self, size: int) -> bytes:
        """Return the first `size` bytes of the content, or all where there are fewer."""
        with self._path.open("rb") as raw:
            start = b""
            for block in self._read_unpacked(raw, size):
                start += block
                if len(start) >= size:
                    break
        return start[:size]

    def read_blocks(
        self, on_bytes: Callable[[bytes], None] = lambda _: None, on_progress: OnProgress = lambda _: None
    ) -> Iterator[bytes]:
        """Yield the content below its header in blocks of whole lines. Adds a missing line end to the last line."""
        with self._path.open("rb") as raw:
            tap = _Tap(raw, on_bytes)
            parts: list[bytes] = []  # of the line that the blocks so far leave unfinished
            header_seen = False
            for chunk in self._read_unpacked(tap, BLOCK_BYTES):
                cut = chunk.rfind(b"\n") + 1
                if not cut:
                    parts.append(chunk)
                    continue
                block = b"".join((*parts, memoryview(chunk)[:cut]))
                parts = [chunk[cut:]]
                if not header_seen:
                    block, header_seen = block.partition(b"\n")[2], True
                if block:
                    yield block
                    on_progress(tap.count)
            rest = b"".join(parts) if header_seen else b""
            if rest:
                yield rest + (b"\n" if rest.endswith(b"\r") else self._line_end)
            on_progress(tap.count)

    def _read_unpacked(self, source: _Tap | IO[bytes], size: int) -> Iterator[bytes]:
        if self._path.suffix != ".gz":
            yield from iter(lambda: source.read(size), b"")
            return
        unpacker = Unpacker(source)
        yield from unpacker.unpack_blocks(size)
        self.is_plain = unpacker.is_plain


class _Tap:
    """A file wrapper that passes every byte read to a callback and counts it."""

    def __init__(self, raw: IO[bytes], on_bytes: Callable[[bytes], None]) -> None:
        self._raw = raw
        self._on_bytes = on_bytes
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self._on_bytes(data)
        self.count += len(data)
        return data


class translate_read_errors:  # noqa: N801  (used as a function: `with translate_read_errors(path)`)
    """Converts errors of a damaged or unreadable file to SourceError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        match error:
            case DamagedError():
                reason = str(error)
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                return  # the full disk is that of the output, not of this file
            case OSError():
                reason = f"cannot be read: {error.strerror or error}"
            case _:
                return
        raise SourceError(f"{self.path.name} {reason}. Fetch it again with `imdb-etl download`.") from error
