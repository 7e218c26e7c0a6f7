"""Finds the source files and reads their headers: how a file is written, and what its columns are to the table.

Columns are matched by name. One that is not described here becomes a column of text at the end of the table; a
described one that is missing, or whose values have another form from the first lines on, stops the load before any work
is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from etl.datasets import DATASETS, UNDESCRIBED, Dataset, Field, FieldKind
from etl.forms import find_misfits
from etl.reading import SourceReader, translate_read_errors
from lakehouse.errors import SourceError

MARK = b"\xef\xbb\xbf"
"""The byte-order mark in UTF-8."""
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MAX_HEADER_BYTES = 64 << 10
_START_BYTES = 1 << 20
_FIRST_LINES = 1_000
_ENOUGH_VALUES = 20
"""Fewer values of another form are malformed lines, not another column."""
_COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Source:
    """A file to load: its columns in their order, whether it starts with a byte-order mark, and its line end."""

    dataset: Dataset
    path: Path
    header: tuple[str, ...]
    marked: bool = False
    line_end: bytes = b"\n"

    @property
    def is_plain(self) -> bool:
        """Whether engines read the file as it is."""
        return not self.marked and self.line_end == b"\n"

    @property
    def is_keyed(self) -> bool:
        """Whether lines begin with the field that comes first in the table."""
        return self.header[0] == self.dataset.fields[0].name

    @property
    def new_columns(self) -> tuple[str, ...]:
        """The columns that are not described here."""
        return tuple(name for name in self.header if name not in self.dataset.header)

    @property
    def is_as_described(self) -> bool:
        """Whether the file has the described columns in their order and no others."""
        return self.header == self.dataset.header

    def list_notes(self) -> list[str]:
        """Describe what differs from IMDb's files and was read all the same."""
        name = self.path.name
        described = [name for name in self.header if name in self.dataset.header]
        return [
            *([f"{name} starts with a byte-order mark, which was left out."] if self.marked else []),
            *([f"{name} has Windows line ends (CRLF), which were read."] if self.line_end != b"\n" else []),
            *(
                [f"{name} has its columns in another order than IMDb's; they were matched by name."]
                if tuple(described) != self.dataset.header
                else []
            ),
        ]


def find_sources(folder: Path) -> tuple[list[Source], list[Dataset]]:
    """Return the files of a folder, opened, and the data sets that have none there.

    Raises SourceError if a required file is missing, or one cannot be loaded.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder. Give the folder with IMDb's .tsv.gz files as --source.")
    found = [(dataset, find_source(folder, dataset)) for dataset in DATASETS]
    files = [open_source(path, dataset) for dataset, path in found if path is not None]
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


def open_source(path: Path, dataset: Dataset) -> Source:
    """Read the start of a file: its header and its first lines.

    Raises SourceError if the file is empty, is not UTF-8, lacks a described column, names one twice or in a way that no
    table can have, or if no value of a described column has the expected form in the first lines.
    """
    with translate_read_errors(path):
        start = SourceReader(path).read_start(_START_BYTES)
    name = path.name
    if not start:
        raise SourceError(f"{name} is empty. Fetch it again with `imdb-etl download`.")
    if start.startswith(_UTF16_MARKS):
        raise SourceError(f"{name} is written in UTF-16. Save it as UTF-8.")
    if start.startswith(b"\x1f\x8b"):
        raise SourceError(f"{name} is packed by gzip. Name it {name}.gz.")
    line, newline, rest = start.removeprefix(MARK).partition(b"\n")
    line_end = b"\r\n" if newline and line.endswith(b"\r") else b"\n"
    text = (
        line[:_MAX_HEADER_BYTES].removesuffix(b"\r" if line_end == b"\r\n" else b"").decode("utf-8", "backslashreplace")
    )
    source = Source(dataset, path, tuple(text.split("\t")), start.startswith(MARK), line_end)
    _check_columns(source)
    _check_forms(source, rest.split(b"\n")[:_FIRST_LINES])
    return source


def describe_columns(source: Source, kept: Iterable[str]) -> tuple[Dataset, list[str]]:
    """Return the data set with the columns that are not described here, and notes about them.

    `kept` are such columns of the table that is loaded again, in their order. They stay, empty where the file has them
    no more, so that statements that name them run and old versions have the columns of the new one.
    """
    dataset, name, table = source.dataset, source.path.name, source.dataset.table
    found = {column.lower(): column for column in source.new_columns}
    fields, notes = [], []
    for column in kept:
        spelling = found.pop(column.lower(), None)
        fields.append(Field(spelling or column, FieldKind.TEXT, UNDESCRIBED, column=column))
        if spelling is None:
            notes.append(f"{name} no longer has the column {column}: it stays in {table}, with null in every row.")
    for column in found.values():
        fields.append(Field(column, FieldKind.TEXT, UNDESCRIBED))
        notes.append(f"{name} has a column {column} that is not described here: it is in {table}, as text.")
    return replace(dataset, fields=(*dataset.fields, *fields)), notes


def _check_columns(source: Source) -> None:
    name, dataset, header = source.path.name, source.dataset, source.header
    found = f"Found: {_show_names(header)}."
    missing = [column for column in dataset.header if column not in header]
    if missing:
        raise SourceError(
            f"{name} has another header than IMDb's {dataset.file}: it lacks {', '.join(missing)}. {found} "
            f"Load a file that has all of: {_show_names(dataset.header)}."
        )
    taken = {field.column_name.lower() for field in dataset.fields} | {column.lower() for column in dataset.header}
    for column in source.new_columns:
        if not _COLUMN_NAME.fullmatch(column):
            raise SourceError(
                f"{name} has a column named {_show_names([column])!r}. A new column's name is a letter and at most 63 "
                "letters, digits and _: rename it in the file, or leave it out."
            )
        taken_twice = column.lower() in taken
        taken.add(column.lower())
        if taken_twice:
            raise SourceError(
                f"{name} has two columns for {column} in {dataset.table}. {found} Rename one, or leave it out."
            )
    if len(set(header)) < len(header):
        twice = next(column for column in header if header.count(column) > 1)
        raise SourceError(f"{name} names the column {twice} twice. {found} Leave one out.")


def _check_forms(source: Source, lines: Sequence[bytes]) -> None:
    """Raise SourceError if a column has another form: none of at least twenty values in these lines fits."""
    texts = (line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines)
    for misfits in find_misfits(texts, source.header, source.dataset):
        if misfits.values == misfits.count >= _ENOUGH_VALUES:
            raise SourceError(
                f"{source.path.name}: the column {misfits.field.name} has another form than IMDb's: "
                f"{misfits.describe()} (none of the first {misfits.values:,} values fits). Nothing was loaded; load a "
                "file with the expected form."
            )


def _show_names(names: Sequence[str]) -> str:
    """Format names for a message: bars between them, control characters escaped."""
    shown = " | ".join(names)[:300]
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in shown)
