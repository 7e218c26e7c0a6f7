"""Table metadata from the Delta logs of a lake: estimates, minima and maxima, columns of old versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lakehouse.delta import Commit, TableLog, open_log, read_history, read_snapshot, version_at
from lakehouse.errors import LakeError
from lakehouse.manifest import Column
from lakehouse.storage import LakeKind
from mcp_server.engines.statistics import FileStatistics, Statistics
from mcp_server.engines.tables import Tables
from mcp_server.models import CheckedQuery, Estimate, Version


class TableStatistics:
    """Reads the logs of the current tables of a lake. Thread-safe."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._statistics = Statistics(tables.lake if tables.lake.kind is LakeKind.URL else None)

    def estimate(self, query: CheckedQuery) -> Estimate:
        """Estimate what a query would read: whole files after pruning. Raises LakeError on an unreadable table log."""
        return self._statistics.estimate(query, self._tables.locations(table.lower() for table in query.tables))

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Return the minimum and maximum of each integer column that has statistics in all files of a table.

        Raises LakeError, QueryFailed where there is no such version.
        """
        found = self._find(table, version)
        return {} if found is None else found.bounds

    def null_shares(self, table: str) -> Mapping[str, float]:
        """Return the share of nulls of each column that has statistics in all files. Raises LakeError."""
        found = self._find(table, None)
        return {} if found is None else found.null_shares

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        """Return the columns of a version of a table. Raises as `bounds` does."""
        found = self._find(table, version)
        return None if found is None else found.columns

    def history(self, table: str, most: int) -> list[Commit] | None:
        """Return the newest versions that may be read, the last one first. Raises LakeError."""
        info = next((each for each in self._tables.tables() if each.name.lower() == table.lower()), None)
        if info is None or info.version is None:
            return None
        return read_history(self._open_log(self._tables.locations([table])[info.name]), info.version, most)

    def _find(self, table: str, version: Version | None) -> FileStatistics | None:
        info = next((each for each in self._tables.tables() if each.name.lower() == table.lower()), None)
        if info is None or info.problem:
            return None
        location = self._tables.locations([table.lower()])[info.name]
        if isinstance(version, datetime):
            version = version_at(self._open_log(location), version)  # resolved as in the engine's own process
        try:
            return self._statistics.read_version(info.name, location, info.version if version is None else version)
        except LakeError:
            if isinstance(version, int):
                read_snapshot(self._open_log(location), version)  # says which versions there are
            raise

    def _open_log(self, location: str) -> TableLog:
        return open_log(self._tables.lake, location)
