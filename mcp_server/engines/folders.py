"""Reads a foreign lake: every folder in it that is a Delta table, at its latest version.

An unreadable table is listed with its reason and does not block the others.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lakehouse.delta import LogFolder, check_nesting
from lakehouse.errors import LakeError
from lakehouse.foreign import DELTA_LOG, describe_foreign, is_shown
from lakehouse.manifest import LOADING_NAME, Column
from lakehouse.storage import Lake
from mcp_server.engines.type_names import to_sql_name
from mcp_server.models import NAME_CHARACTERS, TableInfo

_COMMITS = ("*.json", "*.parquet")
_REASON_CHARS = 300
_TRIED_AGAIN_SECONDS = 1.0
_TRIED_AGAIN_SHARE = 20
"""An unreadable table is retried after this multiple of the time that the failed attempt took."""
_NAME = re.compile(f"[{NAME_CHARACTERS}]+")
_PADDED = "__CHAR_VARCHAR_TYPE_STRING"
"""Where Spark keeps the types CHAR and VARCHAR, which are strings in a schema of Delta."""


@dataclass(frozen=True)
class Located:
    """A table and its absolute location."""

    info: TableInfo
    location: str


@dataclass(frozen=True)
class _Look:
    """A table as read when its log had this `mark`; an unreadable one is valid until `until`."""

    mark: object
    info: TableInfo
    until: float


class TableFolders:
    """The tables of a folder. A table is read again once its log has changed.

    An unreadable one is retried too, rarely enough not to delay queries of other tables.
    """

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self._read: dict[Path, _Look] = {}

    def read_tables(self) -> Mapping[str, Located]:
        """Return all tables by lower-case name. Raises LakeError, with advice, where there is none."""
        logs = _list_logs(self.lake)
        if not logs or (self.lake / LOADING_NAME).exists():
            self._read = {}
            raise LakeError(describe_foreign(Lake.parse(str(self.lake))))
        self._read = {log.parent: self._examine_log(log) for log in logs}
        return index_by_name(Located(look.info, str(folder)) for folder, look in self._read.items())

    def _examine_log(self, log: Path) -> _Look:
        mark, began = _stamp_log(log), time.monotonic()
        seen = self._read.get(log.parent)
        if seen is not None and seen.mark == mark and (not seen.info.problem or began < seen.until):
            return seen
        info = describe_table(log.parent)
        now = time.monotonic()
        return _Look(mark, info, now + max(_TRIED_AGAIN_SECONDS, _TRIED_AGAIN_SHARE * (now - began)))


def index_by_name(tables: Iterable[Located]) -> Mapping[str, Located]:
    """Index tables by lower-case name. Of names that differ in case alone, all but the first get a problem."""
    found: dict[str, Located] = {}
    for table in tables:
        name = table.info.name
        first = found.setdefault(name.lower(), table)
        if first is not table:
            why = f"its name differs from {first.info.name} in case alone, and names are compared without it"
            found[f"{name.lower()}/{name}"] = Located(TableInfo(name, "table", "", (), problem=why), table.location)
    return found


def describe_table(folder: Path) -> TableInfo:
    """Describe a Delta table from its log, or give the reason why it cannot be read."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    unreadable = TableInfo(folder.name, "table", "", ())
    if not _NAME.fullmatch(folder.name):
        return replace(unreadable, problem="its name has a character that no statement may hold, such as \\, ` or $")
    try:
        if problem := _check_log(folder / DELTA_LOG):
            return replace(unreadable, problem=problem)
        check_nesting(LogFolder(folder))
        table = DeltaTable(folder.absolute().as_uri())  # a path would be read for a URL where `%` is in it
        columns = read_columns(table.schema().to_json())
        comment = table.metadata().description or ""
    except (DeltaError, LakeError, OSError, ValueError, KeyError, TypeError) as error:
        return replace(unreadable, problem=_describe_error(error, folder))
    return TableInfo(folder.name, "table", comment, columns, version=table.version())


def read_columns(schema: str) -> tuple[Column, ...]:
    """Read the columns from a schema in Delta's JSON."""
    fields: list[dict[str, Any]] = json.loads(schema)["fields"]
    return tuple(
        Column(
            name=field["name"],
            type=field.get("metadata", {}).get(_PADDED) or to_sql_name(field["type"]),
            comment=str(field.get("metadata", {}).get("comment", "")),
            nullable=field["nullable"],
        )
        for field in fields
    )


def _list_logs(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"*/{DELTA_LOG}") if is_shown(path.parent.name))


def _stamp_log(log: Path) -> object:
    """Return a value that changes with each commit of a log; None where the log is inaccessible."""
    try:
        found = os.stat(log)
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns)


def _check_log(log: Path) -> str:
    """Describe an evident defect of a log, empty where there is none."""
    if not log.is_dir():
        return f"its {DELTA_LOG} is a file, where Delta has a folder"
    if not any(any(log.glob(pattern)) for pattern in _COMMITS):
        return "its log has no commit: it is being written, or was never finished"
    hint = log / "_last_checkpoint"
    if hint.exists() and not hint.is_file():  # a reader would wait for a pipe for good
        return f"its {hint.name} is no file"
    return ""


def _describe_error(error: BaseException, folder: Path) -> str:
    """Describe a log reader's error in one line, without the path."""
    if "%" in folder.name:
        return "the name of its folder has % in it, which readers of its log take for another letter"
    line = (str(error).splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__
    line = line.removeprefix("Kernel error: ")
    for path in (folder.absolute().as_uri(), str(folder.absolute())):
        line = line.replace(path, folder.name)
    return line if len(line) <= _REASON_CHARS else line[:_REASON_CHARS] + "…"
