"""Columns of text become lines of a file."""

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


def numbers(values: Ints, known: Bools | None = None) -> pa.StringArray:
    """Whole numbers as text; null where not known."""
    import pyarrow as pa

    return pa.array(values, mask=None if known is None else ~known).cast(pa.string())


def known_only(values: pa.StringArray, known: Bools) -> pa.StringArray:
    """The values, null where not known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(known), values, pa.scalar(None, pa.string()))


def picked(words: Sequence[str | None], indexes: Ints) -> pa.StringArray:
    """The words at these indexes."""
    import pyarrow as pa

    return pa.array(words, pa.string()).take(indexes)


def joined(*parts: pa.StringArray | str) -> pa.StringArray:
    """The parts, one after the other."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, "")


def scattered(values: pa.StringArray, rows: Ints, count: int) -> pa.StringArray:
    """A column of `count` rows with the values in those rows (ascending), and null elsewhere."""
    import pyarrow as pa

    index = np.zeros(count, dtype=np.int64)
    index[rows] = np.arange(rows.size)
    absent = np.ones(count, dtype=np.bool_)
    absent[rows] = False
    return values.take(pa.array(index, mask=absent))


def comma_list(columns: Sequence[pa.StringArray]) -> pa.StringArray:
    """What is not null in the columns, joined by commas; null where all are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # The empty text in front is never null: pyarrow 26 drops rows in which all parts are.
    joined = pc.binary_join_element_wise("", *columns, ",", null_handling="skip")
    return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), pc.utf8_slice_codeunits(joined, 1))


def lines(columns: Sequence[pa.StringArray]) -> memoryview:
    """The lines, tab separated, null as `\\N`, in UTF-8."""
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(*columns, "\t", null_handling="replace", null_replacement=NULL)
    ended = pc.binary_join_element_wise(rows, "", "\n")
    _, offsets, data = ended.buffers()
    if data is None:
        return memoryview(b"")
    return memoryview(data)[: int(np.frombuffer(offsets, np.int32)[len(ended)])]
