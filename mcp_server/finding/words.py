"""Words of names and questions, and which texts have most of them, slips included."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from lakehouse.find.words import fold_text, split_words

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_CLOSE = 0.75
"""The least similarity of a word and one with a slip in it."""
_LEAST_TYPED = 4
"""Words shorter than this have no slips: `war` and `was` are two."""
_MOST_WORDS = 40

# Words of questions that say nothing of what is asked. Questions in other languages are told apart by rarity alone.
_SAID_BY_ALL = frozenset(
    split_words(
        "a all an and are as at be by did do does each every for from had has have how in is it its list me of on or "
        "per show tell than that the their there these they this to was were what when where which who whose with"
    )
)


def split_name(name: str) -> list[str]:
    """Split the name of a table or column at capitals, digits and underscores; the whole name is a word too.

    >>> split_name("primaryTitle")
    ['primary', 'title', 'primarytitle']
    """
    parts = [fold_text(part) for part in _PARTS.findall(name)[:_MOST_WORDS]]
    whole = fold_text(name)
    return parts if parts == [whole] else [*parts, whole]


def split_telling_words(text: str) -> list[str]:
    """Split a text into words, without those that every question has; with them where nothing else is left.

    >>> split_telling_words("Which are the longest films?")
    ['longest', 'films']
    """
    words = split_words(text)[:_MOST_WORDS]
    return [word for word in words if word not in _SAID_BY_ALL] or words


class WordIndex:
    """Texts by their words: few enough, as the columns of a lake are, to be compared word by word.

    `texts` has the words of each text, by its number, with what a match of each is worth.
    """

    def __init__(self, texts: Mapping[int, Mapping[str, float]]) -> None:
        self._size = max(len(texts), 1)
        self._places: dict[str, dict[int, float]] = defaultdict(dict)
        for number, words in texts.items():
            for word, worth in words.items():
                self._places[word][number] = max(worth, self._places[word].get(number, 0.0))

    def search(self, words: Iterable[str]) -> list[tuple[float, int]]:
        """Find the texts that have most of the words, best first, each with its share of them from 0 to 1.

        A word counts by its rarity.
        """
        scores: dict[int, float] = defaultdict(float)
        total = 0.0
        for word in dict.fromkeys(words):
            best: dict[int, float] = {}
            for other, places in self._places.items():
                if closeness := compare_words(word, other):
                    for number, worth in places.items():
                        best[number] = max(best.get(number, 0.0), closeness * worth)
            rarity = math.log(1 + self._size / (1 + len(best)))
            total += rarity
            for number, value in best.items():
                scores[number] += rarity * value
        return sorted(((score / total, number) for number, score in scores.items()), key=lambda hit: (-hit[0], hit[1]))


def compare_words(word: str, other: str) -> float:
    """Return how well one word stands for another: 1 where they are equal, 0 where they are two words."""
    from rapidfuzz.distance import OSA

    if word == other:
        return 1.0
    shorter, longer = sorted((word, other), key=len)
    if len(shorter) >= _LEAST_TYPED - 1 and longer.startswith(shorter):
        return 0.8 + 0.15 * len(shorter) / len(longer)
    return OSA.normalized_similarity(word, other, score_cutoff=_CLOSE) if len(shorter) >= _LEAST_TYPED else 0.0


def find_lines(page: str, text: str, most: int = 2) -> list[str]:
    """Find the lines of a page that have all telling words of a text, such as the one that says what the lake lacks.

    >>> find_lines("# IMDb\\n- Not here: box office, budget.", "the box office")
    ['Not here: box office, budget.']
    """
    words = set(split_telling_words(text))
    lines = (line.lstrip("-*# ").strip() for line in page.splitlines())
    return [line for line in lines if words <= set(split_words(line))][:most]
