"""An index of things, which proposes candidates for words: tantivy, on disk or in memory.

The index is plain: the folded words of all names of a thing. What words may mean besides (slips, joined and split
words, numerals) is asked of it by queries (`lakehouse.find.queries`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lakehouse.find.queries import QueryBuilder, Stage, match_all
from lakehouse.find.things import IndexDamaged, Thing, ThingBatch
from lakehouse.find.words import MOST_NAME_CHARS, fold_for_index

FORMAT: Final = 1
SHELF_NAME: Final = "shelf.json"
"""What a folder holds beside tantivy's files: the format, the groups of things, and what is not in it."""
MOST_OTHERS: Final = 40
_MOST_ID_CHARS: Final = 1_000
_MOST_WORDS_CHARS: Final = 20_000
_NEEDS_FOLDING: Final = r"[^\x00-\x7f]|\w[^\w\s]\w|[&_]"
"""The index lowers the letters of other texts, and splits their words, itself."""
_WRITER_BYTES: Final = 100_000_000
"""Memory for things that are not on disk yet; half as much wrote twice the segments, twice as much gained no time."""
_SMALL_WRITER_BYTES: Final = 32_000_000
_PROPOSED: Final = 80
_REMOVALS: Final = 3
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
        # A second thread would have to wait for documents, and costs a fifth more: each writes words of its own.
        self._writer = self._index.writer(_SMALL_WRITER_BYTES if small else _WRITER_BYTES, 1)
        self._to_document = tantivy.Document.from_dict
        self._groups: dict[Group, int] = {group: number for number, group in enumerate(groups)}
        self.counts: dict[str, int] = {}

    def add(self, things: Iterable[Thing | ThingBatch]) -> None:
        """Add things. Names and ids longer than any that is asked for are left out or cut."""
        for each in things:
            if isinstance(each, ThingBatch):
                self._add_batch(each)
            else:
                self._add_thing(each)

    def _add_thing(self, thing: Thing) -> None:
        if not thing.label or len(thing.id) > _MOST_ID_CHARS:
            return
        number = self._number_group((thing.kind, thing.table, thing.column, thing.id_column, thing.is_list))
        names = [thing.label[:MOST_NAME_CHARS]]
        if thing.others:
            others = dict.fromkeys(other[:MOST_NAME_CHARS] for other in thing.others if other)
            names += [other for other in others if other != names[0]][:MOST_OTHERS]
        stored = _SEPARATOR.join((str(number), thing.id, repr(thing.weight), thing.detail, *names))
        if stored.count(_SEPARATOR) != len(names) + 3:
            return  # a name with a control character is not one that people type
        words = " ".join(map(fold_for_index, names))
        self._add_document(number, words, thing.id, float(thing.weight), stored)
        self.counts[thing.kind] = self.counts.get(thing.kind, 0) + 1

    def _add_batch(self, batch: ThingBatch) -> None:
        """Add a batch: Arrow puts together what is stored, and only the rows that need it are folded here."""
        import pyarrow as pa
        import pyarrow.compute as pc

        number = self._number_group((batch.kind, batch.table, batch.column, batch.id_column, False))
        rows = batch.rows.filter(pc.less_equal(pc.utf8_length(batch.rows.column("id")), _MOST_ID_CHARS))
        ids, details, labels = (_clean_texts(rows.column(name)) for name in ("id", "detail", "label"))
        weights = pc.fill_null(rows.column("weight"), 0.0)
        others = pc.list_slice(rows.column("others"), 0, MOST_OTHERS)
        others = pc.if_else(pc.greater(pc.list_value_length(others), 0), others, pa.scalar(None, others.type))
        names = pc.binary_join_element_wise(
            labels, pc.binary_join(others, _SEPARATOR), _SEPARATOR, null_handling="skip"
        )
        parts = pa.scalar(str(number)), ids, pc.cast(weights, pa.string()), details, names, pa.scalar(_SEPARATOR)
        stored = pc.cast(pc.binary_join_element_wise(*parts), pa.binary())
        terms = pc.binary_join_element_wise(pa.scalar(str(number)), ids, pa.scalar(" "))
        folds = pc.match_substring_regex(names, _NEEDS_FOLDING)
        to_document, schema, add = self._to_document, self._schema, self._writer.add_document
        for term, text, fold, weight, thing in zip(
            *(column.to_pylist() for column in (terms, names, folds, weights, stored)), strict=True
        ):
            words = fold_for_index(text[:_MOST_WORDS_CHARS]) if fold else text
            add(to_document({"words": words, "id": term, "group": number, "weight": weight, "thing": thing}, schema))
        self.counts[batch.kind] = self.counts.get(batch.kind, 0) + len(rows)

    def _number_group(self, group: Group) -> int:
        return self._groups.setdefault(group, len(self._groups))

    def _add_document(self, group: int, words: str, identity: str, weight: float, stored: str) -> None:
        fields = {
            "words": words,
            "id": _to_term(group, identity),
            "group": group,
            "weight": weight,
            "thing": stored.encode(),
        }
        self._writer.add_document(self._to_document(fields, self._schema))

    def remove(self, kind: str, ids: Iterable[str]) -> None:
        """Remove the things of a kind with these ids, those of earlier commits and those that were added since."""
        numbers = [number for group, number in self._groups.items() if group[0] == kind]
        for each in ids:
            for number in numbers:
                self._writer.delete_documents_by_term("id", _to_term(number, each))

    def flush(self) -> None:
        """Write what was added to disk, and free its memory. More may be added."""
        self._writer.commit()

    def commit(self) -> Shelf:
        """Make what was added and removed visible, and open it."""
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._index.reload()
        if self._folder is not None:
            text = json.dumps({"format": FORMAT, "groups": list(self._groups)}, ensure_ascii=False)
            (self._folder / SHELF_NAME).write_text(text, encoding="utf-8")
        return Shelf(self._index, list(self._groups))


def _clean_texts(column: Any) -> Any:
    """Cut texts that are longer than any that is asked for, and fill in those that are missing."""
    import pyarrow.compute as pc

    cut = pc.utf8_slice_codeunits(pc.fill_null(column, ""), 0, _MOST_ID_CHARS)
    return pc.replace_substring(cut, _SEPARATOR, " ")


def open_shelf(folder: Path) -> Shelf:
    """Open the index in a folder, which need not be writable. Raises IndexDamaged."""
    import tantivy

    groups = read_groups(folder)
    # tantivy locks a file beside those that it opens, and the lake may be somebody else's: it gets links to them.
    links = tempfile.mkdtemp(prefix="imdb-find-")
    try:
        for number, path in enumerate(folder.iterdir()):
            if number == _MOST_FILES:
                raise IndexDamaged(f"The index in {folder.name} has too many files. Load the lake again.")
            if not path.name.endswith(".lock"):
                os.symlink(path.absolute(), os.path.join(links, path.name))
        index = tantivy.Index(_build_schema(), links)
        register_analyzer(index)
        return Shelf(index, groups)
    except (OSError, ValueError) as error:
        raise _as_damaged(folder) from error
    finally:
        for _ in range(_REMOVALS):  # the first reader watches the folder for a moment, and may lock it again
            shutil.rmtree(links, ignore_errors=True)


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
    return IndexDamaged(f"The index of names in {folder.name} cannot be read. Load the lake again to rebuild it.")


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
