"""Quality checks of the loaded rows: repeated keys, and references to missing rows.

Both occur in IMDb's files and do not stop a load; they are counted and reported. The queries group and join, which can
spill to disk; DISTINCT inside an aggregate cannot (Sail 0.7.2: 20 million keys in 256 MiB fail).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl.datasets import Orphans

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class QualityCheck:
    """A check. `about` names what is counted, `finding` is the message for a count above zero.

    The queries run in order until one counts zero. They read the tables as temporary views of the same names.
    """

    about: str
    finding: str
    queries: tuple[str, ...]

    def run_check(self, spark: SparkSession) -> str | None:
        """Run the queries. Returns the finding with its count, or None."""
        count = 0
        for query in self.queries:
            count = int(spark.sql(query).collect()[0][0])
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
            f"repeated keys of {table}", f"{table}: {{count}} rows repeat a key ({columns}) and were kept.", queries
        )
    for each in references:
        query = (
            f"SELECT count(*) FROM {each.child} c LEFT ANTI JOIN {each.parent} p ON c.{each.column} = p.{each.column}"
        )
        finding = f"{each.child}: {{count}} rows have a {each.column} that {each.parent} lacks."
        yield QualityCheck(f"rows of {each.child} without their {each.parent}", finding, (query,))
