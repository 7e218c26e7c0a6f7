"""Where tables are, for the engine to read and for nobody to see."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping

from mcp_server.engines.hiding import spellings

_PLAIN = re.compile(r"[\w/.,:;=@+!$&()'-]+", re.ASCII)
"""Paths that Sail finds; it encodes any other letter twice (each one tried: docs/engines.md)."""


class TableLocations:
    """Links where the engine does not find a path, and the names to show in the place of each."""

    def __init__(self, lake: str, work_dir: str, *, plain: bool) -> None:
        self._lake = lake
        self._work_dir = work_dir
        self._plain = plain
        self._aliases: dict[str, str] = {}
        self._linking = threading.Lock()

    def readable(self, location: str) -> str:
        """The location, or a link to it where the engine does not find paths of such letters."""
        if not self._plain or "://" in location or _PLAIN.fullmatch(location):
            return location
        with self._linking:
            if location not in self._aliases:
                alias = os.path.join(self._work_dir, f"table-{len(self._aliases)}")
                os.symlink(location, alias)
                self._aliases[location] = alias
            return self._aliases[location]

    def names(self, tables: Mapping[str, str]) -> dict[str, str]:
        """What to write in the place of each location in a text."""
        known = [(location, name) for name, location in tables.items()]
        links = [(self._aliases[location], name) for location, name in known if location in self._aliases]
        return spellings([*known, *links, (self._lake, "<lake>"), (self._work_dir, "<temporary>")])
