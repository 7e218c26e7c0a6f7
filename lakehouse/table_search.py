"""Finds the Delta tables below a place: the folders with a Delta log, which may lie in folders of their own.

`FolderSearch` looks on this machine, `ObjectSearch` in object storage, where each look at a folder is a request.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol, TypeVar

from lakehouse.delta import LogFolder, LogObjects, TableLog
from lakehouse.objects import ObjectInfo, ObjectStore, PathRefusedError, StorageError
from lakehouse.storage import Lake

log = logging.getLogger(__name__)

DELTA_LOG: Final = "_delta_log"
MOST_LEVELS: Final = 5
"""How deep a table may lie: `a/b/c/d/table`."""
MOST_FOLDERS: Final = 20_000
"""Folders that are looked into for tables."""
_AT_ONCE: Final = 16
"""Concurrent requests to a storage."""
_SEARCH_SECONDS: Final = 120.0
_REFUSED_SHARE: Final = 20
"""A folder that cannot be listed is tried again after this multiple of the time that the attempt took."""
_VERSION_DIGITS: Final = 20

T = TypeVar("T")
R = TypeVar("R")


class TableSearch(Protocol):
    """The tables below a place. A path of a table is relative to the place, with `/` between its folders.

    `trusted_seconds` is how long a look may count, and `at_once` how many logs are read concurrently. `is_complete` is
    False where there were more than `MOST_FOLDERS` folders to look into.
    """

    trusted_seconds: float
    at_once: int
    is_complete: bool

    def stamp_tables(self) -> dict[str, object]:
        """Return the paths of all tables in order, each with a value that changes with every commit of its log.

        What is in the folder of a table is its own, and no table. Raises StorageError.
        """

    def open_log(self, path: str) -> TableLog: ...

    def find_defect(self, path: str) -> str:
        """Describe what keeps a log from being opened at all, empty where nothing does."""


def open_search(lake: Lake) -> TableSearch:
    """Return the search for the tables of a folder or of a storage URL."""
    return ObjectSearch(lake) if lake.directory is None else FolderSearch(lake.directory)


def is_shown(folder: str) -> bool:
    """Whether a folder may be a table: names that begin so are hidden, such as our own cache of AI answers."""
    return not folder.startswith((".", "_"))


def is_partition(folder: str) -> bool:
    """Whether a folder is a part of a table in another format, such as `year=2024`."""
    return "=" in folder


def map_at_once(call: Callable[[T], R], items: Iterable[T], at_once: int) -> list[R]:
    """Call a function for each item in so many threads, and return the results in order. Raises the first error."""
    listed = list(items)
    if at_once == 1 or len(listed) < 2:
        return [call(item) for item in listed]
    with ThreadPoolExecutor(min(at_once, len(listed)), thread_name_prefix="tables") as threads:
        return list(threads.map(call, listed))


class FolderSearch:
    """The tables below a folder of this machine."""

    trusted_seconds = 10.0
    at_once = 1

    def __init__(self, folder: Path) -> None:
        self.is_complete = True
        self._folder = folder
        self._seen: set[tuple[int, int]] = set()

    def stamp_tables(self) -> dict[str, object]:
        self._seen, self.is_complete = set(), True
        found = sorted(self._iter_tables(self._folder, MOST_LEVELS))
        return {table.relative_to(self._folder).as_posix(): _stamp_folder(table / DELTA_LOG) for table in found}

    def open_log(self, path: str) -> TableLog:
        return LogFolder(self._folder / path)

    def find_defect(self, path: str) -> str:
        folder = self._folder / path / DELTA_LOG
        if not folder.is_dir():
            return f"its {DELTA_LOG} is a file, where Delta has a folder"
        hint = folder / "_last_checkpoint"
        if hint.exists() and not hint.is_file():  # a reader would wait for a pipe for good
            return f"its {hint.name} is no file"
        return ""

    def _iter_tables(self, folder: Path, levels: int) -> Iterator[Path]:
        for name in self._list_folders(folder):
            below = folder / name
            if os.path.lexists(below / DELTA_LOG):
                yield below
            elif levels > 1 and not is_partition(name):
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


def _stamp_folder(folder: Path) -> object:
    """Return a value that changes with each commit of a log; None where the log is inaccessible."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns)


class ObjectSearch:
    """The tables below a URL of object storage.

    Each folder is looked at by listing its log, and only one without a log is listed itself: a table costs one request,
    however many data files it has. Of a table that was seen, the log is listed from its newest commit on.
    """

    trusted_seconds = 30.0
    at_once = _AT_ONCE

    def __init__(self, lake: Lake, *, most_folders: int = MOST_FOLDERS) -> None:
        self.is_complete = True
        self._lake = lake
        self._most_folders = most_folders
        self._newest: dict[str, str] = {}
        self._listed: dict[str, dict[str, ObjectInfo]] = {}
        self._refused: dict[str, float] = {}

    def stamp_tables(self) -> dict[str, object]:
        store, ends = self._lake.objects, time.monotonic() + _SEARCH_SECONDS

        def call_in_time(call: Callable[[ObjectStore, str], R]) -> Callable[[str], R]:
            def run(path: str) -> R:
                if time.monotonic() > ends:
                    raise StorageError(f"{self._lake}: its tables could not be listed within {_SEARCH_SECONDS:g} s.")
                return call(store, path)

            return run

        self._listed = {}
        found: dict[str, object] = {}
        folders, left = [""], self._most_folders
        for _ in range(MOST_LEVELS):
            below = [path for paths in self._map(call_in_time(self._list_folders), folders) for path in paths]
            self.is_complete = len(below) <= left
            below = below[:left]
            left -= len(below)
            marks = dict(zip(below, self._map(call_in_time(self._stamp_log), below), strict=True))
            found |= {path: mark for path, mark in marks.items() if mark is not None}
            folders = [path for path, mark in marks.items() if mark is None]
            if not self.is_complete:
                break
        self._newest = {path: newest for path, newest in self._newest.items() if path in found}
        return dict(sorted(found.items(), key=lambda each: each[0].split("/")))

    def open_log(self, path: str) -> TableLog:
        return LogObjects(self._lake.objects_of_any_size, path, self._listed.pop(path, None))

    def find_defect(self, path: str) -> str:  # noqa: ARG002  (nothing but files can be there)
        return ""

    def _map(self, call: Callable[[str], R], paths: list[str]) -> list[R]:
        return map_at_once(call, paths, self.at_once)

    def _list_folders(self, store: ObjectStore, folder: str) -> list[str]:
        """List what may be a table or hold some. One that cannot be listed holds none, and the log says so once."""
        if time.monotonic() < self._refused.get(folder, 0.0):
            return []
        began = time.monotonic()
        try:
            names = store.list_folders(folder or None)
        except PathRefusedError as error:
            if not folder:
                raise
            if folder not in self._refused:
                log.warning("What lies below %.200r in the lake is not served. %s", folder, error)
            now = time.monotonic()
            self._refused[folder] = now + _REFUSED_SHARE * (now - began)
            return []
        prefix = f"{folder}/" if folder else ""
        return [f"{prefix}{name}" for name in names if name and is_shown(name) and not is_partition(name)]

    def _stamp_log(self, store: ObjectStore, path: str) -> object:
        """Return a value that changes with each commit of a log, None where the folder has no log."""
        folder, newest = f"{path}/{DELTA_LOG}", self._newest.get(path)
        try:
            files = {} if newest is None else store.list_files(folder, after=newest)
            if not _find_newest(files):  # not seen before, taken away, or replaced
                files = self._listed[path] = store.list_files(folder)
        except PathRefusedError:
            return None
        newest = _find_newest(files)
        if not files:
            del self._listed[path]
            return None
        if not newest:
            return tuple(sorted(files))
        self._newest[path] = newest
        return tuple(sorted((name, each) for name, each in files.items() if name > newest and name[0].isdigit()))


def _find_newest(files: dict[str, ObjectInfo]) -> str:
    """Return the beginning of the names of the newest version's files, `00000000000000000042.`; empty without any."""
    digits = (name[:_VERSION_DIGITS] for name in files if name[_VERSION_DIGITS : _VERSION_DIGITS + 1] == ".")
    return max((f"{each}." for each in digits if each.isascii() and each.isdecimal()), default="")
