"""Composes columns of text from patterns of words, a block at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from etl.sample.randomness import Ints

if TYPE_CHECKING:
    import pyarrow as pa

_LIST = re.compile(r"(\{\w+\})")


class Grammar:
    """Groups of patterns over one vocabulary, compiled for bulk use.

    A pattern consists of literals and `{list}` names. Both are spans in one array of words (a literal is a list of
    one), so a phrase takes a few lookups and one join.
    """

    def __init__(self, groups: Sequence[Sequence[str]], lists: Mapping[str, Sequence[str]]) -> None:
        import pyarrow as pa

        words: list[str] = [""]
        spans: dict[str, tuple[int, int]] = {"": (0, 1)}
        patterns = [_LIST.split(pattern) for group in groups for pattern in group]
        patterns = [[part for part in parts if part] for parts in patterns]
        self._slots = max(len(parts) for parts in patterns)
        for part in (part for parts in patterns for part in parts):
            if part not in spans:
                entries = lists[part[1:-1]] if part.startswith("{") else [part]
                spans[part] = (len(words), len(entries))
                words += entries
        table = np.array([[spans[part] for part in parts + [""] * (self._slots - len(parts))] for parts in patterns])
        self._first, self._count = table[:, :, 0].astype(np.int64), table[:, :, 1].astype(np.int64)
        self._words = pa.array(words)
        self._group_size = np.array([len(group) for group in groups], dtype=np.int64)
        self._group_first = np.cumsum(self._group_size) - self._group_size

    def compose_phrases(self, group: Ints, draws: Ints) -> pa.StringArray:
        """Compose one phrase per draw. A draw is decoded as a mixed-radix number: the pattern, then each word."""
        import pyarrow.compute as pc

        draws, choice = np.divmod(draws, self._group_size[group])
        pattern = self._group_first[group] + choice
        columns = []
        for slot in range(self._slots):
            draws, word = np.divmod(draws, self._count[pattern, slot])
            columns.append(self._words.take(self._first[pattern, slot] + word))
        return pc.binary_join_element_wise(*columns, "")
