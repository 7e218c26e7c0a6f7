"""Cuts tables into ranges of a key, so that each step of a load works on rows that fit into memory.

An engine whose hash joins cannot spill would sort both sides of a join on disk instead, once for every join. Tables
that are in the order of a key are cut by it at the cost of reading each row once; their join then needs no sort.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Result = TypeVar("Result")

_SAMPLED_KEYS = 100
"""How many keys are looked at for each cut."""

_EXHAUSTED_WORDS = ("Resources exhausted", "Failed to allocate additional")


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error of the embedded engine says that its pool has no memory left."""
    return any(words in str(error) for words in _EXHAUSTED_WORDS)


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

    `memory_bytes` is what a step may need for a slice; None for an engine that needs no slices.
    """

    def __init__(self, memory_bytes: int | None) -> None:
        self._memory_bytes = memory_bytes
        self._tables: dict[str, tuple[DataFrame, int]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tables

    def add_table(self, name: str, rows: DataFrame, count: int) -> None:
        """Make a table with `count` rows readable by its name."""
        self._tables[name] = rows, count
        rows.createOrReplaceTempView(name)

    def count_rows(self, name: str) -> int:
        """The number of rows of a table, as it was added."""
        return self._tables[name][1]

    def forget_table(self, name: str) -> None:
        """Forget a table, whose name somebody else gives to other rows."""
        self._tables.pop(name, None)

    def restore_tables(self, names: Iterable[str]) -> None:
        """Let SQL find all rows of tables again, after it was given others by their names."""
        for name in names:
            self._tables[name][0].createOrReplaceTempView(name)

    def run_slices(
        self, key: str, names: Sequence[str], row_bytes: int, step: Callable[[], Result]
    ) -> Iterator[Result]:
        """Run `step` for one slice after another, while SQL finds only its rows in the tables `names`.

        The cuts are made for the first table, of which `step` needs about `row_bytes` of memory a row. A slice that
        does not fit all the same is cut in two; `step` must leave nothing behind where it fails.
        """
        waiting = deque(self._plan_ranges(key, names[0], row_bytes))
        try:
            while waiting:
                part = waiting.popleft()
                for name in names:
                    part.select_rows(self._tables[name][0]).createOrReplaceTempView(name)
                try:
                    result = step()
                except Exception as error:
                    halves = self._halve_range(part, names[0]) if lacks_memory(error) else []
                    if not halves:
                        raise
                    waiting.extendleft(reversed(halves))
                    continue
                yield result
        finally:
            self.restore_tables(names)

    def _plan_ranges(self, key: str, name: str, row_bytes: int) -> list[KeyRange]:
        rows, count = self._tables[name]
        slices = 1 if self._memory_bytes is None else -(-count * row_bytes // self._memory_bytes)
        cuts = _sample_cuts(rows, key, count // slices, slices) if slices > 1 else []
        return _to_ranges(key, [None, *cuts, None])

    def _halve_range(self, part: KeyRange, name: str) -> list[KeyRange]:
        """Return the halves of a range; nothing where it has no two keys."""
        rows = part.select_rows(self._tables[name][0])
        cuts = _sample_cuts(rows, part.key, rows.count() // 2, 2)
        return _to_ranges(part.key, [part.low, *cuts, part.high]) if cuts and cuts != [part.low] else []


def _to_ranges(key: str, bounds: list[str | None]) -> list[KeyRange]:
    return [KeyRange(key, low, high) for low, high in pairwise(bounds)]


def _sample_cuts(rows: DataFrame, key: str, slice_rows: int, slices: int) -> list[str]:
    """Return keys that cut rows into about equal slices. A key with many rows counts as often."""
    from pyspark.sql import functions as F  # noqa: N812

    every = max(1, slice_rows // _SAMPLED_KEYS)
    sample = rows.select(key).where(F.pmod(F.xxhash64(key), F.lit(every)) == 0)
    keys = sorted(row[0] for row in sample.collect())
    return sorted({keys[len(keys) * number // slices] for number in range(1, slices)}) if keys else []
