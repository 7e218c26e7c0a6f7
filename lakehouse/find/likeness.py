"""How much a name is what was asked for.

A name is likely if it is prominent, and if what was asked for is a likely way to write it. Slips of a letter, a missing
article and another order are likely; another word is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from lakehouse.find.words import SMALL_WORDS, canonicalize_numerals, split_words_cached

PROMINENCE_SHARE: Final = 0.15
"""Of the score. A name of ten letters with a slip in it comes before an obscure one without, one of five does not."""
_MOST_DECADES: Final = 6.5
_LEAST_LIKE: Final = 0.55
"""Words that have less in common than this are other words."""


def rate_prominence(weight: float) -> float:
    """Rate a weight from 0 to 1, by its logarithm."""
    return min(1.0, math.log10(1 + max(weight, 0)) / _MOST_DECADES)


class Wanted:
    """What was asked for, prepared for comparison with many names."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = canonicalize_numerals(tuple(words))
        self.joined = "".join(words)
        self.in_order = " ".join(sorted(self.words))
        self.core = "".join(_drop_small(self.words))
        self.costs = [_rate_word(word) for word in self.words]
        self.cost = sum(self.costs)

    def compare(self, name: str) -> float:
        """How alike a name is, from 0 to 1."""
        from rapidfuzz.distance import OSA

        plain = split_words_cached(name)
        if not plain:
            return 0.0
        words = canonicalize_numerals(plain)
        whole = OSA.normalized_similarity(self.joined, "".join(plain))
        if whole == 1:
            return 1.0 if words == self.words else 0.995
        sim = max(whole, 0.99 * OSA.normalized_similarity(self.in_order, " ".join(sorted(words))))
        core = "".join(_drop_small(words))
        sim = max(sim, 0.985 * OSA.normalized_similarity(self.core, core))
        return max(sim, self._compare_words(words))

    def _compare_words(self, words: tuple[str, ...]) -> float:
        """Compare word by word, each with its best partner; a name may have more words than were asked for."""
        from rapidfuzz.distance import OSA

        pairs = []
        for place, wanted in enumerate(self.words):
            for other, word in enumerate(words):
                if wanted == word:
                    pairs.append((1.0, place, other))
                elif not (wanted.isdigit() or word.isdigit()):
                    like = OSA.normalized_similarity(wanted, word, score_cutoff=_LEAST_LIKE)
                    if like:
                        pairs.append((like, place, other))
        pairs.sort(key=lambda pair: -pair[0])
        used_wanted, used_words = set[int](), set[int]()
        found = named = 0.0
        for like, place, other in pairs:
            if place in used_wanted or other in used_words:
                continue
            used_wanted.add(place)
            used_words.add(other)
            found += like * self.costs[place]
            named += _rate_word(words[other])
        total = sum(map(_rate_word, words))
        return (found / self.cost) * (0.8 + 0.17 * named / total) if total and self.cost else 0.0


def _rate_word(word: str) -> float:
    """How much a word says: small words little, numbers as much as a word."""
    if word in SMALL_WORDS:
        return 0.5
    return 4.0 if word.isdigit() else 1.0 + min(len(word), 9)


def _drop_small(words: Sequence[str]) -> Sequence[str]:
    return [word for word in words if word not in SMALL_WORDS] or words
