"""Logs that the embedded engine reads in the place of a table's own: of the versions that a statement asks for.

Its Delta reader misses old versions behind a checkpoint, and takes statistics of the log for exact values that they are
not (docs/facts.md). So a log is replayed here, every file that it names is found in the lake, and what the
engine gets is a folder with one checkpoint for each version, whose data files are reached through a link.

    tables/7/data                                  → the table's folder
    tables/7/lake                                  → the lake's folder
    tables/7/_delta_log/…0042.checkpoint.….json    version 42, with the statistics that are read rightly
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lakehouse.delta import (
    DataPaths,
    LogAudit,
    LogFolder,
    Snapshot,
    is_below,
    latest_version,
    parse_moment,
    read_snapshot,
    version_at,
)
from mcp_server.engines.statistics_text import StatisticsFilter
from mcp_server.engines.travel import read_travels, reads_latest

_MOST_BYTES: Final = 1 << 30
"""Of pinned logs on disk: those of a million files and more."""
LOG_THREADS: Final = 3
"""A log of a million files takes a minute: others do not wait for it."""
_LINKS: Final = ("data", "lake")
_CHECKPOINT_ID: Final = "00000000-0000-4000-8000-000000000000"
"""V2 checkpoints have a UUID in their names; these folders have no two of a version."""


@dataclass(frozen=True)
class Held:
    """What is sent to the engine for a statement: its text, and where its tables are."""

    sql: str
    tables: Mapping[str, str]


Hold = Callable[[str, Mapping[str, str]], AbstractContextManager[Held]]
"""Makes the tables of a statement ready, and keeps them so while it runs. Raises LakeError, QueryFailed."""


def audited(lake: str) -> Hold:
    """For engines that read logs themselves: tables whose logs name nothing but files of the lake."""
    audit = LogAudit(lake)

    @contextmanager
    def hold(sql: str, tables: Mapping[str, str]) -> Iterator[Held]:
        for location in tables.values():
            if _is_here(location):
                audit.check(location)
        yield Held(sql, tables)

    return hold


@dataclass
class _Pinned:
    """The pinned log of one table, as its own log was at `mark`. `writing` is held while a version is added."""

    root: Path
    mark: tuple[int, int]
    versions: set[int] = field(default_factory=set)
    bytes: int = 0
    users: int = 0
    writing: threading.Lock = field(default_factory=threading.Lock)


class PinnedLogs:
    """Writes pinned logs into a folder, in threads of its own: the only ones that may write there.

    `folder` is made; `lake` is where every file must be. `most_bytes` is what they may take on disk beside those that
    are in use, and an eighth of it what one table may. Safe for several threads.
    """

    def __init__(self, folder: str, lake: str, *, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = Path(folder)
        self._lake = lake
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        # All that follows is read and written under `_lock`.
        self._known: OrderedDict[str, _Pinned] = OrderedDict()
        self._retired: list[_Pinned] = []
        self._made = 0
        self._threads = _started_threads()
        self._threads.submit(self._folder.mkdir, parents=True, exist_ok=True).result()

    @contextmanager
    def hold(self, sql: str, tables: Mapping[str, str]) -> Iterator[Held]:
        """Pin the versions that a statement reads; a moment that it asks for becomes the version of that moment."""
        pinned: list[_Pinned] = []
        try:
            yield self._threads.submit(self._pin, sql, tables, pinned).result()
        finally:
            self._threads.submit(self._release, pinned)

    def _pin(self, sql: str, tables: Mapping[str, str], pinned: list[_Pinned]) -> Held:
        travels = read_travels(sql)
        numbers: dict[int, int] = {}
        roots = dict(tables)
        for name, location in tables.items():
            if not _is_here(location):
                continue
            log = LogFolder(location)
            versions = set()
            for travel in travels:
                if travel.table == name.lower():
                    asked = travel.asked
                    number = asked if isinstance(asked, int) else version_at(log, parse_moment(asked))
                    numbers[travel.start] = number
                    versions.add(number)
            if reads_latest(sql, name.lower()):
                versions.add(latest_version(log))
            roots[name] = str(self._ready(location, log, versions, pinned).root)
        for travel in reversed(travels):
            if travel.start in numbers:
                sql = f"{sql[: travel.start]}VERSION AS OF {numbers[travel.start]}{sql[travel.end :]}"
        return Held(sql, roots)

    def _ready(self, location: str, log: LogFolder, versions: set[int], pinned: list[_Pinned]) -> _Pinned:
        known = self._take(location, log.mark())
        pinned.append(known)
        with known.writing:
            for version in sorted(versions - known.versions):
                known.bytes += _write(known.root, read_snapshot(log, version), DataPaths(location, self._lake))
                known.versions.add(version)
        return known

    def _take(self, location: str, mark: tuple[int, int]) -> _Pinned:
        """The pinned log of a table as it is now; from here on somebody uses it."""
        with self._lock:
            known = self._known.pop(location, None)
            if known is None or known.mark != mark or known.bytes > self._most_bytes // 8:
                if known is not None:
                    self._retired.append(known)
                known = self._new(location, mark)
            self._known[location] = known  # the last of all: what was not used for longest goes first
            known.users += 1
            return known

    def _new(self, location: str, mark: tuple[int, int]) -> _Pinned:
        self._made += 1
        root = self._folder / str(self._made)
        (root / "_delta_log").mkdir(parents=True)
        for link, home in zip(_LINKS, DataPaths(location, self._lake).homes, strict=True):
            (root / link).symlink_to(home)
        return _Pinned(root, mark)

    def _release(self, pinned: list[_Pinned]) -> None:
        """Let go of them, and take away what nobody uses and is old or too much."""
        with self._lock:
            for each in pinned:
                each.users -= 1
            total = sum(each.bytes for each in self._known.values())
            for location, each in list(self._known.items())[:-1]:
                if total > self._most_bytes and not each.users:
                    self._retired.append(self._known.pop(location))
                    total -= each.bytes
            for each in [each for each in self._retired if not each.users]:
                shutil.rmtree(each.root, ignore_errors=True)
                self._retired.remove(each)


def _started_threads() -> ThreadPoolExecutor:
    """A pool whose threads have begun: with the rights on files that this process has now."""
    threads, all_there = ThreadPoolExecutor(LOG_THREADS, thread_name_prefix="logs"), threading.Barrier(LOG_THREADS)
    for _ in range(LOG_THREADS):
        threads.submit(all_there.wait)
    return threads


def _is_here(location: str) -> bool:
    return "://" not in location and os.path.isabs(location)


def _write(root: Path, snapshot: Snapshot, paths: DataPaths) -> int:
    """Write one version as a checkpoint, and return its bytes. Readers see all of it or nothing."""
    kept = StatisticsFilter(snapshot.metadata)
    target = root / "_delta_log" / f"{snapshot.version:020}.checkpoint.{_CHECKPOINT_ID}.json"
    draft = root / "draft"
    with draft.open("w", encoding="ascii") as out:
        for action in (
            {"checkpointMetadata": {"version": snapshot.version}},
            {"protocol": snapshot.protocol},
            {"metaData": snapshot.metadata},
        ):
            out.write(json.dumps(action) + "\n")
        for add in snapshot.adds:
            out.write(json.dumps({"add": _rewrite(add, paths, kept)}) + "\n")
    draft.rename(target)
    return target.stat().st_size


def _rewrite(add: Mapping[str, Any], paths: DataPaths, kept: StatisticsFilter) -> dict[str, Any]:
    """A data file as it is reached from the pinned log."""
    return {
        "path": _through_link(paths.find(add.get("path")), paths),
        "partitionValues": add.get("partitionValues") or {},
        "size": add.get("size"),
        "modificationTime": add.get("modificationTime") or 0,
        "dataChange": False,
        "stats": kept.keep(add),
        "deletionVector": _rewrite_vector(add.get("deletionVector"), paths),
    }


def _through_link(real: str, paths: DataPaths) -> str:
    """The path of a file below one of the links of a pinned log, as the protocol spells paths."""
    link, home = next((link, home) for link, home in zip(_LINKS, paths.homes, strict=True) if is_below(real, home))
    return quote(os.path.join(link, os.path.relpath(real, home)))


def _rewrite_vector(vector: Mapping[str, Any] | None, paths: DataPaths) -> dict[str, Any] | None:
    absolute = paths.find_vector(vector)
    if not vector or vector.get("storageType") is None:
        return None
    if absolute is not None:
        return {**vector, "pathOrInlineDv": "file://" + quote(absolute)}
    if vector["storageType"] == "u":
        place = vector["pathOrInlineDv"]
        prefix = f"data/{place[:-20]}".rstrip("/")
        return {**vector, "pathOrInlineDv": prefix + place[-20:]}
    return dict(vector)
