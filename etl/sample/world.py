"""One world: its titles, its people and their identifiers, from one seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.sample.ids import Identifiers
from etl.sample.people import People
from etl.sample.randomness import Chance, Ints
from etl.sample.titles import Titles

if TYPE_CHECKING:
    import pyarrow as pa

_TITLE_STEMS, _PERSON_STEMS = 2_000_000, 6_000_000  # enough for 20 million titles and their people


class World:
    """The generated titles and people. Identifiers of smaller index are kept for those written by hand."""

    def __init__(self, seed: int, listed: int, *, own_titles: int, own_people: int) -> None:
        self.chance = Chance(seed)
        self.titles = Titles(self.chance, listed)
        self.people = People(self.chance, self.titles)
        self._own_titles, self._own_people = own_titles, own_people
        titles, people = own_titles + self.titles.count, own_people + self.people.count
        self._title_ids = Identifiers(self.chance, "tt", titles, long_stems=_TITLE_STEMS)
        self._person_ids = Identifiers(self.chance, "nm", people, long_stems=_PERSON_STEMS)

    def tconst(self, titles: Ints) -> pa.StringArray:
        """Identifiers of generated titles; those written by hand have numbers below zero, from -`own_titles`."""
        return self._title_ids.text(titles + self._own_titles)

    def nconst(self, people: Ints) -> pa.StringArray:
        return self._person_ids.text(people + self._own_people)
