"""The generated titles in words: the columns of title.basics, title.ratings, title.akas and title.episode."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from etl.sample import tables
from etl.sample.columns import Columns, joined, known_only, numbers, picked
from etl.sample.grammar import Grammar
from etl.sample.randomness import Bools, Ints
from etl.sample.titles import EPISODE, LAST_YEAR, MINI_SERIES, SERIES, SHORT, TITLE_TYPES, TV_SHORT
from etl.sample.words import CULTURES, LISTS
from etl.sample.world import World

if TYPE_CHECKING:
    import pyarrow as pa

_GENRES = len(tables.GENRES)
_ENGLISH = 0
_IN_OWN_SCRIPT = np.array([culture.native for culture in CULTURES])
_CULTURE_WEIGHTS = [culture.weight for culture in CULTURES]
_AKA_CULTURE = np.array([[culture.region for culture in CULTURES].index(region) for region in tables.AKA_CULTURES])
_MOST_VOTES = 3_200_000.0
_DAYS = {"day": [str(day) for day in range(1, 29)]}


class TitleText:
    """The words that titles are made of, made ready once."""

    def __init__(self) -> None:
        self.titles = Grammar([culture.titles for culture in CULTURES], LISTS)
        self.dated = Grammar([("Episode dated {day} {month} ",)], {**LISTS, **_DAYS})


class TitleBlock:
    """Some consecutive titles. What several files need to know of them is computed once."""

    def __init__(self, world: World, text: TitleText, titles: Ints) -> None:
        self.world, self.titles, self._text, self._chance = world, titles, text, world.chance
        self.episodes = world.titles.episodes(titles)
        self.types = world.titles.types(titles, self.episodes)
        self.listed = world.titles.is_listed(titles)
        self.tconst = world.tconst(titles)

    def basics(self) -> Columns:
        year, year_known = self._years
        genres_known = ~self._percent("genres unknown", 4) | self._adult
        first, second, third = self._genres
        columns = (
            self.tconst,
            picked(TITLE_TYPES, self.types),
            self._primary,
            self._original,
            numbers(self._adult.astype(np.int64)),
            numbers(year, year_known),
            self._end_year(),
            self._runtime(),
            known_only(picked(tables.GENRE_LISTS, (first * _GENRES + second) * _GENRES + third), genres_known),
        )
        return _rows(columns, self.listed)

    def ratings(self) -> Columns:
        """Titles that are missing from title.basics can be rated: real files have such rows."""
        titles = self.titles[self._percent("rated", tables.RATED[self.types])]
        types = self.types[self._percent("rated", tables.RATED[self.types])]
        # A power law, P(votes > v) ~ v^(-2/3), bent down towards the most that any title has.
        share = (self._chance.below("votes", titles, 1 << 30) + 1) / (1 << 30)
        votes = tables.VOTES_FROM[types] / (share * np.sqrt(share))
        votes = (votes * _MOST_VOTES / (votes + _MOST_VOTES)).astype(np.int64)
        # Four uniform draws make a bell around 6.6, wider below than above because of the limit of 10.0.
        tenths = 24 + sum((self._chance.below(f"rating {n}", titles, 22) for n in range(4)), np.zeros_like(titles))
        tenths = np.clip(tenths, 10, 100)
        rating = picked([f"{n // 10}.{n % 10}" for n in range(101)], tenths)
        return (self.world.tconst(titles), rating, numbers(np.maximum(votes, 5)))

    def episode(self) -> Columns:
        rows = self.listed & self.episodes.is_episode
        series = self.episodes.series[rows]
        numbered = ~self._percent("numbered", 7, of=self.titles[rows])
        by_year = self._percent("season is a year", 2, of=series)
        season = np.where(by_year, self._years[0][rows], self.episodes.season[rows])
        return (
            *_rows((self.tconst,), rows),
            self.world.tconst(series),
            numbers(season, numbered),
            numbers(self.episodes.number[rows], numbered),
        )

    def akas(self) -> Columns:
        """The original title first, then names in some regions."""
        chosen = np.flatnonzero(self.listed & self._percent("akas", tables.HAS_AKAS[self.types]))
        counts = 2 + self._chance.below("aka count", self.titles[chosen], 4)
        row = np.repeat(chosen, counts)
        nth = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
        is_original = nth == 0
        keys = self.titles[row] * 8 + nth
        region = (self._chance.below("aka region", self.titles, len(tables.AKA_REGIONS))[row] + nth * 4) % len(
            tables.AKA_REGIONS
        )
        told = self._text.titles.speak(_AKA_CULTURE[region], self._chance.draw("aka", keys))
        notes = self._chance.below("aka notes", keys, len(tables.AKA_NOTES))
        types, attributes = ([note[n] for note in tables.AKA_NOTES] for n in range(2))
        return (
            self.tconst.take(row),
            numbers(nth + 1),
            _either(is_original, self._original.take(row), told),
            known_only(picked(tables.AKA_REGIONS, region), ~is_original),
            known_only(picked(tables.AKA_LANGUAGES, region), ~is_original),
            _either(is_original, "original", picked(types, notes)),
            known_only(picked(attributes, notes), ~is_original),
            numbers(is_original.astype(np.int64)),
        )

    @cached_property
    def is_nonfiction(self) -> Bools:
        """Whether people appear as themselves."""
        return tables.IS_NONFICTION[self._genres[0]]

    @cached_property
    def _years(self) -> tuple[Ints, Bools]:
        return self.world.titles.years(self.titles, self.episodes)

    @cached_property
    def _adult(self) -> Bools:
        return self._percent("adult", 1.2, of=self.episodes.series)

    @cached_property
    def _genres(self) -> tuple[Ints, Ints, Ints]:
        """Three genres, some of them equal: then the title has fewer. An episode has those of its series."""
        series = self.episodes.series
        picks = []
        for nth in ("first", "second", "third"):
            screen = self._chance.pick(f"{nth} screen genre", series, tables.SCREEN_GENRES)
            serial = self._chance.pick(f"{nth} series genre", series, tables.SERIES_GENRES)
            picks.append(np.where(self.types <= EPISODE, serial, screen))
        how_many = self._chance.pick("genre count", series, (45, 30, 25))
        second = np.where(how_many >= 1, picks[1], picks[0])
        third = np.where(how_many >= 2, picks[2], picks[0])
        third = np.where((self.types == SHORT) | (self.types == TV_SHORT), tables.SHORT_FILM, third)
        return np.where(self._adult, tables.ADULT, picks[0]), second, third

    @cached_property
    def _culture(self) -> Ints:
        return self._chance.pick("culture", self.episodes.series, _CULTURE_WEIGHTS)

    @cached_property
    def _translated(self) -> Bools:
        """Titles of other countries that are best known by an English name."""
        share = np.where(self._culture <= 1, 0, np.where(_IN_OWN_SCRIPT[self._culture], 75, 30))
        return self._percent("translated", share) & ~self._plain_episode

    @cached_property
    def _plain_episode(self) -> Bools:
        """Episodes that have a number or a date instead of a name, as all of their series do."""
        return self.episodes.is_episode & self._percent("plain", 40, of=self.episodes.series)

    @cached_property
    def _original(self) -> pa.StringArray:
        names = self._text.titles.speak(self._culture, self._chance.draw("title", self.titles))
        dated = self._percent("dated", 25, of=self.episodes.series)
        numbered = joined("Episode #", numbers(self.episodes.season), ".", numbers(self.episodes.number))
        date = self._text.dated.speak(np.zeros_like(self.titles), self._chance.draw("date", self.titles))
        plain = _either(dated, joined(date, numbers(self._years[0])), numbered)
        return _either(self._plain_episode, plain, names)

    @cached_property
    def _primary(self) -> pa.StringArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        told = self.titles[self._translated]
        english = self._text.titles.speak(np.full(told.size, _ENGLISH), self._chance.draw("english title", told))
        return pc.replace_with_mask(self._original, pa.array(self._translated), english)

    def _end_year(self) -> pa.StringArray:
        ended = (self.types == MINI_SERIES) | ((self.types == SERIES) & self._percent("ended", 45))
        year, known = self._years
        seasons = np.where(self.types == SERIES, self._chance.below("seasons", self.titles, 9), 0)
        return numbers(np.minimum(year + seasons, np.maximum(year, LAST_YEAR)), ended & known)

    def _runtime(self) -> pa.StringArray:
        spread = tables.RUNTIME_SPREAD[self.types]
        # the smaller of two draws: short ones are more frequent, long ones exist
        draws = (self._chance.below(f"runtime {n}", self.titles, spread) for n in "ab")
        minutes = tables.RUNTIME_FROM[self.types] + np.minimum(*draws)
        return numbers(minutes, self._percent("runtime", tables.RUNTIME_KNOWN[self.types]))

    def _percent(self, purpose: str, share: float | Ints, *, of: Ints | None = None) -> Bools:
        return self._chance.percent(purpose, self.titles if of is None else of, share)


def _rows(columns: Columns, chosen: Bools) -> Columns:
    import pyarrow as pa

    mask = pa.array(chosen)
    return tuple(column.filter(mask) for column in columns)


def _either(mask: Bools, if_true: pa.StringArray | str, if_false: pa.StringArray) -> pa.StringArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(mask), if_true, if_false)
