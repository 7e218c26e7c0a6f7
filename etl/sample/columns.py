"""Columns of text, and their conversion to lines of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from etl.sample.randomness import Bools, Ints

if TYPE_CHECKING:
    import pyarrow as pa

NULL = "\\N"

Columns = tuple["pa.StringArray", ...]
"""The columns of some rows."""


def format_numbers(values: Ints, known: Bools | None = None) -> pa.StringArray:
    """Format whole numbers; null where not known."""
    import pyarrow as pa

    return pa.array(values, mask=None if known is None else ~known).cast(pa.string())


def mask_unknown(values: pa.StringArray, known: Bools) -> pa.StringArray:
    """Replace values that are not known by null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(known), values, pa.scalar(None, pa.string()))


def pick_words(words: Sequence[str | None], indexes: Ints) -> pa.StringArray:
    """Select the words at these indexes."""
    import pyarrow as pa

    return pa.array(words, pa.string()).take(indexes)


def join_text(*parts: pa.StringArray | str) -> pa.StringArray:
    """Concatenate the parts of each row."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, "")


def scatter_values(values: pa.StringArray, rows: Ints, count: int) -> pa.StringArray:
    """Build a column of `count` rows with the values in `rows` (ascending) and null elsewhere."""
    import pyarrow as pa

    index = np.zeros(count, dtype=np.int64)
    index[rows] = np.arange(rows.size)
    absent = np.ones(count, dtype=np.bool_)
    absent[rows] = False
    return values.take(pa.array(index, mask=absent))


def join_by_commas(columns: Sequence[pa.StringArray]) -> pa.StringArray:
    """Join the values of each row that are not null by commas; null if all are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # pyarrow 26 drops rows in which all parts are null; the empty text in front never is.
    joined = pc.binary_join_element_wise("", *columns, ",", null_handling="skip")
    return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), pc.utf8_slice_codeunits(joined, 1))


def encode_lines(columns: Sequence[pa.StringArray]) -> memoryview:
    """Encode rows as tab-separated lines in UTF-8, null as `\\N`."""
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(*columns, "\t", null_handling="replace", null_replacement=NULL)
    ended = pc.binary_join_element_wise(rows, "", "\n")
    _, offsets, data = ended.buffers()
    if data is None:
        return memoryview(b"")
    return memoryview(data)[: int(np.frombuffer(offsets, np.int32)[len(ended)])]
