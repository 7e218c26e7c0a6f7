"""Compares rows as multisets, in Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Places = npt.NDArray[np.intp]
    """Numbers of rows, from 0."""

_ROWS_AT_ONCE: Final = 1_000_000


@dataclass(frozen=True)
class RowChange:
    """Rows that a table lost and gained."""

    deleted: pa.Table
    added: pa.Table

    def select_differing(self, columns: Sequence[str]) -> RowChange:
        """Select the rows that differ in one of some columns."""
        before, after = encode_rows(self.deleted, columns), encode_rows(self.added, columns)
        deleted, added = subtract_rows(before, after)
        return RowChange(self.deleted.take(deleted), self.added.take(added))

    def list_values(self, column: str) -> set[str]:
        """The values of a text column."""
        return {*self.deleted.column(column).to_pylist(), *self.added.column(column).to_pylist()}


def subtract_rows(these: pa.Array, others: pa.Array, at_once: int = _ROWS_AT_ONCE) -> tuple[Places, Places]:
    """Return the places of what is left of each once equal rows of both have taken each other away.

    Nulls are equal to nothing. Memory is bounded by about so many rows `at_once`, whose texts are copied.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = (len(these) + len(others)) // at_once + 1
    # Equal texts have one length.
    shares = [
        pc.fill_null(pc.binary_length(each), 0).to_numpy(zero_copy_only=False) % parts for each in (these, others)
    ]
    left: list[tuple[Places, Places]] = []
    for part in range(parts):
        mine, theirs = (np.flatnonzero(share == part) for share in shares)
        chosen = (these, others) if parts == 1 else (these.take(pa.array(mine)), others.take(pa.array(theirs)))
        kept, other_kept = _subtract_at_once(*chosen)
        left.append((mine[kept], theirs[other_kept]))
    these_left, others_left = zip(*left, strict=True)
    return np.sort(np.concatenate(these_left)), np.sort(np.concatenate(others_left))


def _subtract_at_once(these: pa.Array, others: pa.Array) -> tuple[Places, Places]:
    import numpy as np
    import pyarrow as pa

    codes = pa.concat_arrays([these, others]).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    left, right = codes[: len(these)], codes[len(these) :]
    counts = [np.bincount(each[each >= 0], minlength=int(codes.max(initial=0)) + 1) for each in (left, right)]
    return _list_left(left, *counts), _list_left(right, *counts[::-1])


def _list_left(codes: npt.NDArray[np.int32], own: Places, others: Places) -> Places:
    """List the places of codes that are left once each of the others has taken one away, given the counts of both."""
    import numpy as np

    places = np.flatnonzero((codes < 0) | (own != others)[codes])  # most are there as often
    found = codes[places]
    return places[(found < 0) | (_count_before(found) >= others[found])]


def _count_before(codes: npt.NDArray[np.int32]) -> Places:
    """Count how often each code stands before."""
    import numpy as np

    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    found = np.empty(len(codes), np.intp)
    found[order] = np.arange(len(codes)) - np.searchsorted(ordered, ordered)
    return found


def encode_rows(rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """Encode each row as a text that is equal for equal rows alone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not rows.num_rows:
        return pa.array([], pa.string())
    parts = [_encode_column(rows.column(name).combine_chunks()) for name in columns]
    return pc.binary_join_element_wise(*parts, pa.scalar("", pa.string())) if len(parts) > 1 else parts[0]


def _encode_column(column: pa.Array) -> pa.Array:
    """Encode values as netstrings (`5:hello`), lists as their number and their values, nulls as `-`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):  # an empty one
        column = pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)
    if not pa.types.is_list(column.type):
        return _encode_texts(pc.cast(column, pa.string()))
    lengths = pc.list_value_length(column)
    joined = pc.binary_join(_wrap(column, _encode_texts(column.flatten())), "")
    counted = pc.binary_join_element_wise(pc.cast(lengths, pa.string()), joined, "[")
    return pc.fill_null(counted, "-")


def _wrap(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Make lists of the same lengths with other values."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _encode_texts(texts: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.cast(pc.binary_length(texts), pa.string())
    return pc.fill_null(pc.binary_join_element_wise(lengths, texts, ":"), "-")


def list_values(column: pa.ChunkedArray) -> set[str]:
    """Return the distinct texts of a column, or of the lists in it, without null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return set(pc.unique(texts.drop_null()).to_pylist())
