"""Checks all files that a table's log names, in any version, before an engine is given the table."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lakehouse.delta.checkpoint import PATHS, read_checkpoint
from lakehouse.delta.folder import LogEntry, Mark, TableLog
from lakehouse.delta.opening import open_log
from lakehouse.delta.paths import DataPaths, ObjectPaths
from lakehouse.storage import Lake

_TABLES = 1024
_SETTLED_NS = 1_000_000_000
"""Age from which a folder's mtime proves that nothing has changed since: file systems' clocks are coarse."""


@dataclass
class _Audited:
    """What was checked of a log: its files, and the mtimes of the folders that it names files in."""

    mark: Mark | None = None
    entries: dict[str, LogEntry] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    folders: dict[str, int] = field(default_factory=dict)
    looking: threading.Lock = field(default_factory=threading.Lock)


class LogAudit:
    """Refuses tables whose logs name files outside of their lake. Safe for several threads.

    All versions are checked, since a statement may ask for any. What was checked is not read again.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Audited] = OrderedDict()

    def check(self, location: str) -> None:
        """Check a log. Raises LakeError where it cannot be read, or names files outside of the lake."""
        with self._lock:
            known = self._known.setdefault(location, _Audited())
            self._known.move_to_end(location)
            while len(self._known) > _TABLES:
                self._known.popitem(last=False)
        with known.looking:
            log, paths = self._open_log(location)
            mark = log.mark()
            if known.mark != mark or known.folders != _read_times(known.folders):
                self._check_new_entries(log, paths, known)
                if time.time_ns() - max(mark.changed, *known.folders.values(), 0) > _SETTLED_NS:
                    known.mark = mark

    def _open_log(self, location: str) -> tuple[TableLog, DataPaths | ObjectPaths]:
        lake = self._lake
        if lake.directory is not None:
            return open_log(lake, location), DataPaths(location, lake.address)
        return open_log(lake, location), ObjectPaths(lake.table_path(location), lake.address)

    def _check_new_entries(self, log: TableLog, found: DataPaths | ObjectPaths, known: _Audited) -> None:
        known.mark = None
        for path in known.paths:
            found.find(path)
        changed = {name: entry for name, entry in log.entries.items() if known.entries.get(name) != entry}
        for name in log.commits.values():
            if name in changed:
                self._check_actions(found, log.actions(name), known)
        for checkpoint in log.checkpoints:
            if not changed.keys().isdisjoint(checkpoint.files):
                self._check_actions(found, read_checkpoint(log, checkpoint, PATHS), known)
        known.entries = dict(log.entries)
        known.folders = _read_times(found.folders) if isinstance(found, DataPaths) else {}

    def _check_actions(
        self, found: DataPaths | ObjectPaths, actions: Iterable[dict[str, Any]], known: _Audited
    ) -> None:
        for action in actions:
            add = action.get("add")
            if add is not None:
                found.find(add.get("path"))
                found.find_vector(add.get("deletionVector"))
                known.paths.add(add["path"])


def _read_times(folders: Iterable[str]) -> dict[str, int]:
    """The mtime of each folder, in nanoseconds; 0 where it does not exist."""
    found = {}
    for folder in folders:
        try:
            found[folder] = os.stat(folder).st_mtime_ns
        except OSError:
            found[folder] = 0
    return found
