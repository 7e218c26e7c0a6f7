"""Identifiers in IMDb's form and order: `tt` or `nm`, seven digits or eight, sorted as text."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from etl.sample.randomness import Chance, Ints

if TYPE_CHECKING:
    import pyarrow as pa

# In text order tt10000000 … tt10000009 come between tt1000000 and tt1000001. So the order is: 7-digit numbers below
# 1000000; each 7-digit number up to a limit, followed by the ten 8-digit numbers that begin with it; the other 7-digit
# numbers.
_LOW = 999_999
_STEMS = 9_000_000


class Identifiers:
    """`count` distinct identifiers, in ascending text order of their index."""

    def __init__(self, chance: Chance, prefix: str, count: int, *, long_stems: int) -> None:
        """`long_stems` is how many 7-digit numbers, from 1000000 on, are also prefixes of 8-digit ones."""
        places = _LOW + _STEMS + long_stems * 10
        if count > places:
            raise ValueError(f"{count} identifiers asked, there are {places}")
        self._chance, self._prefix, self._stride, self._long_stems = chance, prefix, places // count, long_stems

    def format_ids(self, index: Ints) -> pa.StringArray:
        """Format the identifiers of these indexes."""
        import pyarrow.compute as pc

        gaps = self._chance.draw_below(f"{self._prefix} gaps", index, self._stride)
        head, tail = np.divmod(self._to_number(index * self._stride + np.where(index == 0, 0, gaps)), 10_000)
        heads, tails = self._tables
        return pc.binary_join_element_wise(heads.take(head), tails.take(tail), "")

    @cached_property
    def _tables(self) -> tuple[pa.StringArray, pa.StringArray]:
        """All but the last four digits (three of them for a 7-digit number), and the last four."""
        import pyarrow as pa

        return pa.array([f"{self._prefix}{n:03d}" for n in range(10_000)]), pa.array(
            [f"{n:04d}" for n in range(10_000)]
        )

    def _to_number(self, place: Ints) -> Ints:
        stem, last = np.divmod(place - _LOW, 11)
        long = np.where(last == 0, stem + 1_000_000, (stem + 1_000_000) * 10 + last - 1)
        above = place - _LOW - self._long_stems * 10 + 1_000_000
        return np.where(place < _LOW, place + 1, np.where(stem < self._long_stems, long, above))
