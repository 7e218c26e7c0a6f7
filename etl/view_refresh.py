"""Refreshes gold views in an update: only the rows that changed rows of their tables reach are joined again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from etl.datasets import DATASETS
from etl.gold_views import GoldView, ViewSource
from etl.row_comparison import ReadRows, Touched
from etl.row_filters import IdFilter, Spans
from etl.row_sets import RowChange, list_values
from etl.slices import SlicedTables
from etl.stored_rows import StoredTable, to_arrow_schema
from etl.table_files import TableFiles
from etl.tables import define_view, to_definition
from lakehouse.manifest import TableEntry
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from etl.row_sets import Places


@dataclass(frozen=True)
class Reach:
    """What of a view changed rows of its tables reach.

    Inputs are read of all `touched` titles and persons. Of their rows in the view those change whose title or person
    has `changed`, or that share the values of all links with another changed row (`links`, joined as texts).
    """

    touched: Touched
    changed: Touched
    links: Sequence[str]
    keys: tuple[str, ...]

    @property
    def columns(self) -> Sequence[str]:
        """The columns that a row is chosen by."""
        return self.keys

    def may_choose(self, spans: Spans) -> bool:
        """Whether rows with values in these spans may be reached."""
        return self._touched.may_choose(spans)

    def choose(self, rows: pa.Table) -> Places:
        """Return the places of the rows of the view that change, in order."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        places = self._touched.choose(rows)
        found = rows.select(list(self.keys)).take(pa.array(places))
        reached = np.zeros(len(places), bool)
        reached[self._changed.choose(found)] = True
        links = _join_texts([found.column(key) for key in self.keys])
        reached |= pc.is_in(links, self._links).to_numpy()
        return places[reached]

    @cached_property
    def _touched(self) -> IdFilter:
        return IdFilter(self.touched)

    @cached_property
    def _changed(self) -> IdFilter:
        return IdFilter(self.changed)

    @cached_property
    def _links(self) -> pa.Array:
        import pyarrow as pa

        return pa.array(self.links, pa.string())


def find_reach(view: GoldView, changes: Mapping[str, RowChange]) -> Reach:
    """Find what of a view changed rows of its tables reach."""
    touched: Touched = {}
    changed: Touched = {}
    links: set[str] = set()
    for source in view.sources:
        if source.table in changes:
            rows = changes[source.table].select_differing(source.columns)
            key, (column,) = source.links[0]
            for found in (touched, changed) if source.lookup else (touched,):
                found.setdefault(key, set()).update(rows.list_values(column))
            if not source.lookup:
                links.update(*(_list_links(source, each) for each in (rows.deleted, rows.added)))
    keys = dict.fromkeys(key for source in view.sources for key, _ in source.links if not source.lookup)
    return Reach({key: values for key, values in touched.items() if values}, changed, sorted(links), tuple(keys))


def _list_links(source: ViewSource, rows: pa.Table) -> set[str]:
    """List the values of all links of some rows, joined as texts; of columns of lists those of each item."""
    import pyarrow as pa
    import pyarrow.compute as pc

    (_, (first,)), *rest = source.links
    firsts = rows.column(first)
    if not rest:
        return set(_join_texts([firsts]).to_pylist())
    found: set[str] = set()
    for column in rest[0][1]:
        values = rows.column(column).combine_chunks()
        if pa.types.is_list(values.type):
            found.update(
                _join_texts([firsts.take(pc.list_parent_indices(values)), pc.list_flatten(values)]).to_pylist()
            )
        else:
            found.update(_join_texts([firsts, values]).to_pylist())
    return found


def _join_texts(columns: Sequence[pa.Array]) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*columns, "\t", null_handling="replace", null_replacement="")


def find_wanted(source: ViewSource, touched: Touched) -> Touched:
    """Find which rows of a table make touched rows of a view: by the values of its own columns."""
    wanted: Touched = {}
    for key, columns in source.links:
        for column in columns if key in touched else ():
            wanted.setdefault(column, set()).update(touched[key])
    return wanted


class ViewRefresh:
    """Refreshes views of a lake, given what changed rows reach of each.

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
        reached: Sequence[tuple[GoldView, Reach]],
        read: Mapping[str, ReadRows],
    ) -> None:
        self._spark = spark
        self._lake = lake
        self._work_dir = work_dir
        self._tables = tables
        self._entries = entries
        self._read = read
        self._inputs: dict[str, dict[str, pa.Table]] = {view.name: {} for view, _ in reached}
        self._read_inputs(
            (view, source, find_wanted(source, reach.touched))
            for view, reach in reached
            for source in view.sources
            if not source.lookup
        )
        self._read_inputs(
            (view, source, {key: _list_keys(view, key, self._inputs[view.name])})
            for view, _ in reached
            for source in view.sources
            if source.lookup
            for key, _ in source.links[:1]
        )

    def count_rows(self, view: GoldView) -> int:
        """Return how many rows are joined of the table that has the most for a view."""
        return max((rows.num_rows for rows in self._inputs[view.name].values()), default=0)

    def forget_rows(self, view: GoldView) -> None:
        """Give back the rows of a view that are not going to be joined."""
        self._inputs.pop(view.name, None)

    def join_rows(self, view: GoldView, reach: Reach) -> pa.Table:
        """Join the rows that a view has in the place of those that change. Called once for each view."""
        schema = to_arrow_schema(define_view(view).columns)
        joined = self._join(view, self._inputs.pop(view.name)).select(schema.names).cast(schema)
        return joined.take(reach.choose(joined))

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
