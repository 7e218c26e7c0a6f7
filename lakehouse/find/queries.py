"""The queries by which names are proposed for words, in three stages. No query is ever parsed from text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from lakehouse.find.words import EQUIVALENTS, SMALL_WORDS, list_sound_alikes

_MOST_LOOKED_UP: Final = 6
_MOST_SPLIT_WORDS, _MOST_SPLIT_CHARS, _MOST_PARTS = 4, 24, 3
_SHORT_WORD: Final = 6
"""A word that is shorter may have one slip in it, others two."""
_LONG_WORD: Final = 8
"""A word that is as long may have two slips besides being spelt as it sounds."""


class Stage(Enum):
    """How far from what was asked for the names may be; each stage costs more than the one before."""

    EXACT = "exact"
    SLIPS = "slips"
    LOOSE = "loose"


class Proposal(NamedTuple):
    """A query, and whether the most prominent of what it finds is wanted, or what has the rarest of the words."""

    query: Any
    by_weight: bool


class QueryBuilder:
    """Builds the queries of a search over one index."""

    def __init__(self, schema: Any, searcher: Any) -> None:
        self._schema = schema
        self._searcher = searcher

    def build(self, stage: Stage, words: Sequence[str]) -> Iterator[Proposal]:
        """Build the queries of a stage for folded words."""
        chosen = _choose_words(words)
        match stage:
            case Stage.EXACT:
                yield Proposal(self._build_exact(chosen), by_weight=True)
            case Stage.SLIPS:
                yield Proposal(self._build_slips(chosen), by_weight=True)
            case Stage.LOOSE:
                yield from self._build_loose(chosen)

    def match_words(self, words: Sequence[str]) -> Any:
        """Match names that have all these words as they are."""
        return match_all([self._term(word) for word in words])

    def match_groups(self, groups: Sequence[int]) -> Any:
        """Match things of some groups."""
        import tantivy

        return match_any([tantivy.Query.term_query(self._schema, "group", group) for group in groups])

    def _build_exact(self, words: Sequence[str]) -> Any:
        """All words as they are, or two of them as one, or one of them as several."""
        forms = [list(words), *_join_neighbours(words)]
        exact = [match_all([self._alike(word) for word in form]) for form in forms]
        exact += [
            match_all(
                [*map(self._alike, words[:place]), *map(self._term, parts), *map(self._alike, words[place + 1 :])]
            )
            for place, word in enumerate(words[:_MOST_SPLIT_WORDS])
            for parts in self._split(word, _MOST_PARTS)
        ]
        return match_any(exact)

    def _build_slips(self, words: Sequence[str]) -> Any:
        """All words with slips in them, or two of them as one with slips in it."""
        slips = [self._slip(word) for word in words]
        queries = [match_all([*slips[:-1], self._slip(words[-1], unfinished=True)])]
        for place in range(len(words) - 1):
            rest = [self._alike(word) for other, word in enumerate(words) if other not in (place, place + 1)]
            queries.append(match_all([self._slip(words[place] + words[place + 1]), *rest]))
        return match_any(queries)

    def _split(self, word: str, most: int) -> Iterator[tuple[str, ...]]:
        """Yield the ways to take a word for several that were written together, all of them words of the index."""
        if most < 2 or not 4 <= len(word) <= _MOST_SPLIT_CHARS:
            return
        for place in range(1, len(word)):
            left, right = word[:place], word[place:]
            if self._searcher.doc_freq("words", left):
                if self._searcher.doc_freq("words", right):
                    yield left, right
                if place > 1:
                    yield from ((left, *parts) for parts in self._split(right, most - 1))

    def _build_loose(self, words: Sequence[str]) -> Iterator[Proposal]:
        """Most of the words, with slips in them or as they sound."""
        import tantivy

        many = [match_any([self._slip(word), *self._sounds(word)]) for word in words if len(word) > 1]
        if not many:
            return
        should = [(tantivy.Occur.Should, query) for query in many]
        for least in dict.fromkeys((max(1, len(many) - 1), max(1, (len(many) + 1) // 2))):
            query = tantivy.Query.boolean_query(should, least)
            yield Proposal(query, by_weight=True)
            yield Proposal(query, by_weight=False)

    def _term(self, word: str) -> Any:
        import tantivy

        return tantivy.Query.term_query(self._schema, "words", word, "freq")

    def _alike(self, word: str) -> Any:
        return match_any([self._term(form) for form in EQUIVALENTS.get(word, (word,))])

    def _slip(self, word: str, *, unfinished: bool = False) -> Any:
        """The words that a misspelt word may be: one slip in a short word, two in a long one; or what it begins."""
        import tantivy

        queries = [self._alike(word)]
        if len(word) > 2 and not word.isdigit():
            queries.append(
                tantivy.Query.fuzzy_term_query(self._schema, "words", word, 1 if len(word) < _SHORT_WORD else 2)
            )
        if unfinished and len(word) > 3:
            queries.append(tantivy.Query.fuzzy_term_query(self._schema, "words", word, 0, prefix=True))
        return match_any(queries)

    def _sounds(self, word: str) -> list[Any]:
        import tantivy

        if len(word) < _SHORT_WORD - 1:
            return []
        slips = 1 if len(word) < _LONG_WORD else 2
        return [
            tantivy.Query.fuzzy_term_query(self._schema, "words", each, slips) for each in list_sound_alikes(word)[:12]
        ]


def match_any(queries: Sequence[Any]) -> Any:
    """Match what one of the queries matches."""
    return _combine("Should", queries)


def match_all(queries: Sequence[Any]) -> Any:
    """Match what all of the queries match."""
    return _combine("Must", queries)


def _combine(occur: str, queries: Sequence[Any]) -> Any:
    import tantivy

    if len(queries) == 1:
        return queries[0]
    return tantivy.Query.boolean_query([(getattr(tantivy.Occur, occur), query) for query in queries])


def _choose_words(words: Sequence[str]) -> Sequence[str]:
    """The words to look up: without small ones, and of many the longest, which are the rarest."""
    telling = [word for word in words if word not in SMALL_WORDS] or list(words)
    if len(telling) <= _MOST_LOOKED_UP:
        return telling
    longest = sorted(telling, key=len, reverse=True)[:_MOST_LOOKED_UP]
    return [word for word in telling if word in longest][:_MOST_LOOKED_UP]


def _join_neighbours(words: Sequence[str]) -> list[list[str]]:
    """Write two neighbours together: "god father" also means "godfather"."""
    return [[*words[:place], words[place] + words[place + 1], *words[place + 2 :]] for place in range(len(words) - 1)]
