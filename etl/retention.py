"""Retention: removes generations that are no longer kept, with the files that only they need.

A generation is kept if it is one of the newest, or if it was served within the last minutes: a statement that began
then may still read it. Of a table, the files of all versions that kept generations name stay; the log begins with the
oldest of these versions, at a checkpoint, as Delta permits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from etl.find_index import remove_unnamed
from etl.fingerprints import FINGERPRINTS_FOLDER, name_fingerprint
from etl.gold_views import TABLE_NAMES
from etl.resume import list_resumable
from etl.settings import Settings
from etl.stored_rows import list_data_files
from etl.table_files import TableFiles
from lakehouse.coverage import COVERAGE_FOLDER, name_coverage
from lakehouse.delta import TableLog, latest_version, read_snapshot
from lakehouse.delta.folder import LOG_NAME
from lakehouse.errors import LakeError
from lakehouse.manifest import Manifest, TableEntry, forget_generation, list_generations, read_manifest
from lakehouse.storage import Lake

_OF_VERSION = re.compile(r"\d{20}(?=\.)")
"""What the name of a commit, a checksum or a checkpoint begins with."""


@dataclass
class Removed:
    """What was removed: generations, files and their bytes."""

    generations: list[int] = field(default_factory=list)
    files: int = 0
    bytes: int = 0


def remove_old_generations(lake: Lake, settings: Settings) -> Removed:
    """Remove the generations that the settings do not keep, and the files that no kept one needs.

    The caller holds the lake's lock. Raises LakeError where the manifest or a log cannot be read; what was removed
    until then is no part of a kept generation.
    """
    if read_manifest(lake) is None:
        return Removed()
    generations, age = list_generations(lake), timedelta(minutes=settings.keep_minutes)
    kept = choose_kept(generations, settings.keep_generations, age)
    resumable = list(list_resumable(lake, generations[0].generation))
    removed = Removed([each.generation for each in generations if each not in kept])
    for each in removed.generations:  # first: what is removed in part must not be offered
        forget_generation(lake, each)
    for table in TABLE_NAMES:
        versions = {each.tables[table].version for each in kept if table in each.tables}
        _clean_table(lake, table, versions, datetime.now(UTC) - age, removed)
    _remove_fingerprints(lake, [entry for each in kept for entry in each.tables.values()] + resumable)
    _remove_coverage(lake, kept)
    files, size = remove_unnamed(lake, kept)
    removed.files += files
    removed.bytes += size
    return removed


def choose_kept(generations: list[Manifest], count: int, age: timedelta) -> list[Manifest]:
    """Choose what is kept of generations, the newest first: `count` of them, and what was served within `age`.

    The published one and the one before it are always kept.
    """
    oldest = datetime.now(UTC) - age
    kept = []
    for place, each in enumerate(generations):
        replaced = generations[place - 1].created_at if place else None
        if place < max(count, 2) or (replaced is not None and replaced >= oldest):
            kept.append(each)
    return kept


def _clean_table(lake: Lake, table: str, versions: set[int], before: datetime, removed: Removed) -> None:
    """Remove what of a table is older than `before`, and needed by neither these versions nor the newest one.

    What is younger may be of a version that somebody else wrote. The lock excludes loads.
    """
    files = TableFiles(lake, table)
    try:
        table_log = files.open_log()
        newest = latest_version(table_log)
    except LakeError:  # an optional file has no table
        return
    snapshots = [read_snapshot(table_log, version) for version in sorted({newest, *versions})]
    needed = {name for snapshot in snapshots for name in list_data_files(snapshot)}
    for name, info in files.list().items():
        is_data = name.endswith(".parquet") or name.startswith("deletion_vector_")
        if is_data and name not in needed and info.modified < before:
            files.remove(name)
            removed.files += 1
            removed.bytes += info.bytes
    written = files.list(LOG_NAME)
    young = [number for name, number in _list_versions(table_log) if written[name].modified >= before]
    _shorten_log(lake, files, table_log, min([snapshots[0].version, *young]))


def _list_versions(table_log: TableLog) -> list[tuple[str, int]]:
    """The files of a log that belong to a version, with its number."""
    return [(name, int(match[0])) for name in table_log.entries if (match := _OF_VERSION.match(name))]


def _shorten_log(lake: Lake, files: TableFiles, table_log: TableLog, oldest: int) -> None:
    """Remove what of the log is older than a version, behind a checkpoint of that version."""
    stale = [name for name, number in _list_versions(table_log) if number < oldest]
    if not stale:
        return
    if all(each.version != oldest for each in table_log.checkpoints):
        from deltalake import DeltaTable

        DeltaTable(lake.table_location(files.table), version=oldest).create_checkpoint()
        # With this hint the embedded engine misses versions (docs/facts.md).
        lake.remove_file(f"{files.table}/{LOG_NAME}/_last_checkpoint")
    for name in stale:
        files.remove(f"{LOG_NAME}/{name}")


def _remove_fingerprints(lake: Lake, needing: Iterable[TableEntry]) -> None:
    """Remove the fingerprints of source files that none of these tables was loaded from."""
    needed = {name_fingerprint(entry.source.sha256) for entry in needing if entry.source is not None}
    for name in lake.list_files(FINGERPRINTS_FOLDER):
        if f"{FINGERPRINTS_FOLDER}/{name}" not in needed:
            lake.remove_file(f"{FINGERPRINTS_FOLDER}/{name}")


def _remove_coverage(lake: Lake, kept: list[Manifest]) -> None:
    """Remove what was counted of generations that are not kept."""
    needed = {name_coverage(each.generation) for each in kept}
    for name in lake.list_files(COVERAGE_FOLDER):
        if f"{COVERAGE_FOLDER}/{name}" not in needed:
            lake.remove_file(f"{COVERAGE_FOLDER}/{name}")
