"""The index of names and values of a load (`lakehouse.find`), beside the tables: `_find/<generation>/`.

What things are called is declared in the lake's context; the engine writes the names to files, and they are read in
batches. Values are those of text columns that have few. An index is complete before the manifest names it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl.entity_rows import ROW_TYPES, EntityRows
from etl.gold_views import GOLD_VIEWS
from etl.progress import ProgressReporter
from etl.row_sets import RowChange
from etl.slices import SlicedTables
from etl.value_counts import IndexedTable, ValueCounter
from etl.work_pool import WorkPool
from lakehouse.context import DECLARATIONS_NAME, Entity
from lakehouse.errors import LakeError
from lakehouse.find.building import IndexUpdate, IndexWriter, read_values
from lakehouse.find.published import FIND_FOLDER, list_indexes, remove_index, store_index
from lakehouse.find.things import IndexSummary
from lakehouse.manifest import FindIndex, Manifest
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

Select = Callable[[str, dict[str, set[str]]], "pa.Table"]
"""Reads the rows of a table in which a column has one of some values."""
_ROW_BYTES: Final = 600
"""Memory of the engine's pool for a row with its names."""
_NAME: Final = re.compile(r"\w+")
_FILE_FORMATS: Final = re.compile(r"\b(?:csv|json|text|parquet|delta|orc|avro|binaryfile)\s*\.\s*`", re.IGNORECASE)


class IndexBuilder:
    """Builds or updates the index of one generation, in the work folder.

    SQL finds `tables` by their names, and those of optional files that are not there, which are empty. An
    index is begun before the views are built, as most of its work needs the tables alone and none of the engine.
    """

    def __init__(
        self, spark: SparkSession, slices: SlicedTables, tables: Mapping[str, IndexedTable], work_dir: Path
    ) -> None:
        self._spark = spark
        self._slices = slices
        self._tables = tables
        self._counter = ValueCounter(spark, tables)
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
        values = self._counter.count_values(chosen, {}, {})
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
            return update.finish(self._counter.count_values(chosen, read_values(base), changes))

    def _choose_entities(self, entities: Iterable[Entity]) -> list[Entity]:
        """The entities whose table is there."""
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
                  for name, kind in ROW_TYPES.items()]  # fmt: skip
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
