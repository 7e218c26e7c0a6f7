"""The files of one table's `_delta_log`: their names, what they are, and their bytes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from lakehouse.errors import LakeError

LOG_NAME: Final = "_delta_log"
SIDECARS: Final = "_sidecars"
_MOST_BYTES: Final = 1 << 30
"""Of one file of a log: a checkpoint of about five million files."""

_COMMIT = re.compile(r"([0-9]{20})\.json")
_CHECKPOINT = re.compile(
    r"([0-9]{20})\.checkpoint\.(?:parquet|([0-9]{10})\.([0-9]{10})\.parquet|[0-9A-Fa-f-]{36}\.(?:json|parquet))"
)


class Entry(NamedTuple):
    """A file of the log: when it was written, in milliseconds since 1970, and its size in bytes."""

    modified: int
    size: int


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: the version it stands for and its files, more than one where it was written in parts."""

    version: int
    files: tuple[str, ...]


class LogFolder:
    """The log of one table on this machine, as it is now. Raises LakeError where there is none."""

    def __init__(self, location: str | Path) -> None:
        self.table = Path(location)
        self.name = self.table.name
        self._folder = self.table / LOG_NAME

    def mark(self) -> tuple[int, int]:
        """Something that differs once a file was added to the log or taken away, or the folder is another one."""
        try:
            found = self._folder.stat()
        except OSError as error:
            raise self.damaged(f"its folder {LOG_NAME} cannot be opened: {error.strerror}") from error
        return found.st_ino, found.st_mtime_ns

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """The files of the log, by name; listed once."""
        found = {}
        try:
            with os.scandir(self._folder) as listed:
                for each in listed:
                    if each.is_file():
                        stat = each.stat()
                        found[each.name] = Entry(stat.st_mtime_ns // 1_000_000, stat.st_size)
        except OSError as error:
            raise self.damaged(f"its folder {LOG_NAME} cannot be listed: {error.strerror}") from error
        return found

    @cached_property
    def commits(self) -> Mapping[int, str]:
        """The commits that are there, by version, in order."""
        found = [(int(match[1]), name) for name in self.entries if (match := _COMMIT.fullmatch(name))]
        return dict(sorted(found))

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The checkpoints of which every part is there, the newest first."""
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

    def read(self, name: str) -> bytes:
        """The bytes of a file of the log."""
        try:
            with open(self._folder / name, "rb") as file:
                # A bound given to `read` would be allocated at once.
                if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                    raise self.damaged(f"{name} is larger than {_MOST_BYTES >> 20} MiB")
                return file.read()
        except OSError as error:
            raise self.damaged(f"{name} cannot be read: {error.strerror}") from error

    def actions(self, name: str) -> Iterator[dict[str, Any]]:
        """The actions of a file with one JSON object in each line."""
        for number, line in enumerate(self.read(name).splitlines(), 1):
            if not line.strip():
                continue
            try:
                action = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self.damaged(f"line {number} of {name} is no JSON") from error
            if not isinstance(action, dict):
                raise self.damaged(f"line {number} of {name} is no action")
            yield action

    def damaged(self, reason: str) -> LakeError:
        """What to raise where the log cannot be read."""
        return LakeError(
            f"The Delta log of the table {self.name} cannot be read: {reason}. Load the table again, or take it away."
        )
