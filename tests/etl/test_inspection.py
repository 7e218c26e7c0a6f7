"""Inspection of a source file in blocks of any size: malformed lines, and the fingerprint that lakes have stored."""

from __future__ import annotations

import gzip
import hashlib
import random
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from etl import reading
from etl.changed_lines import ChangedLines
from etl.datasets import DATASETS
from etl.fingerprints import Fingerprint
from etl.header import open_source
from etl.source import Inspection, inspect_source

FILES = {dataset.file: dataset for dataset in DATASETS}
HEADER = b"tconst\taverageRating\tnumVotes"
CREDITS = b"tconst\tordering\tnconst\tcategory\tjob\tcharacters"
BLOCK_BYTES = [40, 333, 1 << 20]


@pytest.fixture(params=BLOCK_BYTES)
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(reading, "BLOCK_BYTES", request.param)
    return int(request.param)


def inspect_lines(folder: Path, lines: list[bytes], *, file: str = "title.ratings", end: bytes = b"\n") -> Inspection:
    header = HEADER if file == "title.ratings" else CREDITS
    path = folder / f"{file}.tsv.gz"
    path.write_bytes(gzip.compress(b"".join(line + end for line in (header, *lines))))
    return inspect_source(open_source(path, FILES[file]), folder, lambda *_: None)


def model_fingerprint(lines: list[bytes], factor: int) -> list[tuple[bytes, int, int]]:
    """The fingerprint as the format has it: a group begins at an id that the factor divides."""
    groups: list[tuple[bytes, int, list[bytes]]] = [(b"", 1, [])]
    number = 1
    for key, same in groupby(lines, lambda line: line.partition(b"\t")[0]):
        if key.startswith(b"tt") and int(key[-2:]) % factor == 0:
            groups.append((key, number, []))
        for line in same:
            groups[-1][2].append(line + b"\n")
            number += 1
    return [
        (key, int.from_bytes(hashlib.sha256(b"".join(members)).digest()[:8], "big"), first)
        for key, first, members in groups
    ]


def to_tuples(fingerprint: Fingerprint | None) -> list[tuple[bytes, int, int]]:
    assert fingerprint is not None
    return list(
        zip(fingerprint.starts.tolist(), fingerprint.hashes.tolist(), fingerprint.first_lines.tolist(), strict=True)
    )


@pytest.mark.usefixtures("block_bytes")
@pytest.mark.parametrize(("file", "factor"), [("title.ratings", 25), ("title.principals", 5)])
def test_a_fingerprint_is_that_of_the_stored_format(file: str, factor: int, tmp_path: Path) -> None:
    chance = random.Random(2)
    number, lines = 0, []
    for _ in range(1_000):
        number += chance.choice([0, 1, 1, 7, 9_000] if factor == 5 else [1, 1, 7, 9_000])
        rest = (
            b"\t7.5\t12"
            if factor == 25
            else b'\t1\tnm0000001\tactor\t\\N\t["' + b"\xc3\xa9" * chance.randrange(30) + b'"]'
        )
        lines.append(b"tt%07d" % number + rest)
    inspection = inspect_lines(tmp_path, lines, file=file)
    assert to_tuples(inspection.fingerprint) == model_fingerprint(lines, factor)
    assert (inspection.lines, inspection.malformed, inspection.in_order) == (1_000, 0, True)


@pytest.mark.usefixtures("block_bytes")
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_malformed_lines_are_told_by_their_numbers_whatever_block_they_are_in(end: bytes, tmp_path: Path) -> None:
    lines = [b"tt%07d\t7.5\t12" % number for number in range(1, 200)]
    faults = {
        5: (b"tt0000005\t7.5", "2 fields instead of 3"),
        6: (b"tt0000006\t7.5\t1\t2\ttt", "5 fields instead of 3"),
        60: (b"tt0000060\t7\0.5\t1", "zero byte in the line"),
        61: (b"tt0000061\t7.5\r\t1", "carriage return in the line"),
        100: (b"tt0000100\t\xed\xa0\x80\t1", "bytes that are not UTF-8"),
        199: (b"", "1 field instead of 3"),
    }
    for number, (line, _) in faults.items():
        lines[number - 1] = line
    lines[149] = b"tt0000150\t\x02\x0b\x0c\t1"  # other control characters are no concern of the inspection
    inspection = inspect_lines(tmp_path, lines, end=end)
    assert inspection.rejects is not None
    rejects = pq.read_table(inspection.rejects).to_pylist()
    assert [(row["line"], row["reason"]) for row in rejects] == [(line, why) for line, (_, why) in faults.items()]
    # Lines that are left out leave the others in order, so that they need no sort.
    assert (inspection.lines, inspection.malformed, inspection.in_order) == (199, 6, True)
    good = [line for number, line in enumerate(lines, 1) if number not in faults]
    assert gzip.decompress(inspection.readable.read_bytes()) == b"".join(line + b"\n" for line in (HEADER, *good))


def test_lines_that_do_not_come_in_order_are_noticed_across_blocks(block_bytes: int, tmp_path: Path) -> None:
    lines = [b"tt%07d\t7.5\t12" % number for number in range(1, 200)]
    for place in range(1, 199, 11 if block_bytes < 100 else 50):
        swapped = [*lines[: place - 1], lines[place], lines[place - 1], *lines[place + 1 :]]
        inspection = inspect_lines(tmp_path, swapped)
        assert (inspection.fingerprint, inspection.in_order) == (None, False)


@pytest.mark.usefixtures("block_bytes")
def test_an_update_finds_the_lines_of_changed_groups_and_where_the_others_moved(tmp_path: Path) -> None:
    lines = [b"tt%07d\t7.5\t12" % number for number in range(1, 400)]
    known = inspect_lines(tmp_path, lines).fingerprint
    assert known is not None
    changed = list(lines)
    changed[129] = b"tt0000130\t7.5\t13"
    del changed[9]
    path = tmp_path / "title.ratings.tsv.gz"
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in (HEADER, *changed))))
    found = ChangedLines.find(
        open_source(path, FILES["title.ratings"]), known, tmp_path / "changed.tsv", lambda *_: None
    )
    kept = [*changed[:23], *changed[123:148]]  # below tt0000025, and from tt0000125 to below tt0000150
    assert (tmp_path / "changed.tsv").read_bytes() == b"".join(line + b"\n" for line in (HEADER, *kept))
    assert (found.lines, found.all_lines) == (48, 398)
    assert found.replaced.tolist() == [b"", b"tt0000025", b"tt0000125", b"tt0000150"]
    some = found.select_lines(found.read_lines(), np.array([0, 22, 23, 47]), tmp_path / "some.tsv")
    assert some.numbers == [1, 23, 124, 148]
    assert [found.move_line(line) for line in (24, 25, 124, 125, 149, 150, 399)] == [
        None,
        24,
        123,
        None,
        None,
        149,
        398,
    ]
    assert [found.is_kept(f"tt0000{number}\tx") for number in ("001", "025", "130", "150", "999")] == [
        False, True, False, True, True
    ]  # fmt: skip
    assert to_tuples(found.fingerprint) == model_fingerprint(changed, 25)
