"""Reads gzip as its tools do, and reports whether every other reader sees the same bytes.

Readers differ in the treatment of concatenated members, of zero bytes behind the last one (left by tapes and block
devices, skipped by gzip), and of optional header fields. A file that is not one plain member is accepted here, but not
passed to an engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from zlib_ng import zlib_ng

_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = 10
_PLAIN_FLAGS = 0x01 | 0x08
"""FTEXT and FNAME (RFC 1952): the only flags that common tools set."""
_GZIP = 16 + zlib_ng.MAX_WBITS
_ZlibError = cast("type[Exception]", zlib_ng.error)
"""The type stub of zlib-ng has an instance for it."""


class DamagedError(Exception):
    """The file is no gzip file, is damaged, or has data behind its end; the text is the predicate of a message."""


class _ByteSource(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Unpacker:
    """Decompresses a gzip file. `is_plain` is valid once all bytes have been read."""

    def __init__(self, source: _ByteSource) -> None:
        self.is_plain = True
        self._source = source

    def unpack_blocks(self, size: int) -> Iterator[bytes]:
        """Yield the content in blocks of at most `size` bytes. Raises DamagedError."""
        rest = self._source.read(size)
        if not rest:
            return
        self._check_header(rest)
        while rest:
            member = zlib_ng.decompressobj(_GZIP)
            while not member.eof:
                try:
                    block = member.decompress(rest, size)
                except _ZlibError as error:
                    raise DamagedError("is not a valid gzip file, or is damaged") from error
                if block:
                    yield block
                rest = member.unconsumed_tail or (b"" if member.eof else self._source.read(size))
                if not rest and not block and not member.eof:
                    raise DamagedError("is truncated: its end is missing")
            rest = self._skip_padding(member.unused_data or self._source.read(size), size)

    def _check_header(self, start: bytes) -> None:
        if not start.startswith(_MAGIC[: len(start)]):
            raise DamagedError("is not a valid gzip file, or is damaged")
        flags = start[3] if len(start) >= _HEADER_BYTES else 0
        self.is_plain = not flags & ~_PLAIN_FLAGS

    def _skip_padding(self, rest: bytes, size: int) -> bytes:
        """Skip zero bytes behind a member. Returns the start of the next one, or nothing. Raises DamagedError."""
        while rest:
            self.is_plain = False
            rest = rest.lstrip(b"\0")
            if rest:
                if not rest.startswith(_MAGIC[: len(rest)]):
                    raise DamagedError("has bytes behind its end that are no part of it")
                return rest
            rest = self._source.read(size)
        return b""
