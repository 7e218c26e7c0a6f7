"""Compares rows as multisets, and selects rows by ranges and sets of ids, in Arrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from etl.fingerprints import KEY_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def subtract_rows(these: Sequence[str], others: Sequence[str]) -> list[int]:
    """Return the places in `these` of what is left once each of `others` has taken one equal away."""
    left = Counter(others)
    places = []
    for place, row in enumerate(these):
        if left[row]:
            left[row] -= 1
        else:
            places.append(place)
    return places


def encode_rows(rows: pa.Table, columns: Sequence[str]) -> list[str]:
    """Encode each row as a text that is equal for equal rows alone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not rows.num_rows:
        return []
    parts = [_encode_column(rows.column(name).combine_chunks()) for name in columns]
    encoded = pc.binary_join_element_wise(*parts, pa.scalar("", pa.string())) if len(parts) > 1 else parts[0]
    return list(encoded.to_pylist())


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


def select_ranges(ids: pa.ChunkedArray, bounds: npt.NDArray[np.bytes_]) -> npt.NDArray[np.intp]:
    """Return the places of the ids that are within ranges, given as first ids and the ids behind them, in turn."""
    import numpy as np

    keys = _to_fixed(ids)
    if not len(keys) or not len(bounds):
        return np.empty(0, np.intp)
    if (keys[1:] >= keys[:-1]).all():
        ends = np.searchsorted(keys, bounds).reshape(-1, 2)
        return np.concatenate([np.arange(first, end) for first, end in ends])
    return np.flatnonzero(np.searchsorted(bounds, keys, side="right") % 2)


def select_ids(rows: pa.Table, wanted: dict[str, set[str]]) -> npt.NDArray[np.intp]:
    """Return the places of the rows in which a column has, or lists, one of the values that are wanted of it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    found = np.zeros(rows.num_rows, bool)
    for column, values in wanted.items():
        if not values:
            continue
        ids, chosen = rows.column(column), pa.array(sorted(values), pa.string())
        if pa.types.is_list(ids.type):
            first = 0
            for chunk in ids.chunks:
                hits = pc.is_in(pc.list_flatten(chunk), chosen).to_numpy(zero_copy_only=False)
                found[first + pc.list_parent_indices(chunk).to_numpy()[hits]] = True
                first += len(chunk)
        else:
            found |= pc.is_in(ids, chosen).to_numpy()
    return np.flatnonzero(found)


def list_values(column: pa.ChunkedArray) -> set[str]:
    """Return the distinct texts of a column, or of the lists in it, without null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return set(pc.unique(texts.drop_null()).to_pylist())


def _to_fixed(ids: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Convert ids to bytes of one length, cut at 16."""
    import numpy as np
    import pyarrow as pa

    parts: list[npt.NDArray[Any]] = [np.empty(0, f"S{KEY_BYTES}")]
    for chunk in ids.chunks:
        offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        data = (chunk.buffers()[2] or pa.py_buffer(b"")).to_pybytes() + bytes(KEY_BYTES)
        lengths = np.minimum(np.diff(offsets), KEY_BYTES)
        items = np.ndarray((len(data) - KEY_BYTES + 1,), f"V{KEY_BYTES}", data, strides=(1,))[offsets[:-1]]
        grid = items.view(np.uint8).reshape(-1, KEY_BYTES)
        grid[np.arange(KEY_BYTES) >= lengths[:, None]] = 0
        parts.append(grid.view(f"S{KEY_BYTES}").ravel())
    return np.concatenate(parts)
