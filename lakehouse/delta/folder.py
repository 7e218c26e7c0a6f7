"""The files of one table's `_delta_log`, in a folder or in object storage."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from lakehouse.errors import LakeError
from lakehouse.objects import ObjectInfo, StoredFiles

LOG_NAME: Final = "_delta_log"
SIDECARS: Final = "_sidecars"
_MOST_BYTES: Final = 1 << 30
"""Maximum size of one file of a log: a checkpoint of about five million files."""
_KEPT_BYTES: Final = 4 << 20
"""Size of what is kept of one log in object storage: the commits since a checkpoint are some kilobytes each."""
_WHOLE_BYTES: Final = 1 << 20
"""Size up to which one request for all of a file in object storage costs less than several for its parts."""

_COMMIT = re.compile(r"([0-9]{20})\.json")
_CHECKPOINT = re.compile(
    r"([0-9]{20})\.checkpoint\.(?:parquet|([0-9]{10})\.([0-9]{10})\.parquet|[0-9A-Fa-f-]{36}\.(?:json|parquet))"
)


class LogEntry(NamedTuple):
    """A file of the log: its last change in milliseconds since 1970, its size in bytes, and its ETag, if any."""

    modified: int
    size: int
    tag: str = ""


class Mark(NamedTuple):
    """A fingerprint of a log: equal to another one where nothing was added, removed or replaced in between.

    `changed` is the time of the last change, in nanoseconds since 1970: file systems' clocks are coarse, so two states
    within one tick have the same mark. It is 0 where `state` alone is exact.
    """

    state: object
    changed: int


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its version and its files, several where it was written in parts."""

    version: int
    files: tuple[str, ...]


class LogChangedError(LakeError):
    """A listed file of the log no longer exists: a writer has cleaned the log up. List the log again to read it."""


class TableLog(ABC):
    """The log of one table. Every method raises LakeError where the log cannot be read."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def mark(self) -> Mark:
        """The fingerprint of the log now."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read a file of the log."""

    def open_parts(self, name: str) -> IO[bytes]:
        """Open a file of which a small part is read."""
        return io.BytesIO(self.read(name))

    @abstractmethod
    def _list_entries(self) -> Mapping[str, LogEntry]: ...

    @cached_property
    def entries(self) -> Mapping[str, LogEntry]:
        """The files of the log by name, listed once."""
        return self._list_entries()

    @cached_property
    def commits(self) -> Mapping[int, str]:
        """The existing commits by version, in order."""
        found = [(int(match[1]), name) for name in self.entries if (match := _COMMIT.fullmatch(name))]
        return dict(sorted(found))

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The checkpoints with all their parts, the newest first."""
        whole: list[Checkpoint] = []
        parts: dict[tuple[int, int], dict[int, str]] = {}
        for name in sorted(self.entries):
            match = _CHECKPOINT.fullmatch(name)
            if match is None:
                continue
            if match[2] is None:
                whole.append(Checkpoint(int(match[1]), (name,)))
            else:
                parts.setdefault((int(match[1]), int(match[3])), {})[int(match[2])] = name
        whole += [
            Checkpoint(version, tuple(named[part] for part in range(1, count + 1)))
            for (version, count), named in parts.items()
            if count and named.keys() == set(range(1, count + 1))
        ]
        return tuple(sorted(whole, key=lambda each: each.version, reverse=True))

    def actions(self, name: str) -> Iterator[dict[str, Any]]:
        """Read the actions of a file with one JSON object per line."""
        for number, line in enumerate(self.read(name).splitlines(), 1):
            if not line.strip():
                continue
            try:
                action = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self.as_damaged(f"line {number} of {name} is no JSON") from error
            if not isinstance(action, dict):
                raise self.as_damaged(f"line {number} of {name} is no action")
            yield action

    def as_damaged(self, reason: str) -> LakeError:
        """The error for a log that cannot be read."""
        return LakeError(
            f"The Delta log of the table {self.name} cannot be read: {reason}. Load the table again, or take it away."
        )

    def _as_gone(self, name: str) -> LakeError:
        reason = str(self.as_damaged(f"{name} is not there (any more)"))
        return LogChangedError(reason) if name in self.entries else LakeError(reason)

    def _too_large(self, name: str) -> LakeError:
        return self.as_damaged(f"{name} is larger than {_MOST_BYTES >> 20} MiB")


class LogFolder(TableLog):
    """The log of a table on this machine."""

    def __init__(self, location: str | Path) -> None:
        self.table = Path(location)
        super().__init__(self.table.name)
        self._folder = self.table / LOG_NAME

    def mark(self) -> Mark:
        try:
            found = self._folder.stat()
        except OSError as error:
            raise self.as_damaged(f"its folder {LOG_NAME} cannot be opened: {error.strerror}") from error
        return Mark((found.st_ino, found.st_mtime_ns), found.st_mtime_ns)

    def _list_entries(self) -> Mapping[str, LogEntry]:
        found = {}
        try:
            with os.scandir(self._folder) as listed:
                for each in listed:
                    with suppress(FileNotFoundError):  # gone since it was listed, as a writer's temporary files are
                        if each.is_file():
                            stat = each.stat()
                            found[each.name] = LogEntry(stat.st_mtime_ns // 1_000_000, stat.st_size)
        except OSError as error:
            raise self.as_damaged(f"its folder {LOG_NAME} cannot be listed: {error.strerror}") from error
        return found

    def read(self, name: str) -> bytes:
        try:
            with open(self._folder / name, "rb") as file:
                # A bound given to `read` would be allocated at once.
                if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                    raise self._too_large(name)
                return file.read()
        except FileNotFoundError as error:
            raise self._as_gone(name) from error
        except OSError as error:
            raise self.as_damaged(f"{name} cannot be read: {error.strerror}") from error


class LogObjects(TableLog):
    """The log of a table in object storage: in the folder `table` of a store.

    Small files are kept once they are read: each is a request, and a reader looks at a log more than once.
    """

    def __init__(self, store: StoredFiles, table: str, listed: Mapping[str, ObjectInfo] | None = None) -> None:
        """`listed` are the files of the log, where the caller has just listed all of them."""
        super().__init__(table.rpartition("/")[2])
        self._store = store
        self._listed = listed
        self._kept: dict[str, bytes] = {}
        self._room = _KEPT_BYTES
        self._folder = f"{table}/{LOG_NAME}" if table else LOG_NAME

    def mark(self) -> Mark:
        """List the log: object storage keeps no mtime of a folder."""
        state = hashlib.sha256(repr(sorted(self.entries.items())).encode()).hexdigest()
        return Mark(state, 0)

    def _list_entries(self) -> Mapping[str, LogEntry]:
        found = self._store.list_files(self._folder) if self._listed is None else self._listed
        if not found:
            raise self.as_damaged(f"there is no {LOG_NAME} in the storage, or it is empty")
        return {
            name: LogEntry(int(each.modified.timestamp() * 1000), each.size, each.tag) for name, each in found.items()
        }

    def open_parts(self, name: str) -> IO[bytes]:
        size = self.entries[name].size if name in self.entries else 0
        if size <= _WHOLE_BYTES:
            return super().open_parts(name)
        return cast("IO[bytes]", self._store.open_ranges(f"{self._folder}/{name}", size))

    def read(self, name: str) -> bytes:
        if name in self._kept:
            return self._kept[name]
        size = self.entries[name].size if name in self.entries else 0  # a sidecar's is not known
        if size > _MOST_BYTES:
            raise self._too_large(name)
        found = self._store.read(f"{self._folder}/{name}")
        if found is None:
            raise self._as_gone(name)
        if len(found.data) <= self._room:
            self._kept[name] = found.data
            self._room -= len(found.data)
        return found.data
