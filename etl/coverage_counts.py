"""Counts how much of the tables of a lake is known: nulls, partners of joins, and measures that a lake declares.

What Delta's logs tell is not counted again. The rest are aggregates, which spill, and joins over slices.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from etl.slices import SlicedTables
from etl.stored_rows import count_deleted
from etl.table_files import TableFiles
from lakehouse.context import Join, Measure
from lakehouse.coverage import MOST_PARTS, ColumnCoverage, JoinCoverage, MeasureCoverage, Share
from lakehouse.delta import Snapshot, read_snapshot
from lakehouse.manifest import TableEntry
from lakehouse.quoting import quote_identifier
from lakehouse.storage import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ROW_BYTES: Final = 200
"""Memory of the embedded engine's pool for a key that is grouped or joined by."""
_MOST_COUNTED: Final = 10_000
"""Parts of one slice that are looked at. Only the largest are kept."""
_LEFT, _RIGHT = "coverage_left", "coverage_right"

_WORDS = re.compile(r"\w+")


class CoverageCounter:
    """Counts over the tables of `entries`. `prepare` makes them readable by their names in `tables`."""

    def __init__(
        self,
        spark: SparkSession,
        lake: Lake,
        tables: SlicedTables,
        entries: Mapping[str, TableEntry],
        prepare: Callable[[], None],
    ) -> None:
        self._spark = spark
        self._lake = lake
        self._tables = tables
        self.entries = entries
        self._prepare = prepare
        self._measured: dict[str, list[Share]] = {}

    def count_columns(self, table: str, skipped: Collection[str]) -> Iterator[ColumnCoverage]:
        """Count the values of each column of a table that has nulls; `skipped` are left out."""
        entry = self.entries[table]
        columns = [column for column in entry.columns if column.name.lower() not in skipped]
        snapshot = read_snapshot(TableFiles(self._lake, entry.path).open_log(), entry.version)
        nulls = {column.name: _read_nulls(snapshot, column.name) for column in columns if "<" not in column.type}
        unknown = [column.name for column in columns if nulls.get(column.name) is None]
        if unknown:
            self._prepare()
            values = ", ".join(f"count({quote_identifier(name)})" for name in unknown)
            (row,) = self._spark.sql(f"SELECT {values} FROM {quote_identifier(table)}").collect()
            nulls |= {name: entry.rows - known for name, known in zip(unknown, row, strict=True)}
        found = {column.name: nulls[column.name] or 0 for column in columns}
        for name, count in found.items():
            if count:
                yield ColumnCoverage(table=table, column=name, whole=Share(rows=entry.rows, known=entry.rows - count))

    def count_join(self, join: Join) -> JoinCoverage:
        """Count the rows that find a partner, of those that name one."""
        self._prepare()
        part = f"CAST(({join.by or 'NULL'}) AS STRING) AS part"
        for name, side, others in ((_LEFT, join.left, f", {part}"), (_RIGHT, join.right, "")):
            table, column = side.split(".")
            chosen = f"{self._select_values(table, column)} AS k{others}"
            rows = self._spark.sql(f"SELECT {chosen} FROM {quote_identifier(table)}").where("k IS NOT NULL")
            self._tables.add_table(name, rows, self.entries[table].rows)
        # The second join is read from its right side: the partners are held in memory, and each row is read once.
        # Partners that are there several times take nothing more away.
        sql = (
            f"SELECT part, count(*) AS rows, count(*) AS known FROM {_LEFT} GROUP BY part "
            f"UNION ALL SELECT c.part, 0 AS rows, -count(*) AS known FROM {_RIGHT} p RIGHT JOIN {_LEFT} c ON p.k = c.k "
            "WHERE p.k IS NULL GROUP BY c.part"
        )
        try:
            shares = self._sum_parts(sql, "k", (_RIGHT, _LEFT))
        finally:
            self._tables.forget_table(_LEFT)
            self._tables.forget_table(_RIGHT)
        whole = Share(rows=sum(each.rows for each in shares), known=sum(each.known for each in shares))
        parts = _keep_largest(shares) if join.by else ()
        return JoinCoverage(left=join.left, right=join.right, whole=whole, parts=parts, of=join.of)

    def _select_values(self, table: str, column: str) -> str:
        is_list = any(each.name == column and each.type.startswith("array<") for each in self.entries[table].columns)
        return f"explode({quote_identifier(column)})" if is_list else quote_identifier(column)

    def count_measure(self, measure: Measure) -> MeasureCoverage:
        """Run a measure: as a sub-query, so that it can be nothing but a query."""
        self._prepare()
        sql = f"SELECT CAST(part AS STRING), rows, known FROM ({measure.sql.strip().rstrip(';')}) WHERE rows > 0"
        if sql not in self._measured:  # a view and its table may be measured alike
            sliced = sorted(self.list_read(measure.sql), key=lambda name: -self.entries[name].rows)
            self._measured[sql] = self._sum_parts(sql, measure.key, sliced if measure.key else ())
        return MeasureCoverage(
            table=measure.table,
            columns=measure.columns,
            about=measure.about,
            of=measure.of,
            parts=_keep_largest(self._measured[sql]),
        )

    def list_read(self, sql: str) -> list[str]:
        """List the tables that a statement names."""
        words = {word.lower() for word in _WORDS.findall(sql)}
        return [name for name in self.entries if name.lower() in words]

    def _sum_parts(self, sql: str, key: str, sliced: Sequence[str]) -> list[Share]:
        """Run a statement that gives parts with their rows and the known ones, slice by slice, and add them up."""

        def collect_parts() -> list[tuple[str | None, int, int]]:
            return [tuple(row) for row in self._spark.sql(sql).limit(_MOST_COUNTED).collect()]

        slices = self._tables.run_slices(key, sliced, _ROW_BYTES, collect_parts) if sliced else iter([collect_parts()])
        rows, known = Counter[str](), Counter[str]()
        for part, row_count, known_count in (each for found in slices for each in found):
            rows[part or ""] += int(row_count)
            known[part or ""] += int(known_count)
        return [Share(rows=rows[part], known=known[part], part=part) for part in sorted(rows)]


def _keep_largest(shares: Sequence[Share]) -> tuple[Share, ...]:
    largest = sorted(shares, key=lambda share: -share.rows)[:MOST_PARTS]
    return tuple(sorted(largest, key=lambda share: share.part))


def _read_nulls(snapshot: Snapshot, column: str) -> int | None:
    """Read the nulls of a column of simple type from the statistics of its files; None where one does not tell."""
    total = 0
    for count in _list_null_counts(snapshot, column):
        if count is None:
            return None
        total += count
    return total


def _list_null_counts(snapshot: Snapshot, column: str) -> Iterator[int | None]:
    for add in snapshot.adds:
        stats = add.get("stats_parsed") or json.loads(add.get("stats") or "{}")
        # Of a file with deleted rows the statistics are those of all its rows.
        yield None if count_deleted(add) else (stats.get("nullCount") or {}).get(column)
