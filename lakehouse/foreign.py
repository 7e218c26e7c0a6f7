"""What a place is that no load of ours has made: somebody's tables, a folder of lakes, or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import LakeError
from lakehouse.manifest import LOADING_NAME, MANIFEST_NAME, PREVIOUS_NAME
from lakehouse.storage import Lake
from lakehouse.table_search import DELTA_LOG, MOST_LEVELS, FolderSearch, ObjectSearch

_SHOWN = 5
_LOOKED_INTO = 200
"""Folders of object storage that are looked into, each by a request or two."""
_MOST_WALKED = 2_000
"""Folders, and files of each, that are looked at to say what a place without tables holds."""
_PACKED = frozenset({".zip", ".gz", ".tar", ".tgz", ".xz", ".7z", ".zst"})
_TEXT_FILES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".gz"})
_OTHERS = (
    "only Delta tables are served. Write them as such, with Spark (format delta) or deltalake.write_deltalake, each "
    "into a folder of its own, and give the folder above those."
)


@dataclass(frozen=True)
class PlaceContents:
    """`tables` are folders with a Delta log, `below` folders with such folders in them."""

    is_table: bool
    tables: tuple[str, ...]
    below: tuple[str, ...]
    has_files: bool


def look_at(lake: Lake) -> PlaceContents:
    """What lies in a directory or below a URL; of a storage with many folders, in the first of them."""
    folder = lake.directory
    if folder is not None and not folder.is_dir():
        return PlaceContents(is_table=False, tables=(), below=(), has_files=False)
    search = FolderSearch(folder) if folder is not None else ObjectSearch(lake, most_folders=_LOOKED_INTO)
    found = [path.split("/") for path in search.stamp_tables()]
    tables = tuple(parts[0] for parts in found if len(parts) == 1)
    below = tuple(sorted({parts[0] for parts in found if len(parts) > 1}))
    if folder is not None:
        return PlaceContents((folder / DELTA_LOG).exists(), tables, below, any(folder.iterdir()))
    inside = lake.objects.list_folders()
    return PlaceContents(DELTA_LOG in inside, tables, below, bool(inside))


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


def explain_unserved(lake: Lake) -> str:
    """Why a directory cannot be served as it is now, and what to do; empty where it can, and for other lakes."""
    if lake.directory is None or (lake.directory / MANIFEST_NAME).exists():
        return ""
    place = look_at(lake)
    return "" if place.tables or place.below else describe_foreign(lake)


def describe_foreign(lake: Lake) -> str:
    """Why a place cannot be served, and what to do."""
    load = f"imdb-etl load --source DIR --lake {lake}"
    directory = lake.directory
    if directory is not None and not directory.exists():
        if directory.is_symlink():
            return f"{lake} is a link that leads nowhere. Give the folder with the Delta tables itself."
        return (
            f"There is no lake at {lake}. Give the folder with the Delta tables, or make one with: {load} (or try all "
            "of it with: imdb-demo)."
        )
    if directory is not None and directory.is_dir() and not os.access(directory, os.R_OK | os.X_OK):
        return f"{lake} cannot be read by the user of this program. Give that user the right to, or another folder."
    if directory is not None and not directory.is_dir():
        unpack = " Unpack it first." if directory.suffix in _PACKED else ""
        return f"{lake} is a file, not a lake.{unpack} Give the folder with the Delta tables in it."
    if lake.read_file(LOADING_NAME) is not None:
        return (
            f"{lake} holds no finished lake: its first load still runs or was broken off. Wait for the load, or start "
            f"it again: {load}"
        )
    return _describe_place(lake, look_at(lake), load)


def _describe_place(lake: Lake, place: PlaceContents, load: str) -> str:
    above = lake.address.rpartition("/")[0]
    if place.is_table:
        return f"{lake} is a Delta table, not a lake of tables. Give the folder above it: --lake {above}"
    if place.has_files:
        found = "" if lake.directory is None else _describe_contents(lake.directory)
        return (
            f"{lake} is no lake: nothing in it is a folder with a Delta table. "
            + (found or "Give the folder right above the tables, or make a lake in an empty one: ")
            + ("" if found else load)
        )
    if lake.directory is None:
        return f"There is no lake at {lake}. Make one with: {load}"
    return f"The lake at {lake} is empty. Give the folder with the Delta tables, or load it with: {load}"


def _describe_contents(folder: Path) -> str:
    """What a folder without tables holds instead, and what to do with it; empty where that is not known."""
    if folder.name == DELTA_LOG:
        table = folder.parent
        return f"It is the log of the table {table.name}: give the folder above that, --lake {table.parent}"
    found: dict[str, str] = {}
    for place, folders, files in _walk_some(folder):
        below = os.path.relpath(place, folder)
        if DELTA_LOG in folders:
            found.setdefault(
                "deep",
                f"There is a Delta table in {below}, which is not looked into: it lies more than {MOST_LEVELS} folders "
                f"down, or in a hidden one or a partition. Give the folder above it: --lake {Path(place).parent}",
            )
        if any(name.endswith(".metadata.json") for name in files):
            found.setdefault("iceberg", f"It holds Iceberg tables ({Path(below).parent}), and {_OTHERS}")
        if ".hoodie" in folders:
            found.setdefault("hudi", f"It holds Hudi tables ({below}), and {_OTHERS}")
        if any(name.startswith("title.basics.tsv") for name in files):
            found.setdefault("imdb", f"It holds IMDb's files. Load them: imdb-etl load --source {place} --lake LAKE")
        if any(name.endswith(".parquet") for name in files):
            found.setdefault(
                "parquet",
                f"It holds Parquet files without a Delta log ({below}). A folder of such files becomes a table in "
                "place, by deltalake.convert_to_deltalake(FOLDER) in Python or CONVERT TO DELTA parquet.`FOLDER` in "
                "Spark.",
            )
        if any(Path(name).suffix in _TEXT_FILES for name in files):
            found.setdefault("text", f"It holds files of text ({below}), and {_OTHERS}")
    return next((found[kind] for kind in ("deep", "iceberg", "hudi", "imdb", "parquet", "text") if kind in found), "")


def _walk_some(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through the first folders below one, for a message. What cannot be read is left out."""
    for count, (place, folders, files) in enumerate(os.walk(folder)):
        if count >= _MOST_WALKED:
            return
        yield place, folders, files[:_MOST_WALKED]


def list_names(names: tuple[str, ...]) -> str:
    """The first names of some, and how many more there are."""
    more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    return ", ".join(names[:_SHOWN]) + more
