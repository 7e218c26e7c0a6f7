"""Pinned logs, which the embedded engine reads instead of a table's own: of the versions that a statement requests.

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
"""Maximal size of pinned logs on disk: those of a million files and more."""
LOG_THREADS: Final = 3
"""A log of a million files takes a minute; other logs are written meanwhile."""
FOLDER: Final = "tables"
"""The folder of pinned logs within the work folder of an engine's process."""
_LINKS: Final = ("data", "lake")
_CHECKPOINT_ID: Final = "00000000-0000-4000-8000-000000000000"
"""V2 checkpoints have a UUID in their names; these folders have no two of a version."""


@dataclass(frozen=True)
class HeldStatement:
    """A statement as sent to the engine: its text and the locations of its tables."""

    sql: str
    tables: Mapping[str, str]


Hold = Callable[[str, Mapping[str, str]], AbstractContextManager[HeldStatement]]
"""Prepares the tables of a statement for the duration of a block. Raises LakeError, QueryFailed."""


def audit_tables(lake: Lake) -> Hold:
    """Return a `Hold` for engines that read logs themselves: it checks that the logs name only files of the lake.

    The logs of a lake in object storage are checked by the server, which has the credentials.
    """
    audit = LogAudit(lake)

    @contextmanager
    def hold(sql: str, tables: Mapping[str, str]) -> Iterator[HeldStatement]:
        for location in tables.values() if lake.kind is LakeKind.DIRECTORY else ():
            audit.check(location)
        yield HeldStatement(sql, tables)

    return hold


class _LogPaths(Protocol):
    """The paths in a pinned log that replace those of the table's own log. Raises LakeError."""

    def find_file(self, path: Any) -> str:
        """Return the path of a data file below the pinned log's folder, encoded as the protocol spells it."""

    def find_vector(self, vector: Any) -> str | None:
        """Return the absolute URL of a deletion vector's file, None where it is below the table's folder.

        Raises LakeError where it is outside of the lake.
        """

    @property
    def vectors(self) -> str:
        """The table's folder as the pinned log reaches it, for deletion vectors that are below it."""


class LakeSource(Protocol):
    """Access to the tables of a lake and their logs, and the engine's address of a pinned log."""

    def open_log(self, location: str) -> TableLog: ...

    def make_root(self, root: Path, location: str) -> None:
        """Create what a pinned log needs besides its `_delta_log`."""

    def open_paths(self, root: Path, location: str) -> _LogPaths: ...

    def to_url(self, root: Path) -> str:
        """Return the table's location for the engine."""


class FolderSource:
    """A lake on this machine, whose files are reached through links."""

    def __init__(self, lake: str) -> None:
        self._lake = lake

    def open_log(self, location: str) -> TableLog:
        return LogFolder(location)

    def make_root(self, root: Path, location: str) -> None:
        for link, home in zip(_LINKS, DataPaths(location, self._lake).homes, strict=True):
            (root / link).symlink_to(home)

    def open_paths(self, root: Path, location: str) -> _LogPaths:  # noqa: ARG002  (others need it)
        return _LinkedPaths(DataPaths(location, self._lake))

    def to_url(self, root: Path) -> str:
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
        """Create nothing: the server knows the location of the lake."""

    def open_paths(self, root: Path, location: str) -> _LogPaths:
        return _ServedPaths(ObjectPaths(self._lake.table_path(location), self._lake.address), self.to_url(root))

    def to_url(self, root: Path) -> str:
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
    """The pinned log of one table, for its own log at `mark`. `writing` is held while a version is added."""

    root: Path
    mark: Mark
    versions: set[int] = field(default_factory=set)
    bytes: int = 0
    users: int = 0
    writing: threading.Lock = field(default_factory=threading.Lock)


class PinnedLogs:
    """Writes pinned logs into a folder, in threads of its own: the only ones that may write there.

    `folder` is created; `source` gives access to the lake. `most_bytes` caps the disk space of the logs that are not in
    use, and an eighth of it that of one table. Thread-safe.
    """

    def __init__(self, folder: str, source: LakeSource, *, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = Path(folder)
        self._source = source
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        # All that follows is read and written under `_lock`.
        self._known: OrderedDict[str, _Pinned] = OrderedDict()
        self._retired: list[_Pinned] = []
        self._made = 0
        self._threads = _start_threads()
        self._threads.submit(self._folder.mkdir, parents=True, exist_ok=True).result()

    @contextmanager
    def hold(self, sql: str, tables: Mapping[str, str]) -> Iterator[HeldStatement]:
        """Pin the versions that a statement reads; a requested timestamp becomes the version of that time."""
        pinned: list[_Pinned] = []
        try:
            try:
                held = self._threads.submit(self._pin_versions, sql, tables, pinned).result()
            except StorageError as error:
                raise LakeError(
                    "The lake's storage does not give the logs of its tables: it refuses, or does not answer. Ask "
                    "again in a minute; the server's log has its words."
                ) from error
            yield held
        finally:
            self._threads.submit(self._release_logs, pinned)

    def _pin_versions(self, sql: str, tables: Mapping[str, str], pinned: list[_Pinned]) -> HeldStatement:
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
            roots[name] = self._source.to_url(ready.root)
        for travel in reversed(travels):
            if travel.start in numbers:
                sql = f"{sql[: travel.start]}VERSION AS OF {numbers[travel.start]}{sql[travel.end :]}"
        return HeldStatement(sql, roots)

    def _pin_table(
        self, location: str, travels: Iterable[Travel], latest: bool, pinned: list[_Pinned]
    ) -> tuple[dict[int, int], _Pinned]:
        """Pin the versions of one table; returns them by the offsets in the text that request them."""
        log = self._source.open_log(location)
        numbers = {
            travel.start: travel.asked if isinstance(travel.asked, int) else version_at(log, parse_moment(travel.asked))
            for travel in travels
        }
        versions = {*numbers.values()} | ({latest_version(log)} if latest else set())
        return numbers, self._prepare_log(location, log, versions, pinned)

    def _prepare_log(self, location: str, log: TableLog, versions: set[int], pinned: list[_Pinned]) -> _Pinned:
        known = self._take_log(location, log.mark())
        pinned.append(known)
        with known.writing:
            for version in sorted(versions - known.versions):
                known.bytes += _write_checkpoint(
                    known.root, read_snapshot(log, version), self._source.open_paths(known.root, location)
                )
                known.versions.add(version)
        return known

    def _take_log(self, location: str, mark: Mark) -> _Pinned:
        """Return the current pinned log of a table, counted as in use."""
        with self._lock:
            known = self._known.pop(location, None)
            if known is None or known.mark != mark or known.bytes > self._most_bytes // 8:
                if known is not None:
                    self._retired.append(known)
                known = self._create_log(location, mark)
            self._known[location] = known  # last in the order: the least recently used is evicted first
            known.users += 1
            return known

    def _create_log(self, location: str, mark: Mark) -> _Pinned:
        self._made += 1
        root = self._folder / str(self._made)
        (root / "_delta_log").mkdir(parents=True)
        self._source.make_root(root, location)
        return _Pinned(root, mark)

    def _release_logs(self, pinned: list[_Pinned]) -> None:
        """Release pinned logs, and delete unused ones that are outdated or exceed the cap."""
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


def _start_threads() -> ThreadPoolExecutor:
    """Return a pool whose threads have started, with the current rights of this process on files."""
    threads, all_there = ThreadPoolExecutor(LOG_THREADS, thread_name_prefix="logs"), threading.Barrier(LOG_THREADS)
    for _ in range(LOG_THREADS):
        threads.submit(all_there.wait)
    return threads


def _write_checkpoint(root: Path, snapshot: Snapshot, paths: _LogPaths) -> int:
    """Write one version as a checkpoint, atomically for readers, and return its size in bytes."""
    kept = StatisticsFilter(snapshot.metadata)
    target = root / "_delta_log" / f"{snapshot.version:020}.checkpoint.{_CHECKPOINT_ID}.json"
    draft = root / "draft"
    with draft.open("w", encoding="ascii") as out:
        for action in (
            {"checkpointMetadata": {"version": snapshot.version}},
            {"protocol": snapshot.protocol},
            {"metaData": _drop_comments(snapshot.metadata)},
        ):
            out.write(json.dumps(action) + "\n")
        for add in snapshot.adds:
            out.write(json.dumps({"add": _rewrite_add(add, paths, kept)}) + "\n")
    draft.rename(target)
    return target.stat().st_size


def _drop_comments(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the action `metaData` without the comments of its columns.

    Sail carries them through a plan, and fails where a set operation has a column with one beside a column without
    (docs/facts.md#sail). The server reads comments in the table's own log.
    """

    def strip(node: dict[str, Any]) -> dict[str, Any]:
        about = node.get("metadata")
        if isinstance(about, dict):
            node["metadata"] = {name: value for name, value in about.items() if name != "comment"}
        return node

    # A hook, and no recursion of our own: logs nest their types as deep as they like.
    return {**metadata, "schemaString": json.dumps(json.loads(metadata["schemaString"], object_hook=strip))}


def _rewrite_add(add: Mapping[str, Any], paths: _LogPaths, kept: StatisticsFilter) -> dict[str, Any]:
    """Rewrite the action of a data file with its path from the pinned log."""
    return {
        "path": paths.find_file(add.get("path")),
        "partitionValues": add.get("partitionValues") or {},
        "size": add.get("size"),
        "modificationTime": add.get("modificationTime") or 0,
        "dataChange": False,
        "stats": kept.filter_statistics(add),
        "deletionVector": _rewrite_vector(add.get("deletionVector"), paths),
    }


def _rewrite_vector(vector: Mapping[str, Any] | None, paths: _LogPaths) -> dict[str, Any] | None:
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
