"""Maintenance of a lake: compacts tables that many updates have changed, and removes what is no longer kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final

from etl.coverage import copy_coverage
from etl.gold_views import TABLE_NAMES
from etl.load_session import open_load_session
from etl.loaded import DEFINITIONS
from etl.progress import ProgressReporter
from etl.retention import Removed, remove_old_generations
from etl.safeguards import check_loadable, check_shared, hold_load_lock, open_work_folder, translate_errors
from etl.settings import LoadEngine, Settings
from etl.sorted_tables import open_writer
from etl.stored_rows import count_deleted, count_records, read_bounds, restore_version
from etl.table_files import TableFiles
from etl.tables import TableDefinition, TableWriter
from lakehouse.delta import read_snapshot
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.manifest import Manifest, TableEntry, last_generation, publish_manifest, read_manifest
from lakehouse.storage import Lake

_DELETED_SHARE: Final = 0.05
"""A table of whose stored rows more are deleted is rewritten: look-ups read them all."""
_SMALL_FILES: Final = 8
"""So is a table with more files than this that are small: a look-up opens each of them."""
_SMALL_SHARE: Final = 0.1
"""A file is small if it has fewer rows than this share of the largest one."""
_MOST_OVERLAPPING: Final = 4
"""So is a table of which more files than this, not counting small ones, may have one key. The embedded engine writes
two side by side where rows come in order; earlier releases wrote two of a large view for each slice."""


@dataclass(frozen=True)
class CompactedTable:
    """A table that was rewritten: files and bytes before and after. `seconds` is wall time."""

    table: str
    files_before: int
    files: int
    bytes_before: int
    bytes: int
    seconds: float


@dataclass
class MaintenanceSummary:
    """Result of a maintenance. `generation` is the published one."""

    generation: int
    removed: Removed
    compacted: list[CompactedTable] = field(default_factory=list)


def maintain_lake(lake: Lake, engine: LoadEngine, settings: Settings, report: ProgressReporter) -> MaintenanceSummary:
    """Compact the tables for which it pays, publish them, and remove what is no longer kept.

    Raises UsageError where the lake has no manifest, LakeError as a load does. The published lake is then unchanged.
    """
    check_loadable(lake, engine)
    with translate_errors(lake, settings), ExitStack() as stack:
        lake = lake.reachable(settings.links)
        _read_base(lake)
        check_held = stack.enter_context(hold_load_lock(lake))
        base = _read_base(lake)
        worn = [name for name, entry in base.tables.items() if is_worn(_read_adds(lake, entry), entry.clustered_by)]
        summary = MaintenanceSummary(base.generation, Removed())
        if worn:
            work_dir = stack.enter_context(open_work_folder(lake, settings, TABLE_NAMES))
            session = stack.enter_context(open_load_session(engine, settings, work_dir))
            check_shared(session, work_dir, ())
            writer = open_writer(session, lake, base.schema_name, work_dir)
            tables = dict(base.tables)
            for name, entry in base.tables.items():
                check_held()
                if name in worn:
                    tables[name] = _compact_table(writer, name, entry, summary, report)
                else:  # what a killed run committed must not be the newest version when this is published
                    restored = restore_version(TableFiles(lake, entry.path), entry.version)
                    tables[name] = entry.model_copy(update={"version": restored.version})
            summary.generation = last_generation(lake) + 1
            update = {"generation": summary.generation, "created_at": datetime.now(UTC), "tables": tables}
            check_held()
            publish_manifest(lake, base.model_copy(update=update))
            copy_coverage(lake, base.generation, summary.generation)
        check_held()
        summary.removed = remove_old_generations(lake, settings)
        return summary


def is_worn(adds: Sequence[dict[str, Any]], clustered_by: Sequence[str]) -> bool:
    """Whether it pays to rewrite a table: it has many small files, deleted rows, or files that a look-up reads all."""
    stored = [count_records(add) for add in adds]
    large = [add for add, rows in zip(adds, stored, strict=True) if rows >= _SMALL_SHARE * max(stored)]
    return (
        len(adds) - len(large) > _SMALL_FILES
        or sum(map(count_deleted, adds)) > _DELETED_SHARE * sum(stored)
        or (bool(clustered_by) and _count_overlapping(large, clustered_by[0]) > _MOST_OVERLAPPING)
    )


def _count_overlapping(adds: Sequence[dict[str, Any]], column: str) -> int:
    """Count the files that a look-up by a value of a column may have to read, for the value with the most."""
    bounds = [read_bounds(add, column) for add in adds]
    known = [each for each in bounds if each is not None]
    # Where several begin and end at one value, all of them have it.
    steps = sorted([(low, 0, 1) for low, _ in known] + [(high, 1, -1) for _, high in known])
    return max(accumulate(step for _, _, step in steps), default=0)


def _read_base(lake: Lake) -> Manifest:
    base = read_manifest(lake)
    if base is None:
        raise UsageError(f"{lake} has no loaded tables to maintain. Load it first: imdb-etl load.")
    return base


def _read_adds(lake: Lake, entry: TableEntry) -> list[dict[str, Any]]:
    return read_snapshot(TableFiles(lake, entry.path).open_log(), entry.version).adds


def _compact_table(
    writer: TableWriter, name: str, entry: TableEntry, summary: MaintenanceSummary, report: ProgressReporter
) -> TableEntry:
    """Rewrite a table in its order. Returns its entry in the next manifest."""
    started = time.monotonic()
    found_by = DEFINITIONS[name][0].found_by if name in DEFINITIONS else {}
    definition = TableDefinition(name, entry.comment, entry.columns, entry.clustered_by, found_by)
    with report.open_stage(f"compact {name}") as stage:
        rows = writer.read_version(name, entry.version)
        written = writer.overwrite_table(definition, rows, in_order=False, expected_rows=entry.rows)
        stage.advance(0, written.rows)
    if written.rows != entry.rows:
        raise LakehouseError(
            f"{name} has {entry.rows:,} rows, but {written.rows:,} were written. The maintenance is given up, and "
            "nothing is published; please report this."
        )
    summary.compacted.append(
        CompactedTable(name, entry.files, written.files, entry.bytes, written.bytes, time.monotonic() - started)
    )
    return entry.model_copy(update={"version": written.version, "bytes": written.bytes, "files": written.files})
