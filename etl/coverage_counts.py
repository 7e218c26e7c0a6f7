"""Counts how much of the tables of a lake is known: nulls, partners of joins, and measures that a lake declares.

What Delta's logs tell is not counted again. The rest are aggregates, which spill, and joins over slices.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from etl.safeguards import was_interrupted
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

log = logging.getLogger(__name__)

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
        self._planned: tuple[Join, ...] = ()
        self._joined: dict[Join, JoinCoverage] = {}

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

    def plan_joins(self, joins: Iterable[Join]) -> None:
        """Announce the joins that will be counted: those with the same right side take one pass over it."""
        self._planned = tuple(joins)

    def count_join(self, join: Join) -> JoinCoverage:
        """Count the rows that find a partner, of those that name one."""
        if join not in self._joined:
            kind = self._find_type(join.left)
            others = [each for each in self._planned if each.right == join.right and self._find_type(each.left) == kind]
            together = others if kind is not None and join in others else [join]
            try:
                self._joined |= self._count_joins(together)
            except Exception as error:
                if len(together) == 1 or was_interrupted(error):
                    raise
                log.debug("the joins with %s were not counted together", join.right, exc_info=error)
                self._joined |= self._count_joins([join])
                self._planned = tuple(each for each in self._planned if each not in together)
        return self._joined[join]

    def _count_joins(self, joins: Sequence[Join]) -> dict[Join, JoinCoverage]:
        """Count joins whose right side is the same, and whose left sides have values of the same type."""
        self._prepare()
        lefts = " UNION ALL ".join(self._select_left(number, join) for number, join in enumerate(joins))
        left = self._spark.sql(lefts).where("k IS NOT NULL")
        table, column = joins[0].right.split(".")
        right = self._spark.sql(f"SELECT {self._select_values(table, column)} AS k FROM {quote_identifier(table)}")
        self._tables.add_table(_LEFT, left, sum(self.entries[each.left.split(".")[0]].rows for each in joins))
        self._tables.add_table(_RIGHT, right.where("k IS NOT NULL"), self.entries[table].rows)
        # The join is read from its right side: the partners are held in memory, each once, and every row finds one.
        sql = (
            f"SELECT number, part, count(*) AS rows, count(p.k) AS known FROM (SELECT DISTINCT k FROM {_RIGHT}) p "
            f"RIGHT JOIN {_LEFT} c ON p.k = c.k GROUP BY number, part"
        )
        try:
            shares = self._sum_parts(sql, "k", (_RIGHT, _LEFT))
        finally:
            self._tables.forget_table(_LEFT)
            self._tables.forget_table(_RIGHT)
        return {join: _cover_join(join, shares.get(number, [])) for number, join in enumerate(joins)}

    def _select_left(self, number: int, join: Join) -> str:
        table, column = join.left.split(".")
        values, part = self._select_values(table, column), f"CAST(({join.by or 'NULL'}) AS STRING)"
        return f"SELECT {number} AS number, {values} AS k, {part} AS part FROM {quote_identifier(table)}"

    def _find_type(self, side: str) -> str | None:
        """The type of a column, or of the items of its lists; None where there is no such column."""
        table, name = side.split(".")
        types = {column.name: column.type for column in self.entries[table].columns}
        return types[name].removeprefix("array<").removesuffix(">") if name in types else None

    def _select_values(self, table: str, column: str) -> str:
        is_list = any(each.name == column and each.type.startswith("array<") for each in self.entries[table].columns)
        return f"explode({quote_identifier(column)})" if is_list else quote_identifier(column)

    def count_measure(self, measure: Measure) -> MeasureCoverage:
        """Run a measure: as a sub-query, so that it can be nothing but a query."""
        self._prepare()
        inner = measure.sql.strip().rstrip(";")
        sql = f"SELECT 0 AS number, CAST(part AS STRING), rows, known FROM ({inner}) WHERE rows > 0"
        if sql not in self._measured:  # a view and its table may be measured alike
            # A join holds the smaller of its sides: it is the one that has to fit into memory.
            sliced = sorted(self.list_read(measure.sql), key=lambda name: self.entries[name].rows)
            self._measured[sql] = self._sum_parts(sql, measure.key, sliced if measure.key else ())[0]
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

    def _sum_parts(self, sql: str, key: str, sliced: Sequence[str]) -> dict[int, list[Share]]:
        """Run a statement that gives parts with their rows and the known ones, slice by slice, and add them up.

        It counts several things at once, by `number`.
        """

        def collect_parts() -> list[tuple[int, str | None, int, int]]:
            return [tuple(row) for row in self._spark.sql(sql).limit(_MOST_COUNTED).collect()]

        slices = self._tables.run_slices(key, sliced, _ROW_BYTES, collect_parts) if sliced else iter([collect_parts()])
        rows, known = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
        for number, part, row_count, known_count in (each for found in slices for each in found):
            rows[number, part or ""] += int(row_count)
            known[number, part or ""] += int(known_count)
        shares = defaultdict[int, list[Share]](list)
        for number, part in sorted(rows):
            shares[number].append(Share(rows=rows[number, part], known=known[number, part], part=part))
        return shares


def _cover_join(join: Join, shares: Sequence[Share]) -> JoinCoverage:
    whole = Share(rows=sum(each.rows for each in shares), known=sum(each.known for each in shares))
    parts = _keep_largest(shares) if join.by else ()
    return JoinCoverage(left=join.left, right=join.right, whole=whole, parts=parts, of=join.of)


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
