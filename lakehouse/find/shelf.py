"""An index of things, which proposes candidates for words: tantivy, on disk or in memory.

The index is plain: the folded words of all names of a thing. What words may mean besides (slips, joined and split
words, numerals) is asked of it by queries (`lakehouse.find.queries`).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lakehouse.find.queries import QueryBuilder, Stage, match_all
from lakehouse.find.things import IndexDamaged, Thing
from lakehouse.find.words import MOST_NAME_CHARS, fold_for_index

FORMAT: Final = 1
SHELF_NAME: Final = "shelf.json"
"""What a folder holds beside tantivy's files: the format, the groups of things, and what is not in it."""
MOST_OTHERS: Final = 40
_MOST_ID_CHARS: Final = 1_000
_WRITER_BYTES: Final = 200_000_000
_SMALL_WRITER_BYTES: Final = 32_000_000
_PROPOSED: Final = 80
_MOST_FILES: Final = 2_000
_SEPARATOR: Final = "\x1f"

Group = tuple[str, str, str, str, bool]
"""What things have in common: kind, table, column, id column, is_list."""


class Shelf:
    """An open index. Safe to use in several threads; nothing changes it once it is open."""

    def __init__(self, index: Any, groups: Sequence[Group]) -> None:
        # No thread that watches the folder: an index that is open never changes.
        index.config_reader(reload_policy="manual")
        self._schema = index.schema
        self._searcher = index.searcher()
        self._queries = QueryBuilder(self._schema, self._searcher)
        self.groups = tuple(groups)

    @property
    def count(self) -> int:
        return int(self._searcher.num_docs)

    def propose(self, stage: Stage, words: Sequence[str], groups: Sequence[int] | None) -> list[Thing]:
        """Propose things that may be meant, the most prominent of those with such names."""
        found: dict[tuple[int, int], Any] = {}
        for query, by_weight in self._queries.build(stage, words):
            for address in self._look_up(query, groups, by_weight):
                found.setdefault((address.segment_ord, address.doc), address)
        return [self._read(address) for address in found.values()]

    def find_named(self, words: Sequence[str], groups: Sequence[int] | None) -> tuple[list[Thing], bool]:
        """Find things whose names have all these words as they are, and whether there may be more of them."""
        query = self._queries.match_words(words)
        addresses = list(self._look_up(query, groups, True))
        return [self._read(address) for address in addresses], len(addresses) >= _PROPOSED

    def list_heaviest(self, groups: Sequence[int], limit: int) -> list[Thing]:
        """List the things with the greatest weights."""
        found = self._searcher.search(self._queries.match_groups(groups), limit, count=False, order_by_field="weight")
        return [self._read(address) for _, address in found.hits]

    def list_all(self) -> list[Thing]:
        """List all things; for an index of few."""
        import tantivy

        found = self._searcher.search(tantivy.Query.all_query(), max(self.count, 1), count=False)
        return [self._read(address) for _, address in found.hits]

    def count_kinds(self) -> dict[str, int]:
        """Count the things of each kind."""
        counts: dict[str, int] = {}
        for number, group in enumerate(self.groups):
            found = self._searcher.search(self._queries.match_groups([number]), 1)
            counts[group[0]] = counts.get(group[0], 0) + int(found.count)
        return counts

    def _look_up(self, query: Any, groups: Sequence[int] | None, by_weight: bool) -> Iterator[Any]:
        if groups is not None:
            query = match_all([self._queries.match_groups(groups), query])
        order = {"order_by_field": "weight"} if by_weight else {}
        yield from (hit[1] for hit in self._searcher.search(query, _PROPOSED, count=False, **order).hits)

    def _read(self, address: Any) -> Thing:
        stored = self._searcher.doc(address).get_first("thing").decode()
        group, identity, weight, detail, label, *others = stored.split(_SEPARATOR)
        kind, table, column, id_column, is_list = self.groups[int(group)]
        return Thing(kind, table, column, identity, label, id_column, tuple(others), detail, float(weight), is_list)


class ShelfWriter:
    """Writes an index: into an empty folder, into one that has an index, or into memory (no folder)."""

    def __init__(self, folder: Path | None, groups: Sequence[Group] = (), *, small: bool = False) -> None:
        import tantivy

        self._folder = folder
        self._schema = _build_schema()
        self._index = tantivy.Index(self._schema, None if folder is None else str(folder))
        register_analyzer(self._index)
        heap, threads = (_SMALL_WRITER_BYTES, 1) if small else (_WRITER_BYTES, 2)
        self._writer = self._index.writer(heap, threads)
        self._to_document = tantivy.Document.from_dict
        self._groups: dict[Group, int] = {group: number for number, group in enumerate(groups)}
        self.counts: dict[str, int] = {}

    def add(self, things: Iterable[Thing]) -> None:
        """Add things. Names and ids longer than any that is asked for are left out or cut."""
        groups, schema, to_document, add = self._groups, self._schema, self._to_document, self._writer.add_document
        for each in things:
            if not each.label or len(each.id) > _MOST_ID_CHARS:
                continue
            group: Group = (each.kind, each.table, each.column, each.id_column, each.is_list)
            number = groups.setdefault(group, len(groups))
            names = [each.label[:MOST_NAME_CHARS]]
            if each.others:
                others = dict.fromkeys(other[:MOST_NAME_CHARS] for other in each.others if other)
                names += [other for other in others if other != names[0]][:MOST_OTHERS]
            words = fold_for_index(names[0]) if len(names) == 1 else " ".join(map(fold_for_index, names))
            stored = _SEPARATOR.join((str(number), each.id, repr(each.weight), each.detail, *names))
            if stored.count(_SEPARATOR) != len(names) + 3:
                continue  # a name with a control character is not one that people type
            fields = {
                "words": words,
                "id": _to_term(number, each.id),
                "group": number,
                "weight": float(each.weight),
                "thing": stored.encode(),
            }
            add(to_document(fields, schema))
            self.counts[each.kind] = self.counts.get(each.kind, 0) + 1

    def remove(self, kind: str, ids: Iterable[str]) -> None:
        """Remove the things of a kind with these ids, those of earlier commits and those that were added since."""
        numbers = [number for group, number in self._groups.items() if group[0] == kind]
        for each in ids:
            for number in numbers:
                self._writer.delete_documents_by_term("id", _to_term(number, each))

    def commit(self) -> Shelf:
        """Make what was added and removed visible, and open it."""
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._index.reload()
        if self._folder is not None:
            text = json.dumps({"format": FORMAT, "groups": list(self._groups)}, ensure_ascii=False)
            (self._folder / SHELF_NAME).write_text(text, encoding="utf-8")
        return Shelf(self._index, list(self._groups))


def open_shelf(folder: Path) -> Shelf:
    """Open the index in a folder, which need not be writable. Raises IndexDamaged."""
    import tantivy

    groups = read_groups(folder)
    # tantivy locks a file beside those that it opens, and the lake may be somebody else's: it gets links to them.
    with tempfile.TemporaryDirectory(prefix="imdb-find-") as links:
        for number, path in enumerate(folder.iterdir()):
            if number == _MOST_FILES:
                raise IndexDamaged(f"The index in {folder.name} has too many files. Load the lake again.")
            if not path.name.endswith(".lock"):
                os.symlink(path.absolute(), os.path.join(links, path.name))
        try:
            index = tantivy.Index(_build_schema(), links)
            register_analyzer(index)
            return Shelf(index, groups)
        except (OSError, ValueError) as error:
            raise _as_damaged(folder) from error


def read_groups(folder: Path) -> list[Group]:
    """Read the groups of the index in a folder. Raises IndexDamaged."""
    try:
        stored = json.loads((folder / SHELF_NAME).read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise IndexDamaged(
                f"The index in {folder.name} has format {stored['format']}, not {FORMAT}. Load it again."
            )
        return [(str(a), str(b), str(c), str(d), bool(e)) for a, b, c, d, e in stored["groups"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _as_damaged(folder) from error


def _as_damaged(folder: Path) -> IndexDamaged:
    return IndexDamaged(f"The index of names in {folder.name} cannot be read. Load the lake again to build it anew.")


def _to_term(group: int, identity: str) -> str:
    return f"{group} {identity}"


def register_analyzer(index: Any) -> None:
    """Tell an index how the text of `words` becomes words."""
    import tantivy

    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase()).build()
    index.register_tokenizer("folded", analyzer)


def _build_schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("words", tokenizer_name="folded", index_option="freq")
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("group", indexed=True)
    builder.add_float_field("weight", fast=True)
    builder.add_bytes_field("thing", stored=True)
    return builder.build()
