"""The people of the invented world, and who has which credit.

People are numbers here; `person_rows` gives them names. Each place in a title's credits belongs to one
person, found by shuffling all places of a trade and dealing them out; so from a person, too, the places
are found again, without a list of either. A title has seven principals in the mean; a few people have
thousands of credits and most have one or two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl.sample.randomness import Bools, Chance, Holdings, Ints, Shuffle, holdings
from etl.sample.titles import MINI_SERIES, Episodes, Titles


@dataclass(frozen=True)
class Pool:
    """People of one trade, with the categories they are credited in.

    `places` are the columns of `CREDITS` filled from this pool. `shares` says how the work is divided:
    percent of the places, and the places that each person of that group has.
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
"""How many of an episode's credits, in percent, go to the one who has this place in the series."""
_SAME_AS_DIRECTOR = np.zeros(CREDITS, dtype=np.int64)
_SAME_AS_DIRECTOR[[WRITER_1, PRODUCER_1]] = 35, 12

POOLS = (
    Pool("cast", (0, 1, 2, 3, 4, ARCHIVE), _CAST_SHARES),
    Pool("director", (DIRECTOR_1, DIRECTOR_2), _CREW_SHARES),
    Pool("writer", (WRITER_1, WRITER_2), _CREW_SHARES),
    Pool("producer", (PRODUCER_1, 10), _CREW_SHARES),
    Pool("composer", (11,), _CREW_SHARES),
    Pool("cinematographer", (12,), _CREW_SHARES),
    Pool("editor", (13,), _CREW_SHARES),
    Pool("production_designer", (14,), _CREW_SHARES),
    Pool("casting_director", (15,), _CREW_SHARES),
)
_TOP_PARTS = (60, 100, 140, 200, 280, 400, 560, 800)
"""The largest of a pool each have one title in so many, by rank; a sixth to a half of that is really credited."""

POOL_OF = np.array([next(n for n, pool in enumerate(POOLS) if place in pool.places) for place in range(CREDITS)])
_PLACE_IN_POOL = np.array([POOLS[pool].places.index(place) for place, pool in enumerate(POOL_OF)])


@dataclass(frozen=True)
class Careers:
    """Of an array of people: their pool, some titles of each, and how many places each has at most.

    `credited` marks those of the titles where the person is surely among the principals. People who are not
    `known` have no credit anywhere.
    """

    pool: Ints
    titles: Ints
    credited: Bools
    known: Bools
    size: Ints

    def of(self, rows: Ints) -> Careers:
        return Careers(self.pool[rows], self.titles[rows], self.credited[rows], self.known[rows], self.size[rows])


class People:
    """All people of the world, numbered from 0 in no particular order of fame, and who has which credit."""

    def __init__(self, chance: Chance, titles: Titles) -> None:
        self._chance, self._titles = chance, titles
        self._work: list[Holdings] = []
        self._deal: list[Shuffle] = []
        for pool in POOLS:
            places = titles.count * len(pool.places)
            top = [titles.count // part for part in _TOP_PARTS]
            self._work.append(holdings(places, top, pool.shares))
            self._deal.append(Shuffle(chance, pool.name, places))
        self._first = np.cumsum([0, *(work.owners for work in self._work)]).astype(np.int64)
        self.count = int(self._first[-1])
        self._order = Shuffle(chance, "people", max(self.count, 1))

    def present(self, titles: Ints, types: Ints, places: Ints) -> Bools:
        """Whether the title has a credit in that place."""
        return self._chance.percent("credit", titles * 32 + places, _CREDITS_OF_TYPE[types, places])

    def credited(self, titles: Ints, episodes: Episodes, places: Ints) -> tuple[Ints, Ints]:
        """Who has the credit, and a key that is the same for the same part in all episodes of a series."""
        regular = episodes.is_episode & self._is_regular(titles, places)
        source = np.where(regular, episodes.series, titles)
        place = np.where(self._is_director(source, places), DIRECTOR_1, places)
        pool = POOL_OF[place]
        people = np.empty_like(titles)
        for number, (work, deal) in enumerate(zip(self._work, self._deal, strict=True)):
            rows = np.flatnonzero(pool == number)
            width = len(POOLS[number].places)
            rank, _ = work.owner(deal.backward(source[rows] * width + _PLACE_IN_POOL[place[rows]]))
            people[rows] = self._first[number] + rank
        return self._order.forward(people), source * 32 + places

    def careers(self, people: Ints, width: int) -> Careers:
        """What these people worked on: the first `width` places of each, in no particular order."""
        dealt = self._order.backward(people)
        pool = np.searchsorted(self._first, dealt, side="right") - 1
        titles = np.zeros((people.size, width), dtype=np.int64)
        places = np.zeros_like(titles)
        exists = np.zeros(titles.shape, dtype=np.bool_)
        sizes = np.zeros_like(people)
        for number, (work, deal) in enumerate(zip(self._work, self._deal, strict=True)):
            rows = np.flatnonzero(pool == number)
            start, sizes[rows] = work.extent(dealt[rows] - self._first[number])
            nth = np.arange(width)
            seats = start[:, None] + nth
            exists[rows] = (nth < sizes[rows, None]) & (seats < deal.size)
            seats = deal.forward(np.minimum(seats, deal.size - 1).ravel()).reshape(seats.shape)
            titles[rows], places_in_pool = np.divmod(seats, len(POOLS[number].places))
            places[rows] = np.array(POOLS[number].places)[places_in_pool]
        return self._judge(pool, titles, places, exists, sizes)

    def _judge(self, pool: Ints, titles: Ints, places: Ints, exists: Bools, sizes: Ints) -> Careers:
        flat_titles, flat_places = titles.ravel(), places.ravel()
        episodes = self._titles.episodes(flat_titles)
        types = self._titles.types(flat_titles, episodes)
        replaced = (episodes.is_episode & self._is_regular(flat_titles, flat_places)) | self._is_director(
            flat_titles, flat_places
        )
        present = self.present(flat_titles, types, flat_places).reshape(titles.shape)
        own = exists & ~replaced.reshape(titles.shape)
        # A place in a series is also filled in its episodes, a director's also by the writer's credit.
        elsewhere = (types.reshape(titles.shape) <= MINI_SERIES) | (places == DIRECTOR_1)
        known = (exists & (own & present | elsewhere)).any(axis=1) | (sizes > titles.shape[1])
        listed = self._titles.is_listed(flat_titles).reshape(titles.shape)
        return Careers(pool, titles, own & present & listed, known, sizes)

    def _is_regular(self, titles: Ints, places: Ints) -> Bools:
        return self._chance.percent("regular", titles * 32 + places, _REGULAR[places])

    def _is_director(self, source: Ints, places: Ints) -> Bools:
        return self._chance.percent("same", source * 32 + places, _SAME_AS_DIRECTOR[places])
