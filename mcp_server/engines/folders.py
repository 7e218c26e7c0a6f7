"""Reads a foreign lake: every folder in it that is a Delta table, at its latest version.

`sales/orders` is the table `sales.orders`. An unreadable table is listed with its reason and does not block the others.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lakehouse.delta import TableLog, check_nesting, read_metadata
from lakehouse.errors import LakeError
from lakehouse.foreign import describe_foreign
from lakehouse.manifest import LOADING_NAME, Column
from lakehouse.objects import PathRefusedError, StorageError
from lakehouse.storage import Lake
from lakehouse.table_search import MOST_FOLDERS, map_at_once, open_search
from mcp_server.engines.type_names import to_sql_name
from mcp_server.models import NAME_CHARACTERS, TableInfo

log = logging.getLogger(__name__)

_COMMITS = (".json", ".parquet")
_REASON_CHARS = 300
_TRIED_AGAIN_SECONDS = 1.0
_TRIED_AGAIN_SHARE = 20
"""An unreadable table is retried after this multiple of the time that the failed attempt took."""
_TRUSTED_SHARE = 10
"""A look at the folders counts for this multiple of the time that it took, and no longer than their search says.

500 tables in folders are looked at in 10 ms, and a statement asks for them a dozen times.
"""
_MOST_AGAIN = 3
_AGAIN_SECONDS = 30.0
"""Looks into a storage that statements with unknown names may cause in this time: each is a request for each table."""
_NAME = re.compile(f"[{NAME_CHARACTERS}]+")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_PADDED_TYPE = re.compile(r"[\w<>(),: ]{1,4000}")
_PADDED = "__CHAR_VARCHAR_TYPE_STRING"
"""Where Spark keeps the types CHAR and VARCHAR, which are strings in a schema of Delta."""


@dataclass(frozen=True)
class Located:
    """A table and its absolute location: a path or a URL, which may lie outside of the lake's own."""

    info: TableInfo
    location: str


@dataclass(frozen=True)
class _Look:
    """A table as read when its log had this `mark`; an unreadable one is valid until `until`."""

    mark: object
    info: TableInfo
    until: float


class TableFolders:
    """The tables below a folder or a storage URL. A table is read again once its log has changed.

    An unreadable one is retried too, rarely enough not to delay queries of other tables.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._search = open_search(lake)
        self._read: dict[str, _Look] = {}
        self._begun: dict[str, _Look] = {}
        """What was read for a look that the storage broke off."""
        self._index: Mapping[str, Located] = {}
        self._trusted_until = 0.0
        self._looked_again: deque[float] = deque(maxlen=_MOST_AGAIN)
        self._has_warned = False

    def is_current(self, *, look_again: bool = False) -> bool:
        """Whether the last look still counts; for one who asks again (`look_again`), only where looks cost too much."""
        now = time.monotonic()
        if now >= self._trusted_until:
            return False
        if not look_again:
            return True
        is_dear = self._lake.directory is None and len(self._looked_again) == _MOST_AGAIN
        return is_dear and now < self._looked_again[0] + _AGAIN_SECONDS

    def read_tables(self, *, look_again: bool = False) -> Mapping[str, Located]:
        """Return all tables by lower-case name, of this moment if `look_again` and it is not asked for too often.

        Raises LakeError, with advice, where there is none; StorageError where their storage does not list or give them.
        """
        if self.is_current(look_again=look_again):
            return self._index
        if look_again:
            self._looked_again.append(time.monotonic())
        self._trusted_until = 0.0
        began = time.monotonic()
        marks = self._search.stamp_tables()
        took = time.monotonic() - began
        self._warn_of_others()
        if not marks or self._lake.has_file(LOADING_NAME):
            self._read = {}
            raise LakeError(describe_foreign(self._lake))
        looks = map_at_once(lambda path: self._examine_table(path, marks[path]), marks, self._search.at_once)
        read = dict(zip(marks, looks, strict=True))
        if any(self._read.get(path) is not look for path, look in read.items()) or len(read) != len(self._read):
            self._index = index_by_name(
                Located(look.info, self._lake.table_location(path)) for path, look in read.items()
            )
            self._read = read
        self._begun = {}
        self._trusted_until = time.monotonic() + min(_TRUSTED_SHARE * took, self._search.trusted_seconds)
        return self._index

    def _warn_of_others(self) -> None:
        if not self._search.is_complete and not self._has_warned:
            self._has_warned = True
            log.warning(
                "The lake has more than %d folders, and the tables in the others are not served. Give the folder right "
                "above the tables.",
                MOST_FOLDERS,
            )

    def _examine_table(self, path: str, mark: object) -> _Look:
        seen, began = self._begun.get(path) or self._read.get(path), time.monotonic()
        if seen is not None and seen.mark == mark and (not seen.info.problem or began < seen.until):
            return seen
        name = path.replace("/", ".")
        problem = find_bad_name(name) or self._search.find_defect(path)
        if problem:
            info = TableInfo(name, "table", "", (), problem=problem)
        else:
            info = describe_table(self._search.open_log(path), name, self._lake.table_location(path))
        now = time.monotonic()
        look = _Look(mark, info, now + max(_TRIED_AGAIN_SECONDS, _TRIED_AGAIN_SHARE * (now - began)))
        self._begun[path] = look
        return look


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
    """Describe a Delta table from its log, or give the reason why it cannot be read, without its location.

    Raises StorageError where the storage gives nothing: that is the reason of no table, and the others would wait for
    it in turn.
    """
    unreadable = TableInfo(name, "table", "", ())
    try:
        if not any(each.endswith(_COMMITS) for each in table_log.entries):
            return replace(unreadable, problem="its log has no commit: it is being written, or was never finished")
        check_nesting(table_log)
        found = read_metadata(table_log)
        if unknown := found.unknown_features:
            return replace(unreadable, problem=f"it needs of Delta what is not read here: {', '.join(unknown)}")
        columns = read_columns(found.metadata["schemaString"])
        comment = str(found.metadata.get("description") or "")
    except PathRefusedError as error:
        log.warning("The log of the table %.200r cannot be read. %s", name, error)
        return replace(unreadable, problem="the lake's storage refuses its log")
    except StorageError:
        raise
    except (LakeError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
            type=_read_padded(field) or to_sql_name(field["type"]),
            comment=str(field.get("metadata", {}).get("comment", "")),
            nullable=field["nullable"],
        )
        for field in fields
    )


def _read_padded(field: Mapping[str, Any]) -> str:
    """Return the type of a field with its CHAR and VARCHAR, empty where there is none, or a text that is no type."""
    text = field.get("metadata", {}).get(_PADDED)
    return text if isinstance(text, str) and _PADDED_TYPE.fullmatch(text) else ""


def _describe_error(error: BaseException, location: str) -> str:
    """Describe a failure to read a log in one line, without the location."""
    line = (str(error).splitlines() or [""])[0].strip().rstrip(".") or type(error).__name__
    line = line.replace(location, location.rpartition("/")[2])
    return line if len(line) <= _REASON_CHARS else line[:_REASON_CHARS] + "…"
