"""Quality checks of the loaded rows: repeated keys.

They occur in IMDb's files and do not stop a load; they are counted and reported. Each table is counted slice by slice,
so that no aggregate holds all of it. References to missing rows are counted with the coverage.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from etl.safeguards import was_interrupted
from etl.slices import SlicedTables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_REASON_CHARS = 200
_ROW_BYTES, _NUMBERED_ROW_BYTES = 200, 100
"""Memory of the embedded engine's pool for a row whose key is grouped by. With 80 it spilt, and took longer.

Of rows that are numbered within an id there are several for each id that is grouped by.
"""


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
    row_bytes: int = _ROW_BYTES

    def run_check(self, spark: SparkSession, slices: SlicedTables) -> str | None:
        """Run the queries. Returns the finding with its count, or None."""
        count = 0
        for query in self.queries:
            count = sum(slices.run_slices(self.key, self.tables, self.row_bytes, partial(_count_rows, spark, query)))
            if not count:
                return None
        return self.finding.format(count=f"{count:,}")


def run_checks(spark: SparkSession, slices: SlicedTables, keys: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Run the checks for tables with these keys. Yields findings, and sentences about what could not be counted."""
    for check in list_checks(keys):
        try:
            finding = check.run_check(spark, slices)
        except (Exception, KeyboardInterrupt) as error:
            log.debug("%s were not counted", check.about, exc_info=error)
            yield describe_failure(check.about, error)
            if was_interrupted(error):
                return
            continue
        if finding:
            yield finding


def describe_failure(about: str, error: BaseException) -> str:
    """Describe why something was not counted of a lake that is published."""
    if was_interrupted(error):
        return f"Interrupted: {about} and what follows were not counted. The lake is loaded."
    return f"Not counted, {about}: {describe_briefly(error)}. The lake is loaded all the same."


def describe_briefly(error: BaseException) -> str:
    """Return the beginning of the first line of an error, or its class."""
    return str(error).strip().split("\n", 1)[0][:_REASON_CHARS].rstrip(".") or type(error).__name__


def list_checks(keys: Mapping[str, tuple[str, ...]]) -> Iterator[QualityCheck]:
    """Yield the checks for tables with these keys."""
    for table, key in keys.items():
        columns = ", ".join(key)
        yield QualityCheck(
            f"repeated keys of {table}",
            f"{table}: {{count}} rows repeat a key ({columns}) and were kept.",
            _list_queries(table, key),
            key[0],
            (table,),
            _NUMBERED_ROW_BYTES if len(key) == 2 else _ROW_BYTES,
        )


def _list_queries(table: str, key: tuple[str, ...]) -> tuple[str, ...]:
    """Write a cheap query that counts zero only where no key repeats, and the one that counts those that do.

    A key of two columns is an id and a number within it, such as that of a credit. The numbers of an id set 64 bits: as
    many bits as rows are as many numbers. It takes a third of the time that grouping by both takes, and only the ids
    that fail, among them those of more than 64 rows, are grouped by both. Other keys are grouped by 64-bit hashes,
    which need a quarter of the memory and can only overcount.
    """
    if len(key) != 2:
        return tuple(_count_repeats(table, by) for by in (f"xxhash64({', '.join(key)})", ", ".join(key)))
    first, number = key
    bits = f"bit_count(bit_or(shiftleft(CAST(1 AS BIGINT), CAST(pmod({number}, 64) AS INT))))"
    unclear = f"SELECT {first} FROM {table} GROUP BY {first} HAVING count(*) <> {bits}"
    rows = f"(SELECT t.{first}, t.{number} FROM ({unclear}) u JOIN {table} t ON u.{first} = t.{first})"
    return f"SELECT count(*) FROM ({unclear})", _count_repeats(rows, f"{first}, {number}")


def _count_repeats(rows: str, by: str) -> str:
    return f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {rows} GROUP BY {by})"


def _count_rows(spark: SparkSession, query: str) -> int:
    return int(spark.sql(query).collect()[0][0])
