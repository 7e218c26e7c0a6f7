"""Writes the data files of a Delta table from Arrow, and describes them for its log.

Row groups are small, and pages have an index: a look-up decodes the dictionary of each column of the row groups that
it touches, and of these the pages that it needs (docs/layout.md has the measurements).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_COMPRESSION: Final = "zstd"
_GROUP_ROWS: Final = 131_072
_FALSE_SHARE: Final = 0.01
"""Of the row groups that lack a value, a look-up reads this share all the same."""
_STAT_CHARS: Final = 32


def name_data_file() -> str:
    """Return a new name for a data file."""
    return f"part-00000-{uuid.uuid4()}-c000.{_COMPRESSION}.parquet"


def write_data_file(
    name: str, out: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table], found_by: Mapping[str, int]
) -> dict[str, Any]:
    """Write tables, one behind the other, to the file `name`. Returns the action that adds it to a Delta table.

    Each row group has a Bloom filter for the columns `found_by`, made for that many different values.
    """
    import pyarrow.parquet as pq

    found: list[pq.FileMetaData] = []
    with pq.ParquetWriter(
        out,
        schema,
        compression=_COMPRESSION,
        write_page_index=True,
        bloom_filter_options={column: {"ndv": values, "fpp": _FALSE_SHARE} for column, values in found_by.items()},
        metadata_collector=found,
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=_GROUP_ROWS)
    return {
        "path": name,
        "partitionValues": {},
        "size": out.tell(),
        "modificationTime": time.time_ns() // 1_000_000,
        "dataChange": True,
        "stats": json.dumps(_describe_file(found[0])),
    }


def _describe_file(file: pq.FileMetaData) -> dict[str, Any]:
    """The statistics of a data file for a log, from those of its columns."""
    least, most, nulls = {}, {}, {}
    for number in range(file.num_columns):
        chunks = [file.row_group(group).column(number) for group in range(file.num_row_groups)]
        name = file.schema.column(number).path
        statistics = [chunk.statistics for chunk in chunks]
        if file.schema.column(number).max_repetition_level or any(each is None for each in statistics):
            continue
        nulls[name] = sum(each.null_count for each in statistics)
        known = [each for each, chunk in zip(statistics, chunks, strict=True) if each.null_count < chunk.num_values]
        if known and all(each.has_min_max for each in known) and not isinstance(known[0].min, bool):
            least[name] = _cut_least(min(each.min for each in known))
            most[name] = _cut_most(max(each.max for each in known))
    return {"numRecords": file.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}


def _cut_least(value: Any) -> Any:
    return value[:_STAT_CHARS] if isinstance(value, str) else value


def _cut_most(value: Any) -> Any:
    """A text is cut after 32 letters, as Spark does, so that a longer one follows with the largest letter behind."""
    if not isinstance(value, str) or len(value) <= _STAT_CHARS:
        return value
    return value[:_STAT_CHARS] + "\U0010ffff"
