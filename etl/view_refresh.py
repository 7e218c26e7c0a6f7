"""Refreshes gold views in an update: only the rows that changed rows of their tables reach are joined anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from etl.datasets import DATASETS
from etl.gold_views import GoldView, ViewSource
from etl.row_filters import IdFilter
from etl.row_sets import encode_rows, list_values, subtract_rows
from etl.slices import SlicedTables
from etl.stored_rows import StoredTable, TableChange, Written, to_arrow_schema
from etl.table_files import TableFiles
from etl.tables import to_definition
from lakehouse.manifest import TableEntry
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

Touched = dict[str, set[str]]
"""Values of columns of a view: rows that have one of them are joined anew."""


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


def find_touched(view: GoldView, changes: Mapping[str, RowChange]) -> Touched:
    """Find which titles and persons of a view changed rows of its tables reach."""
    touched: Touched = {}
    for source in view.sources:
        if source.table in changes:
            key, (column,) = source.links[0]
            touched.setdefault(key, set()).update(changes[source.table].list_touched(source.columns, column))
    return {key: values for key, values in touched.items() if values}


class ViewRefresh:
    """Refreshes views of a lake. `entries` are its tables as the update leaves them, those that it has."""

    def __init__(
        self, spark: SparkSession, lake: Lake, work_dir: Path, tables: SlicedTables, entries: Mapping[str, TableEntry]
    ) -> None:
        self._spark = spark
        self._lake = lake
        self._work_dir = work_dir
        self._tables = tables
        self._entries = entries

    def replace_rows(
        self, view: GoldView, entry: TableEntry, touched: Touched, most_rows: int
    ) -> tuple[Written, TableChange] | None:
        """Replace the touched rows of a view. None where that takes more than `most_rows` rows of one of its tables."""
        inputs: dict[str, pa.Table] = {}
        for source in view.sources:
            if not source.lookup:
                inputs[source.table] = self._select_rows(source, touched)
                if inputs[source.table].num_rows > most_rows:
                    return None
        for source in view.sources:
            if source.lookup:
                key = source.links[0][0]
                inputs[source.table] = self._select_rows(source, {key: _list_keys(view, key, inputs)})
        stored = StoredTable(TableFiles(self._lake, entry.path), entry.version, entry.columns)
        joined = self._join(view, inputs).select(stored.schema.names).cast(stored.schema)
        # A row of a table may make rows of the view that are not touched: others of a list of directors.
        chosen = IdFilter(touched)
        change = TableChange(added=[joined.take(chosen.choose(joined))])
        for batch in stored.read_batches([], chosen):
            change.deleted.setdefault(batch.path, []).append(batch.positions)
        return stored.write_change(change, entry.clustered_by), change

    def _select_rows(self, source: ViewSource, touched: Touched) -> pa.Table:
        """Read the rows of a table that make touched rows of a view."""
        entry = self._entries.get(source.table)
        if entry is None:
            return _select_none(source)
        wanted = {column: touched[key] for key, columns in source.links if key in touched for column in columns}
        stored = StoredTable(TableFiles(self._lake, entry.path), entry.version, entry.columns)
        return stored.read_rows(source.columns, IdFilter(wanted))

    def _join(self, view: GoldView, inputs: Mapping[str, pa.Table]) -> pa.Table:
        """Run the view's SQL over some rows of its tables."""
        import pyarrow.parquet as pq

        for table, rows in inputs.items():
            path = self._work_dir / f"{view.name}.{table}.parquet"
            pq.write_table(rows, path)
            self._spark.read.parquet(str(path)).createOrReplaceTempView(table)
            self._tables.forget_table(table)
        return self._spark.sql(view.sql).toArrow()


def _select_none(source: ViewSource) -> pa.Table:
    (columns,) = (to_definition(each).columns for each in DATASETS if each.table == source.table)
    return to_arrow_schema(columns).empty_table().select(list(source.columns))


def _list_keys(view: GoldView, key: str, inputs: Mapping[str, pa.Table]) -> set[str]:
    """The values of a column of the view that rows of its tables make."""
    return {
        value
        for source in view.sources
        if not source.lookup
        for link, columns in source.links
        if link == key
        for column in columns
        for value in list_values(inputs[source.table].column(column))
    }
