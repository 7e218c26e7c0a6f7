"""The load, from files to a published lake. Uses the DataFrame API, so one program serves every engine.

    inspect a file → typed table → … → rejects → gold views → optimise → publish the manifest → report

Readers see no change before the manifest is published, and steps that only report run after it. Each file is inspected
in a thread while the engine writes the previous table, and names are indexed in one while it builds the views.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from etl.built_tables import BuiltTable, LoadedTable, LoadSummary
from etl.context_files import read_load_declarations, store_context_files
from etl.coverage import EarlierCoverage, publish_coverage
from etl.coverage_counts import CoverageCounter
from etl.datasets import DATASETS, UNDESCRIBED
from etl.find_index import IndexBeginning, IndexBuilder, place_index
from etl.fingerprints import Fingerprint, store_fingerprint
from etl.gold_views import GOLD_VIEWS, REJECTS_TABLE, TABLE_NAMES, GoldView
from etl.header import Source, describe_columns, find_sources
from etl.inspect_ahead import inspect_ahead
from etl.load_session import limit_slices, open_load_session
from etl.progress import ProgressReporter
from etl.quality import describe_briefly, run_checks
from etl.rejects import REJECT_COLUMNS, describe_misfits, read_parts
from etl.resume import KeptTable, UnfinishedLoad
from etl.retention import remove_old_generations
from etl.safeguards import (
    check_loadable,
    check_shared,
    hold_load_lock,
    open_work_folder,
    translate_errors,
    was_interrupted,
)
from etl.settings import LoadEngine, Settings
from etl.slices import SlicedTables
from etl.sorted_tables import open_writer
from etl.source import Inspection
from etl.stored_rows import TableVersion
from etl.tables import TableDefinition, define_view, to_definition
from etl.transform import read_lines, select_rejected, select_typed
from etl.value_counts import IndexedTable
from lakehouse.context import Entity
from lakehouse.errors import LakehouseError, SourceError
from lakehouse.find.things import IndexSummary
from lakehouse.manifest import Column, FindIndex, Manifest, last_generation, publish_manifest
from lakehouse.session import EngineSession
from lakehouse.storage import Lake, is_plain

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

_JOINED_ROW_BYTES = 170
"""Memory of the engine's pool for a row of a join: into 768 MiB went 4.0 million of IMDb's size and not 8.1 million."""

_REJECTS = TableDefinition(
    REJECTS_TABLE, "Lines of the source files that were not loaded, and why.", REJECT_COLUMNS, ()
)


def load_lake(
    source: Path,
    lake: Lake,
    engine: LoadEngine,
    settings: Settings,
    report: ProgressReporter,
    spark: SparkSession | None = None,
    *,
    again: bool = False,
) -> LoadSummary:
    """Load IMDb's files from a folder into a lake and publish it.

    `spark` is a session that is open, such as a notebook's: it is used instead of one of `engine`, and stays open.
    What a load that ended early has written is not written again, unless `again`.

    Raises SourceError for input that cannot be loaded, and LakeError if the lake cannot be written, another load holds
    it, or the disk is full. The published lake is then unchanged.
    """
    files, missing = find_sources(source)
    check_loadable(lake, engine)
    with translate_errors(lake, settings), ExitStack() as stack:
        folder, lake = lake.directory, lake.reachable(settings.links)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        check_held = stack.enter_context(hold_load_lock(lake))
        work_dir = stack.enter_context(open_work_folder(lake, settings, TABLE_NAMES))
        session = stack.enter_context(open_load_session(engine, settings, work_dir, spark))
        check_shared(session, work_dir, [each.path for each in files])
        run = LoadRun(session, lake, settings, report, work_dir)
        stack.callback(run.end_index)
        run.summary.notes += [f"{dataset.file} is not there: no {dataset.table}." for dataset in missing]
        run.summary.notes += [note for each in files for note in each.list_notes()]
        return run.load_and_publish(files, check_held, again=again)


class LoadRun:
    """One load. Collects the tables for the manifest."""

    def __init__(
        self, session: EngineSession, lake: Lake, settings: Settings, report: ProgressReporter, work_dir: Path
    ) -> None:
        self.session = session
        self.lake = lake
        self.settings = settings
        self.report = report
        self.work_dir = work_dir
        self.writer = open_writer(session, lake, settings.schema_name, work_dir)
        self.summary = LoadSummary()
        self.made: dict[str, BuiltTable] = {}
        self.sources: dict[str, Source] = {}
        self.reject_parts: list[str] = []
        self.tables = SlicedTables(limit_slices(session, settings))
        self.fingerprints: dict[str, Fingerprint | None] = {}
        self.index: IndexBeginning | None = None
        self.find: FindIndex | None = None

    def load_and_publish(
        self, files: list[Source], check_held: Callable[[], None], *, again: bool = False
    ) -> LoadSummary:
        """Load all files and publish the lake. `check_held` raises if the load may not go on."""
        last = last_generation(self.lake)
        unfinished = UnfinishedLoad.open(self.lake, last + 1, self.session.kind, again=again)
        self._load_tables(files, unfinished, check_held)
        self._write_rejects()
        self._check_reject_share()
        self._begin_index()
        for view in GOLD_VIEWS:
            check_held()
            kept = unfinished.take_view(view)
            if kept is None:
                self._build_view(view)
                unfinished.keep_view(self.made[view.name].to_entry(), view)
            else:
                self._take_over(kept, unfinished)
        if unfinished.taken:
            self.summary.notes.append(
                f"Went on from a load that ended early: {', '.join(unfinished.taken)} were written already."
            )
        for name in self._optimize_tables():
            unfinished.replace_entry(self.made[name].to_entry())
        self._index_names(last + 1)
        check_held()
        self._publish(last + 1)
        unfinished.finish()
        self._remove_old_generations()
        self._report_quality()
        self._count_coverage(files)
        return self.summary

    def _begin_index(self) -> None:
        """Begin the index: most of it is written beside the views. What fails here is tried again by `_index_names`."""
        try:
            self.index = self._open_index_builder().begin(self._list_entities(), self.report)
        except Exception as error:
            if was_interrupted(error):
                raise
            log.debug("the index was not begun", exc_info=error)

    def end_index(self) -> None:
        """End the thread that writes the index, whatever the load has come to."""
        if self.index is not None:
            self.index.close()

    def _index_names(self, generation: int) -> None:
        """Build the index by which names and values are found. A lake works without it: a failure becomes a note."""
        try:
            with self.report.open_stage("index names") as stage:
                summary, folder = self._build_index()
                self.find = place_index(self.lake, folder, summary, generation)
                stage.advance(0, self.find.count)
        except Exception as error:
            if was_interrupted(error):
                raise
            log.debug("names were not indexed", exc_info=error)
            self.summary.notes.append(f"No index of names was built: {describe_briefly(error)}. The lake is loaded.")

    def _build_index(self) -> tuple[IndexSummary, Path]:
        builder, entities = self._open_index_builder(), self._list_entities()
        if self.index is None:
            self.index = builder.begin(entities, self.report)
        return builder.build(entities, self.index), builder.folder

    def _list_entities(self) -> Sequence[Entity]:
        return read_load_declarations(self.lake, self.settings.context_dir).declarations.entity

    def _open_index_builder(self, unchanged: frozenset[str] = frozenset()) -> IndexBuilder:
        """Open what builds the index; SQL then finds the tables of this run by their names."""
        self._register_tables()
        tables = {
            name: IndexedTable(made.definition, made.written.rows, made.kind == "view", name not in unchanged)
            for name, made in self.made.items()
        }
        return IndexBuilder(self.session.spark, self.tables, tables, self.work_dir)

    def _load_tables(self, files: list[Source], unfinished: UnfinishedLoad, check_held: Callable[[], None]) -> None:
        """Load each file, unless an earlier run has done it."""
        kept = {each.path: unfinished.take_table(each) for each in files}
        left = [each for each in files if kept[each.path] is None]
        with closing(inspect_ahead(left, self.work_dir, self.report)) as inspected:
            for source in files:
                check_held()
                table = kept[source.path]
                if table is not None:
                    self.sources[source.path.name] = source
                    self._take_over(table, unfinished)
                    continue
                notes, parts = len(self.summary.notes), len(self.reject_parts)
                self._load_table(*next(inspected))
                self._store_fingerprints()
                loaded = self.summary.tables[-1]
                unfinished.keep_table(
                    self.made[loaded.table].to_entry(),
                    source.dataset,
                    read=loaded.read,
                    rejected=loaded.rejected,
                    notes=self.summary.notes[notes:],
                    reject_parts=self.reject_parts[parts:],
                )

    def _take_over(self, kept: KeptTable, unfinished: UnfinishedLoad) -> None:
        """Take over a table or view that an earlier run has written."""
        started, made = time.monotonic(), BuiltTable.from_entry(kept.entry)
        with self.report.open_stage(f"keep {made.definition.name}") as stage:
            self.writer.register_table(made.definition.name)
            self.reject_parts += unfinished.fetch_rejects(kept, self.work_dir)
            stage.advance(0, made.written.rows)
        self.summary.notes += kept.notes
        self._record_table(made, started, read=kept.read, rejected=kept.rejected)

    def _store_fingerprints(self) -> None:
        while self.fingerprints:
            store_fingerprint(self.lake, *self.fingerprints.popitem())

    def _publish(self, generation: int) -> None:
        self.summary.generation = generation
        self._store_fingerprints()
        publish_manifest(self.lake, self._build_manifest())
        self.summary.notes += store_context_files(self.lake)

    def _remove_old_generations(self) -> None:
        """Remove what is no longer kept. The lake is already published, so a failure becomes a note."""
        try:
            remove_old_generations(self.lake, self.settings)
        except Exception as error:
            log.debug("old generations were not removed", exc_info=error)
            self.summary.notes.append(
                f"Old generations were not removed: {describe_briefly(error)}. Run imdb-etl maintain."
            )

    def _load_table(self, source: Source, inspection: Inspection) -> None:
        started = time.monotonic()
        self.sources[source.path.name] = source
        dataset, notes = describe_columns(source, self.writer.list_columns(source.dataset.table, UNDESCRIBED))
        self.summary.notes += notes
        definition = to_definition(dataset)
        self.fingerprints[inspection.source.sha256] = inspection.fingerprint
        readable = self._link_plain_path(inspection.readable)
        lines = read_lines(self.session.spark, readable, source.header, dataset)
        with self.report.open_stage(f"load {dataset.table}") as stage:
            in_order = inspection.in_order and dataset.clustered_by == (dataset.fields[0].column_name,)
            written = self.writer.overwrite_table(
                definition, select_typed(lines, dataset), in_order=in_order, expected_rows=inspection.lines
            )
            stage.advance(inspection.source.bytes, written.rows)
        malformed = self._keep_rejects(source, inspection, readable, written)
        if written.rows + malformed != inspection.lines:
            raise LakehouseError(
                f"{inspection.source.name}: {inspection.lines:,} lines were read, but {written.rows:,} written and "
                f"{malformed:,} rejected. The load is given up; please report this with the file."
            )
        self._record_table(
            BuiltTable(definition, dataset.key, "table", written, inspection.source),
            started,
            read=inspection.lines,
            rejected=malformed,
        )

    def _link_plain_path(self, path: Path) -> str:
        """Return the path, or a link to it if the path has characters that an engine would interpret."""
        if is_plain(str(path)):
            return str(path)
        link = self.work_dir / path.name
        link.symlink_to(path.absolute())
        return str(link)

    def _keep_rejects(self, source: Source, inspection: Inspection, readable: str, written: TableVersion) -> int:
        """Save the lines that were not written, and count them. A clean file is not read again."""
        if inspection.rejects is not None:
            self.reject_parts.append(str(inspection.rejects))
        if written.rows == inspection.lines - inspection.malformed:
            return inspection.malformed
        dataset = source.dataset
        part = str(self.work_dir / f"{dataset.file}.misfits.parquet")
        lines = read_lines(self.session.spark, readable, source.header, dataset)
        select_rejected(lines, source.header, dataset, inspection.source.name).write.mode("overwrite").parquet(part)
        self.reject_parts.append(part)
        return inspection.malformed + int(self.session.spark.read.parquet(part).count())

    def _write_rejects(self) -> None:
        rows = read_parts(self.session.spark, self.reject_parts)
        self.writer.overwrite_table(_REJECTS, rows, in_order=True, expected_rows=0)

    def _check_reject_share(self) -> None:
        for loaded in self.summary.tables:
            share = 100 * loaded.rejected / loaded.read
            if share > self.settings.max_reject_percent:
                raise SourceError(
                    f"{loaded.source}: {loaded.rejected:,} of {loaded.read:,} lines ({share:.2f} %) are malformed, "
                    f"more than the {self.settings.max_reject_percent:g} % allowed (IMDB_MAX_REJECT_PERCENT)"
                    f"{describe_misfits(self.session.spark, self.reject_parts, self.sources[loaded.source])}. They are "
                    f"kept, with the reasons, in {self.lake}/{REJECTS_TABLE}. The lake before this load is unchanged."
                )

    def _build_view(self, view: GoldView) -> None:
        started = time.monotonic()
        self._register_tables()
        definition, count = define_view(view), self.tables.count_rows(view.sliced[0])
        with (
            self.report.open_stage(f"build {view.name}") as stage,
            self.writer.open_ordered(definition, count) as table,
        ):

            def join_slice() -> int:
                return table.add_rows(self.session.spark.sql(view.sql))

            for joined in self.tables.run_slices(view.slice_key, view.sliced, _JOINED_ROW_BYTES, join_slice):
                stage.advance(0, joined, " joined")
            written = table.finish(lambda rows: stage.advance(0, rows, " in order"))
            stage.advance(0, written.rows)
        self._record_table(BuiltTable(definition, view.key, "view", written, None), started)

    def _register_tables(self) -> None:
        """Make the tables of this run readable by their names. Reading a log costs Spark a second: it is done once."""
        for name, made in self.made.items():
            if name not in self.tables:
                written = made.written
                self.tables.add_table(name, self.writer.read_version(name, written.version), written.rows)
        for dataset in DATASETS:  # a view of what an optional file adds to is made without it
            if dataset.table not in self.tables:
                none = _select_none(self.session.spark, to_definition(dataset).columns)
                self.tables.add_table(dataset.table, none, 0)

    def _record_table(self, made: BuiltTable, started: float, *, read: int = 0, rejected: int = 0) -> None:
        self.made[made.definition.name] = made
        self.summary.tables.append(
            LoadedTable(
                table=made.definition.name,
                source=made.source.name if made.source else "",
                read=read,
                written=made.written.rows,
                rejected=rejected,
                files=made.written.files,
                bytes=made.written.bytes,
                seconds=time.monotonic() - started,
            )
        )

    def _report_quality(self) -> None:
        """Run the quality checks. The lake is already published, so a failed check becomes a note."""
        keys = {name: made.key for name, made in self.made.items() if made.kind == "table"}
        with self.report.open_stage("count duplicate keys"):
            self.summary.notes += run_checks(self.session.spark, self.tables, keys)

    def _count_coverage(self, files: Sequence[Source], earlier: EarlierCoverage | None = None) -> None:
        """Count how much of the data is known. The lake is already published, so a failure becomes a note."""
        entries = {name: made.to_entry() for name, made in self.made.items()}
        counter = CoverageCounter(self.session.spark, self.lake, self.tables, entries, self._register_tables)
        paths = [each.path for each in files]
        with self.report.open_stage("count what is known"):
            self.summary.notes += publish_coverage(
                self.lake, self.settings.context_dir, counter, self.summary.generation, paths, earlier
            )

    def _optimize_tables(self) -> Iterator[str]:
        """Compact the tables of several files, and yield their names. The rows of a single one are in order already."""
        if not self.session.capabilities.optimize:
            return
        for name, made in self.made.items():
            if made.written.files < 2:
                continue
            with self.report.open_stage(f"optimise {name}") as stage:
                made.written = self.writer.optimize_table(made.definition)
                stage.advance(0, made.written.rows)
            yield name

    def _build_manifest(self) -> Manifest:
        return Manifest(
            generation=self.summary.generation,
            created_at=datetime.now(UTC),
            engine=self.session.kind,
            schema_name=self.settings.schema_name,
            tables={name: made.to_entry() for name, made in self.made.items()},
            find=self.find,
        )


def _select_none(spark: SparkSession, columns: Sequence[Column]) -> DataFrame:
    """Return no rows with these columns."""
    nulls = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in columns)
    return spark.sql(f"SELECT {nulls} WHERE false")
