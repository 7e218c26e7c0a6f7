"""What a lake was loaded from: whether its tables are as a load would make them now, and from which files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from etl.datasets import DATASETS
from etl.gold_views import GOLD_VIEWS
from etl.header import Source, find_sources
from etl.settings import Settings
from etl.source import hash_file
from etl.table_files import TableFiles
from etl.tables import TableDefinition, define_view, to_definition
from lakehouse.delta import latest_version
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.manifest import Column, Manifest, SourceFile, TableEntry, read_manifest
from lakehouse.storage import Lake, LakeKind

DEFINITIONS: Final[dict[str, tuple[TableDefinition, tuple[str, ...]]]] = {
    **{dataset.table: (to_definition(dataset), dataset.key) for dataset in DATASETS},
    **{view.name: (define_view(view), view.key) for view in GOLD_VIEWS},
}
"""The definition and the key of each table and view."""


def read_base(lake: Lake, settings: Settings) -> Manifest:
    """Read the manifest of a lake that can be updated. Raises UsageError where it has to be loaded.

    Its comments may be those of another release (`describe_anew`).
    """
    base = read_manifest(lake)
    if base is None:
        raise UsageError(
            f"{lake} has no loaded tables to update. Load it first: imdb-etl load --source DIR --lake DIR."
        )
    differing = next((name for name, entry in base.tables.items() if describe_anew(name, entry) is None), None)
    if differing is not None or base.schema_name != settings.schema_name:
        raise UsageError(
            f"The tables of {lake} were loaded with other definitions ({differing or 'another schema name'}), so rows "
            "cannot be compared. Load it again: imdb-etl load."
        )
    return base


def describe_anew(name: str, entry: TableEntry) -> TableEntry | None:
    """Return a published table with the comments that a load would give it, the same where it has them.

    None where its columns, key or order are other than a load would make them.
    """
    found = DEFINITIONS.get(name)
    if found is None:
        return None
    definition, key = found
    columns, own = entry.columns[: len(definition.columns)], entry.columns[len(definition.columns) :]
    made = (_without_comments(columns), entry.clustered_by, entry.key)
    if made != (_without_comments(definition.columns), definition.clustered_by, key):
        return None
    return entry.model_copy(update={"comment": definition.comment, "columns": (*definition.columns, *own)})


def _without_comments(columns: Sequence[Column]) -> list[Column]:
    return [column.model_copy(update={"comment": ""}) for column in columns]


def is_described(base: Manifest) -> bool:
    """Whether the tables have the comments that a load would give them."""
    return all(describe_anew(name, entry) == entry for name, entry in base.tables.items())


def find_loaded(source: Path, lake: Lake, settings: Settings) -> int | None:
    """Return the generation that a lake serves if it was loaded from these very files, with the same definitions.

    None too where a table has another version than the one that is served, or where anything cannot be read: a load
    then puts it right, or says what is wrong.
    """
    try:
        files, _ = find_sources(source)
        if lake.kind is LakeKind.CATALOG or read_manifest(lake) is None:
            return None
        base = read_base(lake, settings)
        served = (
            is_described(base)
            and _have_sizes(base, files)
            and all(_is_newest(lake, entry) for entry in base.tables.values())
        )
        hashes = {each.dataset.table: hash_file(each.path) for each in files} if served else {}
        return base.generation if served and is_unchanged(base, hashes) else None
    except LakehouseError:
        return None


def _is_newest(lake: Lake, entry: TableEntry) -> bool:
    return latest_version(TableFiles(lake, entry.path).open_log()) == entry.version


def has_size(base: Manifest, file: Source) -> bool:
    """Whether a file has the size of the one that its table was loaded from. If not, it is hashed while it is read."""
    entry = base.tables.get(file.dataset.table)
    return entry is not None and entry.source is not None and entry.source.bytes == file.path.stat().st_size


def _have_sizes(base: Manifest, files: Iterable[Source]) -> bool:
    """Whether files have the sizes of those that the lake was loaded from. If not, their bytes need not be read."""
    loaded = {name: entry.source.bytes for name, entry in base.tables.items() if entry.source is not None}
    return loaded == {each.dataset.table: each.path.stat().st_size for each in files}


def is_unchanged(base: Manifest, hashes: dict[str, SourceFile]) -> bool:
    """Whether the files are those that the lake was loaded from."""
    loaded = {name: entry.source.sha256 for name, entry in base.tables.items() if entry.source is not None}
    return loaded == {name: found.sha256 for name, found in hashes.items()}
