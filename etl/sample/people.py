"""The people of the sample, and the assignment of credits.

People are numbers; `build_person_rows` adds names. The places of a trade are shuffled and divided among its people, so
both the person of a place and the places of a person are computed without a list. A title has seven principals on
average; a few people have thousands of credits, and most have one or two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl.sample.randomness import Bools, Chance, Holdings, Ints, Shuffle, divide_places
from etl.sample.titles import MINI_SERIES, Episodes, Titles


@dataclass(frozen=True)
class TradePool:
    """The people of one trade.

    `places` are the columns of `CREDITS` filled from this pool. `shares` are groups of people: percent of the places,
    and places per person.
    """

    name: str
    places: tuple[int, ...]
    shares: tuple[tuple[int, int], ...]


_CAST_SHARES = ((25, 300), (22, 100), (18, 40), (13, 14), (12, 5), (10, 2))
_CREW_SHARES = ((25, 300), (22, 90), (18, 36), (13, 14), (12, 5), (10, 2))

# The possible credits of a title, in billing order, and how many titles of a type have them, in percent.
# columns: cast 1-5 · director 1-2 · writer 1-2 · producer 1-2 · composer · cinematographer · editor ·
#          production designer · casting director · archive footage or sound
CREDITS = 17
DIRECTOR_1, DIRECTOR_2, WRITER_1, WRITER_2, PRODUCER_1, ARCHIVE = 5, 6, 7, 8, 9, 16
_SERIES_CREDITS = (97, 94, 88, 80, 70, 12, 2, 70, 40, 40, 20, 20, 8, 8, 5, 5, 1)
_SCREEN_CREDITS = (90, 82, 72, 60, 48, 90, 8, 70, 25, 60, 28, 45, 50, 45, 18, 8, 3)
_CREDITS_OF_TYPE = np.array(
    [
        _SERIES_CREDITS,
        _SERIES_CREDITS,
        (95, 88, 79, 66, 52, 72, 3, 60, 26, 42, 18, 22, 25, 30, 12, 8, 2),  # tvEpisode
        _SCREEN_CREDITS,
        (98, 96, 92, 86, 75, 97, 8, 85, 35, 70, 30, 60, 65, 50, 30, 20, 3),  # movie
        *(_SCREEN_CREDITS,) * 5,
    ]
)
_REGULAR = np.array((75, 68, 55, 35, 20, 25, 0, 45, 20, 70, 60, 80, 45, 40, 60, 60, 10))
"""Percent of an episode's credits that go to the person with this place in the series."""
_SAME_AS_DIRECTOR = np.zeros(CREDITS, dtype=np.int64)
_SAME_AS_DIRECTOR[[WRITER_1, PRODUCER_1]] = 35, 12

POOLS = (
    TradePool("cast", (0, 1, 2, 3, 4, ARCHIVE), _CAST_SHARES),
    TradePool("director", (DIRECTOR_1, DIRECTOR_2), _CREW_SHARES),
    TradePool("writer", (WRITER_1, WRITER_2), _CREW_SHARES),
    TradePool("producer", (PRODUCER_1, 10), _CREW_SHARES),
    TradePool("composer", (11,), _CREW_SHARES),
    TradePool("cinematographer", (12,), _CREW_SHARES),
    TradePool("editor", (13,), _CREW_SHARES),
    TradePool("production_designer", (14,), _CREW_SHARES),
    TradePool("casting_director", (15,), _CREW_SHARES),
)
_TOP_PARTS = (60, 100, 140, 200, 280, 400, 560, 800)
"""The top people of a pool, by rank, each have one in so many titles; a sixth to a half of these are credited."""

POOL_OF = np.array([next(n for n, pool in enumerate(POOLS) if place in pool.places) for place in range(CREDITS)])
_PLACE_IN_POOL = np.array([POOLS[pool].places.index(place) for place, pool in enumerate(POOL_OF)])


@dataclass(frozen=True)
class Careers:
    """For an array of people: their pool, some titles of each, and the maximum number of places (`size`).

    `credited` marks the titles in which the person is certainly a principal. People who are not `known` have no credit.
    """

    pool: Ints
    titles: Ints
    credited: Bools
    known: Bools
    size: Ints

    def select_rows(self, rows: Ints) -> Careers:
        """Select the careers of these rows."""
        return Careers(self.pool[rows], self.titles[rows], self.credited[rows], self.known[rows], self.size[rows])


class People:
    """All people, numbered from 0 in random order of fame, and their credits."""

    def __init__(self, chance: Chance, titles: Titles) -> None:
        self._chance, self._titles = chance, titles
        self._work: list[Holdings] = []
        self._deal: list[Shuffle] = []
        for pool in POOLS:
            places = titles.count * len(pool.places)
            top = [titles.count // part for part in _TOP_PARTS]
            self._work.append(divide_places(places, top, pool.shares))
            self._deal.append(Shuffle(chance, pool.name, places))
        self._first = np.cumsum([0, *(work.owners for work in self._work)]).astype(np.int64)
        self.count = int(self._first[-1])
        self._order = Shuffle(chance, "people", max(self.count, 1))

    def has_credit(self, titles: Ints, types: Ints, places: Ints) -> Bools:
        """Return whether the titles have a credit in these places."""
        return self._chance.draw_percent("credit", titles * 32 + places, _CREDITS_OF_TYPE[types, places])

    def assign_credits(self, titles: Ints, episodes: Episodes, places: Ints) -> tuple[Ints, Ints]:
        """Return the person of each credit, and a key shared by the same part in all episodes of a series."""
        regular = episodes.is_episode & self._is_regular(titles, places)
        source = np.where(regular, episodes.series, titles)
        place = np.where(self._is_director(source, places), DIRECTOR_1, places)
        pool = POOL_OF[place]
        people = np.empty_like(titles)
        for number, (work, deal) in enumerate(zip(self._work, self._deal, strict=True)):
            rows = np.flatnonzero(pool == number)
            width = len(POOLS[number].places)
            rank, _ = work.find_owner(deal.map_backward(source[rows] * width + _PLACE_IN_POOL[place[rows]]))
            people[rows] = self._first[number] + rank
        return self._order.map_forward(people), source * 32 + places

    def find_careers(self, people: Ints, width: int) -> Careers:
        """Return the careers of these people: the first `width` places of each, in no particular order."""
        dealt = self._order.map_backward(people)
        pool = np.searchsorted(self._first, dealt, side="right") - 1
        titles = np.zeros((people.size, width), dtype=np.int64)
        places = np.zeros_like(titles)
        exists = np.zeros(titles.shape, dtype=np.bool_)
        sizes = np.zeros_like(people)
        for number, (work, deal) in enumerate(zip(self._work, self._deal, strict=True)):
            rows = np.flatnonzero(pool == number)
            start, sizes[rows] = work.find_extent(dealt[rows] - self._first[number])
            nth = np.arange(width)
            seats = start[:, None] + nth
            exists[rows] = (nth < sizes[rows, None]) & (seats < deal.size)
            seats = deal.map_forward(np.minimum(seats, deal.size - 1).ravel()).reshape(seats.shape)
            titles[rows], places_in_pool = np.divmod(seats, len(POOLS[number].places))
            places[rows] = np.array(POOLS[number].places)[places_in_pool]
        return self._build_careers(pool, titles, places, exists, sizes)

    def _build_careers(self, pool: Ints, titles: Ints, places: Ints, exists: Bools, sizes: Ints) -> Careers:
        flat_titles, flat_places = titles.ravel(), places.ravel()
        episodes = self._titles.find_episodes(flat_titles)
        types = self._titles.draw_types(flat_titles, episodes)
        replaced = (episodes.is_episode & self._is_regular(flat_titles, flat_places)) | self._is_director(
            flat_titles, flat_places
        )
        present = self.has_credit(flat_titles, types, flat_places).reshape(titles.shape)
        own = exists & ~replaced.reshape(titles.shape)
        # A place in a series is also filled in its episodes, a director's also by the writer's credit.
        elsewhere = (types.reshape(titles.shape) <= MINI_SERIES) | (places == DIRECTOR_1)
        known = (exists & (own & present | elsewhere)).any(axis=1) | (sizes > titles.shape[1])
        listed = self._titles.is_listed(flat_titles).reshape(titles.shape)
        return Careers(pool, titles, own & present & listed, known, sizes)

    def _is_regular(self, titles: Ints, places: Ints) -> Bools:
        return self._chance.draw_percent("regular", titles * 32 + places, _REGULAR[places])

    def _is_director(self, source: Ints, places: Ints) -> Bools:
        return self._chance.draw_percent("same", source * 32 + places, _SAME_AS_DIRECTOR[places])
