"""The update: publishes the next day's files by changing only the rows that changed.

    compare SHA-256s → for each changed file: changed lines → typed rows → rows that differ → deletion vectors and one
    small file → rejects → rows of touched titles and persons in the gold views → publish the manifest

A file whose SHA-256 is the manifest's keeps its table. The other tables become new versions of Delta tables, which
nobody reads before the manifest names them, so a killed update leaves the lake as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl.built_tables import BuiltTable, LoadedTable, UpdatedTable, UpdateSummary
from etl.changed_lines import ChangedLines, SelectedLines
from etl.comments import renew_comments
from etl.compare_ahead import compare_ahead
from etl.context_files import read_load_declarations
from etl.coverage import EarlierCoverage
from etl.datasets import Dataset
from etl.fingerprints import Fingerprint, read_fingerprint
from etl.gold_views import GOLD_VIEWS, TABLE_NAMES, GoldView
from etl.header import Source, find_sources
from etl.inspect_ahead import inspect_ahead
from etl.load_session import open_load_session
from etl.loaded import DEFINITIONS, has_size, is_described, is_unchanged, read_base
from etl.pipeline import LoadRun
from etl.progress import ProgressReporter
from etl.rejects import RejectedLines
from etl.row_comparison import ReadRows, RowComparison, Touched
from etl.row_filters import IdFilter
from etl.row_sets import RowChange
from etl.safeguards import check_loadable, check_shared, hold_load_lock, open_work_folder, translate_errors
from etl.settings import LoadEngine, Settings
from etl.source import hash_file, inspect_source
from etl.stored_rows import (
    StoredRows,
    StoredTable,
    TableChange,
    TableVersion,
    WrittenVersion,
    restore_version,
    to_arrow_schema,
)
from etl.table_files import TableFiles
from etl.tables import define_view, to_definition
from etl.transform import read_lines, select_rejected, select_typed
from etl.view_refresh import Reach, ViewRefresh, find_reach, find_wanted
from etl.work_pool import WorkPool
from lakehouse.context import Entity
from lakehouse.coverage import read_coverage
from lakehouse.delta import latest_version
from lakehouse.errors import LakeError, LakehouseError
from lakehouse.find.published import fetch_index
from lakehouse.find.things import IndexDamaged, IndexSummary
from lakehouse.manifest import Manifest, SourceFile, TableEntry, last_generation
from lakehouse.session import EngineSession
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_MOST_JOINED: Final = 2_000_000
"""More rows than this of a table are not joined again: the view is built whole."""
_VIEWS_AT_ONCE: Final = 2
"""Views whose rows are looked for at once, while those of another are joined."""
_MOST_RENAMED: Final = 500_000
"""More names of a kind than this are not replaced in the index: it is built whole."""


def update_lake(
    source: Path, lake: Lake, engine: LoadEngine, settings: Settings, report: ProgressReporter
) -> UpdateSummary:
    """Bring a lake that was loaded to the state of the files in a folder, and publish it.

    Raises UsageError where the lake has to be loaded first, SourceError and LakeError as a load does. The published
    lake is then unchanged.
    """
    files, missing = find_sources(source)
    check_loadable(lake, engine)
    with translate_errors(lake, settings), ExitStack() as stack:
        lake = lake.reachable(settings.links)
        read_base(lake, settings)
        check_held = stack.enter_context(hold_load_lock(lake))
        base = read_base(lake, settings)  # another load may have ended in between
        hashes = {each.dataset.table: hash_file(each.path) for each in files if has_size(base, each)}
        if len(hashes) == len(files) and is_unchanged(base, hashes) and is_described(base):
            return UpdateSummary(generation=base.generation)
        work_dir = stack.enter_context(open_work_folder(lake, settings, TABLE_NAMES))
        session = stack.enter_context(open_load_session(engine, settings, work_dir))
        check_shared(session, work_dir, [each.path for each in files])
        run = _UpdateRun(session, lake, settings, report, work_dir, base)
        stack.callback(run.end_index)
        run.summary.notes += [
            f"{dataset.file} is not there any more: no {dataset.table}."
            for dataset in missing
            if dataset.table in base.tables
        ]
        return run.update_and_publish(files, hashes, check_held)


class _UpdateRun(LoadRun):
    """One update of `base`."""

    summary: UpdateSummary

    def __init__(
        self,
        session: EngineSession,
        lake: Lake,
        settings: Settings,
        report: ProgressReporter,
        work_dir: Path,
        base: Manifest,
    ) -> None:
        super().__init__(session, lake, settings, report, work_dir)
        self.summary = UpdateSummary(changed=True)
        self.base = base
        self.row_changes: dict[str, RowChange | None] = {}
        """Of each table that was updated; None for one that was loaded whole."""
        self.own_changes: dict[str, RowChange] = {}
        """Of each view that was refreshed, in its own columns."""
        self.read: dict[str, ReadRows] = {}
        self.rejected = RejectedLines.open(lake, base.created_at, self.summary.notes)

    def update_and_publish(
        self, files: list[Source], hashes: dict[str, SourceFile], check_held: Callable[[], None]
    ) -> UpdateSummary:
        """Update the tables and publish them. `check_held` raises if the load may not go on."""
        last = last_generation(self.lake)
        self.base, renewed = renew_comments(self.lake, self.base)
        if renewed:
            self.summary.notes.append(f"Comments are those of this release now: {', '.join(renewed)}.")
        known = {each.dataset.table: self._read_known(each, hashes.get(each.dataset.table)) for each in files}
        # The largest last: what the others touch is known then, and its rows are read once.
        ordered = sorted(files, key=lambda source: source.path.stat().st_size)
        with compare_ahead(ordered[::-1], known, self.work_dir, self.report) as compared:
            for each in ordered:
                check_held()
                self._update_table(each, hashes.get(each.dataset.table), compared.get(each.dataset.table))
        self._update_rejects()
        self._check_reject_share()
        self._update_views(check_held)
        self._order_tables()
        check_held()
        self._index_names(last + 1)
        check_held()
        self._publish(last + 1)
        self._remove_old_generations()
        self._count_coverage(files, self._read_earlier_coverage())
        return self.summary

    def _order_tables(self) -> None:
        """Put the tables into the order that a load gives them."""
        self.made = {name: self.made[name] for name in TABLE_NAMES if name in self.made}
        self.summary.tables.sort(key=lambda each: TABLE_NAMES.index(each.table))
        self.summary.updated.sort(key=lambda each: TABLE_NAMES.index(each.table))

    def _read_earlier_coverage(self) -> EarlierCoverage | None:
        try:
            coverage = read_coverage(self.lake, self.base.generation)
        except LakeError:
            return None
        if coverage is None:
            return None
        written = {each.table: each.rows for each in self.summary.updated if each.done not in ("kept", "updated")}
        changed = {each.table: max(each.added, each.deleted) for each in self.summary.updated}
        return EarlierCoverage(coverage, changed | written)

    def _read_known(self, source: Source, identity: SourceFile | None) -> Fingerprint | None:
        """Read the fingerprint of the file that a table was loaded from; None where there is nothing to compare."""
        entry = self.base.tables.get(source.dataset.table)
        if entry is None or entry.source is None or (identity and identity.sha256 == entry.source.sha256):
            return None
        comparable = source.is_as_described and entry.columns == to_definition(source.dataset).columns
        return read_fingerprint(self.lake, entry.source.sha256) if comparable else None

    def _update_table(
        self, source: Source, identity: SourceFile | None, compared: Future[ChangedLines | None] | None
    ) -> None:
        """Update the table of a file. `identity` is None where the file has another size than the one of the base."""
        dataset = source.dataset
        self.sources[source.path.name] = source
        entry = self.base.tables.get(dataset.table)
        if entry is None or entry.source is None:
            self._load_whole(source, "loaded")
        elif identity is not None and entry.source.sha256 == identity.sha256:
            self.rejected.keep_all(dataset, identity.name)
            self._keep(dataset.table, entry, identity)
        else:
            changed = None if compared is None else compared.result()
            if changed is None:
                self._load_whole(source, "loaded whole")
            else:
                self._apply_changes(source, entry, changed.identity, changed)

    def _load_whole(self, source: Source, done: str) -> None:
        """Load a table as a load does: it is new, has other columns, or too much of it has changed."""
        started, table = time.monotonic(), source.dataset.table
        for inspected, inspection in inspect_ahead([source], self.work_dir, self.report):
            self._load_table(inspected, inspection)
        self.row_changes[table] = None
        written = self.made[table].written
        self._summarize(table, done, started, written.rows, written.bytes)

    def _keep(self, table: str, entry: TableEntry, source: SourceFile | None) -> None:
        """Keep a table of the base. It becomes the newest version, should a killed run have committed another."""
        started, files = time.monotonic(), TableFiles(self.lake, entry.path)
        version, written = entry.version, 0
        if latest_version(files.open_log()) != version:
            restored = restore_version(files, version)
            version, written = restored.version, restored.written_bytes
        kept = TableVersion(version, entry.rows, entry.bytes, entry.files)
        definition = replace(DEFINITIONS[table][0], columns=entry.columns)
        self.made[table] = BuiltTable(definition, entry.key, entry.kind, kept, source)
        self._summarize(table, "kept", started, entry.rows, written)

    def _apply_changes(self, source: Source, entry: TableEntry, identity: SourceFile, changed: ChangedLines) -> None:
        started, dataset = time.monotonic(), source.dataset
        with self.report.open_stage(f"update {dataset.table}") as stage:
            stored = StoredTable(TableFiles(self.lake, entry.path), entry.version, entry.columns)
            comparison = RowComparison(stored, source, changed, self._list_wanted(dataset.table))
            self.rejected.keep_unchanged(dataset, identity.name, changed)
            rows = self._read_rows(source, identity, comparison.rest)
            change, self.row_changes[dataset.table], self.read[dataset.table] = comparison.compare(rows)
            written = stored.write_change(change, entry.clustered_by)
            stage.advance(0, change.added_rows + change.deleted_rows)
        self.fingerprints[identity.sha256] = changed.fingerprint
        self.made[dataset.table] = BuiltTable(to_definition(dataset), dataset.key, "table", written, identity)
        self._count_rejects(dataset, identity, changed, written)
        self._summarize(dataset.table, "updated", started, written.rows, written.written_bytes, change)

    def _read_rows(self, source: Source, identity: SourceFile, lines: SelectedLines) -> pa.Table:
        """Read some lines of a file as typed rows, and keep the malformed ones apart."""
        dataset, count = source.dataset, len(lines.numbers)
        schema = to_arrow_schema(to_definition(dataset).columns)
        if not count:
            return schema.empty_table()
        inspection = inspect_source(lines.to_source(source), self.work_dir, lambda *_: None)
        if inspection.rejects is not None:
            self.rejected.add_malformed(dataset, identity.name, inspection.rejects, lines)
        if inspection.malformed == count:
            return schema.empty_table()
        readable = self._link_plain_path(inspection.readable)
        fields = read_lines(self.session.spark, readable, source.header, dataset)
        rows = select_typed(fields, dataset).toArrow().cast(schema)
        misfits = count - inspection.malformed - rows.num_rows
        if misfits:
            found = select_rejected(fields, source.header, dataset, identity.name).toArrow()
            self.rejected.add(dataset, found)
            misfits -= found.num_rows
        if misfits:
            raise LakehouseError(
                f"{identity.name}: of {count:,} changed lines {misfits:,} were neither loaded nor rejected. "
                "The update is given up; please report this with the file."
            )
        return rows

    def _count_rejects(
        self, dataset: Dataset, source: SourceFile, changed: ChangedLines, written: WrittenVersion
    ) -> None:
        rejected = self.rejected.count(dataset)
        self.summary.tables.append(
            LoadedTable(
                dataset.table, source.name, changed.all_lines, written.rows, rejected, written.files, written.bytes, 0.0
            )
        )

    def _update_rejects(self) -> None:
        """Replace the rejected lines if they differ from those that are there."""
        part = self.work_dir / "rejects.kept.parquet"
        if self.rejected.write_changed(self.lake, part, self.reject_parts):
            self.reject_parts.append(str(part))
            self._write_rejects()

    def _update_views(self, check_held: Callable[[], None]) -> None:
        reached = {view.name: self._find_reach(view) for view in GOLD_VIEWS if self._can_refresh(view)}
        entries = {name: made.to_entry() for name, made in self.made.items()}
        few = [(view, reached[view.name]) for view in GOLD_VIEWS if view.name in reached and reached[view.name].touched]
        refresh = ViewRefresh(self.session.spark, self.lake, self.work_dir, self.tables, entries, few, self.read)
        with WorkPool(_VIEWS_AT_ONCE) as pool:
            old = {
                view.name: pool.submit(self._locate_rows, view, reach)
                for view, reach in few
                if refresh.count_rows(view) <= _MOST_JOINED
            }
            for view in GOLD_VIEWS:
                check_held()
                if view.name in old:
                    self._refresh_view(refresh, view, reached[view.name], old[view.name])
                elif view.name in reached and not reached[view.name].touched:
                    self._keep(view.name, self.base.tables[view.name], None)
                else:
                    refresh.forget_rows(view)
                    self._rebuild_view(view)

    def _locate_rows(self, view: GoldView, reach: Reach) -> tuple[StoredTable, StoredRows]:
        """Find the rows of a view that changed rows of its tables reach."""
        entry = self.base.tables[view.name]
        stored = StoredTable(TableFiles(self.lake, entry.path), entry.version, entry.columns)
        return stored, stored.locate_rows(self._list_value_columns(view), reach)

    def _can_refresh(self, view: GoldView) -> bool:
        """Whether a view is there, and none of its tables was loaded whole, came or went."""
        names = [source.table for source in view.sources]
        reloaded = any((name in self.made) != (name in self.base.tables) for name in names) or any(
            self.row_changes[name] is None for name in names if name in self.row_changes
        )
        return view.name in self.base.tables and not reloaded

    def _find_reach(self, view: GoldView) -> Reach:
        """Find what of a view the rows reach that have changed so far."""
        return find_reach(view, {name: change for name, change in self.row_changes.items() if change is not None})

    def _list_wanted(self, table: str) -> Touched:
        """The rows of a table that views and index need for what has been touched of them so far."""
        wanted: Touched = {}
        columns = {column.name for column in DEFINITIONS[table][0].columns}
        with suppress(LakehouseError):  # it is reported where the index is built
            for entity in self._entities:
                if table in entity.sql and entity.id in columns:
                    wanted.setdefault(entity.id, set()).update(self._list_touched(entity) or ())
        for view in GOLD_VIEWS:
            for source in view.sources:
                if source.table == table and not source.lookup:
                    for column, values in find_wanted(source, self._find_reach(view).touched).items():
                        wanted.setdefault(column, set()).update(values)
        return wanted

    @cached_property
    def _entities(self) -> Sequence[Entity]:
        return read_load_declarations(self.lake, self.settings.context_dir).declarations.entity

    def _build_index(self) -> tuple[IndexSummary, Path]:
        """Update the index of the generation before by the rows that changed, or build it whole."""
        touched = {entity.kind: self._list_touched(entity) for entity in self._entities}
        few = [ids for ids in touched.values() if ids is not None and len(ids) <= _MOST_RENAMED]
        if self.base.find is None or len(few) < len(touched):
            return super()._build_index()
        unchanged = {name for name, made in self.made.items() if self._is_kept(name, made)}
        builder = self._open_index_builder(frozenset(unchanged))
        try:
            base = fetch_index(self.lake, self.base.find, self.work_dir)
            ids = {kind: each for kind, each in touched.items() if each is not None}
            changes = {name: change for name, change in self.row_changes.items() if change is not None}
            changes |= self.own_changes
            return builder.update(base, self._entities, ids, self._select_rows, changes), builder.folder
        except IndexDamaged as error:
            log.debug("the index was not updated", exc_info=error)
            return super()._build_index()

    def _select_rows(self, table: str, wanted: dict[str, set[str]]) -> pa.Table:
        """Read the rows of a table, as this update leaves it, in which a column has one of the values wanted of it."""
        made, read = self.made[table], self.read.get(table)
        if read is not None and read.include(wanted):
            return read.rows.take(IdFilter(wanted).choose(read.rows))
        stored = StoredTable(TableFiles(self.lake, table), made.written.version, made.definition.columns)
        return stored.read_rows(stored.schema.names, IdFilter(wanted))

    def _list_touched(self, entity: Entity) -> set[str] | None:
        """The ids of an entity's things that a changed row has; None where a table that names them was loaded whole."""
        touched: set[str] = set()
        for table, change in self.row_changes.items():
            if table not in entity.sql:
                continue
            if change is None:
                return None
            if entity.id in change.added.column_names:
                touched |= change.list_values(entity.id)
        return touched

    def _is_kept(self, name: str, made: BuiltTable) -> bool:
        entry = self.base.tables.get(name)
        return entry is not None and entry.version == made.written.version

    def _rebuild_view(self, view: GoldView) -> None:
        started = time.monotonic()
        self._build_view(view)
        written = self.made[view.name].written
        self._summarize(view.name, "built whole", started, written.rows, written.bytes)

    def _refresh_view(
        self, refresh: ViewRefresh, view: GoldView, reach: Reach, old: Future[tuple[StoredTable, StoredRows]]
    ) -> None:
        """Replace the rows that changed rows of tables reach."""
        started, definition = time.monotonic(), define_view(view)
        with self.report.open_stage(f"refresh {view.name}") as stage:
            added = refresh.join_rows(view, reach)
            stored, rows = old.result()
            change = TableChange(rows.locate_all(), [added])
            written = stored.write_change(change, definition.clustered_by)
            self.own_changes[view.name] = RowChange(rows.rows, added.select(rows.rows.column_names))
            stage.advance(0, change.added_rows + change.deleted_rows)
        self.made[view.name] = BuiltTable(definition, view.key, "view", written, None)
        self._summarize(view.name, "updated", started, written.rows, written.written_bytes, change)

    def _list_value_columns(self, view: GoldView) -> list[str]:
        """The columns of a view of whose values the index counts the rows."""
        with suppress(LakehouseError):  # it is reported where the index is built
            named = {entity.column for entity in self._entities}
            return [field.column_name for field in view.own_columns if field.column_name not in named]
        return []

    def _summarize(
        self,
        table: str,
        done: str,
        started: float,
        rows: int,
        written_bytes: int,
        change: TableChange | None = None,
    ) -> None:
        added, deleted = (0, 0) if change is None else (change.added_rows, change.deleted_rows)
        seconds = time.monotonic() - started
        self.summary.updated.append(UpdatedTable(table, done, rows, added, deleted, written_bytes, seconds))
