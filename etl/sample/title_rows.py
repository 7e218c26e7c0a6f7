"""Columns of title.basics, title.ratings, title.akas and title.episode for the generated titles."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from etl.sample import tables
from etl.sample.columns import Columns, format_numbers, join_text, mask_unknown, pick_words
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
    """Grammars of titles, built once."""

    def __init__(self) -> None:
        self.titles = Grammar([culture.titles for culture in CULTURES], LISTS)
        self.dated = Grammar([("Episode dated {day} {month} ",)], {**LISTS, **_DAYS})


class TitleBlock:
    """A block of consecutive titles. Values that several files need are computed once."""

    def __init__(self, world: World, text: TitleText, titles: Ints) -> None:
        self.world, self.titles, self._text, self._chance = world, titles, text, world.chance
        self.episodes = world.titles.find_episodes(titles)
        self.types = world.titles.draw_types(titles, self.episodes)
        self.listed = world.titles.is_listed(titles)
        self.tconst = world.format_tconst(titles)

    def build_basics(self) -> Columns:
        """Build the rows of title.basics."""
        year, year_known = self._years
        genres_known = ~self._draw_percent("genres unknown", 4) | self._adult
        first, second, third = self._genres
        columns = (
            self.tconst,
            pick_words(TITLE_TYPES, self.types),
            self._primary,
            self._original,
            format_numbers(self._adult.astype(np.int64)),
            format_numbers(year, year_known),
            self._build_end_years(),
            self._build_runtimes(),
            mask_unknown(pick_words(tables.GENRE_LISTS, (first * _GENRES + second) * _GENRES + third), genres_known),
        )
        return _filter_rows(columns, self.listed)

    def build_ratings(self) -> Columns:
        """Build the rows of title.ratings. Titles missing from title.basics can be rated, as in real files."""
        titles = self.titles[self._draw_percent("rated", tables.RATED[self.types])]
        types = self.types[self._draw_percent("rated", tables.RATED[self.types])]
        # A power law, P(votes > v) ~ v^(-2/3), bent down towards the most that any title has.
        share = (self._chance.draw_below("votes", titles, 1 << 30) + 1) / (1 << 30)
        votes = tables.VOTES_FROM[types] / (share * np.sqrt(share))
        votes = (votes * _MOST_VOTES / (votes + _MOST_VOTES)).astype(np.int64)
        # Four uniform draws make a bell around 6.6, wider below than above because of the limit of 10.0.
        tenths = 24 + sum((self._chance.draw_below(f"rating {n}", titles, 22) for n in range(4)), np.zeros_like(titles))
        tenths = np.clip(tenths, 10, 100)
        rating = pick_words([f"{n // 10}.{n % 10}" for n in range(101)], tenths)
        return (self.world.format_tconst(titles), rating, format_numbers(np.maximum(votes, 5)))

    def build_episodes(self) -> Columns:
        """Build the rows of title.episode."""
        rows = self.listed & self.episodes.is_episode
        series = self.episodes.series[rows]
        numbered = ~self._draw_percent("numbered", 7, of=self.titles[rows])
        by_year = self._draw_percent("season is a year", 2, of=series)
        season = np.where(by_year, self._years[0][rows], self.episodes.season[rows])
        return (
            *_filter_rows((self.tconst,), rows),
            self.world.format_tconst(series),
            format_numbers(season, numbered),
            format_numbers(self.episodes.number[rows], numbered),
        )

    def build_akas(self) -> Columns:
        """Build the rows of title.akas: the original title first, then names in some regions."""
        chosen = np.flatnonzero(self.listed & self._draw_percent("akas", tables.HAS_AKAS[self.types]))
        counts = 2 + self._chance.draw_below("aka count", self.titles[chosen], 4)
        row = np.repeat(chosen, counts)
        nth = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
        is_original = nth == 0
        keys = self.titles[row] * 8 + nth
        region = (self._chance.draw_below("aka region", self.titles, len(tables.AKA_REGIONS))[row] + nth * 4) % len(
            tables.AKA_REGIONS
        )
        told = self._text.titles.compose_phrases(_AKA_CULTURE[region], self._chance.draw_numbers("aka", keys))
        notes = self._chance.draw_below("aka notes", keys, len(tables.AKA_NOTES))
        types, attributes = ([note[n] for note in tables.AKA_NOTES] for n in range(2))
        return (
            self.tconst.take(row),
            format_numbers(nth + 1),
            _choose_values(is_original, self._original.take(row), told),
            mask_unknown(pick_words(tables.AKA_REGIONS, region), ~is_original),
            mask_unknown(pick_words(tables.AKA_LANGUAGES, region), ~is_original),
            _choose_values(is_original, "original", pick_words(types, notes)),
            mask_unknown(pick_words(attributes, notes), ~is_original),
            format_numbers(is_original.astype(np.int64)),
        )

    @cached_property
    def is_nonfiction(self) -> Bools:
        """Whether people appear as themselves."""
        return tables.IS_NONFICTION[self._genres[0]]

    @cached_property
    def _years(self) -> tuple[Ints, Bools]:
        return self.world.titles.draw_years(self.titles, self.episodes)

    @cached_property
    def _adult(self) -> Bools:
        return self._draw_percent("adult", 1.2, of=self.episodes.series)

    @cached_property
    def _genres(self) -> tuple[Ints, Ints, Ints]:
        """Three genres per title; equal ones count once. An episode has those of its series."""
        series = self.episodes.series
        picks = []
        for nth in ("first", "second", "third"):
            screen = self._chance.pick_weighted(f"{nth} screen genre", series, tables.SCREEN_GENRES)
            serial = self._chance.pick_weighted(f"{nth} series genre", series, tables.SERIES_GENRES)
            picks.append(np.where(self.types <= EPISODE, serial, screen))
        how_many = self._chance.pick_weighted("genre count", series, (45, 30, 25))
        second = np.where(how_many >= 1, picks[1], picks[0])
        third = np.where(how_many >= 2, picks[2], picks[0])
        third = np.where((self.types == SHORT) | (self.types == TV_SHORT), tables.SHORT_FILM, third)
        return np.where(self._adult, tables.ADULT, picks[0]), second, third

    @cached_property
    def _culture(self) -> Ints:
        return self._chance.pick_weighted("culture", self.episodes.series, _CULTURE_WEIGHTS)

    @cached_property
    def _translated(self) -> Bools:
        """Whether a title of another country is best known by an English name."""
        share = np.where(self._culture <= 1, 0, np.where(_IN_OWN_SCRIPT[self._culture], 75, 30))
        return self._draw_percent("translated", share) & ~self._plain_episode

    @cached_property
    def _plain_episode(self) -> Bools:
        """Whether an episode has a number or a date as its title, as all of its series do."""
        return self.episodes.is_episode & self._draw_percent("plain", 40, of=self.episodes.series)

    @cached_property
    def _original(self) -> pa.StringArray:
        names = self._text.titles.compose_phrases(self._culture, self._chance.draw_numbers("title", self.titles))
        dated = self._draw_percent("dated", 25, of=self.episodes.series)
        numbered = join_text(
            "Episode #", format_numbers(self.episodes.season), ".", format_numbers(self.episodes.number)
        )
        date = self._text.dated.compose_phrases(
            np.zeros_like(self.titles), self._chance.draw_numbers("date", self.titles)
        )
        plain = _choose_values(dated, join_text(date, format_numbers(self._years[0])), numbered)
        return _choose_values(self._plain_episode, plain, names)

    @cached_property
    def _primary(self) -> pa.StringArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        told = self.titles[self._translated]
        english = self._text.titles.compose_phrases(
            np.full(told.size, _ENGLISH), self._chance.draw_numbers("english title", told)
        )
        return pc.replace_with_mask(self._original, pa.array(self._translated), english)

    def _build_end_years(self) -> pa.StringArray:
        ended = (self.types == MINI_SERIES) | ((self.types == SERIES) & self._draw_percent("ended", 45))
        year, known = self._years
        seasons = np.where(self.types == SERIES, self._chance.draw_below("seasons", self.titles, 9), 0)
        return format_numbers(np.minimum(year + seasons, np.maximum(year, LAST_YEAR)), ended & known)

    def _build_runtimes(self) -> pa.StringArray:
        spread = tables.RUNTIME_SPREAD[self.types]
        # the smaller of two draws: short ones are more frequent, long ones exist
        draws = (self._chance.draw_below(f"runtime {n}", self.titles, spread) for n in "ab")
        minutes = tables.RUNTIME_FROM[self.types] + np.minimum(*draws)
        return format_numbers(minutes, self._draw_percent("runtime", tables.RUNTIME_KNOWN[self.types]))

    def _draw_percent(self, purpose: str, share: float | Ints, *, of: Ints | None = None) -> Bools:
        return self._chance.draw_percent(purpose, self.titles if of is None else of, share)


def _filter_rows(columns: Columns, chosen: Bools) -> Columns:
    import pyarrow as pa

    mask = pa.array(chosen)
    return tuple(column.filter(mask) for column in columns)


def _choose_values(mask: Bools, if_true: pa.StringArray | str, if_false: pa.StringArray) -> pa.StringArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pa.array(mask), if_true, if_false)
