"""Quality checks of the loaded rows: repeated keys, and references to missing rows.

Both occur in IMDb's files and do not stop a load; they are counted and reported. Each is counted slice by slice, so
that no join and no aggregate holds a whole table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from etl.datasets import Orphans
from etl.slices import SlicedTables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ROW_BYTES = 200
"""Memory of the embedded engine's pool for a key that is grouped or joined by. With 80 it spilt, and took longer."""


@dataclass(frozen=True)
class QualityCheck:
    """A check. `about` names what is counted, `finding` is the message for a count above zero.

    The queries run in order until one counts zero, each over slices of `tables` by `key`. They read the tables by name.
    """

    about: str
    finding: str
    queries: tuple[str, ...]
    key: str
    tables: tuple[str, ...]

    def run_check(self, spark: SparkSession, slices: SlicedTables) -> str | None:
        """Run the queries. Returns the finding with its count, or None."""
        count = 0
        for query in self.queries:
            count = sum(slices.run_slices(self.key, self.tables, _ROW_BYTES, partial(_count_rows, spark, query)))
            if not count:
                return None
        return self.finding.format(count=f"{count:,}")


def list_checks(keys: Mapping[str, tuple[str, ...]], references: Iterable[Orphans]) -> Iterator[QualityCheck]:
    """Yield the checks for tables with these keys and references."""
    repeats = "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {table} GROUP BY {by})"
    for table, key in keys.items():
        columns = ", ".join(key)
        # 64-bit hashes need a quarter of the memory. They can only overcount, so a hit is counted again by the keys.
        queries = tuple(repeats.format(table=table, by=by) for by in (f"xxhash64({columns})", columns))
        yield QualityCheck(
            f"repeated keys of {table}",
            f"{table}: {{count}} rows repeat a key ({columns}) and were kept.",
            queries,
            key[0],
            (table,),
        )
    for each in references:
        child, parent, column = each.child, each.parent, each.column
        # A join that is read from its right side: the parents are held in memory, and each child is read once.
        join = f"{parent} p RIGHT JOIN {child} c ON p.{column} = c.{column}"
        query = f"SELECT count(*) FROM {join} WHERE p.{column} IS NULL"
        finding = f"{child}: {{count}} rows have a {column} that {parent} lacks."
        yield QualityCheck(f"rows of {child} without their {parent}", finding, (query,), column, (parent, child))


def _count_rows(spark: SparkSession, query: str) -> int:
    return int(spark.sql(query).collect()[0][0])
