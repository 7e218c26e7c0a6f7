"""The part of `Tables` that is the same wherever tables are found: their descriptions and their locations, by name."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from lakehouse.errors import LakeError
from lakehouse.storage import Lake
from mcp_server.engines.folders import Located
from mcp_server.models import TableInfo


class RecentFailure:
    """A failure that counts for a while: callers that waited for it do not wait in turn."""

    def __init__(self) -> None:
        self._error: LakeError | None = None
        self._until = 0.0

    def remember(self, error: LakeError, seconds: float) -> None:
        """Let an error count for so many seconds."""
        self._error, self._until = error, time.monotonic() + seconds

    def raise_again(self) -> None:
        """Raise the error for as long as it counts."""
        if self._error is not None and time.monotonic() < self._until:
            raise type(self._error)(str(self._error)) from self._error
        self._error = None


class LocatedTables(ABC):
    """Tables with locations that the server itself has found. Raises LakeError where it finds none.

    `_known` and `_edition` are read and written under `_lock`.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._failure = RecentFailure()
        self._known: Mapping[str, Located] = {}
        self._edition = 0

    @property
    def lake(self) -> Lake:
        return self._lake

    @property
    def edition(self) -> int:
        """A number that changes with every change of the tables."""
        return self._edition

    def tables(self) -> tuple[TableInfo, ...]:
        """Return all tables by name, including unreadable ones."""
        return tuple(table.info for table in self._find_tables(look_again=False).values())

    def refresh(self) -> tuple[TableInfo, ...]:
        """Return `tables()` of this moment: what was seen a moment ago does not count."""
        return tuple(table.info for table in self._find_tables(look_again=True).values())

    def locations(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the absolute locations of all readable tables, or of those in `names` (in any case), by table name."""
        return {table.info.name: table.location for table in self._choose(names)}

    def registrations(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the locations as `locations` does, by the names that the engine knows the tables by."""
        return {table.info.engine_name: table.location for table in self._choose(names)}

    def _choose(self, names: Iterable[str] | None) -> list[Located]:
        known = self._find_tables(look_again=False)
        chosen = known.values() if names is None else [known[key] for name in names if (key := name.lower()) in known]
        return [table for table in chosen if not table.info.problem]

    @abstractmethod
    def _find_tables(self, *, look_again: bool) -> Mapping[str, Located]:
        """Return all tables by lower-case name; what was seen a moment ago counts, unless `look_again`."""
