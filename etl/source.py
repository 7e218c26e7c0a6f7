"""Inspects a source file before an engine reads it: is it complete, and is every line well formed?

Engines treat malformed lines differently (Sail's CSV reader fails, Spark's fills up with nulls, both replace bytes that
are not UTF-8), so they never read one. Malformed lines are written to a Parquet file with the reason. The engine reads
the file itself, or a clean copy if lines were removed or gzip readers may disagree about its content (`etl.packed`).
"""

from __future__ import annotations

import errno
import gzip
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from etl.datasets import DATASETS, Dataset, FieldKind
from etl.fingerprints import Fingerprint, Fingerprinter, OnGroup
from etl.packed import DamagedError, Unpacker
from lakehouse.errors import SourceError
from lakehouse.manifest import SourceFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BLOCK_BYTES = 4 << 20
_HEADER_BLOCK_BYTES = 64 << 10
_NEWLINE, _TAB = 10, 9

_SINGLE_FACTOR, _MANY_FACTOR = 25, 5
"""How many ids are in a group of lines, where an id has one line and where it has several. Part of the format."""

OnProgress = Callable[[int, int], None]
"""Called with the compressed bytes and the lines read so far."""


@dataclass(frozen=True)
class Inspection:
    """Result of inspecting a file.

    `lines` counts the lines below the header; `malformed` of them were written to `rejects` (a Parquet file).
    `readable` is the file for the engine. `in_order` is true if the lines are sorted by their first field.
    `fingerprint` is None if their ids do not come in order.
    """

    source: SourceFile
    readable: Path
    rejects: Path | None
    lines: int
    malformed: int
    in_order: bool
    fingerprint: Fingerprint | None


def find_sources(folder: Path) -> tuple[list[tuple[Dataset, Path]], list[Dataset]]:
    """Return the data sets with their files, and the optional ones without. Checks the headers.

    Raises SourceError if a file cannot be loaded.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder. Give the folder with IMDb's .tsv.gz files as --source.")
    found = [(dataset, find_source(folder, dataset)) for dataset in DATASETS]
    files = [(dataset, path) for dataset, path in found if path is not None]
    for dataset, path in files:
        check_header(path, dataset)
    return files, [dataset for dataset, path in found if path is None]


def find_source(folder: Path, dataset: Dataset) -> Path | None:
    """Return the file of a data set, `NAME.tsv.gz` or `NAME.tsv`, or None if an optional one is missing.

    Raises SourceError if a required one is missing, or both exist.
    """
    packed, plain = folder / f"{dataset.file}.tsv.gz", folder / f"{dataset.file}.tsv"
    if packed.exists() and plain.exists():
        raise SourceError(f"Both {packed.name} and {plain.name} are in {folder}. Keep the one to load.")
    for path in (packed, plain):
        if path.exists():
            return path
    if dataset.required:
        raise SourceError(
            f"{packed.name} is missing in {folder} (nor is {plain.name} there). Run `imdb-etl download` for IMDb's "
            "files, or `imdb-etl sample` for invented ones."
        )
    return None


def check_header(path: Path, dataset: Dataset) -> None:
    """Raise SourceError if the file is empty, has a byte-order mark, CRLF, or a wrong header."""
    with _translate_errors(path):
        line = _SourceReader(path).read_first_line()
    name, expected = path.name, "\t".join(dataset.header)
    if not line:
        raise SourceError(f"{name} is empty. Fetch it again with `imdb-etl download`.")
    if line.startswith(b"\xef\xbb\xbf"):
        raise SourceError(f"{name} starts with a byte-order mark, which IMDb's files do not. Save it as plain UTF-8.")
    if line.endswith(b"\r\n"):
        raise SourceError(f"{name} has Windows line ends (CRLF); IMDb's files end lines with LF. Convert it first.")
    if line.startswith(b"\x1f\x8b"):
        raise SourceError(f"{name} is packed by gzip. Name it {name}.gz.")
    found = line.rstrip(b"\n").decode("utf-8", "backslashreplace")
    if found != expected:
        raise SourceError(
            f"{name} has another header than IMDb's {dataset.file}. Expected: {_format_header(expected)}. "
            f"Found: {_format_header(found)}."
        )


def inspect_source(path: Path, dataset: Dataset, work_dir: Path, on_progress: OnProgress) -> Inspection:
    """Read the whole file and separate the malformed lines.

    Memory is bounded by one block. Raises SourceError if the file is truncated or damaged, or has no line below its
    header.
    """
    digest = hashlib.sha256()
    scanner = _Scanner(len(dataset.header))
    fingerprinter = make_fingerprinter(dataset)
    rejects = _RejectWriter(work_dir / f"{dataset.file}.rejects.parquet", path.name)
    reader = _SourceReader(path)
    with _translate_errors(path), rejects:
        for block in reader.read_blocks(digest.update, scanner, on_progress):
            rejects.write_lines(scanner.find_malformed_lines(block))
            fingerprinter.add_block(block)
    if scanner.lines == 0:
        raise SourceError(f"{path.name} has a header and no line below it. Fetch it again with `imdb-etl download`.")
    readable = path
    if rejects.count or not reader.is_plain:
        readable = work_dir / f"{dataset.file}.clean.tsv.gz"
        _write_clean(path, dataset, readable)
    return Inspection(
        source=SourceFile(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest()),
        readable=readable,
        rejects=rejects.path if rejects.count else None,
        lines=scanner.lines,
        malformed=rejects.count,
        in_order=scanner.in_order,
        fingerprint=fingerprinter.finish(),
    )


def make_fingerprinter(dataset: Dataset, on_group: OnGroup = lambda *_: None) -> Fingerprinter:
    """Return a new fingerprinter for a file, with groups of about thirty lines."""
    prefix = b"tt" if dataset.fields[0].kind is FieldKind.TITLE_ID else b"nm"
    return Fingerprinter(prefix, _SINGLE_FACTOR if len(dataset.key) == 1 else _MANY_FACTOR, on_group)


def hash_file(path: Path) -> SourceFile:
    """Read the identity of a file without unpacking it. Raises SourceError if it cannot be read."""
    with _translate_errors(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return SourceFile(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest())


def fingerprint_source(path: Path, fingerprinter: Fingerprinter, on_progress: OnProgress) -> Fingerprint | None:
    """Read the whole file into a fingerprinter. Raises SourceError as `inspect_source` does."""
    with _translate_errors(path):
        for block in _SourceReader(path).read_blocks(lambda _: None, fingerprinter, on_progress):
            fingerprinter.add_block(block)
    if fingerprinter.lines == 0:
        raise SourceError(f"{path.name} has a header and no line below it. Fetch it again with `imdb-etl download`.")
    return fingerprinter.finish()


class _Scanner:
    """Checks blocks of whole lines. A clean block takes a few vectorised passes over its bytes."""

    def __init__(self, fields: int) -> None:
        self.fields = fields
        self.lines = 0
        self.in_order = True
        self._last_key = b""

    def find_malformed_lines(self, block: bytes) -> list[tuple[int, bytes, str]]:
        """Return the malformed lines of a block as (line number below the header from 1, bytes, reason)."""
        import numpy as np

        letters = np.frombuffer(block, dtype=np.uint8)
        ends = np.flatnonzero(letters == _NEWLINE)
        tabs = np.flatnonzero(letters == _TAB)
        first_line = self.lines + 1
        self.lines += len(ends)
        if self._is_clean(block, ends, tabs):
            self._follow_order(letters, ends, tabs)
            return []
        # The order was not checked here; an unneeded sort costs less than a wrong guess.
        self.in_order = False
        lines = block.split(b"\n")[:-1]
        found = ((first_line + i, line, self._describe_fault(line)) for i, line in enumerate(lines))
        return [(number, line, reason) for number, line, reason in found if reason is not None]

    def _is_clean(self, block: bytes, ends: np.ndarray, tabs: np.ndarray) -> bool:
        per_line = self.fields - 1
        if len(tabs) != len(ends) * per_line or b"\r" in block or b"\0" in block:
            return False
        grid = tabs.reshape(len(ends), per_line)
        # Each line's tabs lie between the line end before it and its own.
        if not ((grid[:, -1] < ends).all() and (grid[1:, 0] > ends[:-1]).all()):
            return False
        return _is_utf8(block)

    def _follow_order(self, letters: np.ndarray, ends: np.ndarray, tabs: np.ndarray) -> None:
        """Compare each line's first field with the one before it, as bytes."""
        import numpy as np

        if not self.in_order:
            return
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = tabs.reshape(len(ends), self.fields - 1)[:, 0] - starts
        width = int(lengths.max())
        if width == 0 or width > 32:
            self.in_order = False
            return
        columns = np.arange(width)
        positions = np.minimum(starts[:, None] + columns, len(letters) - 1)
        keys = np.where(columns < lengths[:, None], letters[positions], 0).astype(np.uint8).view(f"S{width}").ravel()
        self.in_order = bool(self._last_key <= keys[0] and (keys[1:] >= keys[:-1]).all())
        self._last_key = bytes(keys[-1])

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

    def write_lines(self, lines: list[tuple[int, bytes, str]]) -> None:
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


def _write_clean(path: Path, dataset: Dataset, target: Path) -> None:
    scanner = _Scanner(len(dataset.header))
    with _translate_errors(path), gzip.open(target, "wb", compresslevel=1) as out:
        out.write("\t".join(dataset.header).encode() + b"\n")
        for block in _SourceReader(path).read_blocks(lambda _: None, scanner):
            start = scanner.lines + 1
            bad = {number - start for number, _, _ in scanner.find_malformed_lines(block)}
            if bad:
                lines = block.split(b"\n")[:-1]
                out.writelines(line + b"\n" for i, line in enumerate(lines) if i not in bad)
            else:
                out.write(block)


class _SourceReader:
    """Reads a source file. `is_plain`, valid after reading, is true if an engine reads the same bytes."""

    def __init__(self, path: Path) -> None:
        self.is_plain = True
        self._path = path

    def read_first_line(self) -> bytes:
        """Return the first line with its line end, cut at the maximum size of a header."""
        with self._path.open("rb") as raw:
            start = b""
            for block in self._read_unpacked(raw, _HEADER_BLOCK_BYTES):
                start += block
                if b"\n" in block or len(start) >= _HEADER_BLOCK_BYTES:
                    break
        line, newline, _ = start.partition(b"\n")
        return line + newline

    def read_blocks(
        self,
        on_bytes: Callable[[bytes], None],
        counter: _Scanner | Fingerprinter,
        on_progress: OnProgress = lambda *_: None,
    ) -> Iterator[bytes]:
        """Yield the file below its header in blocks of whole lines. Adds a missing line end to the last line."""
        with self._path.open("rb") as raw:
            tap = _Tap(raw, on_bytes)
            rest, header_seen = b"", False
            for chunk in self._read_unpacked(tap, BLOCK_BYTES):
                block = rest + chunk
                if not header_seen:
                    _, newline, block = block.partition(b"\n")
                    header_seen = bool(newline)
                cut = block.rfind(b"\n") + 1
                rest = block[cut:]
                if cut:
                    yield block[:cut]
                    on_progress(tap.count, counter.lines)
            if rest:
                yield rest + b"\n"
            on_progress(tap.count, counter.lines)

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


class _translate_errors:  # noqa: N801  (used as a function: `with _translate_errors(path)`)
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


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _format_header(header: str) -> str:
    """Format a header for a message: tabs as bars, control characters escaped."""
    return "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in header[:200].replace("\t", " | ")
    )
