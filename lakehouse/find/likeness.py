"""How much a name is what was asked for.

A name is likely if it is prominent, and if what was asked for is a likely way to write it. Slips of a letter, a missing
article and another order are likely; another word or another number is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

from lakehouse.find.words import SMALL_WORDS, spell_sound, split_words, unify_words

_PROMINENCE_SHARE: Final = 0.3
"""Of the score. A long name with a slip in it comes before an obscure one without; a name of five letters does not."""
_MOST_DECADES: Final = 7.0
_LEAST_LIKE: Final = 0.55
"""Words that have less in common than this are other words."""
_FURTHER_NAME, _TITLE_ALONE, _SUBTITLE, _OTHER_ORDER, _SMALL_WORDS_DIFFER = 0.985, 0.97, 0.95, 0.99, 0.985
_SOUND, _SOUNDS = 0.94, 0.7
"""What remains of likeness of words that sound alike, and how alike they have to sound."""
_OTHER_NUMBER: Final = 0.88
"""What remains of likeness where one name has a number that the other has not: "Rocky" is not "Rocky II"."""
_WORDS_FOUND, _NAME_COVERED = 0.82, 0.13
"""A name with all words that were asked for, and the share of it that they are."""
_SUBTITLED: Final = re.compile(r": | [-–—] ")


def rate_prominence(weight: float) -> float:
    """Rate a weight from 0 to 1, by its logarithm."""
    return min(1.0, math.log10(1 + max(weight, 0)) / _MOST_DECADES)


def rate_hit(like: float, prominence: float) -> float:
    """Rate a hit from 0 to 1, by how alike its name is and how prominent it is."""
    return (like + _PROMINENCE_SHARE * prominence) / (1 + _PROMINENCE_SHARE)


class Wanted:
    """What was asked for, prepared for comparison with many names."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = unify_words(words)
        self._joined = "".join(self.words)
        self._sorted = " ".join(sorted(self.words))
        self._core = "".join(_drop_small(self.words))
        self._numbers = _list_numbers(self.words)
        self._costs = [_rate_word(word) for word in self.words]

    @property
    def best_slip(self) -> float:
        """How alike a name with one slip in it is."""
        return 1 - 1 / max(len(self._joined), 2)

    def compare_names(self, label: str, others: Sequence[str]) -> tuple[float, str]:
        """How alike the best of a thing's names is, from 0 to 1, and which one; empty for the label."""
        best, matched = self.compare(label), ""
        for other in others:
            like = _FURTHER_NAME * self.compare(other)
            if like > best:
                best, matched = like, other
        return best, matched

    def compare(self, name: str) -> float:
        """How alike a name is, from 0 to 1: as a whole, without its subtitle, or by its subtitle alone."""
        return max(share * self._compare_words(unify_words(split_words(part))) for part, share in _list_parts(name))

    def _compare_words(self, words: tuple[str, ...]) -> float:
        from rapidfuzz.distance import OSA

        if not words:
            return 0.0
        if words == self.words:
            return 1.0
        joined = "".join(words)
        if joined == self._joined:
            return 0.995
        similarity = OSA.normalized_similarity
        like = max(
            similarity(self._joined, joined),
            _OTHER_ORDER * similarity(self._sorted, " ".join(sorted(words))),
            _SMALL_WORDS_DIFFER * similarity(self._core, "".join(_drop_small(words))),
        )
        if self._numbers != _list_numbers(words):
            like *= _OTHER_NUMBER
        return max(like, self._match_words(words))

    def _match_words(self, words: tuple[str, ...]) -> float:
        """Compare word by word, each with its best partner; a name may have more words than were asked for."""
        from rapidfuzz.distance import OSA

        pairs = []
        for place, wanted in enumerate(self.words):
            for other, word in enumerate(words):
                if wanted == word:
                    pairs.append((1.0, place, other))
                elif not (wanted.isdigit() or word.isdigit()):
                    like = max(
                        OSA.normalized_similarity(wanted, word, score_cutoff=_LEAST_LIKE),
                        _SOUND
                        * OSA.normalized_similarity(spell_sound(wanted), spell_sound(word), score_cutoff=_SOUNDS),
                    )
                    if like:
                        pairs.append((like, place, other))
        pairs.sort(key=lambda pair: -pair[0])
        left_wanted, left_words = dict(enumerate(self._costs)), dict(enumerate(map(_rate_word, words)))
        found, wanted_cost, named_cost = 0.0, sum(self._costs), sum(left_words.values())
        for like, place, other in pairs:
            if place in left_wanted and other in left_words:
                found += like * left_wanted.pop(place)
                del left_words[other]
        covered = 1 - sum(left_words.values()) / named_cost
        return (found / wanted_cost) * (_WORDS_FOUND + _NAME_COVERED * covered)


def _list_parts(name: str) -> Iterator[tuple[str, float]]:
    """Yield a name, its title without the subtitle, and the subtitle, with what remains of likeness for each."""
    yield name, 1.0
    found = _SUBTITLED.search(name)
    if found is not None:
        yield name[: found.start()], _TITLE_ALONE
        yield name[found.end() :], _SUBTITLE


def _rate_word(word: str) -> float:
    """How much a word says: small words and initials little, numbers as much as a word."""
    if word.isdigit():
        return 4.0
    return 0.5 if word in SMALL_WORDS or (len(word) == 1 and word.isascii()) else 1.0 + min(len(word), 9)


def _drop_small(words: Sequence[str]) -> Sequence[str]:
    return [word for word in words if word not in SMALL_WORDS] or words


def _list_numbers(words: Sequence[str]) -> list[str]:
    return sorted(word for word in words if word.isdigit() and len(word) < 4)
