"""Compares the changed lines of a file with the rows of its table, and finds the rows to delete and to add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl.changed_lines import ChangedLines
from etl.header import Source
from etl.row_filters import EitherFilter, IdFilter, RangeFilter
from etl.row_lines import write_lines
from etl.row_sets import RowChange, encode_rows, subtract_rows
from etl.stored_rows import StoredTable, TableChange

if TYPE_CHECKING:
    import pyarrow as pa

Touched = dict[str, set[str]]
"""Values of columns: the rows that have, or list, one of them."""


@dataclass(frozen=True)
class ReadRows:
    """Rows of a table that were read for another purpose: all of those with one of the values of a column in `by`."""

    rows: pa.Table
    by: Touched

    def include(self, wanted: Touched) -> bool:
        """Whether all rows with one of these values are there."""
        return all(values <= self.by.get(column, set()) for column, values in wanted.items())


class RowComparison:
    """Compares the lines of a file that may have changed with the rows that they replace.

    The rows `wanted` are read beside them, because all columns of the table are read only once.
    """

    def __init__(self, stored: StoredTable, source: Source, changed: ChangedLines, wanted: Touched) -> None:
        self._key = source.dataset.fields[0].column_name
        self._wanted = wanted
        inside = RangeFilter(self._key, changed.replaced)
        self._before = stored.locate_rows(stored.schema.names, EitherFilter([inside, IdFilter(wanted)]))
        replaced = inside.choose(self._before.rows)
        lines = changed.read_lines()
        known = write_lines(self._before.rows.take(replaced), source.dataset, source.line_end)
        places, others = subtract_rows(known, lines)
        self._places = replaced[places]
        self.rest = changed.select_lines(lines, others, changed.path.with_suffix(".rest.tsv"))
        """The lines that are no stored row."""

    def compare(self, after: pa.Table) -> tuple[TableChange, RowChange, ReadRows]:
        """Compare the stored rows that no line is with the rows of the other lines."""
        import numpy as np
        import pyarrow as pa

        rows = self._before.rows
        before = rows.take(self._places)
        these, those = (encode_rows(each, rows.column_names) for each in (before, after))
        places, others = subtract_rows(these, those)
        lost, added = self._places[places], after.take(others)
        change = RowChange(rows.take(lost), added)
        kept = np.setdiff1d(np.arange(rows.num_rows), lost, assume_unique=True)
        # All rows of an id are in one group of lines, so those of an id that a changed row has were read.
        by = self._wanted | {self._key: change.list_values(self._key) | self._wanted.get(self._key, set())}
        now = pa.concat_tables([rows.take(kept), added])
        read = ReadRows(now.take(IdFilter(by).choose(now)), by)
        return TableChange(self._before.locate(lost), [added]), change, read
