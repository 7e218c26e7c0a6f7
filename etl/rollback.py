"""The rollback: publishes the tables of an earlier generation as a new one."""

from __future__ import annotations

from datetime import UTC, datetime

from etl.coverage import copy_coverage
from etl.safeguards import check_loadable, hold_load_lock, translate_errors
from etl.settings import Settings
from etl.stored_rows import list_data_files, restore_version
from etl.table_files import TableFiles
from lakehouse.delta import read_snapshot
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.manifest import (
    DamagedManifestError,
    Manifest,
    TableEntry,
    last_generation,
    list_generations,
    publish_manifest,
    read_manifest,
)
from lakehouse.storage import Lake


def roll_back(lake: Lake, settings: Settings, generation: int | None = None) -> tuple[Manifest, Manifest]:
    """Publish a generation again: the one before the published one, or the one of that number.

    Returns the manifest that was chosen and the one that was published. Raises UsageError where there is no such
    generation, or its files are gone. No data is copied.
    """
    check_loadable(lake, "embedded")
    with translate_errors(lake, settings):
        lake = lake.reachable(settings.links)
        _choose_generation(lake, generation)
        with hold_load_lock(lake) as check_held:
            chosen = _choose_generation(lake, generation)
            for entry in chosen.tables.values():
                _check_files(lake, chosen.generation, entry)
            tables = {name: _restore_table(lake, entry) for name, entry in chosen.tables.items()}
            published = chosen.model_copy(
                update={"generation": last_generation(lake) + 1, "created_at": datetime.now(UTC), "tables": tables}
            )
            check_held()
            publish_manifest(lake, published)
            copy_coverage(lake, chosen.generation, published.generation)
    return chosen, published


def _choose_generation(lake: Lake, generation: int | None) -> Manifest:
    kept = list_generations(lake)
    if generation is None:
        # The first is the published one, unless that is damaged: then it is the one to go back to.
        chosen = kept[:1] if _is_damaged(lake) else kept[1:2]
    else:
        chosen = [each for each in kept if each.generation == generation]
    if not chosen:
        numbers = ", ".join(str(each.generation) for each in kept) or "none"
        asked = "an earlier generation" if generation is None else f"generation {generation}"
        raise UsageError(f"{lake} has not kept {asked} to go back to. It has kept: {numbers}.")
    return chosen[0]


def _is_damaged(lake: Lake) -> bool:
    try:
        read_manifest(lake)
    except DamagedManifestError:
        return True
    return False


def _check_files(lake: Lake, generation: int, entry: TableEntry) -> None:
    """Raise UsageError if a file of a table is gone."""
    files = TableFiles(lake, entry.path)
    try:
        there = files.list()
        gone = [name for name in list_data_files(read_snapshot(files.open_log(), entry.version)) if name not in there]
        if gone:
            raise FileNotFoundError(gone[0])
    except (LakehouseError, OSError) as error:
        raise UsageError(
            f"Generation {generation} of {lake} cannot be served again: files of its table {entry.path} are gone. "
            "Choose another one with --generation, or load its source again."
        ) from error


def _restore_table(lake: Lake, entry: TableEntry) -> TableEntry:
    restored = restore_version(TableFiles(lake, entry.path), entry.version)
    return entry.model_copy(update={"version": restored.version})
