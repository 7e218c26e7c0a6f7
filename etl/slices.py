"""Cuts tables into ranges of a key, so that each step of a load works on rows that fit into memory.

An engine whose hash joins cannot spill would sort both sides of a join on disk instead, once for every join. Tables
that are in the order of a key are cut by it at the cost of reading each row once; their join then needs no sort.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_SAMPLED_KEYS = 100
"""How many keys are looked at for each cut."""


@dataclass(frozen=True)
class KeyRange:
    """The rows whose key is at least `low` and less than `high`; None is no bound. Keys are text and never null."""

    key: str
    low: str | None
    high: str | None

    def select_rows(self, rows: DataFrame) -> DataFrame:
        """Return the rows of this range."""
        for condition in self._conditions():
            rows = rows.where(condition)
        return rows

    def _conditions(self) -> Iterator[Column]:
        from pyspark.sql import functions as F  # noqa: N812

        if self.low is not None:
            yield F.col(self.key) >= self.low
        if self.high is not None:
            yield F.col(self.key) < self.high


class SlicedTables:
    """Tables that SQL reads by their names, whole or a slice of several at a time.

    `most_rows` is how many rows a slice may have, roughly; None for an engine that needs no slices.
    """

    def __init__(self, most_rows: int | None) -> None:
        self._most_rows = most_rows
        self._tables: dict[str, tuple[DataFrame, int]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tables

    def add_table(self, name: str, rows: DataFrame, count: int) -> None:
        """Make a table with `count` rows readable by its name."""
        self._tables[name] = rows, count
        rows.createOrReplaceTempView(name)

    def slice_by(self, key: str, names: Sequence[str]) -> Iterator[None]:
        """Yield once for each slice, while SQL finds only its rows in the tables `names`.

        The cuts are made for the first of them, so that its slices have about the same size.
        """
        try:
            for part in self._plan_ranges(key, names[0]):
                for name in names:
                    part.select_rows(self._tables[name][0]).createOrReplaceTempView(name)
                yield
        finally:
            for name in names:
                self._tables[name][0].createOrReplaceTempView(name)

    def _plan_ranges(self, key: str, name: str) -> list[KeyRange]:
        rows, count = self._tables[name]
        slices = 1 if self._most_rows is None else -(-count // self._most_rows)
        cuts = _sample_cuts(rows, key, count, slices) if slices > 1 else []
        return [KeyRange(key, low, high) for low, high in zip([None, *cuts], [*cuts, None], strict=True)]


def _sample_cuts(rows: DataFrame, key: str, count: int, slices: int) -> list[str]:
    """Return keys that cut `count` rows into about equal slices. A key with many rows counts as often."""
    from pyspark.sql import functions as F  # noqa: N812

    every = max(1, count // (slices * _SAMPLED_KEYS))
    sample = rows.select(key).where(F.pmod(F.xxhash64(key), F.lit(every)) == 0)
    keys = sorted(row[0] for row in sample.collect())
    return sorted({keys[len(keys) * number // slices] for number in range(1, slices)}) if keys else []
