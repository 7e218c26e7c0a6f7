"""Puts rows into an order without a sort of them all: they are dealt to parts by ranges, and each part is sorted.

The files of the parts then cover one range each, so that a look-up opens the files of one part alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_NUMBER = "_part"


class RangeParts:
    """Rows in a folder of this machine, in parts by ranges of a column. `cuts` are the ranges' bounds, in order.

    Each range includes its lower bound; nulls are in the first one.
    """

    def __init__(self, folder: Path, column: str, cuts: Sequence[str | int]) -> None:
        self._folder = folder
        self._column = column
        self._cuts = cuts
        self._added = 0

    def add_rows(self, rows: DataFrame) -> None:
        """Deal rows to the parts. Where that fails, none of them are added."""
        target = self._folder / str(self._added)
        try:
            dealt = rows.withColumn(_NUMBER, self._number_part())
            dealt.write.mode("append").partitionBy(_NUMBER).option("compression", "snappy").parquet(str(target))
        except Exception:
            shutil.rmtree(target, ignore_errors=True)
            raise
        self._added += 1

    def read_parts(self, spark: SparkSession) -> Iterator[DataFrame]:
        """Yield the rows of each part that has some, and remove them when the next one is asked for."""
        for number in range(len(self._cuts) + 1):
            if folders := sorted(self._folder.glob(f"*/{_NUMBER}={number}")):
                yield spark.read.parquet(*map(str, folders))
            for folder in folders:
                shutil.rmtree(folder)

    def _number_part(self) -> Column:
        from pyspark.sql import functions as F  # noqa: N812

        column, last = F.col(self._column), len(self._cuts)
        first = F.when(column.isNull(), 0)
        return reduce(lambda case, at: case.when(column < self._cuts[at], at), range(last), first).otherwise(last)
