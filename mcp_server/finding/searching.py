"""Searches everything that `find` knows, and puts the hits of its sources into one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lakehouse.context import VerifiedQuery
from lakehouse.find.things import VALUE, Hit
from lakehouse.find.words import fold_text
from mcp_server.finding.filters import write_filter, write_name
from mcp_server.finding.indexes import OpenIndex
from mcp_server.finding.words import split_telling_words

NAME_KINDS = ("table", "column", "query")
_LEAST_ASKED_WORDS = 3
"""A text of so many telling words is more likely a question than a name."""
_MOST_PROPOSED = 100
LIKELY = 0.8
"""The score of what is most likely meant."""
_LIKE_A_WORD = 0.72
"""The least score of a value that a single word names: "comedies" finds Comedy with 0.74."""
_WORD_SHARE = 0.6
_MOST_WORDS = 6
_VALUE_BEHIND = 0.1
"""How far a value comes behind a thing of that name, unless the text is the value and nothing more."""


@dataclass(frozen=True)
class Found:
    """A hit of any kind, as texts. `filter` is the condition to write; `query` is set for verified queries alone.

    `called` has all that a value is called; it is empty for other kinds.
    """

    kind: str
    id: str
    label: str
    detail: str
    table: str = ""
    filter: str = ""
    score: float = 0
    query: VerifiedQuery | None = None
    called: tuple[str, ...] = ()


def list_kinds(index: OpenIndex) -> list[str]:
    """List the kinds that a search may be limited to: entities, values, and what the server knows itself."""
    declared = {entity.kind for entity in index.context.declarations.entity}
    return [*sorted((index.finder.kinds | declared) - {VALUE}), VALUE, *NAME_KINDS]


def search(index: OpenIndex, text: str, kind: str | None, limit: int) -> list[Found]:
    """Find what a text means, of one kind or of all, best first.

    What is no longer among the tables that may be read is left out.
    """
    kinds = list_kinds(index) if kind is None else [kind]
    things = frozenset(kinds) - set(NAME_KINDS)
    lists = [_search_things(index, text, things, limit)] if things else []
    if VALUE in things and not any(found.score >= LIKELY for found in lists[0]):
        lists.append(_search_words(index, text, {(each.kind, each.filter) for each in lists[0]}))
    lists += [_search_names(index, text, each, limit) for each in kinds if each in NAME_KINDS]
    return _merge(text, lists)[:limit]


def is_called(found: Found, text: str) -> bool:
    """Whether a hit is called just what was asked for, but for accents, case and signs."""
    wanted = fold_text(text).strip()
    return any(fold_text(name).strip() == wanted for name in (found.label, found.id, *found.called))


def _search_things(index: OpenIndex, text: str, kinds: frozenset[str], limit: int) -> list[Found]:
    # More than are shown: of what is dropped because it may not be read, nothing else would take the place.
    hits = index.finder.search(text, kinds, min(2 * limit, _MOST_PROPOSED))
    return [_to_found(index, hit) for hit in hits if is_readable(index, hit)][:limit]


def _search_words(index: OpenIndex, text: str, known: set[tuple[str, str]]) -> list[Found]:
    """Find the values that single words of a text name, behind all that the text itself may be."""
    words = split_telling_words(text)
    if len(words) == 1:
        return []
    hits = (hit for word in words[:_MOST_WORDS] for hit in index.finder.search(word, frozenset({VALUE}), 2))
    found = {hit: _to_found(index, hit) for hit in hits if hit.score >= _LIKE_A_WORD and is_readable(index, hit)}
    return [
        replace(each, score=_WORD_SHARE * hit.score)
        for hit, each in found.items()
        if (each.kind, each.filter) not in known
    ]


def is_readable(index: OpenIndex, hit: Hit) -> bool:
    """Whether the table of a hit, and both its columns, are still among those that may be read."""
    table = index.readable.get(hit.table.lower())
    if table is None:
        return False
    columns = {column.name.lower() for column in table.columns}
    return hit.column.lower() in columns and hit.id_column.lower() in columns


def _to_found(index: OpenIndex, hit: Hit) -> Found:
    also = f"found as {hit.matched}" if hit.matched and hit.kind != VALUE else ""
    detail = ", ".join(filter(None, (hit.detail, also)))
    condition = write_filter(hit, index.readable)
    # A value is named by its column; two columns of one name are told apart by their tables.
    label = f"{hit.column} {hit.label}" if hit.kind == VALUE else hit.label
    called = (hit.id, *hit.others) if hit.kind == VALUE else ()
    return Found(hit.kind, hit.id, label, detail, hit.table, condition, hit.score, called=called)


def _search_names(index: OpenIndex, text: str, kind: str, limit: int) -> list[Found]:
    found = []
    for hit in index.names.search(text, kind, limit):
        if hit.query is not None:
            query = hit.query
            found.append(Found(kind, query.id, query.question, query.note, score=hit.score, query=query))
        else:
            name = f"{hit.table}.{hit.column}" if hit.column else hit.table
            written = ".".join(map(write_name, filter(None, (hit.table, hit.column))))
            detail = hit.detail if hit.column else hit.detail.split("\n")[0].partition(". ")[0]
            found.append(Found(kind, written, name, detail, hit.table, score=hit.score))
    return found


def _merge(text: str, lists: Sequence[list[Found]]) -> list[Found]:
    """Merge lists that are each in order. What scores alike comes in the order of what a text is likely to mean."""
    asked = len(split_telling_words(text)) >= _LEAST_ASKED_WORDS or "?" in text
    wanted = fold_text(text).strip()

    def rank(found: Found) -> float:
        if found.kind == "query":
            return found.score + (0.3 if asked else -0.3)
        if found.kind in NAME_KINDS:
            return found.score - 0.05
        if found.kind != VALUE:
            return found.score
        exact = any(fold_text(name) == wanted for name in found.called)
        return found.score + (1 if exact else -_VALUE_BEHIND)

    return sorted((found for each in lists for found in each), key=lambda found: -rank(found))
