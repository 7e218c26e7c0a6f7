"""Locations of tables: readable for the engine, hidden from callers."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping

from mcp_server.engines.hiding import list_spellings

_PLAIN = re.compile(r"[\w/.,:;=@+!$&()'-]+", re.ASCII)
"""Paths that Sail finds; it encodes any other character twice (each one tested: docs/engines.md)."""


class TableLocations:
    """Symbolic links for paths that the engine does not find, and the names that hide locations in texts."""

    def __init__(self, lake: str, work_dir: str, *, plain: bool) -> None:
        self._lake = lake
        self._work_dir = work_dir
        self._plain = plain
        self._aliases: dict[str, str] = {}
        self._linking = threading.Lock()

    def make_readable(self, location: str) -> str:
        """Return the location, or a link to it where the engine does not find paths with such characters."""
        if not self._plain or "://" in location or _PLAIN.fullmatch(location):
            return location
        with self._linking:
            if location not in self._aliases:
                alias = os.path.join(self._work_dir, f"table-{len(self._aliases)}")
                os.symlink(location, alias)
                self._aliases[location] = alias
            return self._aliases[location]

    def list_replacements(self, tables: Mapping[str, str]) -> dict[str, str]:
        """Return the replacement of each location in a text."""
        known = [(location, name) for name, location in tables.items()]
        links = [(self._aliases[location], name) for location, name in known if location in self._aliases]
        return list_spellings([*known, *links, (self._lake, "<lake>"), (self._work_dir, "<temporary>")])
