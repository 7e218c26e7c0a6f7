"""What a place is that no load of ours has made: somebody's tables, a folder of lakes, or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import LakeError
from lakehouse.manifest import LOADING_NAME, MANIFEST_NAME, PREVIOUS_NAME
from lakehouse.objects import ObjectStore
from lakehouse.storage import Lake

DELTA_LOG = "_delta_log"
_SHOWN = 5
_LOOKED_INTO = 50
"""Folders of object storage that are looked into, each by a request."""

_MOST_WALKED = 2_000
"""Folders, and files of each, that are looked at to say what a place without tables holds."""
_PACKED = frozenset({".zip", ".gz", ".tar", ".tgz", ".xz", ".7z", ".zst"})
_TEXT_FILES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".gz"})
_OTHERS = (
    "only Delta tables are served. Write them as such, with Spark (format delta) or deltalake.write_deltalake, each "
    "into a folder of its own, and give the folder above those."
)

MOST_LEVELS = 5
"""How deep a table may lie: `a/b/c/d/table`."""
MOST_FOLDERS = 20_000
"""Folders that are looked into for tables."""


@dataclass
class TableSearch:
    """The tables below a folder: the folders with a Delta log, which may lie in folders of their own, by path.

    `is_complete` is False where there were more than `MOST_FOLDERS` folders to look into.
    """

    folder: Path
    is_complete: bool = True
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def find_tables(self) -> list[Path]:
        """Return the folders of all tables in order. What is in the folder of a table is its own, and no table."""
        return sorted(self._iter_tables(self.folder, MOST_LEVELS))

    def _iter_tables(self, folder: Path, levels: int) -> Iterator[Path]:
        for name in self._list_folders(folder):
            below = folder / name
            if os.path.lexists(below / DELTA_LOG):
                yield below
            elif levels > 1 and "=" not in name:  # `year=2024` is a part of a table in another format
                yield from self._iter_tables(below, levels - 1)

    def _list_folders(self, folder: Path) -> list[str]:
        """List what may be a table or hold some; nothing of a folder that was seen, which a link may lead back to."""
        try:
            found = os.stat(folder)
            if (found.st_dev, found.st_ino) in self._seen or len(self._seen) >= MOST_FOLDERS:
                self.is_complete &= len(self._seen) < MOST_FOLDERS
                return []
            self._seen.add((found.st_dev, found.st_ino))
            with os.scandir(folder) as entries:
                return [each.name for each in entries if is_shown(each.name) and each.is_dir()]
        except OSError:  # a folder of others, or one that is being taken away
            return []


@dataclass(frozen=True)
class Place:
    """`tables` are folders with a Delta log, `below` folders with such folders in them."""

    is_table: bool
    tables: tuple[str, ...]
    below: tuple[str, ...]
    has_files: bool


def look_at(lake: Lake) -> Place:
    """What lies in a directory or below a URL."""
    if lake.directory is None:
        store = lake.objects
        folders = store.list_folders()
        inside = {name: store.list_folders(name) for name in list(filter(is_shown, folders))[:_LOOKED_INTO]}
        tables = tuple(name for name, found in inside.items() if DELTA_LOG in found)
        below = tuple(name for name, found in inside.items() if _has_table(store, name, found))
        return Place(DELTA_LOG in folders, tables, below, bool(folders))
    folder = lake.directory
    if not folder.is_dir():
        return Place(is_table=False, tables=(), below=(), has_files=False)
    found = [table.relative_to(folder) for table in TableSearch(folder).find_tables()]
    tables = tuple(table.name for table in found if len(table.parts) == 1)
    below = tuple(sorted({table.parts[0] for table in found if len(table.parts) > 1}))
    return Place((folder / DELTA_LOG).exists(), tables, below, any(folder.iterdir()))


def is_shown(folder: str) -> bool:
    """Whether a folder may be a table: names that begin so are hidden, such as our own cache of AI answers."""
    return not folder.startswith((".", "_"))


def _has_table(store: ObjectStore, folder: str, inside: list[str]) -> bool:
    """Whether one of the first folders in a folder of object storage is a table."""
    return any(DELTA_LOG in store.list_folders(f"{folder}/{name}") for name in inside[:_SHOWN] if name != DELTA_LOG)


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


def _describe_place(lake: Lake, place: Place, load: str) -> str:
    above = lake.address.rpartition("/")[0]
    if place.is_table:
        return f"{lake} is a Delta table, not a lake of tables. Give the folder above it: --lake {above}"
    if place.tables:  # of a directory they are served
        return (
            f"{lake} holds Delta tables that imdb-etl did not load ({list_names(place.tables)}), and in object storage "
            f"only a lake with a {MANIFEST_NAME} is served. Copy them into a folder, or name them as catalog.schema of "
            "an engine that has a catalogue."
        )
    if place.below:  # of a directory they are served
        return (
            f"{lake} is a folder of lakes: its tables lie one level further down, in {list_names(place.below)}. One of "
            f"them is served at a time, such as --lake {lake.address}/{place.below[0]}"
        )
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
