"""Says why a statement found nothing, where a text that it asks for is nowhere in its column."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lakehouse.errors import LakehouseError
from lakehouse.escaping import MOST_QUOTED_CHARS, cut_text, escape_controls, quote_briefly
from lakehouse.find.things import VALUE, Hit
from mcp_server.finding.indexes import Indexes, OpenIndex
from mcp_server.finding.searching import is_readable
from mcp_server.models import CheckedQuery, Scan, TableInfo
from mcp_server.results import Answer

log = logging.getLogger(__name__)

_MOST_SECONDS = 0.1
"""The time after which no further text is looked for."""
_MOST_TEXTS = 3
_MOST_NEAREST = 3
_MOST_FREQUENT = 8
_LIKE_THE_FIRST = 0.08
"""How much less than the nearest others may score, to be named beside it."""
_NOTHING = (None, 0, "0")


def is_empty(answer: Answer) -> bool:
    """Whether an answer has no rows, or a single one of zeros and nulls, which is a count or a sum of no rows."""
    if len(answer.rows) == 1:
        return all(cell in _NOTHING and cell is not False for cell in answer.rows[0])
    return not answer.rows


def explain_empty(
    indexes: Indexes, query: CheckedQuery, read_tables: Callable[[], tuple[TableInfo, ...]]
) -> tuple[str, ...]:
    """Return a sentence for each text in a statement's filters that its column does not have, with the nearest.

    Nothing where the index is not on this machine, or cannot tell. Never fails, and never builds an index.
    """
    texts = list(dict.fromkeys(_list_texts(query.scans)))[:_MOST_TEXTS]
    if not texts:
        return ()
    sentences = []
    try:
        index = indexes.open_at_once(read_tables())
        if index is None:
            return ()
        deadline = time.monotonic() + _MOST_SECONDS
        for asked in texts:
            sentences += _explain_text(index, asked)
            if time.monotonic() > deadline:
                break
    except (LakehouseError, OSError) as error:
        log.warning("An answer without rows could not be explained. %s", error)
    return tuple(sentences)


@dataclass(frozen=True)
class _Asked:
    """A text that a filter asks of a column: all of it, or a part of it in any case of its letters."""

    table: str
    column: str
    text: str
    is_part: bool


def _list_texts(scans: Sequence[Scan]) -> Iterator[_Asked]:
    for scan in scans:
        for condition in scan.filters:
            if condition.op in {"=", "in", "contains"}:
                for value in condition.values:
                    if isinstance(value, str) and value:
                        yield _Asked(scan.table, condition.column, value, condition.op == "contains")


def _explain_text(index: OpenIndex, asked: _Asked) -> list[str]:
    text, column = asked.text, asked.column
    held = {
        source: index.finder.holds_label(source, column, text) for source in _list_sources(index, asked.table, column)
    }
    source = next((source for source, found in held.items() if found is False), None)
    if source is None or any(held.values()):
        return []
    hits = index.finder.search(text, limit=_MOST_NEAREST, table=source, column=column)
    hits = [hit for hit in hits if is_readable(index, hit) and hit.score >= hits[0].score - _LIKE_THE_FIRST]
    if asked.is_part and any(text.casefold() in hit.label.casefold() for hit in hits):
        return []
    near = f"nearest: {'; '.join(_describe_hit(hit, text) for hit in hits)}." if hits else ""
    name = _spell_column(index, source, column)
    name = name if source.lower() == asked.table.lower() else f"{name} of {source}"
    if asked.is_part:  # only an index of whole words: what it does not find may be there
        return [f"No {name} with {quote_briefly(text)} in it was found; {near}"] if near else []
    if index.has_label(source, column, text) is False:
        return [f"No {name} is {quote_briefly(text)}; {near or _describe_frequent(index, source, column)}"]
    # The index lacks some names, and this may be one of them.
    return [f"No {name} in the index of names is {quote_briefly(text)}; {near}"] if near else []


def _describe_frequent(index: OpenIndex, table: str, column: str) -> str:
    """Name the most frequent values of a column that has few; of names, which are many, none."""
    values = index.finder.list_values(table, column, _MOST_FREQUENT)
    shown = ", ".join(escape_controls(cut_text(value, MOST_QUOTED_CHARS)) for value in values)
    return f"it has {shown}." if shown else "nor is any like it."


def _list_sources(index: OpenIndex, table: str, column: str) -> list[str]:
    """List the tables whose texts a column may have: its own, and for a view those with a column of its name."""
    info = index.readable.get(table.lower())
    if info is None or info.kind != "view":
        return [table]
    others = [
        other.name
        for other in index.readable.values()
        if other.kind != "view" and any(each.name.lower() == column.lower() for each in other.columns)
    ]
    return [table, *others]


def _spell_column(index: OpenIndex, table: str, column: str) -> str:
    columns = index.readable[table.lower()].columns
    return escape_controls(next((each.name for each in columns if each.name.lower() == column.lower()), column))


def _describe_hit(hit: Hit, text: str) -> str:
    label = escape_controls(cut_text(hit.label, MOST_QUOTED_CHARS))
    case = " (case counts)" if hit.label.casefold() == text.casefold() else ""
    identity = "" if hit.kind == VALUE else f" ({hit.id_column} {cut_text(hit.id, MOST_QUOTED_CHARS)})"
    return f"{label}{case}{escape_controls(identity)}"
