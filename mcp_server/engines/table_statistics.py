"""What the Delta logs of a lake tell of its tables: estimates, least and greatest values, columns of old versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lakehouse.delta import LogFolder, LogObjects, TableLog, read_snapshot, version_at
from lakehouse.errors import LakeError
from lakehouse.manifest import Column
from lakehouse.storage import LakeKind
from mcp_server.engines.statistics import FileStatistics, Statistics
from mcp_server.engines.tables import Tables
from mcp_server.models import CheckedQuery, Estimate, Version


class TableStatistics:
    """Answers from the logs of the tables that a lake serves now. Safe for several threads."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._is_remote = tables.lake.kind is LakeKind.URL
        self._statistics = Statistics(tables.lake if self._is_remote else None)

    def estimate(self, query: CheckedQuery) -> Estimate:
        """What a query would read, whole files after pruning. Raises LakeError where a table's log cannot be read."""
        return self._statistics.estimate(query, self._tables.locations(table.lower() for table in query.tables))

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Least and greatest value of each integer column that all files of a table tell.

        Raises LakeError, QueryFailed where there is no such version.
        """
        found = self._find(table, version)
        return {} if found is None else found.bounds

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        """The columns of a version of a table. Raises as `bounds` does."""
        found = self._find(table, version)
        return None if found is None else found.columns

    def _find(self, table: str, version: Version | None) -> FileStatistics | None:
        info = next((each for each in self._tables.tables() if each.name.lower() == table.lower()), None)
        if info is None or info.problem:
            return None
        location = self._tables.locations([table.lower()])[info.name]
        if isinstance(version, datetime):
            version = version_at(self._open_log(location), version)  # as the engine's own process understands a moment
        try:
            return self._statistics.of(info.name, location, info.version if version is None else version)
        except LakeError:
            if isinstance(version, int):
                read_snapshot(self._open_log(location), version)  # says which versions there are
            raise

    def _open_log(self, location: str) -> TableLog:
        if self._is_remote:
            lake = self._tables.lake
            return LogObjects(lake.objects_of_any_size, lake.table_path(location))
        return LogFolder(location)
