"""Writes tables in their order through an engine whose writer drops the order of a sort.

Rows that are not in order are fetched as they come, sorted in Arrow (`etl.row_sorter`), and written as files that
follow each other in the table's order, in however many slices they were computed. A look-up by the first column then
reads one file, or two.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from etl.data_files import name_data_file, write_data_file
from etl.row_sorter import RowSorter, SortPart
from etl.stored_rows import TableVersion, commit_adds, to_arrow_schema
from etl.table_files import TableFiles
from etl.tables import OnRows, OrderedTable, PathTableWriter, TableDefinition, TableWriter
from etl.work_pool import WorkPool
from lakehouse.delta import latest_version, read_snapshot
from lakehouse.session import EngineSession
from lakehouse.session.rows import stream_tables
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_FILE_ROWS: Final = 4_000_000
"""Rows of a data file at most: 60 to 100 MB of the largest views."""
_SORTED_ROWS: Final = 500_000
"""So many rows are sorted at a time. One of the largest view has 110 bytes, and a sort holds it three times."""
_MOST_THREADS: Final = 4
"""Files are written by as many threads as there are processors, each of which sorts."""


class SortingTableWriter(TableWriter):
    """Sorts rows by itself. What is in order already is left to the engine."""

    def __init__(self, session: EngineSession, lake: Lake, schema: str, work_dir: Path) -> None:
        super().__init__(session, lake, schema)
        self._work_dir = work_dir

    @contextmanager
    def open_ordered(self, definition: TableDefinition, expected_rows: int) -> Iterator[OrderedTable]:
        """Open the next version of a table for about `expected_rows` rows, which may come in any order."""
        self._define_table(definition)
        schema = to_arrow_schema(definition.columns)
        with RowSorter(
            schema, definition.clustered_by, self._work_dir, expected_rows, sorted_rows=_SORTED_ROWS
        ) as sorter:
            yield _SortedTable(TableFiles(self._lake, definition.name), sorter, self._work_dir, definition.found_by)


class _SortedTable:
    def __init__(self, files: TableFiles, sorter: RowSorter, work_dir: Path, found_by: Mapping[str, int]) -> None:
        self._found_by = found_by
        self._files = files
        self._sorter = sorter
        self._work_dir = work_dir
        self._written = 0
        self._lock = threading.Lock()

    def add_rows(self, rows: DataFrame) -> int:
        with self._sorter.all_or_nothing():
            for part in stream_tables(rows):
                self._sorter.add(part.cast(self._sorter.schema))
        return self._sorter.rows

    def finish(self, on_rows: OnRows) -> TableVersion:
        groups = _group_parts(self._sorter.list_parts())
        with WorkPool(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
            writing = [pool.submit(self._write_file, parts, on_rows, pool) for parts in groups]
            adds = [each.result() for each in writing]
        log = self._files.open_log()
        base = read_snapshot(log, latest_version(log))
        return commit_adds(self._files, base, adds, "WRITE", sum(int(add["size"]) for add in adds))

    def _write_file(self, parts: Sequence[SortPart], on_rows: OnRows, pool: WorkPool) -> dict[str, Any]:
        name = name_data_file()
        path = self._work_dir / name
        with path.open("wb") as out:
            rows = self._read_parts(parts, on_rows, pool)
            add = write_data_file(name, out, self._sorter.schema, rows, self._found_by)
            out.flush()
            os.fsync(out.fileno())
        self._files.take(path, name)
        return add

    def _read_parts(self, parts: Sequence[SortPart], on_rows: OnRows, pool: WorkPool) -> Iterator[pa.Table]:
        for part in parts:
            for rows in self._sorter.read_part(part):
                pool.raise_if_closed()
                yield rows
                with self._lock:
                    self._written += rows.num_rows
                    on_rows(self._written)


def _group_parts(parts: Sequence[SortPart]) -> list[list[SortPart]]:
    """Group neighbouring parts into files of about equal size."""
    total = sum(part.rows for part in parts)
    files = -(-total // _FILE_ROWS)
    groups: dict[int, list[SortPart]] = {}
    before = 0
    for part in parts:
        groups.setdefault((before + part.rows // 2) * files // total, []).append(part)
        before += part.rows
    return list(groups.values())


def open_writer(session: EngineSession, lake: Lake, schema: str, work_dir: Path) -> TableWriter:
    """Return the writer for a session: a Spark of others has a catalogue in which nothing is registered or dropped."""
    if session.capabilities.shared:
        return PathTableWriter(session, lake, schema)
    if session.capabilities.ordered_write:
        return TableWriter(session, lake, schema)
    return SortingTableWriter(session, lake, schema, work_dir)
