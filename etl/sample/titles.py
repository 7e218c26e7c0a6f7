"""The titles of the sample: their types, years and series.

Titles are numbers; `title_rows` adds text. All methods take arrays of titles and compute from the seed alone (see
`randomness`). The shares follow IMDb's files of 2025: three quarters of the titles are episodes, one in forty is a
series, and most are recent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl.sample.randomness import Bools, Chance, Ints, Shuffle, divide_places

LAST_YEAR = 2026
_FIRST_YEAR = 1894

TITLE_TYPES = (
    *("tvSeries", "tvMiniSeries", "tvEpisode", "short", "movie", "video", "tvMovie", "tvSpecial", "videoGame"),
    "tvShort",
)
SERIES, MINI_SERIES, EPISODE, SHORT, MOVIE = range(5)
TV_SHORT = 9
_TYPE_WEIGHTS = (0, 0, 0, 400, 300, 130, 70, 28, 18, 6)  # of titles that are neither series nor episodes

_SERIES_EVERY, _SERIES_AT = 40, 7  # every fortieth title is a series …
_GHOST_EVERY, _GHOST_AT = 800, 61  # … and every 800th is missing from title.basics (never a series: 61 % 40 != 7)
_EPISODE_SHARES = ((8, 9), (25, 20), (26, 50), (24, 150), (16, 500))  # percent of episodes, size of their series


@dataclass(frozen=True)
class Episodes:
    """For an array of titles: which are episodes, their series (others: the title itself), season and number."""

    is_episode: Bools
    series: Ints
    season: Ints
    number: Ints

    def select_rows(self, rows: Ints) -> Episodes:
        """Select the episodes of these rows."""
        return Episodes(self.is_episode[rows], self.series[rows], self.season[rows], self.number[rows])


class Titles:
    """All titles, numbered from 0: the listed ones, and a few that are missing from title.basics."""

    def __init__(self, chance: Chance, listed: int) -> None:
        self._chance = chance
        ghosts = 0 if listed <= _GHOST_AT else 1 + (listed - _GHOST_AT - 1) // (_GHOST_EVERY - 1)
        self.count = listed + ghosts
        self._series = (self.count + _SERIES_EVERY - _SERIES_AT - 1) // _SERIES_EVERY
        wanted = self.count * 77 // 100 if self._series else 0
        largest = [wanted // 100, wanted // 160, wanted // 260]
        mean = wanted // max(self._series, 1) + 1
        self._seats = divide_places(wanted, largest, (*_EPISODE_SHARES, (1, mean)))
        self._seating = Shuffle(chance, "episodes", self.count)
        self._ranks = Shuffle(chance, "series", max(self._series, 1))

    def is_listed(self, titles: Ints) -> Bools:
        """Return whether titles are in title.basics."""
        return np.not_equal(titles % _GHOST_EVERY, _GHOST_AT)

    def find_episodes(self, titles: Ints) -> Episodes:
        """Find which titles are episodes, and of which series."""
        seat = self._seating.map_backward(titles)
        is_series = titles % _SERIES_EVERY == _SERIES_AT
        is_episode = (seat < self._seats.places) & ~is_series
        if not self._series:
            return Episodes(np.zeros_like(is_episode), titles, titles, titles)
        rank, nth = self._seats.find_owner(np.where(is_episode, seat, 0))
        is_episode &= rank < self._series
        series = self._ranks.map_forward(np.minimum(rank, self._series - 1)) * _SERIES_EVERY + _SERIES_AT
        series = np.where(is_episode, series, titles)
        season, number = np.divmod(nth, self._draw_season_length(series))
        return Episodes(is_episode, series, season + 1, number + 1)

    def draw_types(self, titles: Ints, episodes: Episodes) -> Ints:
        """Indexes into TITLE_TYPES."""
        others = self._chance.pick_weighted("type", titles, _TYPE_WEIGHTS)
        series = np.where(self._chance.draw_percent("mini", titles, 18), MINI_SERIES, SERIES)
        kinds = np.where(titles % _SERIES_EVERY == _SERIES_AT, series, others)
        return np.where(episodes.is_episode, EPISODE, kinds)

    def draw_years(self, titles: Ints, episodes: Episodes) -> tuple[Ints, Bools]:
        """Draw the first year, and whether it is known. An episode's year follows its series by one year per season."""
        past = np.arange(_FIRST_YEAR, LAST_YEAR + 2) - 1880  # weights grow with the fourth power: half is after 2005
        weights = past**4
        weights[-1] //= 20  # announced for next year
        year = self._chance.pick_weighted("year", episodes.series, weights) + _FIRST_YEAR
        year = np.where(episodes.is_episode, np.minimum(np.maximum(year, 1946) + episodes.season - 1, LAST_YEAR), year)
        year = np.where(titles % _SERIES_EVERY == _SERIES_AT, np.maximum(year, 1946), year)
        return year, ~self._chance.draw_percent("year unknown", titles, 6)

    def _draw_season_length(self, series: Ints) -> Ints:
        return 6 + self._chance.draw_below("season", series, 19)
