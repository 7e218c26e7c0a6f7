"""What a place is that no load of ours has made: somebody's tables, a folder of lakes, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.errors import LakeError
from lakehouse.manifest import LOADING_NAME, MANIFEST_NAME, PREVIOUS_NAME
from lakehouse.storage import Lake
from lakehouse.table_search import DELTA_LOG, FolderSearch, ObjectSearch

_SHOWN = 5
_LOOKED_INTO = 200
"""Folders of object storage that are looked into, each by a request or two."""


@dataclass(frozen=True)
class Place:
    """`tables` are folders with a Delta log, `below` folders with such folders in them."""

    is_table: bool
    tables: tuple[str, ...]
    below: tuple[str, ...]
    has_files: bool


def look_at(lake: Lake) -> Place:
    """What lies in a directory or below a URL; of a storage with many folders, in the first of them."""
    folder = lake.directory
    if folder is not None and not folder.is_dir():
        return Place(is_table=False, tables=(), below=(), has_files=False)
    search = FolderSearch(folder) if folder is not None else ObjectSearch(lake, most_folders=_LOOKED_INTO)
    found = [path.split("/") for path in search.stamp_tables()]
    tables = tuple(parts[0] for parts in found if len(parts) == 1)
    below = tuple(sorted({parts[0] for parts in found if len(parts) > 1}))
    if folder is not None:
        return Place((folder / DELTA_LOG).exists(), tables, below, any(folder.iterdir()))
    inside = lake.objects.list_folders()
    return Place(DELTA_LOG in inside, tables, below, bool(inside))


def check_own(lake: Lake) -> None:
    """Raises LakeError where a load would be mixed with what somebody else keeps there."""
    if any(lake.read_file(name) is not None for name in (MANIFEST_NAME, PREVIOUS_NAME, LOADING_NAME)):
        return
    place = look_at(lake)
    if place.is_table:
        what = "is a Delta table"
    elif place.tables:
        what = f"holds tables that imdb-etl did not load ({list_names(place.tables)})"
    elif place.below:
        what = f"holds lakes of others ({list_names(place.below)})"
    else:
        return
    raise LakeError(
        f"{lake} {what}, which a load would hide behind its own. Nothing was written: give a new or empty folder as "
        "--lake."
    )


def describe_foreign(lake: Lake) -> str:
    """Why a place cannot be served, and what to do."""
    load = f"imdb-etl load --source DIR --lake {lake}"
    directory = lake.directory
    if directory is not None and not directory.exists():
        return f"There is no lake at {lake}. Make one with: {load} (or try all of it with: imdb-demo)."
    if directory is not None and not directory.is_dir():
        return f"{lake} is a file, not a lake. Give the folder that imdb-etl load wrote."
    if lake.read_file(LOADING_NAME) is not None:
        return (
            f"{lake} holds no finished lake: its first load still runs or was broken off. Wait for the load, or start "
            f"it again: {load}"
        )
    return _describe_place(lake, look_at(lake), load)


def _describe_place(lake: Lake, place: Place, load: str) -> str:
    above = lake.address.rpartition("/")[0]
    if place.is_table:
        return f"{lake} is a Delta table, not a lake of tables. Give the folder above it: --lake {above}"
    if place.has_files:
        return (
            f"{lake} is no lake: nothing in it is a folder with a Delta table. Give the folder right above the tables, "
            f"or make a lake in an empty one: {load}"
        )
    if lake.directory is None:
        return f"There is no lake at {lake}. Make one with: {load}"
    return f"The lake at {lake} is empty. Load it with: {load}"


def list_names(names: tuple[str, ...]) -> str:
    """The first names of some, and how many more there are."""
    more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    return ", ".join(names[:_SHOWN]) + more
