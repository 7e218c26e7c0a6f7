"""Sorts more rows than fit into memory, in Arrow.

Rows are dealt to ranges of their order as they come, and each range is sorted by itself once all are there. The range
of a row follows from its word: 64 bits, made of seven bytes of a text or of a number. The cuts between ranges are words
that came early; rows with exactly such a word have a range of their own. A range with more rows than are sorted at once
is dealt again: one of several words by cuts of its own, one of a single word by the next bytes or the next column.
(This is sample sort with equality buckets: Sanders and Winkel, "Super Scalar Sample Sort", ESA 2004.)
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Words = npt.NDArray[np.uint64]
    Integers = npt.NDArray[np.int64]

_TEXT_BYTES: Final = 7
"""Bytes of a text in a word. The eighth tells a text from null, which comes first."""

_MOST_SORTS: Final = 2
"""A range is sorted whole up to so many times the rows that are sorted at a time: the first rows foretell the sizes of
ranges roughly, and to deal one again costs more than to sort it."""


@dataclass(frozen=True)
class _WordPlace:
    """Where words are read: a column by its number in the order, and a text's first byte."""

    column: int = 0
    offset: int = 0


@dataclass(frozen=True)
class _Chunk:
    """Rows that were dealt together: of each range, their number, their batch in the file, and their longest text."""

    rows: Integers
    batches: Integers
    longest: Integers


@dataclass(frozen=True)
class SortPart:
    """Neighbouring ranges that are sorted together, and their number of rows."""

    ranges: range
    rows: int


class RowSorter:
    """Takes rows in any order, and returns them in the order of the columns `by`, with nulls first.

    About `sorted_rows` are dealt, and sorted, at a time; more go to a file in `folder`, which is removed in the end.
    `expected_rows` decides on the number of ranges: a wrong guess costs time. Rows are added by one thread; parts may
    then be read by several.
    """

    def __init__(
        self,
        schema: pa.Schema,
        by: Sequence[str],
        folder: Path,
        expected_rows: int,
        *,
        sorted_rows: int,
        place: _WordPlace = _WordPlace(),
    ) -> None:
        self.schema = schema
        self.rows = 0
        self._by = tuple(by)
        self._folder = folder
        self._sorted_rows = sorted_rows
        self._place = place
        self._most_cuts = max(1, expected_rows // sorted_rows)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._cuts: Words | None = None
        self._chunks: list[_Chunk] = []
        self._batches = 0
        self._file: pa.RecordBatchFileWriter | None = None
        self._path = folder

    def add(self, rows: pa.Table) -> None:
        """Add rows, of the sorter's schema."""
        self.rows += rows.num_rows
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        if self._waiting_rows >= self._sorted_rows:
            self._deal_waiting()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Forget the rows that are added within, if it ends with an exception."""
        rows, chunks = self.rows, len(self._chunks)
        waiting, waiting_rows = self._take_waiting()
        try:
            yield
        except BaseException:
            self.rows, self._waiting, self._waiting_rows = rows, waiting, waiting_rows
            del self._chunks[chunks:]
            raise
        self._waiting = waiting + self._waiting
        self._waiting_rows += waiting_rows

    def list_parts(self) -> list[SortPart]:
        """End the adding of rows, and return the parts in order."""
        import numpy as np

        if self._file is None:
            return [SortPart(range(0), self._waiting_rows)] if self._waiting_rows else []
        self._deal_waiting()
        self._file.close()
        sizes = np.sum([chunk.rows for chunk in self._chunks], axis=0)
        parts, first, rows = [], 0, 0
        for number, size in enumerate(sizes.tolist()):
            if rows and rows + size > self._sorted_rows:
                parts.append(SortPart(range(first, number), rows))
                first, rows = number, 0
            rows += size
        return [*parts, SortPart(range(first, len(sizes)), rows)] if rows else parts

    def read_part(self, part: SortPart) -> Iterator[pa.Table]:
        """Yield the rows of a part in order: as one table, or several where they are too many to be sorted at once."""
        import pyarrow as pa

        if self._file is None:
            yield sort_rows(pa.concat_tables(self._waiting), self._by)
        elif part.rows <= _MOST_SORTS * self._sorted_rows:
            yield sort_rows(pa.Table.from_batches(self._read_batches(part.ranges), self.schema), self._by)
        else:
            yield from self._deal_again(part)

    def _take_waiting(self) -> tuple[list[pa.Table], int]:
        """Return the waiting rows and their number; none wait then."""
        taken = self._waiting, self._waiting_rows
        self._waiting, self._waiting_rows = [], 0
        return taken

    def _deal_waiting(self) -> None:
        import pyarrow as pa

        waiting, _ = self._take_waiting()
        rows = pa.concat_tables([self.schema.empty_table(), *waiting]).combine_chunks()
        if rows.num_rows:
            self._chunks.append(self._deal(rows))

    def _deal(self, rows: pa.Table) -> _Chunk:
        """Write rows to the file, a batch for each range that has any."""
        import numpy as np
        import pyarrow as pa

        words, lengths = _read_words(rows.column(self._by[self._place.column]), self._place.offset)
        if self._cuts is None:
            self._cuts = _choose_cuts(words, self._most_cuts)
        below = np.searchsorted(self._cuts, words)
        is_cut = self._cuts[np.minimum(below, len(self._cuts) - 1)] == words
        numbers = 2 * below + is_cut
        sizes = np.bincount(numbers, minlength=2 * len(self._cuts) + 1)
        ends = np.cumsum(sizes)
        order = np.argsort(numbers.astype(np.uint16 if len(sizes) < 1 << 16 else np.uint32), kind="stable")
        (batch,) = rows.take(pa.array(order)).combine_chunks().to_batches()
        filled = np.flatnonzero(sizes)
        batches, longest = np.full(len(sizes), -1), np.zeros(len(sizes), np.int64)
        longest[filled] = np.maximum.reduceat(lengths[order], ends[filled] - sizes[filled])
        file = self._open_file()
        for number in filled.tolist():
            file.write_batch(batch.slice(ends[number] - sizes[number], sizes[number]))
            batches[number] = self._batches
            self._batches += 1
        return _Chunk(sizes, batches, longest)

    def _open_file(self) -> pa.RecordBatchFileWriter:
        import pyarrow as pa

        if self._file is None:
            self._path = self._folder / f"{uuid.uuid4()}.arrow"
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._file = pa.ipc.new_file(str(self._path), self.schema, options=options)
        return self._file

    def _read_batches(self, ranges: range) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        # Not mapped into memory: what is read of a map counts as memory of this process.
        with pa.OSFile(str(self._path)) as source, pa.ipc.open_file(source) as file:
            for number in ranges:
                for chunk in self._chunks:
                    if chunk.batches[number] >= 0:
                        yield file.get_batch(int(chunk.batches[number]))

    def _deal_again(self, part: SortPart) -> Iterator[pa.Table]:
        """Sort a range that is too large by itself."""
        import pyarrow as pa

        place = self._place if part.ranges[-1] % 2 == 0 else self._next_place(part.ranges[-1])
        batches = (pa.Table.from_batches([batch]) for batch in self._read_batches(part.ranges))
        if place is None:  # the rows do not differ in their order
            yield from batches
            return
        with RowSorter(
            self.schema, self._by, self._folder, part.rows, sorted_rows=self._sorted_rows, place=place
        ) as inner:
            for batch in batches:
                inner.add(batch)
            for each in inner.list_parts():
                yield from inner.read_part(each)

    def _next_place(self, number: int) -> _WordPlace | None:
        """Where rows differ that all have one word here."""
        end = self._place.offset + _TEXT_BYTES
        if any(chunk.longest[number] > end for chunk in self._chunks):
            return _WordPlace(self._place.column, end)
        column = self._place.column + 1
        return _WordPlace(column) if column < len(self._by) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
            self._path.unlink()


def sort_rows(rows: pa.Table, by: Sequence[str]) -> pa.Table:
    """Sort rows as Spark does, with nulls first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = rows.combine_chunks()
    # Arrow has nulls last, and an option for it that changes with its version.
    keys = {
        f"{place}.{part}": values
        for place, name in enumerate(by)
        for part, values in enumerate((pc.is_valid(rows.column(name)), rows.column(name)))
        if part == 1 or rows.column(name).null_count
    }
    return rows.take(pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys]))


def _choose_cuts(words: Words, most: int) -> Words:
    import numpy as np

    ordered = np.sort(words)
    return np.unique(ordered[len(ordered) * np.arange(1, most + 1) // (most + 1)])


def _read_words(column: pa.ChunkedArray, offset: int) -> tuple[Words, Integers]:
    """Return the word of each value, which orders values as far as it goes, and the length of texts (0 for numbers)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    (values,) = column.chunks
    valid = pc.is_valid(values).to_numpy(zero_copy_only=False)
    if pa.types.is_int32(values.type):
        numbers = pc.fill_null(values, 0).to_numpy().astype(np.int64)
        return np.where(valid, numbers + (1 << 32), 0).astype(np.uint64), np.zeros(len(values), np.int64)
    if not pa.types.is_string(values.type):
        raise TypeError(f"rows are not ordered by a column of type {values.type}")
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    lengths = np.diff(offsets).astype(np.int64)
    data = bytes(values.buffers()[2] or b"") + bytes(8)
    starts = np.minimum(offsets[:-1] + offset, len(data) - 8)
    found = np.ndarray((len(data) - 7,), "V8", data, strides=(1,))[starts].view(">u8").astype(np.uint64)
    absent = 8 * (_TEXT_BYTES - np.clip(lengths - offset, 0, _TEXT_BYTES)).astype(np.uint64)
    words = (found >> np.uint64(8) >> absent << absent) | np.uint64(1 << 8 * _TEXT_BYTES)
    words[~valid] = 0
    return words, lengths
