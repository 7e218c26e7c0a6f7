"""The rejected lines of an update: those of the lake's groups of lines that did not change, and new ones."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from etl.changed_lines import ChangedLines, SelectedLines
from etl.datasets import Dataset
from etl.forms import find_misfits
from etl.gold_views import REJECTS_TABLE
from etl.header import Source
from etl.stored_rows import StoredTable, to_arrow_schema
from etl.table_files import TableFiles
from lakehouse.delta import TableLog, latest_version
from lakehouse.errors import LakehouseError
from lakehouse.manifest import Column
from lakehouse.quoting import quote_literal
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

_DESCRIBED_LINES = 1_000
_UNREADABLE = (LakehouseError, OSError, ValueError)
"""What reading a table raises; Arrow's errors are of the last two kinds."""

Line = tuple[str, int | None, str, str]
"""A row of the table: file, line below the header from 1, the line, the reason."""

REJECT_COLUMNS = (
    Column(name="file", type="string", comment="The source file."),
    Column(name="line", type="bigint", comment="Line below the header, from 1. Null where it was found by content."),
    Column(name="raw", type="string", comment="The line as it stands in the file; bytes that are not UTF-8 as \\xNN."),
    Column(name="reason", type="string", comment="Why it was not loaded."),
)


def read_rejects(lake: Lake, published: datetime) -> list[Line]:
    """Read the rejected lines of a generation, given when it was published: the manifest does not name the table.

    Raises LakehouseError, OSError or ValueError where they cannot be read.
    """
    files = TableFiles(lake, REJECTS_TABLE)
    return _read_lines(files, _find_version(files.open_log(), published))


def read_parts(spark: SparkSession, parts: Iterable[str]) -> DataFrame:
    """Read the Parquet files of rejected lines as one table, which may be empty."""
    columns = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in REJECT_COLUMNS)
    rows = spark.sql(f"SELECT {columns} WHERE false")
    for part in parts:
        rows = rows.unionByName(spark.read.parquet(part))
    return rows


def describe_misfits(spark: SparkSession, parts: Iterable[str], source: Source) -> str:
    """Describe the column that most of a file's rejected lines misfit in, as far as the first ones tell."""
    lines = list[str]()
    for part in parts:
        rows = spark.read.parquet(part).where(f"file = {quote_literal(source.path.name)}").select("raw")
        lines += [row["raw"] for row in rows.limit(_DESCRIBED_LINES).collect()]
    misfits = find_misfits(lines, source.header, source.dataset)
    return f", most of them in {misfits[0].field.name}: {misfits[0].describe()}" if misfits else ""


class RejectedLines:
    """Collects the rejected lines of an update."""

    def __init__(self, before: list[Line]) -> None:
        self._before = before
        self._lines: dict[str, list[Line]] = {}

    @classmethod
    def open(cls, lake: Lake, published: datetime, notes: list[str]) -> Self:
        """Read those of a generation, given when it was published. Adds a note where they cannot be read."""
        try:
            return cls(read_rejects(lake, published))
        except _UNREADABLE as error:
            log.debug("the rejected lines were not read", exc_info=error)
            notes.append(
                f"The rejected lines of the generation before cannot be read, so {lake}/{REJECTS_TABLE} has only those "
                "of files or groups of lines that changed. To find all of them again: imdb-etl load --again."
            )
            return cls([])

    def keep_all(self, dataset: Dataset, name: str) -> None:
        """Keep the lines of a file that has not changed."""
        self._lines[dataset.file] = [(name, *line[1:]) for line in self._of_file(dataset)]

    def keep_unchanged(self, dataset: Dataset, name: str, changed: ChangedLines) -> None:
        """Keep the lines of a file that are in groups that have not changed, with their new numbers."""
        kept = self._lines.setdefault(dataset.file, [])
        for _, line, raw, reason in self._of_file(dataset):
            moved = None if line is None else changed.move_line(line)
            if moved is not None or (line is None and changed.is_kept(raw)):
                kept.append((name, moved, raw, reason))

    def add_malformed(self, dataset: Dataset, name: str, part: Path, lines: SelectedLines) -> None:
        """Add the malformed ones among some lines of a file."""
        import pyarrow.parquet as pq

        self._lines[dataset.file] += [
            (name, lines.numbers[(line or 1) - 1], raw, reason)
            for _, line, raw, reason in _to_lines(pq.read_table(part))
        ]

    def add(self, dataset: Dataset, rows: pa.Table) -> None:
        """Add lines that were found by their content."""
        self._lines[dataset.file] += _to_lines(rows)

    def count(self, dataset: Dataset) -> int:
        """Count the rejected lines of a file."""
        return len(self._lines.get(dataset.file, []))

    def write_changed(self, lake: Lake, target: Path, others: Iterable[str]) -> bool:
        """Write the lines to a Parquet file, if they and `others` differ from what the table has now."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        lines = [line for each in self._lines.values() for line in each]
        files = TableFiles(lake, REJECTS_TABLE)
        added = [line for part in others for line in _to_lines(pq.read_table(part))]
        try:
            now = _read_lines(files, latest_version(files.open_log()))
        except _UNREADABLE:
            now = None
        if now is not None and Counter(now) == Counter(lines + added):
            return False
        schema = to_arrow_schema(REJECT_COLUMNS)
        columns: list[Any] = list(zip(*lines, strict=True)) or [()] * len(schema)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
        pq.write_table(pa.table(arrays, schema=schema), target)
        return True

    def _of_file(self, dataset: Dataset) -> list[Line]:
        names = {f"{dataset.file}.tsv", f"{dataset.file}.tsv.gz"}
        return [line for line in self._before if line[0] in names]


def _find_version(log: TableLog, published: datetime) -> int:
    """The newest version that was written before a moment."""
    most = published.timestamp() * 1000
    for version, name in sorted(log.commits.items(), reverse=True):
        info: dict[str, Any] = next(
            (action["commitInfo"] for action in log.actions(name) if "commitInfo" in action), {}
        )
        if info.get("timestamp", 0) <= most:
            return version
    return latest_version(log)


def _read_lines(files: TableFiles, version: int) -> list[Line]:
    stored = StoredTable(files, version, REJECT_COLUMNS)
    return _to_lines(stored.read_rows(stored.schema.names))


def _to_lines(rows: pa.Table) -> list[Line]:
    return list(zip(*(rows.column(column.name).to_pylist() for column in REJECT_COLUMNS), strict=True))
