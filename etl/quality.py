"""What a person should know about the loaded rows: keys that repeat, and rows that refer to nothing.

Both are real in IMDb's files and neither stops a load; they are counted and reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from etl.datasets import Orphans

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def duplicate_keys(spark: SparkSession, keys: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One sentence per table whose key repeats. The tables are read as temporary views of their names."""
    notes = []
    for table, key in keys.items():
        columns = ", ".join(key)
        # 64-bit hashes need a quarter of the memory of the keys. They can only find too many: a hit is counted again.
        rows, distinct = spark.sql(f"SELECT count(*), count(DISTINCT xxhash64({columns})) FROM {table}").collect()[0]
        if rows == distinct:
            continue
        repeated = rows - spark.sql(f"SELECT DISTINCT {columns} FROM {table}").count()
        if repeated:
            notes.append(f"{table}: {repeated:,} rows repeat a key ({columns}) and were kept.")
    return notes


def orphans(spark: SparkSession, references: Iterable[Orphans]) -> list[str]:
    """One sentence per reference that some rows break."""
    notes = []
    for reference in references:
        query = (
            f"SELECT count(*) FROM {reference.child} c LEFT ANTI JOIN {reference.parent} p "
            f"ON c.{reference.column} = p.{reference.column}"
        )
        count = spark.sql(query).collect()[0][0]
        if count:
            notes.append(f"{reference.child}: {count:,} rows have a {reference.column} that {reference.parent} lacks.")
    return notes
