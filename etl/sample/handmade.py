"""Columns of IMDb's files for the handwritten rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from etl.datasets import DATASETS
from etl.sample.columns import Columns
from etl.sample.odd import ABSENT_PERSON, ODD_PEOPLE, ODD_TITLES, SHOWCASE_FROM, Credit, Person, Title
from etl.sample.showcase import SHOWCASE_PEOPLE, SHOWCASE_TITLES
from etl.sample.world import World

_Row = tuple[str | int | None, ...]
_KNOWN_FOR = 4
HEADERS = {dataset.file: dataset.header for dataset in DATASETS}


@dataclass(frozen=True)
class HandmadeCast:
    """The handwritten titles and people at the head of a sample."""

    titles: tuple[Title, ...]
    people: tuple[Person, ...]

    @classmethod
    def from_size(cls, titles: int) -> HandmadeCast:
        """Choose the handwritten rows of a sample with `titles` titles."""
        if titles < SHOWCASE_FROM:
            return cls(ODD_TITLES[:titles], ODD_PEOPLE)
        return cls((*ODD_TITLES, *SHOWCASE_TITLES), (*ODD_PEOPLE, *SHOWCASE_PEOPLE))

    @property
    def title_ids(self) -> int:
        """Number of identifiers; the last one is of a title missing from title.basics."""
        return len(self.titles) + 1

    @property
    def person_ids(self) -> int:
        """Number of identifiers; the last one is of a person missing from name.basics."""
        return len(self.people) + 1


class HandmadeRows:
    """Rows of the handwritten titles and people of one sample, by file."""

    def __init__(self, cast: HandmadeCast, world: World) -> None:
        self._cast = cast
        titles, people = np.arange(-cast.title_ids, 0), np.arange(-cast.person_ids, 0)
        self._tconst: list[str] = world.format_tconst(titles).to_pylist()
        *ids, absent = world.format_nconst(people).to_pylist()
        self._nconst: dict[str, str] = {person.name: nconst for person, nconst in zip(cast.people, ids, strict=True)}
        self._nconst[ABSENT_PERSON] = absent
        self._first_of = {title.primary: tconst for tconst, title in reversed(self._listed)}

    def build_columns(self, file: str) -> Columns:
        """Build the columns of one file."""
        import pyarrow as pa

        rows = {
            "title.basics": self._list_basics,
            "title.ratings": self._list_ratings,
            "title.principals": self._list_principals,
            "title.crew": self._list_crew,
            "title.akas": self._list_akas,
            "title.episode": self._list_episodes,
            "name.basics": self._list_names,
        }[file]()
        text = [[None if value is None else str(value) for value in row] for row in rows]
        return tuple(pa.array([row[n] for row in text], pa.string()) for n in range(len(HEADERS[file])))

    @cached_property
    def _listed(self) -> list[tuple[str, Title]]:
        return list(zip(self._tconst, self._cast.titles, strict=False))

    def _list_basics(self) -> Iterator[_Row]:
        for tconst, t in self._listed:
            original = t.original or t.primary
            yield tconst, t.kind, t.primary, original, int(t.adult), t.year, t.end, t.runtime, t.genres

    def _list_ratings(self) -> Iterator[_Row]:
        yield from ((tconst, *title.rating) for tconst, title in self._listed if title.rating)
        yield self._tconst[-1], "6.2", 11

    def _list_principals(self) -> Iterator[_Row]:
        unlisted = (Credit(ABSENT_PERSON, "director"), Credit(self._cast.people[0].name, "writer"))
        credited = [*((tconst, title.credits) for tconst, title in self._listed), (self._tconst[-1], unlisted)]
        for tconst, people in credited:
            for ordering, credit in enumerate(people, start=1):
                characters = json.dumps(credit.characters, ensure_ascii=False, separators=(",", ":"))
                nconst = self._nconst[credit.name]
                yield tconst, ordering, nconst, credit.category, credit.job, characters if credit.characters else None

    def _list_crew(self) -> Iterator[_Row]:
        for tconst, title in self._listed:
            yield tconst, *(self._join_people(title, trade) for trade in ("director", "writer"))

    def _join_people(self, title: Title, trade: str) -> str | None:
        return ",".join(self._nconst[credit.name] for credit in title.credits if credit.category == trade) or None

    def _list_akas(self) -> Iterator[_Row]:
        for tconst, title in self._listed:
            for ordering, a in enumerate(title.akas, start=1):
                original = int(a.types == "original")
                yield tconst, ordering, a.title, a.region, a.language, a.types, a.attributes, original

    def _list_episodes(self) -> Iterator[_Row]:
        for tconst, title in self._listed:
            if title.episode_of:
                yield tconst, self._first_of[title.episode_of], title.season, title.number

    def _list_names(self) -> Iterator[_Row]:
        for person in self._cast.people:
            titles = [t for t, title in self._listed if any(credit.name == person.name for credit in title.credits)]
            known_for = ",".join(titles[-_KNOWN_FOR:]) or None
            yield self._nconst[person.name], person.name, person.birth, person.death, person.professions, known_for
