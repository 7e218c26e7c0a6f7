"""Open indexes: the shelves propose, likeness judges."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from lakehouse.errors import LakeError
from lakehouse.find.likeness import PROMINENCE_SHARE, Wanted, rate_prominence
from lakehouse.find.shelf import Shelf, ShelfWriter, open_shelf, read_groups
from lakehouse.find.things import VALUE, Hit, IndexDamaged, IndexSummary, Thing
from lakehouse.find.words import MOST_QUERY_CHARS, MOST_QUERY_WORDS, split_words

THINGS_FOLDER: Final = "things"
VALUES_FOLDER: Final = "values"
INDEX_NAME: Final = "index.json"
"""What an index holds beside its two shelves: how many things of each kind, and what is not in it."""
MOST_HITS: Final = 100
_CERTAIN: Final = 0.9
"""A name this alike is what was meant; below it, names with fewer of the words are proposed too."""
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
                hits += _guard_index(partial(_search_shelf, shelf, words, groups))
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
            found, more = _guard_index(partial(shelf.find_named, words, groups))
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
                return [each.id for each in _guard_index(partial(shelf.list_heaviest, groups, limit))]
        return []


def build_index(
    folder: Path,
    things: Iterable[Thing],
    values: Iterable[Thing] = (),
    *,
    missing: Sequence[str] = (),
    floors: Mapping[str, float] | None = None,
) -> IndexSummary:
    """Build an index in an empty or new folder. `missing` says, in sentences, what is not in it.

    `values` are things of the kind "value"; they lie apart, so that an update can count them anew. `floors` are the
    weights, by kind, below which things were left out; an update leaves them out as well. Raises LakeError, OSError.
    """

    def build() -> IndexSummary:
        counts = _write_shelf(folder / THINGS_FOLDER, things, small=False)
        return _finish_index(folder, counts | _write_shelf(folder / VALUES_FOLDER, values, small=True), missing, floors)

    return _guard_panic(build)


class IndexUpdate:
    """An update of an index: a new folder, which shares the unchanged files of the one that it is based on.

    Both may be in use meanwhile: files of an index are never written again. As a context manager it removes the new
    folder where the update is given up. Raises IndexDamaged where the base cannot be used, OSError.
    """

    def __init__(self, base: Path, folder: Path) -> None:
        self._folder = folder
        stored = _read_index(base)
        self._missing = [str(each) for each in stored["partial"]]
        self.floors = {str(kind): float(floor) for kind, floor in stored["floors"].items()}
        _link_files(base / THINGS_FOLDER, folder / THINGS_FOLDER)
        groups = read_groups(folder / THINGS_FOLDER)
        self._writer = _guard_index(lambda: ShelfWriter(folder / THINGS_FOLDER, groups))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def replace(self, kind: str, ids: Iterable[str], things: Iterable[Thing]) -> None:
        """Replace the things of a kind with these ids by others."""

        def write() -> None:
            self._writer.remove(kind, ids)
            self._writer.add(things)

        _guard_panic(write)

    def finish(self, values: Iterable[Thing]) -> IndexSummary:
        """Make the new index complete, with these values."""

        def write() -> IndexSummary:
            counts = self._writer.commit().count_kinds()
            counts |= _write_shelf(self._folder / VALUES_FOLDER, values, small=True)
            return _finish_index(self._folder, counts, self._missing, self.floors)

        return _guard_panic(write)


def read_values(folder: Path) -> dict[str, list[Thing]]:
    """Read the values in an index, by table. Raises IndexDamaged."""
    found: dict[str, list[Thing]] = {}
    for each in _guard_index(lambda: open_shelf(folder / VALUES_FOLDER).list_all()):
        found.setdefault(each.table, []).append(each)
    return found


def open_index(folder: Path) -> Finder:
    """Open the index in a folder. Raises IndexDamaged for a folder that is none, or one of another version."""
    return _guard_index(lambda: _open_shelves(folder))


def open_in_memory(things: Iterable[Thing], *, missing: Sequence[str] = ()) -> Finder:
    """Build an index of some things in memory, and open it."""
    writers = {False: ShelfWriter(None, small=True), True: ShelfWriter(None, small=True)}
    for each in things:
        writers[each.kind == VALUE].add((each,))
    return Finder([writer.commit() for writer in writers.values() if writer.counts], missing)


def _write_shelf(folder: Path, things: Iterable[Thing], *, small: bool) -> dict[str, int]:
    folder.mkdir(parents=True)
    writer = ShelfWriter(folder, small=small)
    writer.add(things)
    writer.commit()
    return writer.counts


def _finish_index(
    folder: Path, counts: dict[str, int], missing: Sequence[str], floors: Mapping[str, float] | None
) -> IndexSummary:
    """Write down what an index has beside its shelves, and measure it."""
    text = json.dumps({"partial": list(missing), "floors": dict(floors or {})}, ensure_ascii=False)
    (folder / INDEX_NAME).write_text(text, encoding="utf-8")
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if path.name.endswith(".lock"):
            path.unlink()
        elif path.name.endswith(".json"):
            path.chmod(0o644)  # tantivy's own are for their writer alone; a server may be another user
    sizes = [path.stat().st_size for path in files if path.exists()]
    return IndexSummary(counts, len(sizes), sum(sizes), tuple(missing))


def _link_files(base: Path, folder: Path) -> None:
    """Link the files of a shelf into a new folder, or copy them where that is on another disk."""
    folder.mkdir(parents=True)
    for path in base.iterdir():
        if path.name.endswith(".lock"):
            continue
        try:
            if path.name.endswith(".json"):  # written anew by each update
                raise OSError  # noqa: TRY301
            os.link(path, folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)


def _open_shelves(folder: Path) -> Finder:
    missing = [str(each) for each in _read_index(folder)["partial"]]
    return Finder([open_shelf(folder / name) for name in (THINGS_FOLDER, VALUES_FOLDER)], missing)


def _read_index(folder: Path) -> dict[str, Any]:
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
    wanted = Wanted(words)
    hits = [_judge(thing, wanted) for thing in shelf.propose(words, groups, loosely=False)]
    if not hits or max(like for like, _ in hits) < _CERTAIN:
        known = {(hit.kind, hit.table, hit.column, hit.id) for _, hit in hits}
        more = [_judge(thing, wanted) for thing in shelf.propose(words, groups, loosely=True)]
        hits += [(like, hit) for like, hit in more if (hit.kind, hit.table, hit.column, hit.id) not in known]
    return [hit for like, hit in hits if like >= _LEAST_LIKE]


def _judge(thing: Thing, wanted: Wanted) -> tuple[float, Hit]:
    """How alike the best name of a thing is, and the hit."""
    best, matched = wanted.compare_names(thing.label, thing.others)
    score = (best + PROMINENCE_SHARE * rate_prominence(thing.weight)) / (1 + PROMINENCE_SHARE)
    return best, to_hit(thing, round(score, 4), matched)


def to_hit(thing: Thing, score: float, matched: str = "") -> Hit:
    """Make a hit of a thing."""
    given = {each.name: getattr(thing, each.name) for each in fields(Thing)}
    return Hit(**given, score=score, matched=matched)


def _guard_index(act: Callable[[], T]) -> T:
    """Call a function that reads an index. Raises IndexDamaged for whatever damaged files lead to."""
    try:
        return _guard_panic(act)
    except (LakeError, MemoryError):
        raise
    except Exception as error:
        raise _as_unreadable() from error


def _guard_panic(act: Callable[[], T]) -> T:
    """Call a function that uses tantivy, whose panics are no Exception."""
    try:
        return act()
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise _as_unreadable() from error


def _as_unreadable() -> IndexDamaged:
    return IndexDamaged("The index of names cannot be read. Load the lake again to build it anew.")
