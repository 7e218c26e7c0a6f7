"""Reads gzip as its tools do, and says whether every other reader sees the same bytes.

Readers differ beyond the plain case: in members that follow each other, zero bytes behind the last one (tapes and
block devices leave them; gzip skips them), and optional fields of a header. So whatever is not one plain member to the
end of the file is legal here, and not for an engine to read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = 10
_PLAIN_FLAGS = 0x01 | 0x08
"""It is text, and it has the name of the file that was packed (RFC 1952): all that usual tools write."""
_GZIP = 16 + zlib.MAX_WBITS


class DamagedError(Exception):
    """The file is no gzip file, is damaged, or goes on behind its end; the text says which."""


class _Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Unpacker:
    """The bytes that a gzip file holds. `is_plain` is known once they have been read."""

    def __init__(self, source: _Source) -> None:
        self.is_plain = True
        self._source = source

    def blocks(self, size: int) -> Iterator[bytes]:
        """All bytes in blocks of at most `size`. Raises DamagedError."""
        rest = self._source.read(size)
        if not rest:
            return
        self._check_header(rest)
        while rest:
            member = zlib.decompressobj(_GZIP)
            while not member.eof:
                try:
                    block = member.decompress(rest, size)
                except zlib.error as error:
                    raise DamagedError("is not a valid gzip file, or is damaged") from error
                if block:
                    yield block
                rest = member.unconsumed_tail or (b"" if member.eof else self._source.read(size))
                if not rest and not block and not member.eof:
                    raise DamagedError("is truncated: its end is missing")
            rest = self._after_member(member.unused_data or self._source.read(size), size)

    def _check_header(self, start: bytes) -> None:
        if not start.startswith(_MAGIC[: len(start)]):
            raise DamagedError("is not a valid gzip file, or is damaged")
        flags = start[3] if len(start) >= _HEADER_BYTES else 0
        self.is_plain = not flags & ~_PLAIN_FLAGS

    def _after_member(self, rest: bytes, size: int) -> bytes:
        """What follows a member: another one, or nothing. Zero bytes are skipped."""
        while rest:
            self.is_plain = False
            rest = rest.lstrip(b"\0")
            if rest:
                if not rest.startswith(_MAGIC[: len(rest)]):
                    raise DamagedError("has bytes behind its end that are no part of it")
                return rest
            rest = self._source.read(size)
        return b""
