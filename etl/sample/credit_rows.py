"""Columns of title.principals, title.crew and name.basics for the generated credits and people."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from etl.sample import tables
from etl.sample.columns import Columns, format_numbers, join_by_commas, mask_unknown, pick_words, scatter_values
from etl.sample.grammar import Grammar
from etl.sample.people import ARCHIVE, CREDITS, DIRECTOR_1, DIRECTOR_2, POOL_OF, POOLS, WRITER_1, WRITER_2, Careers
from etl.sample.randomness import Bools, Chance, Ints
from etl.sample.title_rows import TitleBlock
from etl.sample.titles import LAST_YEAR
from etl.sample.words import CHARACTERS, CULTURES, JOBS, LISTS, SELF_ROLES
from etl.sample.world import World

if TYPE_CHECKING:
    import pyarrow as pa

_KNOWN_FOR = 4  # titles that name.basics lists at most
_LOOKED_AT = 6  # of a person's places, to find them
_CATEGORIES = (*tables.CATEGORIES, *(pool.name for pool in POOLS[1:]))
_ACTOR, _ACTRESS, _SELF, _FOOTAGE, _SOUND, _FIRST_CREW = range(6)
_TRADES = ("actor", "actress", *(pool.name for pool in POOLS[1:]))
_CULTURE_WEIGHTS = [culture.weight for culture in CULTURES]


class CreditText:
    """Grammars of names, characters and jobs, built once."""

    def __init__(self) -> None:
        self.names = Grammar([names for culture in CULTURES for names in (culture.men, culture.women)], LISTS)
        self.characters = Grammar([CHARACTERS, SELF_ROLES], LISTS)
        self.jobs = Grammar([JOBS[pool.name] for pool in POOLS[1:]], LISTS)


class CreditBlock:
    """The credits of a block of titles: one row per credit, in billing order."""

    def __init__(self, block: TitleBlock, text: CreditText) -> None:
        self._block, self._text = block, text
        self._world, self._chance = block.world, block.world.chance
        count = block.titles.size
        row, place = np.divmod(np.arange(count * CREDITS, dtype=np.int64), CREDITS)
        present = self._world.people.has_credit(block.titles[row], block.types[row], place)
        self._row, self._place = row[present], place[present]
        episodes = block.episodes.select_rows(self._row)
        self._people, self._part = self._world.people.assign_credits(block.titles[self._row], episodes, self._place)
        self._nconst = self._world.format_nconst(self._people)

    def build_principals(self) -> Columns:
        """Build the rows of title.principals."""
        counts = np.bincount(self._row, minlength=self._block.titles.size)
        ordering = np.arange(self._row.size) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        return (
            self._block.tconst.take(self._row),
            format_numbers(ordering),
            self._nconst,
            pick_words(_CATEGORIES, self._categories),
            self._build_jobs(),
            self._build_characters(),
        )

    def build_crew(self) -> Columns:
        """Build the rows of title.crew: the directors and writers of title.principals."""
        import pyarrow as pa

        where = np.full((self._block.titles.size, CREDITS), -1, dtype=np.int64)
        where[self._row, self._place] = np.arange(self._row.size)
        lists = []
        for first, second in ((DIRECTOR_1, DIRECTOR_2), (WRITER_1, WRITER_2)):
            one, two = where[:, first], where[:, second]
            twice = (one >= 0) & (two >= 0) & (self._people[one] == self._people[two])
            indexes = (pa.array(one, mask=one < 0), pa.array(two, mask=(two < 0) | twice))
            lists.append(join_by_commas([self._nconst.take(index) for index in indexes]))
        listed = pa.array(self._block.listed)
        return tuple(column.filter(listed) for column in (self._block.tconst, *lists))

    @cached_property
    def _categories(self) -> Ints:
        """Indexes into _CATEGORIES."""
        in_cast = POOL_OF[self._place] == 0
        acting = np.where(is_man(self._chance, self._people), _ACTOR, _ACTRESS)
        cast = np.where(self._block.is_nonfiction[self._row], _SELF, acting)
        archive = np.where(self._chance.draw_percent("sound", self._part, 8), _SOUND, _FOOTAGE)
        cast = np.where(self._place == ARCHIVE, archive, cast)
        return np.where(in_cast, cast, _FIRST_CREW - 1 + POOL_OF[self._place])

    def _build_jobs(self) -> pa.StringArray:
        rows = np.flatnonzero(self._categories >= _FIRST_CREW)
        draws = self._chance.draw_numbers("job", self._part[rows])
        jobs = self._text.jobs.compose_phrases(self._categories[rows] - _FIRST_CREW, draws)
        return scatter_values(jobs, rows, self._row.size)

    def _build_characters(self) -> pa.StringArray:
        named = (self._categories < _FIRST_CREW) & ~self._chance.draw_percent("nameless", self._part, 12)
        rows = np.flatnonzero(named)
        as_self = (self._categories[rows] >= _SELF).astype(np.int64)
        spoken = self._text.characters.compose_phrases(
            as_self, self._chance.draw_numbers("character", self._part[rows])
        )
        return scatter_values(spoken, rows, self._row.size)


def build_person_rows(world: World, text: CreditText, people: Ints) -> Columns:
    """Build rows of name.basics for the people with a credit; a few are missing, as in real files."""
    chance = world.chance
    careers = world.people.find_careers(people, _LOOKED_AT)
    kept = np.flatnonzero(careers.known & ~chance.draw_percent("absent", people, 0.2))
    people, careers = people[kept], careers.select_rows(kept)
    man = is_man(chance, people)
    culture = chance.pick_weighted("culture of a person", people, _CULTURE_WEIGHTS)
    names = text.names.compose_phrases(culture * 2 + ~man, chance.draw_numbers("name", people))
    trade = np.where(careers.pool == 0, np.where(man, 0, 1), careers.pool + 1)
    birth, death = _draw_lifetimes(world, people, careers)
    return (
        world.format_nconst(people),
        names,
        birth,
        death,
        _pick_professions(chance, people, trade),
        _list_known_titles(world, careers),
    )


def is_man(chance: Chance, people: Ints) -> Bools:
    """Choose the gender, which determines category (actor, actress) and given name."""
    return chance.draw_percent("man", people, 58)


def _pick_professions(chance: Chance, people: Ints, trade: Ints) -> pa.StringArray:
    choices = [tables.PROFESSIONS[name] for name in _TRADES]
    sizes = np.array([len(choice) for choice in choices])
    first = np.cumsum(sizes) - sizes
    index = first[trade] + chance.draw_below("profession", people, sizes[trade])
    words = [word for choice in choices for word in choice]
    return mask_unknown(pick_words(words, index), ~chance.draw_percent("no profession", people, 6))


def _draw_lifetimes(world: World, people: Ints, careers: Careers) -> tuple[pa.StringArray, pa.StringArray]:
    """Draw birth and death years: known of few people, and of most with many credits; consistent with their titles."""
    chance = world.chance
    known = chance.draw_percent("born", people, np.where(careers.size >= 80, 60.0, 6.0)) & careers.credited.any(axis=1)
    rows = np.flatnonzero(known)
    people, titles = people[rows], careers.titles[rows].ravel()
    years, _ = world.titles.draw_years(titles, world.titles.find_episodes(titles))
    years = years.reshape(rows.size, -1)
    credited = careers.credited[rows]
    first, last = np.where(credited, years, LAST_YEAR + 1).min(axis=1), np.where(credited, years, 0).max(axis=1)
    birth = first - 18 - chance.draw_below("age", people, 45)
    death = birth + 45 + chance.draw_below("years", people, 50)
    died = (death <= LAST_YEAR) & (death >= last) & chance.draw_percent("death", people, 70)
    return scatter_values(format_numbers(birth), rows, known.size), scatter_values(
        format_numbers(death, died), rows, known.size
    )


def _list_known_titles(world: World, careers: Careers) -> pa.StringArray:
    """List up to four titles in which each person is credited."""
    never = np.iinfo(np.int64).max
    titles = np.sort(np.where(careers.credited, careers.titles, never), axis=1)
    titles[:, 1:][titles[:, 1:] == titles[:, :-1]] = never
    titles = np.sort(titles, axis=1)[:, :_KNOWN_FOR]
    columns = [
        scatter_values(world.format_tconst(column[column != never]), np.flatnonzero(column != never), column.size)
        for column in titles.T
    ]
    return join_by_commas(columns)
