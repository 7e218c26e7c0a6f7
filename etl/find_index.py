"""The index of names and values of a load (`lakehouse.find`), beside the tables: `_find/<generation>/`.

What things are called is declared in the lake's context; the engine writes the names to files, and they are read in
batches. Values are those of text columns that have few. An index is complete before the manifest names it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from etl.datasets import DATASETS
from etl.gold_views import GOLD_VIEWS, REJECTS_TABLE
from etl.progress import ProgressReporter
from etl.row_sets import RowChange
from etl.slices import SlicedTables
from etl.tables import TableDefinition, to_definition
from etl.work_pool import WorkPool
from lakehouse.context import DECLARATIONS_NAME, Entity
from lakehouse.errors import LakeError
from lakehouse.find.building import IndexUpdate, IndexWriter, read_values
from lakehouse.find.published import FIND_FOLDER, list_indexes, remove_index, store_index
from lakehouse.find.things import IndexSummary, Thing, ThingBatch
from lakehouse.find.values import list_values
from lakehouse.manifest import FindIndex, Manifest
from lakehouse.quoting import quote_identifier
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

Select = Callable[[str, dict[str, set[str]]], "pa.Table"]
"""Reads the rows of a table in which a column has one of some values."""
MOST_VALUES: Final = 300
"""A column with more different values than this has none that are found."""
_MOST_DIFFERENT, _FEW_VALUES = 0.5, 20
"""A column in which more of the values differ holds names or numbers, unless they are few."""
_SAMPLED_ROWS: Final = 20_000
_MOST_SHARE, _FEW_THINGS = 0.5, 1_000_000
"""Of the rows of a table, this share is found by name, or that many: the most prominent."""
_ROW_BYTES: Final = 600
"""Memory of the engine's pool for a row with its names."""
_BATCH_ROWS: Final = 20_000
_TEXTS: Final = {"string": False, "array<string>": True}
"""The types of columns whose values are found, and whether they are lists."""
_NAME: Final = re.compile(r"\w+")
_FILE_FORMATS: Final = re.compile(r"\b(?:csv|json|text|parquet|delta|orc|avro|binaryfile)\s*\.\s*`", re.IGNORECASE)


@dataclass(frozen=True)
class IndexedTable:
    """A table as the index reads it: `changed` tells whether it differs from that of the generation before."""

    definition: TableDefinition
    rows: int
    is_view: bool
    changed: bool = True

    @property
    def columns(self) -> dict[str, str]:
        """The types of the columns, by name."""
        return {column.name: column.type for column in self.definition.columns}


class IndexBuilder:
    """Builds or updates the index of one generation, in the work folder. SQL finds `tables` by their names.

    An index is begun before the views are built, as most of its work needs the tables alone and none of the engine.
    """

    def __init__(
        self, spark: SparkSession, slices: SlicedTables, tables: Mapping[str, IndexedTable], work_dir: Path
    ) -> None:
        self._spark = spark
        self._slices = slices
        self._tables = tables
        self._rows = work_dir / "find.rows"
        self.folder = work_dir / "find"

    def begin(self, entities: Iterable[Entity], report: ProgressReporter) -> IndexBeginning:
        """Begin to build the index whole, with the entities that need no view which is not there yet.

        The engine writes their names now; what is left to do with them runs beside what the caller does next.
        """
        missing = {view.name for view in GOLD_VIEWS} - self._tables.keys()
        ready = [
            each for each in self._choose_entities(entities) if missing.isdisjoint(_NAME.findall(each.sql.lower()))
        ]
        return IndexBeginning(self.folder, [self._write_rows(entity) for entity in ready], report)

    def build(self, entities: Iterable[Entity], beginning: IndexBeginning) -> IndexSummary:
        """Build the rest of an index that was begun."""
        chosen = self._choose_entities(entities)
        later = [self._write_rows(entity) for entity in chosen if entity.kind not in beginning.kinds]
        values = self._count_values(chosen, {}, {})
        writer = beginning.wait()
        for each in later:
            writer.add(each.read_things())
        written = [*beginning.written, *later]
        floors = {each.entity.kind: each.floor for each in written if each.floor > 0}
        missing = tuple(sentence for each in written if (sentence := each.describe_missing()))
        return writer.finish(values, missing=missing, floors=floors)

    def update(
        self,
        base: Path,
        entities: Iterable[Entity],
        touched: Mapping[str, set[str]],
        select: Select,
        changes: Mapping[str, RowChange],
    ) -> IndexSummary:
        """Update a copy of the index in `base`: the things `touched`, by kind, and the values of changed tables.

        `select` reads the rows of a table with one of some ids. `changes` are the rows that tables lost and gained.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        with IndexUpdate(base, self.folder) as update:
            chosen = self._choose_entities(entities)
            for entity in chosen:
                ids = touched.get(entity.kind)
                if ids:
                    rows = self._write_rows(entity, (ids, select))
                    floor = update.floors.get(entity.kind, 0.0)
                    update.replace(entity.kind, ids, rows.read_things(floor))
            return update.finish(self._count_values(chosen, read_values(base), changes))

    def _choose_entities(self, entities: Iterable[Entity]) -> list[Entity]:
        """The entities whose table is there. Tables of optional files that are not are empty."""
        for dataset in DATASETS:
            if dataset.table not in self._tables:
                columns = (f"CAST(NULL AS {each.type}) AS {each.name}" for each in to_definition(dataset).columns)
                self._spark.sql(f"SELECT {', '.join(columns)} WHERE false").createOrReplaceTempView(dataset.table)
        return [entity for entity in entities if entity.table in self._tables]

    def _write_rows(self, entity: Entity, only: tuple[set[str], Select] | None = None) -> EntityRows:
        """Have the engine write the names of an entity's things, of all or `only` some ids."""
        if _FILE_FORMATS.search(entity.sql):
            raise LakeError(f"The SQL of {entity.kind} in {DECLARATIONS_NAME} reads files; it may read tables alone.")
        folder = self._rows / entity.kind
        words = set(_NAME.findall(entity.sql))
        names = [name for name in self._tables if name in words]
        keyed = [name for name in names if entity.id in self._tables[name].columns]
        if only is not None:
            try:
                self._restrict(keyed, entity, *only)
                self._write_part(entity, folder / "0")
            finally:
                self._slices.restore_tables(keyed)
        else:
            ordered = [name for name in keyed if self._tables[name].definition.clustered_by[:1] == (entity.id,)]
            ordered.sort(key=lambda name: -self._tables[name].rows)
            parts = (folder / str(number) for number in count())
            if not ordered:
                self._write_part(entity, next(parts))
                return EntityRows(entity, folder, self._tables[entity.table].rows)
            slices = self._slices.run_slices(
                entity.id, ordered, _ROW_BYTES, lambda: self._write_part(entity, next(parts))
            )
            deque(slices, maxlen=0)
        return EntityRows(entity, folder, self._tables[entity.table].rows)

    def _write_part(self, entity: Entity, folder: Path) -> None:
        rows = self._spark.sql(entity.sql)
        given = {name.lower() for name in rows.columns}
        chosen = [f"CAST({name} AS {kind}) AS {name}" if name in given else f"CAST(NULL AS {kind}) AS {name}"
                  for name, kind in _ROW_TYPES.items()]  # fmt: skip
        rows.selectExpr(*chosen).where("id IS NOT NULL AND label IS NOT NULL").write.mode("overwrite").parquet(
            str(folder)
        )

    def _restrict(self, names: Iterable[str], entity: Entity, ids: set[str], select: Select) -> None:
        """Let SQL find only rows with some ids in tables that have them."""
        import pyarrow.parquet as pq

        for name in names:
            path = self._rows / f"{entity.kind}.{name}.parquet"
            path.parent.mkdir(exist_ok=True)
            pq.write_table(select(name, {entity.id: ids}), path)
            self._spark.read.parquet(str(path)).createOrReplaceTempView(name)

    def _count_values(
        self, entities: Iterable[Entity], known: Mapping[str, list[Thing]], changes: Mapping[str, RowChange]
    ) -> list[Thing]:
        """Count the values of columns that have few.

        Those `known` of unchanged tables, by name, are taken over, and those of changed ones adjusted by the changes.
        Names and ids of things are no values, and a view has those of its tables.
        """
        things: list[Thing] = []
        called = {name for entity in entities for name in (entity.id, entity.column)}
        seen: set[str] = set()
        for name, table in sorted(self._tables.items(), key=lambda item: item[1].is_view):
            texts = [column for column, kind in table.columns.items() if kind in _TEXTS and column not in called]
            fresh = [column for column in texts if not (table.is_view and column in seen)]
            seen.update(texts)
            if not fresh or name == REJECTS_TABLE:
                continue
            if name in known and not table.changed:
                things += known[name]
                continue
            sample = self._spark.table(name).select(*fresh).limit(_SAMPLED_ROWS).toArrow()
            for column in _find_few(sample):
                before = [each for each in known.get(name, ()) if each.column == column]
                counts = _adjust_counts(before, column, changes.get(name))
                if counts is None:
                    is_whole = table.rows <= _SAMPLED_ROWS  # an engine's own count would be a job for each column
                    counts = _count_sample(sample.column(column)) if is_whole else self._count_column(name, column)
                if len(counts) <= MOST_VALUES:
                    # What values are called depends on all of them, and takes longer than to count them.
                    names = {each.id: each.others for each in before}
                    is_same = names.keys() == {value for value in counts if value.strip()}
                    is_list = _TEXTS[table.columns[column]]
                    things += list_values(name, column, counts, names if is_same else None, is_list=is_list)
        return things

    def _count_column(self, table: str, column: str) -> dict[str, int]:
        """Count the values of a column, or one more of them than an index has."""
        name = quote_identifier(column)
        is_list = _TEXTS[self._tables[table].columns[column]]
        values = f"SELECT explode({name}) AS value FROM {table}" if is_list else f"SELECT {name} AS value FROM {table}"
        counted = self._spark.sql(
            f"SELECT value, count(*) AS n FROM ({values}) WHERE value IS NOT NULL GROUP BY value "
            f"LIMIT {MOST_VALUES + 1}"
        ).toArrow()
        return dict(zip(counted.column(0).to_pylist(), counted.column(1).to_pylist(), strict=True))


def _find_few(sample: pa.Table) -> list[str]:
    """The columns of the first rows of a table that have few values there."""
    import pyarrow.compute as pc

    few = []
    for column in sample.column_names:
        flat = _flatten(sample.column(column))
        different = pc.count_distinct(flat).as_py()
        if different <= min(MOST_VALUES, max(len(flat) * _MOST_DIFFERENT, _FEW_VALUES)):
            few.append(column)
    return few


def _count_sample(values: pa.ChunkedArray) -> dict[str, int]:
    """Count the values of a column all of whose rows are there."""
    import pyarrow.compute as pc

    counted = pc.value_counts(_flatten(values).drop_null())
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _adjust_counts(before: Sequence[Thing], column: str, change: RowChange | None) -> dict[str, int] | None:
    """Adjust the counts of a column's values by the rows that its table lost and gained; None where none are known."""
    if not before or change is None or column not in change.added.column_names:
        return None
    counts = Counter({each.id: int(each.weight) for each in before})
    counts.update(_count_sample(change.added.column(column)))
    counts.subtract(_count_sample(change.deleted.column(column)))
    # A value of blanks is in no index.
    return None if any(n < 0 and value.strip() for value, n in counts.items()) else +counts


def _flatten(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.list_flatten(values) if pa.types.is_list(values.type) else values


_ROW_TYPES: Final = {
    "id": "string", "label": "string", "others": "array<string>", "detail": "string", "weight": "double",
}  # fmt: skip


@dataclass
class EntityRows:
    """The names of an entity's things, as files of rows. `table_rows` are the rows of its table."""

    entity: Entity
    folder: Path
    table_rows: int

    @property
    def floor(self) -> float:
        """The weight below which things are left out, because they are too many; 0 where none are."""
        return self._measured[0]

    def describe_missing(self) -> str:
        """Say what is left out, nothing where that is nothing."""
        _, kept = self._measured
        if kept >= self.table_rows:
            return ""
        return (
            f"{kept:,} of the {self.table_rows:,} rows of {self.entity.table} are found by name: those that are known "
            "best."
        )

    def read_things(self, floor: float | None = None) -> Iterator[ThingBatch]:
        """Yield the things, except those below the floor."""
        import pyarrow.compute as pc

        least = self.floor if floor is None else floor
        kind, table, column, key = self.entity.kind, self.entity.table, self.entity.column, self.entity.id
        for batch in self._read_batches(list(_ROW_TYPES)):
            weights = pc.fill_null(batch.column("weight"), 0.0)
            chosen = batch.filter(pc.greater_equal(weights, least)) if least > 0 else batch
            yield ThingBatch(kind, table, column, key, chosen)

    @cached_property
    def _measured(self) -> tuple[float, int]:
        """The floor, and how many things are at or above it."""
        import numpy as np

        weights, first = np.zeros(sum(map(_count_rows, self._list_files()))), 0  # of millions: held once
        for batch in self._read_batches(["weight"]):
            weights[first : first + len(batch)] = batch.column("weight").fill_null(0.0).to_numpy(zero_copy_only=False)
            first += len(batch)
        most = max(int(self.table_rows * _MOST_SHARE), _FEW_THINGS)
        if len(weights) <= most:
            return 0.0, len(weights)
        place = len(weights) - most
        weights.partition(place)
        floor = float(weights[place])
        if int((weights >= floor).sum()) > most:  # ties: all of one weight, or none
            floor = float(np.nextafter(floor, np.inf))
        return floor, int((weights >= floor).sum())

    def _read_batches(self, columns: list[str]) -> Iterator[Any]:
        import pyarrow.parquet as pq

        for path in self._list_files():
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(_BATCH_ROWS, columns=columns)

    def _list_files(self) -> list[Path]:
        return sorted(self.folder.glob("*/*.parquet"))


def _count_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


class IndexBeginning:
    """An index whose things are being written, in a thread. `close` gives it up, and waits for the thread to end."""

    def __init__(self, folder: Path, written: Sequence[EntityRows], report: ProgressReporter) -> None:
        self.written = tuple(written)
        self.kinds = frozenset(each.entity.kind for each in written)
        self._folder = folder
        self._report = report
        self._pool = WorkPool(1)
        self._writer = self._pool.submit(self._write_things)

    def wait(self) -> IndexWriter:
        """Wait until the things are written, and return what writes the rest. Raises what the thread has raised."""
        return self._writer.result()

    def close(self) -> None:
        """End the thread, whether it is done or not."""
        self._pool.close()

    def _write_things(self) -> IndexWriter:
        shutil.rmtree(self._folder, ignore_errors=True)
        writer, rows = IndexWriter(self._folder), 0
        with self._report.open_stage("write names") as stage:
            for each in self.written:
                for batch in each.read_things():
                    self._pool.raise_if_closed()
                    writer.add([batch])
                    rows += batch.rows.num_rows
                    stage.advance(0, rows)
            writer.flush()  # the engine needs the memory for the views
        return writer


def place_index(lake: Lake, built: Path, summary: IndexSummary, generation: int) -> FindIndex:
    """Put a built index into the lake, where a manifest may name it."""
    path = f"{FIND_FOLDER}/{generation}"
    if lake.directory is None:
        store_index(lake, built, path)
    else:
        target = lake.directory / path
        shutil.rmtree(target, ignore_errors=True)  # of a load that was killed before it published
        target.parent.mkdir(exist_ok=True)
        os.replace(built, target)
    return FindIndex(path=path, bytes=summary.bytes, files=summary.files, count=sum(summary.counts.values()))


def remove_unnamed(lake: Lake, kept: Iterable[Manifest]) -> tuple[int, int]:
    """Remove the indexes that none of these manifests name: of old generations, and of loads that were killed.

    Returns the number of files, and their bytes.
    """
    named = {each.find.path for each in kept if each.find is not None}
    removed = [remove_index(lake, path) for path in list_indexes(lake) if path not in named]
    return sum(files for files, _ in removed), sum(size for _, size in removed)
