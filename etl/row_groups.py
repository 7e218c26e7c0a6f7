"""Reads chosen rows of the row groups of a Parquet file, and no more of its columns than that takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

    from etl.row_filters import RowFilter

    Positions = npt.NDArray[np.int64]

_FEW_BYTES: Final = 2
"""A text column that takes fewer bytes a row, before compression, has few values."""


def open_file(source: pa.NativeFile, plain: Collection[str]) -> pq.ParquetFile:
    """Open a file that gives text columns of few values as references to them, except those that are to be `plain`.

    Arrow reads them several times as fast: it makes no text of each row.
    """
    import pyarrow.parquet as pq

    described = pq.read_metadata(source)
    few = []
    for place in range(described.num_columns if described.num_row_groups else 0):
        column = described.row_group(0).column(place)
        is_text = column.physical_type == "BYTE_ARRAY" and "." not in column.path_in_schema
        is_small = column.total_uncompressed_size < _FEW_BYTES * column.num_values
        if is_text and is_small and column.path_in_schema not in plain:
            few.append(column.path_in_schema)
    return pq.ParquetFile(source, metadata=described, read_dictionary=few)


def read_group(
    file: pq.ParquetFile, number: int, columns: Sequence[str], chosen: RowFilter | None, dead: Positions
) -> tuple[Positions, pa.Table] | None:
    """Read the chosen rows of a row group that are not dead, with their places in it; None where there are none."""
    import numpy as np
    import pyarrow as pa

    group = file.metadata.row_group(number)
    keys, parts = [] if chosen is None else list(chosen.columns), {}
    places = np.arange(group.num_rows)
    if chosen is not None:
        if not chosen.may_choose(_read_spans(group, keys)):
            return None
        read = file.read_row_group(number, columns=keys)
        places = chosen.choose(read)
        parts = {name: read.column(name) for name in keys}
    places = np.setdiff1d(places, dead, assume_unique=True) if len(dead) else places
    if not len(places):
        return None
    rest = [name for name in columns if name not in parts]
    if rest:
        read = file.read_row_group(number, columns=rest)
        parts |= {name: read.column(name) for name in rest}
    rows = pa.table({name: parts[name] for name in columns})
    return places, rows if len(places) == group.num_rows or not columns else rows.take(pa.array(places))


def _read_spans(group: pq.RowGroupMetaData, columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Read the least and the greatest value of text columns of a row group, as far as its statistics have them."""
    spans = {}
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema in columns and column.statistics is not None and column.statistics.has_min_max:
            least, most = column.statistics.min, column.statistics.max
            if isinstance(least, str) and isinstance(most, str):
                spans[column.path_in_schema] = least, most
    return spans
