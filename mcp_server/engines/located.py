"""The part of `Tables` that is the same wherever tables are found: their descriptions and their locations, by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from mcp_server.engines.folders import Located
from mcp_server.models import TableInfo


class LocatedTables(ABC):
    """Tables with locations that the server itself has found. Raises LakeError where it finds none."""

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
