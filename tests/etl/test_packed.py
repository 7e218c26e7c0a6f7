"""Files packed by gzip, whole and damaged, read in pieces of any size."""

from __future__ import annotations

import gzip
import io
import random
import zlib

import pytest

from etl.packed import DamagedError, Unpacker

FIRST, SECOND = gzip.compress(b"hello\nworld" * 50, mtime=0), gzip.compress(b"x" * 5_000, mtime=0)
SIZES = [1, 2, 3, 7, 64, 1 << 20]


def unpacked(data: bytes, size: int) -> tuple[bytes, bool]:
    unpacker = Unpacker(io.BytesIO(data))
    return b"".join(unpacker.unpack_blocks(size)), unpacker.is_plain


@pytest.mark.parametrize("size", SIZES)
def test_members_and_zero_bytes_are_read_as_gzip_does_and_are_not_plain(size: int) -> None:
    first, second = gzip.decompress(FIRST), gzip.decompress(SECOND)
    assert unpacked(FIRST, size) == (first, True)
    assert unpacked(b"", size) == (b"", True)
    assert unpacked(FIRST + b"\0" * 1_000, size) == (first, False)
    assert unpacked(FIRST + gzip.compress(b"") + SECOND + b"\0", size) == (first + second, False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (FIRST[:-1], "truncated"), (FIRST[:-9], "truncated"), (FIRST[:5], "truncated"), (FIRST[:1], "truncated"),
        (FIRST + SECOND[:-3], "truncated"), (FIRST + SECOND[:1], "truncated"),
        (FIRST + b"x", "behind its end"), (FIRST + b"\0\0x", "behind its end"), (FIRST + b"more", "behind its end"),
        (FIRST[:-6] + b"abcdef", "damaged"), (b"hello there", "not a valid gzip file"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_said(data: bytes, says: str, size: int) -> None:
    with pytest.raises(DamagedError, match=says):
        unpacked(data, size)


def test_pythons_own_reader_reads_the_same_but_for_a_header_whose_bits_it_does_not_check() -> None:
    chance = random.Random(5)
    for _ in range(2_000):
        changed = False
        data = bytearray(FIRST + b"\0" * chance.choice([0, 0, 3]) + chance.choice([b"", SECOND]))
        if chance.random() < 0.4:
            data = data[: chance.randrange(len(data) + 1)]
        elif chance.random() < 0.6:
            changed = True
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            theirs: bytes | None = gzip.GzipFile(fileobj=io.BytesIO(bytes(data))).read()
        except (EOFError, OSError, zlib.error):
            theirs = None
        try:
            ours: bytes | None = unpacked(bytes(data), chance.choice(SIZES))[0]
        except DamagedError:
            ours = None
        assert ours == theirs or (changed and ours is None)
