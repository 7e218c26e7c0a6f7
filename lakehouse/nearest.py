"""Suggestions for a misspelt word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_CHARS = 128
"""Comparing two words takes time proportional to the product of their lengths; no known word is longer."""


def nearest(word: str, known: Iterable[str], most: int = 3, *, cutoff: float = 0.6) -> list[str]:
    """The known words most similar to `word`, ignoring case, the most similar first.

    >>> nearest("Ratngs", ["titles", "ratings"])
    ['ratings']
    """
    if len(word) > _MOST_CHARS:
        return []
    by_folded = {each.casefold(): each for each in known if len(each) <= _MOST_CHARS}
    return [by_folded[each] for each in difflib.get_close_matches(word.casefold(), by_folded, n=most, cutoff=cutoff)]
