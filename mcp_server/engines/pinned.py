"""Logs that the embedded engine reads in the place of a table's own: of the versions that a statement asks for.

Its Delta reader misses old versions behind a checkpoint, and takes statistics of the log for exact values that they are
not (docs/facts.md). So a log is replayed here, every file that it names is found in the lake, and what the
engine gets is a folder with one checkpoint for each version, whose data files are reached through a link.

    tables/7/data                                  → the table's folder
    tables/7/lake                                  → the lake's folder
    tables/7/_delta_log/…0042.checkpoint.….json    version 42, with the statistics that are read rightly

Of a lake in object storage the engine gets the same folder as `s3://pinned/7`, without the link `data`, from the server
that it gets all files of the lake from (`store_server.py`).
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from lakehouse.delta import (
    DataPaths,
    LogAudit,
    LogChangedError,
    LogFolder,
    LogObjects,
    Mark,
    ObjectPaths,
    Snapshot,
    TableLog,
    is_below,
    latest_version,
    parse_moment,
    read_snapshot,
    version_at,
)
from lakehouse.errors import LakeError
from lakehouse.objects import ObjectStore, StorageError
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.statistics_text import StatisticsFilter
from mcp_server.engines.store_server import LAKE_URL, PINNED_URL
from mcp_server.engines.travel import Travel, read_travels, reads_latest

_MOST_BYTES: Final = 1 << 30
"""Of pinned logs on disk: those of a million files and more."""
LOG_THREADS: Final = 3
"""A log of a million files takes a minute: others do not wait for it."""
FOLDER: Final = "tables"
"""Where pinned logs are, within the work folder of an engine's process."""
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


def audited(lake: Lake) -> Hold:
    """For engines that read logs themselves: tables whose logs name nothing but files of the lake.

    Those of a lake in object storage are looked through by the server, which has the credentials.
    """
    audit = LogAudit(lake)

    @contextmanager
    def hold(sql: str, tables: Mapping[str, str]) -> Iterator[Held]:
        for location in tables.values() if lake.kind is LakeKind.DIRECTORY else ():
            audit.check(location)
        yield Held(sql, tables)

    return hold


class _Paths(Protocol):
    """What a pinned log names in the place of the files that a table's own log names. Raises LakeError."""

    def find_file(self, path: Any) -> str:
        """The path of a data file below the pinned log's folder, encoded as the protocol spells it."""

    def find_vector(self, vector: Any) -> str | None:
        """The absolute URL of a deletion vector's file, None where the log names one that is below the table's folder.

        Raises LakeError where it is outside of the lake.
        """

    @property
    def vectors(self) -> str:
        """The table's folder as the pinned log reaches it, for deletion vectors that are below it."""


class Source(Protocol):
    """Where the tables of a lake and their logs are, and how the engine reaches a pinned log."""

    def open_log(self, location: str) -> TableLog: ...

    def make_root(self, root: Path, location: str) -> None:
        """Make what a pinned log needs besides its `_delta_log`."""

    def paths(self, root: Path, location: str) -> _Paths: ...

    def url(self, root: Path) -> str:
        """What the engine is given as the table's location."""


class FolderSource:
    """A lake on this machine, whose files are reached through links."""

    def __init__(self, lake: str) -> None:
        self._lake = lake

    def open_log(self, location: str) -> TableLog:
        return LogFolder(location)

    def make_root(self, root: Path, location: str) -> None:
        for link, home in zip(_LINKS, DataPaths(location, self._lake).homes, strict=True):
            (root / link).symlink_to(home)

    def paths(self, root: Path, location: str) -> _Paths:  # noqa: ARG002  (others need it)
        return _LinkedPaths(DataPaths(location, self._lake))

    def url(self, root: Path) -> str:
        return str(root)


class _LinkedPaths:
    vectors = "data"

    def __init__(self, paths: DataPaths) -> None:
        self._paths = paths

    def find_file(self, path: Any) -> str:
        real = self._paths.find(path)
        homes = zip(_LINKS, self._paths.homes, strict=True)
        link, home = next((link, home) for link, home in homes if is_below(real, home))
        return quote(os.path.join(link, os.path.relpath(real, home)))

    def find_vector(self, vector: Any) -> str | None:
        absolute = self._paths.find_vector(vector)
        return None if absolute is None else "file://" + quote(absolute)


class StorageSource:
    """A lake in object storage, whose logs and files this process gets from `store_server.py`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def open_log(self, location: str) -> TableLog:
        return LogObjects(ObjectStore(LAKE_URL, large=True), self._lake.table_path(location))

    def make_root(self, root: Path, location: str) -> None:
        """Nothing: the server knows where the lake is."""

    def paths(self, root: Path, location: str) -> _Paths:
        return _ServedPaths(ObjectPaths(self._lake.table_path(location), self._lake.address), self.url(root))

    def url(self, root: Path) -> str:
        return f"{PINNED_URL}/{root.name}"


class _ServedPaths:
    def __init__(self, paths: ObjectPaths, url: str) -> None:
        self._paths = paths
        self._url = url
        self.vectors = f"lake/{paths.table}"

    def find_file(self, path: Any) -> str:
        return quote(f"lake/{self._paths.find(path)}")

    def find_vector(self, vector: Any) -> str | None:
        found = self._paths.find_vector(vector)
        return None if found is None else f"{self._url}/lake/{quote(found)}"


@dataclass
class _Pinned:
    """The pinned log of one table, as its own log was at `mark`. `writing` is held while a version is added."""

    root: Path
    mark: Mark
    versions: set[int] = field(default_factory=set)
    bytes: int = 0
    users: int = 0
    writing: threading.Lock = field(default_factory=threading.Lock)


class PinnedLogs:
    """Writes pinned logs into a folder, in threads of its own: the only ones that may write there.

    `folder` is made; `source` is where the lake is. `most_bytes` is what they may take on disk beside those that
    are in use, and an eighth of it what one table may. Safe for several threads.
    """

    def __init__(self, folder: str, source: Source, *, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = Path(folder)
        self._source = source
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
            try:
                held = self._threads.submit(self._pin, sql, tables, pinned).result()
            except StorageError as error:
                raise LakeError(
                    "The lake's storage does not give the logs of its tables: it refuses, or does not answer. Ask "
                    "again in a minute; the server's log has its words."
                ) from error
            yield held
        finally:
            self._threads.submit(self._release, pinned)

    def _pin(self, sql: str, tables: Mapping[str, str], pinned: list[_Pinned]) -> Held:
        travels = read_travels(sql)
        numbers: dict[int, int] = {}
        roots = dict(tables)
        for name, location in tables.items():
            of_table = [travel for travel in travels if travel.table == name.lower()]
            latest = reads_latest(sql, name.lower())
            try:
                found, ready = self._pin_table(location, of_table, latest, pinned)
            except LogChangedError:
                found, ready = self._pin_table(location, of_table, latest, pinned)
            numbers |= found
            roots[name] = self._source.url(ready.root)
        for travel in reversed(travels):
            if travel.start in numbers:
                sql = f"{sql[: travel.start]}VERSION AS OF {numbers[travel.start]}{sql[travel.end :]}"
        return Held(sql, roots)

    def _pin_table(
        self, location: str, travels: Iterable[Travel], latest: bool, pinned: list[_Pinned]
    ) -> tuple[dict[int, int], _Pinned]:
        """Pin the versions of one table; returns them by the places of the text that ask for them."""
        log = self._source.open_log(location)
        numbers = {
            travel.start: travel.asked if isinstance(travel.asked, int) else version_at(log, parse_moment(travel.asked))
            for travel in travels
        }
        versions = {*numbers.values()} | ({latest_version(log)} if latest else set())
        return numbers, self._ready(location, log, versions, pinned)

    def _ready(self, location: str, log: TableLog, versions: set[int], pinned: list[_Pinned]) -> _Pinned:
        known = self._take(location, log.mark())
        pinned.append(known)
        with known.writing:
            for version in sorted(versions - known.versions):
                known.bytes += _write(known.root, read_snapshot(log, version), self._source.paths(known.root, location))
                known.versions.add(version)
        return known

    def _take(self, location: str, mark: Mark) -> _Pinned:
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

    def _new(self, location: str, mark: Mark) -> _Pinned:
        self._made += 1
        root = self._folder / str(self._made)
        (root / "_delta_log").mkdir(parents=True)
        self._source.make_root(root, location)
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


def _write(root: Path, snapshot: Snapshot, paths: _Paths) -> int:
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


def _rewrite(add: Mapping[str, Any], paths: _Paths, kept: StatisticsFilter) -> dict[str, Any]:
    """A data file as it is reached from the pinned log."""
    return {
        "path": paths.find_file(add.get("path")),
        "partitionValues": add.get("partitionValues") or {},
        "size": add.get("size"),
        "modificationTime": add.get("modificationTime") or 0,
        "dataChange": False,
        "stats": kept.keep(add),
        "deletionVector": _rewrite_vector(add.get("deletionVector"), paths),
    }


def _rewrite_vector(vector: Mapping[str, Any] | None, paths: _Paths) -> dict[str, Any] | None:
    absolute = paths.find_vector(vector)
    if not vector or vector.get("storageType") is None:
        return None
    if absolute is not None:
        return {**vector, "pathOrInlineDv": absolute}
    if vector["storageType"] == "u":
        place = vector["pathOrInlineDv"]
        prefix = f"{paths.vectors}/{place[:-20]}".rstrip("/")
        return {**vector, "pathOrInlineDv": prefix + place[-20:]}
    return dict(vector)
