"""All titles, people and identifiers of a sample, from one seed."""

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
    """The generated titles and people. Smaller indexes of identifiers are reserved for the handwritten ones."""

    def __init__(self, seed: int, listed: int, *, own_titles: int, own_people: int) -> None:
        self.chance = Chance(seed)
        self.titles = Titles(self.chance, listed)
        self.people = People(self.chance, self.titles)
        self._own_titles, self._own_people = own_titles, own_people
        titles, people = own_titles + self.titles.count, own_people + self.people.count
        self._title_ids = Identifiers(self.chance, "tt", titles, long_stems=_TITLE_STEMS)
        self._person_ids = Identifiers(self.chance, "nm", people, long_stems=_PERSON_STEMS)

    def format_tconst(self, titles: Ints) -> pa.StringArray:
        """Format identifiers of titles; handwritten ones have numbers below zero, from -`own_titles`."""
        return self._title_ids.format_ids(titles + self._own_titles)

    def format_nconst(self, people: Ints) -> pa.StringArray:
        """Format identifiers of people; handwritten ones have numbers below zero."""
        return self._person_ids.format_ids(people + self._own_people)
