"""Compares rows as multisets, in Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Places = npt.NDArray[np.intp]
    """Numbers of rows, from 0."""


@dataclass(frozen=True)
class RowChange:
    """Rows that a table lost and gained."""

    deleted: pa.Table
    added: pa.Table

    def list_touched(self, columns: tuple[str, ...], key: str) -> set[str]:
        """The values of `key` in rows that differ in one of `columns`."""
        before, after = encode_rows(self.deleted, columns), encode_rows(self.added, columns)
        found: set[str] = set()
        for rows, places in (
            (self.deleted, subtract_rows(before, after)),
            (self.added, subtract_rows(after, before)),
        ):
            found.update(rows.column(key).take(places).to_pylist())
        return found


def subtract_rows(these: pa.Array, others: pa.Array) -> Places:
    """Return the places in `these` of what is left once each of `others` has taken one equal away.

    Nulls are equal to nothing.
    """
    import numpy as np
    import pyarrow as pa

    codes = pa.concat_arrays([these, others]).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    mine, theirs = codes[: len(these)], codes[len(these) :]
    taken = np.bincount(theirs[theirs >= 0], minlength=int(codes.max(initial=-1)) + 1)
    order = np.argsort(mine, kind="stable")
    ordered = mine[order]
    nth = np.empty(len(mine), np.intp)
    nth[order] = np.arange(len(mine)) - np.searchsorted(ordered, ordered)
    return np.flatnonzero((mine < 0) | (nth >= taken[mine])) if len(taken) else np.arange(len(mine))


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
