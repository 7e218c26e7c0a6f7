"""Reads a foreign lake: every folder in it that is a Delta table, at its latest version.

`sales/orders` is the table `sales.orders`. An unreadable table is listed with its reason and does not block the others.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lakehouse.delta import check_nesting, read_metadata
from lakehouse.errors import LakeError
from lakehouse.foreign import DELTA_LOG, MOST_FOLDERS, TableSearch, describe_foreign
from lakehouse.manifest import LOADING_NAME, Column
from lakehouse.storage import Lake
from mcp_server.engines.type_names import to_sql_name
from mcp_server.models import NAME_CHARACTERS, TableInfo

log = logging.getLogger(__name__)

_COMMITS = ("*.json", "*.parquet")
_REASON_CHARS = 300
_TRIED_AGAIN_SECONDS = 1.0
_TRIED_AGAIN_SHARE = 20
"""An unreadable table is retried after this multiple of the time that the failed attempt took."""
_TRUSTED_SHARE = 10
_TRUSTED_SECONDS = 10.0
"""A look at the folders counts for this multiple of the time that it took, and for ten seconds at most.

500 tables are looked at in 10 ms, and a statement asks for them a dozen times.
"""
_NAME = re.compile(f"[{NAME_CHARACTERS}]+")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
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
    """The tables below a folder. A table is read again once its log has changed.

    An unreadable one is retried too, rarely enough not to delay queries of other tables.
    """

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self._read: dict[Path, _Look] = {}
        self._index: Mapping[str, Located] = {}
        self._trusted_until = 0.0
        self._has_warned = False

    def read_tables(self, *, look_again: bool = False) -> Mapping[str, Located]:
        """Return all tables by lower-case name, of this moment if `look_again`.

        Raises LakeError, with advice, where there is none.
        """
        began = time.monotonic()
        if began < self._trusted_until and not look_again:
            return self._index
        folders = self._find_folders()
        if not folders or (self.lake / LOADING_NAME).exists():
            self._read = {}
            raise LakeError(describe_foreign(Lake.parse(str(self.lake))))
        read = {folder: self._examine_table(folder) for folder in folders}
        if any(self._read.get(folder) is not look for folder, look in read.items()) or len(read) != len(self._read):
            self._index = index_by_name(Located(look.info, str(folder)) for folder, look in read.items())
            self._read = read
        else:  # else most of the time went into what is not read again
            now = time.monotonic()
            self._trusted_until = now + min(_TRUSTED_SHARE * (now - began), _TRUSTED_SECONDS)
        return self._index

    def _find_folders(self) -> list[Path]:
        search = TableSearch(self.lake)
        found = search.find_tables()
        if not search.is_complete and not self._has_warned:
            self._has_warned = True
            log.warning(
                "The lake has more than %d folders, and the tables in the others are not served. Give the folder right "
                "above the tables.",
                MOST_FOLDERS,
            )
        return found

    def _examine_table(self, folder: Path) -> _Look:
        mark, began = _stamp_log(folder / DELTA_LOG), time.monotonic()
        seen = self._read.get(folder)
        if seen is not None and seen.mark == mark and (not seen.info.problem or began < seen.until):
            return seen
        info = describe_table(folder, ".".join(folder.relative_to(self.lake).parts))
        now = time.monotonic()
        return _Look(mark, info, now + max(_TRIED_AGAIN_SECONDS, _TRIED_AGAIN_SHARE * (now - began)))


def index_by_name(tables: Iterable[Located]) -> Mapping[str, Located]:
    """Index tables by lower-case name. Of names that are equal but for their case, all but the first get a problem."""
    found: dict[str, Located] = {}
    for table in tables:
        name = table.info.name
        first = found.setdefault(name.lower(), table)
        if first is not table:
            why = f"its name differs from {first.info.name} in case alone, and names are compared without it"
            if name == first.info.name:
                why = "another folder has this name as well: of a.b and a/b one is served"
            hidden = TableInfo(name, "table", "", (), problem=why)
            found[f"{name.lower()}/{table.location}"] = Located(hidden, table.location)
    return found


def describe_table(table_log: TableLog, name: str, location: str) -> TableInfo:
    """Describe a Delta table from its log, or give the reason why it cannot be read, without its location."""
    unreadable = TableInfo(name, "table", "", ())
    try:
        if not any(each.endswith((".json", ".parquet")) for each in table_log.entries):
            return replace(unreadable, problem="its log has no commit: it is being written, or was never finished")
        check_nesting(table_log)
        found = read_metadata(table_log)
        if unknown := found.unknown_features:
            return replace(unreadable, problem=f"it needs of Delta what is not read here: {', '.join(unknown)}")
        columns = read_columns(found.metadata["schemaString"])
        comment = str(found.metadata.get("description") or "")
    except StorageError as error:
        log.warning("The log of the table %.200r cannot be read. %s", name, error)
        return replace(unreadable, problem="the lake's storage refuses its log or does not give it in time")
    except (LakeError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return replace(unreadable, problem=_describe_error(error, location))
    return TableInfo(name, "table", comment, columns, version=found.version)


def find_bad_name(name: str) -> str:
    """Describe why no statement can name a table, empty where one can."""
    if not _NAME.fullmatch(name):
        return "its name has a character that no statement may hold, such as \\, ` or $"
    if _ESCAPE.search(name):
        return "its name has % and two digits in it, which readers take for another letter"
    return ""


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
    """Describe a failure to read a log in one line, without the path."""
    line = (str(error).splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__
    line = line.replace(str(folder.absolute()), folder.name)
    return line if len(line) <= _REASON_CHARS else line[:_REASON_CHARS] + "…"
