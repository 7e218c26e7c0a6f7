"""Open indexes: the shelves propose, likeness judges."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from lakehouse.errors import LakeError
from lakehouse.find.likeness import Wanted, rate_hit, rate_prominence
from lakehouse.find.queries import Stage
from lakehouse.find.shelf import Shelf, ShelfWriter, open_shelf
from lakehouse.find.things import VALUE, Hit, IndexDamaged, Thing
from lakehouse.find.words import MOST_QUERY_CHARS, MOST_QUERY_WORDS, split_words

THINGS_FOLDER: Final = "things"
VALUES_FOLDER: Final = "values"
INDEX_NAME: Final = "index.json"
"""What an index holds beside its two shelves: how many things of each kind, and what is not in it."""
MOST_HITS: Final = 100
_FULL_NAME: Final = 0.97
"""What is this alike is the whole name; where it is prominent, no other with a slip in it is likelier."""
_CERTAIN: Final = 0.9
"""Where no name is this alike, names with fewer of the words are proposed too."""
_LEAST_LIKE: Final = 0.6
"""Names that are less alike are no hits."""

T = TypeVar("T")


class Finder:
    """An open index. Safe to use in several threads."""

    def __init__(self, shelves: Sequence[Shelf], missing: Sequence[str] = ()) -> None:
        self._shelves = tuple(shelves)
        self.partial = tuple(missing)

    @property
    def entities(self) -> int:
        """How many named things there are, without the values."""
        return sum(shelf.count for shelf in self._shelves if all(group[0] != VALUE for group in shelf.groups))

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of the things that are in it."""
        return frozenset(group[0] for shelf in self._shelves for group in shelf.groups)

    def search(
        self,
        text: str,
        kinds: frozenset[str] | None = None,
        limit: int = 10,
        *,
        table: str | None = None,
        column: str | None = None,
    ) -> list[Hit]:
        """Find what a text names, the likeliest first; of `kinds`, or of a table or column, where these are given.

        At most 100 hits; none for a text without a letter or digit. The first 200 characters and 12 words count.
        Raises IndexDamaged.
        """
        words = split_words(text[:MOST_QUERY_CHARS])[:MOST_QUERY_WORDS]
        if not words or limit < 1:
            return []
        hits: list[Hit] = []
        for shelf in self._shelves:
            groups = _choose_groups(shelf, kinds, table, column)
            if groups is None or groups:
                hits += guard_index(partial(_search_shelf, shelf, words, groups))
        hits.sort(key=lambda hit: (-hit.score, hit.label, hit.id))
        return hits[: min(limit, MOST_HITS)]

    def has_label(self, table: str, column: str, value: str) -> bool | None:
        """Whether something is called exactly that; None where the index cannot tell."""
        known = self.holds_label(table, column, value)
        if known is False and self.partial:  # of columns of values nothing is left out
            kinds = {shelf.groups[at][0] for shelf in self._shelves for at in _list_groups(shelf, table, column)}
            return False if kinds == {VALUE} else None
        return known

    def holds_label(self, table: str, column: str, value: str) -> bool | None:
        """Whether something in the index is called exactly that, also in one that lacks some things.

        None where the column is not in it, or too many names are like it.
        """
        words = split_words(value[:MOST_QUERY_CHARS])
        known = False
        for shelf in self._shelves:
            groups = _list_groups(shelf, table, column)
            if not groups:
                continue
            known = True
            if not words:
                return None
            found, more = guard_index(partial(shelf.find_named, words, groups))
            if any(each.label == value for each in found):
                return True
            if more:
                return None
        return False if known else None

    def list_values(self, table: str, column: str, limit: int) -> list[str]:
        """List the most frequent values of a column; nothing where it holds names, or is not in the index."""
        for shelf in self._shelves:
            groups = [at for at in _list_groups(shelf, table, column) if shelf.groups[at][0] == VALUE]
            if groups:
                return [each.id for each in guard_index(partial(shelf.list_heaviest, groups, limit))]
        return []


def open_index(folder: Path) -> Finder:
    """Open the index in a folder. Raises IndexDamaged for a folder that is none, or one of another version."""
    return guard_index(lambda: _open_shelves(folder))


def open_in_memory(things: Iterable[Thing], *, missing: Sequence[str] = ()) -> Finder:
    """Build an index of some things in memory, and open it."""
    writers = {False: ShelfWriter(None, small=True), True: ShelfWriter(None, small=True)}
    for each in things:
        writers[each.kind == VALUE].add((each,))
    return Finder([writer.commit() for writer in writers.values() if writer.counts], missing)


def _open_shelves(folder: Path) -> Finder:
    missing = [str(each) for each in read_index(folder)["partial"]]
    return Finder([open_shelf(folder / name) for name in (THINGS_FOLDER, VALUES_FOLDER)], missing)


def read_index(folder: Path) -> dict[str, Any]:
    """Read what an index has beside its shelves. Raises IndexDamaged."""
    try:
        stored = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
        return {"partial": list(stored["partial"]), "floors": dict(stored["floors"])}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IndexDamaged(f"{folder.name} is no index of names. Load the lake again to build one.") from error


def _choose_groups(
    shelf: Shelf, kinds: frozenset[str] | None, table: str | None, column: str | None
) -> list[int] | None:
    """The groups of a shelf that are asked for, None for all of them."""
    if kinds is None and table is None and column is None:
        return None
    wanted = (
        (lambda group: kinds is None or group[0] in kinds),
        (lambda group: table is None or group[1].lower() == table.lower()),
        (lambda group: column is None or group[2].lower() == column.lower()),
    )
    return [number for number, group in enumerate(shelf.groups) if all(test(group) for test in wanted)]


def _list_groups(shelf: Shelf, table: str, column: str) -> list[int]:
    """The groups of a shelf with the labels of a column."""
    return _choose_groups(shelf, None, table, column) or []


def _search_shelf(shelf: Shelf, words: Sequence[str], groups: list[int] | None) -> list[Hit]:
    """Judge what a shelf proposes, stage by stage, until nothing that may still come is likelier."""
    wanted = Wanted(words)
    judged: dict[Thing, tuple[float, Hit]] = {}
    for stage in Stage:
        if stage is Stage.SLIPS:
            full = max((hit.score for like, hit in judged.values() if like >= _FULL_NAME), default=0.0)
            if full >= rate_hit(wanted.best_slip, 1.0):
                break
        elif judged and max(like for like, _ in judged.values()) >= _CERTAIN:
            break
        for thing in shelf.propose(stage, words, groups):
            if thing not in judged:
                judged[thing] = _judge(thing, wanted)
    return [hit for like, hit in judged.values() if like >= _LEAST_LIKE]


def _judge(thing: Thing, wanted: Wanted) -> tuple[float, Hit]:
    """How alike the best name of a thing is, and the hit."""
    best, matched = wanted.compare_names(thing.label, thing.others)
    return best, to_hit(thing, round(rate_hit(best, rate_prominence(thing.weight)), 4), matched)


def to_hit(thing: Thing, score: float, matched: str = "") -> Hit:
    """Make a hit of a thing."""
    given = {each.name: getattr(thing, each.name) for each in fields(Thing)}
    return Hit(**given, score=score, matched=matched)


def guard_index(act: Callable[[], T]) -> T:
    """Call a function that reads an index. Raises IndexDamaged for whatever damaged files lead to."""
    try:
        return guard_panic(act)
    except (LakeError, MemoryError):
        raise
    except Exception as error:
        raise _as_unreadable() from error


def guard_panic(act: Callable[[], T]) -> T:
    """Call a function that uses tantivy, whose panics are no Exception."""
    try:
        return act()
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise _as_unreadable() from error


def _as_unreadable() -> IndexDamaged:
    return IndexDamaged("The index of names cannot be read. Load the lake again to rebuild it.")
