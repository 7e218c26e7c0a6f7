"""What a person should know about the loaded rows: keys that repeat, and rows that refer to nothing.

Both are real in IMDb's files and neither stops a load; they are counted and reported. The counts group and join, which
goes to disk where memory is short: a DISTINCT within an aggregate cannot (Sail 0.7.2: 20 million keys in 256 MiB fail).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl.datasets import Orphans

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Count:
    """Rows that a person should know of. `finding` says what they are, `about` what is counted.

    Of the queries none is run after one that counts nothing. The tables are read as temporary views of their names.
    """

    about: str
    finding: str
    queries: tuple[str, ...]

    def find(self, spark: SparkSession) -> str | None:
        """The finding with its number, None where there is none."""
        count = 0
        for query in self.queries:
            count = int(spark.sql(query).collect()[0][0])
            if not count:
                return None
        return self.finding.format(count=f"{count:,}")


def counts(keys: Mapping[str, tuple[str, ...]], references: Iterable[Orphans]) -> Iterator[Count]:
    """All that is counted of tables with these keys and references."""
    repeats = "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {table} GROUP BY {by})"
    for table, key in keys.items():
        columns = ", ".join(key)
        # 64-bit hashes need a quarter of the room of the keys. They can only find too many: a hit is counted again.
        queries = tuple(repeats.format(table=table, by=by) for by in (f"xxhash64({columns})", columns))
        yield Count(
            f"repeated keys of {table}", f"{table}: {{count}} rows repeat a key ({columns}) and were kept.", queries
        )
    for each in references:
        query = (
            f"SELECT count(*) FROM {each.child} c LEFT ANTI JOIN {each.parent} p ON c.{each.column} = p.{each.column}"
        )
        finding = f"{each.child}: {{count}} rows have a {each.column} that {each.parent} lacks."
        yield Count(f"rows of {each.child} without their {each.parent}", finding, (query,))
