"""Refreshes gold views in an update: only the rows that changed rows of their tables reach are joined anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from etl.datasets import DATASETS
from etl.gold_views import GoldView, ViewSource
from etl.row_comparison import ReadRows, Touched
from etl.row_filters import IdFilter
from etl.row_sets import RowChange, list_values
from etl.slices import SlicedTables
from etl.stored_rows import StoredTable, TableChange, Written, to_arrow_schema
from etl.table_files import TableFiles
from etl.tables import to_definition
from lakehouse.manifest import TableEntry
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


def find_touched(view: GoldView, changes: Mapping[str, RowChange]) -> Touched:
    """Find which titles and persons of a view changed rows of its tables reach: their rows are joined anew."""
    touched: Touched = {}
    for source in view.sources:
        if source.table in changes:
            key, (column,) = source.links[0]
            touched.setdefault(key, set()).update(changes[source.table].list_touched(source.columns, column))
    return {key: values for key, values in touched.items() if values}


def find_wanted(source: ViewSource, touched: Touched) -> Touched:
    """Find which rows of a table make touched rows of a view: by the values of its own columns."""
    wanted: Touched = {}
    for key, columns in source.links:
        for column in columns if key in touched else ():
            wanted.setdefault(column, set()).update(touched[key])
    return wanted


class ViewRefresh:
    """Refreshes views of a lake, given what is touched of each.

    `entries` are its tables as the update leaves them, those that it has, and `read` has rows of some. A table is read
    once for all views.
    """

    def __init__(
        self,
        spark: SparkSession,
        lake: Lake,
        work_dir: Path,
        tables: SlicedTables,
        entries: Mapping[str, TableEntry],
        touched: Sequence[tuple[GoldView, Touched]],
        read: Mapping[str, ReadRows],
    ) -> None:
        self._spark = spark
        self._lake = lake
        self._work_dir = work_dir
        self._tables = tables
        self._entries = entries
        self._read = read
        self._inputs: dict[str, dict[str, pa.Table]] = {view.name: {} for view, _ in touched}
        self._read_inputs(
            (view, source, find_wanted(source, needed))
            for view, needed in touched
            for source in view.sources
            if not source.lookup
        )
        self._read_inputs(
            (view, source, {key: _list_keys(view, key, self._inputs[view.name])})
            for view, _ in touched
            for source in view.sources
            if source.lookup
            for key, _ in source.links[:1]
        )

    def replace_rows(
        self, view: GoldView, entry: TableEntry, touched: Touched, columns: Sequence[str], most_rows: int
    ) -> tuple[Written, TableChange, RowChange] | None:
        """Replace the touched rows of a view. None where that takes more than `most_rows` rows of one of its tables.

        The rows that are replaced are returned with these columns.
        """
        inputs = self._inputs.pop(view.name)
        if any(rows.num_rows > most_rows for rows in inputs.values()):
            return None
        stored = StoredTable(TableFiles(self._lake, entry.path), entry.version, entry.columns)
        joined = self._join(view, inputs).select(stored.schema.names).cast(stored.schema)
        # A row of a table may make rows of the view that are not touched: others of a list of directors.
        chosen = IdFilter(touched)
        added = joined.take(chosen.choose(joined))
        old = stored.locate_rows(columns, chosen)
        change = TableChange(old.locate_all(), [added])
        return stored.write_change(change, entry.clustered_by), change, RowChange(old.rows, added.select(columns))

    def _read_inputs(self, needs: Iterable[tuple[GoldView, ViewSource, Touched]]) -> None:
        """Read the rows of tables that have one of the values wanted of them, for all views at once."""
        by_table: dict[str, list[tuple[GoldView, ViewSource, Touched]]] = {}
        for each in needs:
            by_table.setdefault(each[1].table, []).append(each)
        for table, wanting in by_table.items():
            rows = self._select_rows(table, [source for _, source, _ in wanting], [wanted for *_, wanted in wanting])
            for view, source, wanted in wanting:
                mine = rows.select(list(source.columns)).take(IdFilter(wanted).choose(rows))
                self._inputs[view.name][table] = mine

    def _select_rows(self, table: str, sources: Sequence[ViewSource], wanted: Sequence[Touched]) -> pa.Table:
        """Read the rows of a table that one of several views wants."""
        columns = list(dict.fromkeys(name for source in sources for name in source.columns))
        both = {column: set().union(*(each.get(column, ()) for each in wanted)) for each in wanted for column in each}
        entry, read = self._entries.get(table), self._read.get(table)
        if entry is None:
            return _select_none(table, columns)
        if read is not None and read.include(both):
            return read.rows
        stored = StoredTable(TableFiles(self._lake, entry.path), entry.version, entry.columns)
        return stored.read_rows(columns, IdFilter(both))

    def _join(self, view: GoldView, inputs: Mapping[str, pa.Table]) -> pa.Table:
        """Run the view's SQL over some rows of its tables."""
        import pyarrow.parquet as pq

        for table, rows in inputs.items():
            path = self._work_dir / f"{view.name}.{table}.parquet"
            pq.write_table(rows, path)
            self._spark.read.parquet(str(path)).createOrReplaceTempView(table)
            self._tables.forget_table(table)
        return self._spark.sql(view.sql).toArrow()


def _select_none(table: str, columns: Sequence[str]) -> pa.Table:
    (defined,) = (to_definition(each).columns for each in DATASETS if each.table == table)
    return to_arrow_schema(defined).empty_table().select(list(columns))


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
