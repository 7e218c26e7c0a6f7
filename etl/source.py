"""Inspects a source file before an engine reads it: is it complete, and is every line well formed?

Engines treat malformed lines differently (Sail's CSV reader fails, Spark's fills up with nulls, both replace bytes that
are not UTF-8), so they never read one. Malformed lines are written to a Parquet file with the reason. The engine reads
the file itself, or a clean copy if lines were removed, the file has a byte-order mark or Windows line ends, or gzip
readers may disagree about its content (`etl.packed`).
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from etl.datasets import Dataset, FieldKind
from etl.fingerprints import Fingerprint, Fingerprinter, OnGroups
from etl.header import Source
from etl.reading import SourceReader, translate_read_errors
from lakehouse.errors import SourceError
from lakehouse.manifest import SourceFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_NEWLINE = 10
_MARKS = b"\0\t\n\r"
"""The bytes that separate fields and lines, or that no line may have."""

_SINGLE_FACTOR, _MANY_FACTOR = 25, 5
"""How many ids are in a group of lines, where an id has one line and where it has several. Part of the format."""

OnProgress = Callable[[int, int], None]
"""Called with the compressed bytes and the lines read so far."""

MalformedLine = tuple[int, bytes, str]
"""Line number below the header, from 1; the bytes; the reason."""


@dataclass(frozen=True)
class Inspection:
    """Result of inspecting a file.

    `lines` counts the lines below the header; `malformed` of them were written to `rejects` (a Parquet file).
    `readable` is the file for the engine. `in_order` is true if the lines are sorted by the table's first field.
    `fingerprint` is None if their ids do not come in order.
    """

    source: SourceFile
    readable: Path
    rejects: Path | None
    lines: int
    malformed: int
    in_order: bool
    fingerprint: Fingerprint | None


def inspect_source(source: Source, work_dir: Path, on_progress: OnProgress) -> Inspection:
    """Read the whole file and separate the malformed lines.

    Memory is bounded by one block. Raises SourceError if the file is truncated or damaged, or has no line below its
    header.
    """
    path, file = source.path, source.dataset.file
    digest = hashlib.sha256()
    scanner = _Scanner(source)
    fingerprinter = make_fingerprinter(source.dataset)
    rejects = _RejectWriter(work_dir / f"{file}.rejects.parquet", path.name)
    reader = SourceReader(path, source.line_end)
    with translate_read_errors(path), rejects:
        for block in reader.read_blocks(digest.update, lambda done: on_progress(done, scanner.lines)):
            checked = scanner.check_block(block)
            rejects.write_lines(checked.malformed)
            fingerprinter.add_block(block, checked.ends)
    _check_lines(path, scanner.lines)
    fingerprint = fingerprinter.finish()
    readable = path
    if rejects.count or not reader.is_plain or not source.is_plain:
        readable = work_dir / f"{file}.clean.tsv.gz"
        _write_clean(source, readable)
    return Inspection(
        source=SourceFile(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest()),
        readable=readable,
        rejects=rejects.path if rejects.count else None,
        lines=scanner.lines,
        malformed=rejects.count,
        in_order=fingerprint is not None and source.is_keyed,
        fingerprint=fingerprint,
    )


def make_fingerprinter(dataset: Dataset, on_groups: OnGroups = lambda *_: None) -> Fingerprinter:
    """Return a new fingerprinter for a file, with groups of about thirty lines."""
    prefix = b"tt" if dataset.fields[0].kind is FieldKind.TITLE_ID else b"nm"
    return Fingerprinter(prefix, _SINGLE_FACTOR if len(dataset.key) == 1 else _MANY_FACTOR, on_groups)


def hash_file(path: Path) -> SourceFile:
    """Read the identity of a file without unpacking it. Raises SourceError if it cannot be read."""
    with translate_read_errors(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return SourceFile(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest())


def fingerprint_source(source: Source, fingerprinter: Fingerprinter, on_progress: OnProgress) -> SourceFile:
    """Read the whole file into a fingerprinter. Returns its identity. Raises SourceError as `inspect_source` does."""
    path, reader, digest = source.path, SourceReader(source.path, source.line_end), hashlib.sha256()
    with translate_read_errors(path):
        for block in reader.read_blocks(digest.update, lambda done: on_progress(done, fingerprinter.lines)):
            fingerprinter.add_block(block)
    _check_lines(path, fingerprinter.lines)
    return SourceFile(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest())


def _check_lines(path: Path, lines: int) -> None:
    if lines == 0:
        raise SourceError(f"{path.name} has a header and no line below it. Fetch it again with `imdb-etl download`.")


@dataclass(frozen=True)
class _CheckedBlock:
    """A block of whole lines: the positions of its line feeds, the well-formed lines as they stand, and the others.

    `good` is the block itself if no line is malformed.
    """

    ends: npt.NDArray[np.intp]
    good: bytes
    malformed: list[MalformedLine]


class _Scanner:
    """Checks blocks of whole lines. A clean block takes a few vectorised passes over its bytes."""

    def __init__(self, source: Source) -> None:
        self.fields = len(source.header)
        self.lines = 0
        self._line_end = source.line_end
        self._separators = b"\t" * (self.fields - 1) + source.line_end

    def check_block(self, block: bytes) -> _CheckedBlock:
        """Separate the malformed lines of a block."""
        marks, kinds = _find_marks(block)
        first_line = self.lines + 1
        if self._is_clean(block, marks, kinds):
            ends = marks[len(self._separators) - 1 :: len(self._separators)]
            self.lines += len(ends)
            return _CheckedBlock(ends, block, [])
        ends = marks[kinds == _NEWLINE]
        self.lines += len(ends)
        good, malformed = [], []
        for number, line in enumerate(block.split(b"\n")[:-1], first_line):
            fields = line.removesuffix(self._line_end[:-1])
            reason = self._describe_fault(fields)
            if len(line) - len(fields) != len(self._line_end) - 1:
                reason = "no carriage return at its end, unlike the header"
            if reason is None:
                good.append(line + b"\n")
            else:
                malformed.append((number, fields, reason))
        return _CheckedBlock(ends, b"".join(good), malformed)

    def _is_clean(self, block: bytes, marks: npt.NDArray[np.intp], kinds: npt.NDArray[np.uint8]) -> bool:
        """Whether the control characters are those of well-formed lines, in this order, and the text is UTF-8."""
        import numpy as np

        width = len(self._separators)
        if len(marks) % width or not (kinds.reshape(-1, width) == np.frombuffer(self._separators, np.uint8)).all():
            return False
        if len(self._line_end) > 1 and (marks[width - 1 :: width] - marks[width - 2 :: width] != 1).any():
            return False
        return _is_text(block)

    def _describe_fault(self, line: bytes) -> str | None:
        found = line.count(b"\t") + 1
        if found != self.fields:
            return f"{found} field{'s' if found != 1 else ''} instead of {self.fields}"
        if b"\r" in line:
            return "carriage return in the line"
        if b"\0" in line:
            return "zero byte in the line"
        return None if _is_utf8(line) else "bytes that are not UTF-8"


class _RejectWriter:
    """Streams malformed lines into a Parquet file, created for the first one."""

    def __init__(self, path: Path, file: str) -> None:
        self.path = path
        self.count = 0
        self._file = file
        self._writer: pa.parquet.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write_lines(self, lines: list[MalformedLine]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not lines:
            return
        rows: dict[str, pa.Array[Any]] = {
            "file": pa.array([self._file] * len(lines), pa.string()),
            "line": pa.array([number for number, _, _ in lines], pa.int64()),
            "raw": pa.array([line.decode("utf-8", "backslashreplace") for _, line, _ in lines], pa.string()),
            "reason": pa.array([reason for _, _, reason in lines], pa.string()),
        }
        table = pa.table(rows)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, table.schema)
        self._writer.write_table(table)
        self.count += len(lines)


def _write_clean(source: Source, target: Path) -> None:
    scanner = _Scanner(source)
    with translate_read_errors(source.path), gzip.open(target, "wb", compresslevel=1) as out:
        out.write("\t".join(source.header).encode() + b"\n")
        for block in SourceReader(source.path, source.line_end).read_blocks():
            good = scanner.check_block(block).good
            out.write(good if source.line_end == b"\n" else good.replace(source.line_end, b"\n"))


def _find_marks(block: bytes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """Find the tabs, line feeds, carriage returns and zero bytes: their positions, and which of them each is."""
    import numpy as np

    letters = np.frombuffer(block, dtype=np.uint8)
    marks = np.flatnonzero(letters <= max(_MARKS))
    kinds = letters[marks]
    is_mark = np.array([byte in _MARKS for byte in range(max(_MARKS) + 1)])[kinds]
    return (marks, kinds) if is_mark.all() else (marks[is_mark], kinds[is_mark])


def _is_text(block: bytes) -> bool:
    """Whether a block is UTF-8. Arrow checks it ten times as fast as Python, which makes text of it."""
    import numpy as np
    import pyarrow as pa

    whole = pa.py_buffer(np.array([0, len(block)], np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, whole, pa.py_buffer(block)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
