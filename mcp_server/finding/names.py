"""Finds tables, columns and verified queries: what the server knows of a lake without reading a row of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.context import VerifiedQuery
from mcp_server.finding.words import WordIndex, split_name, split_telling_words
from mcp_server.models import TableInfo

_NAME_WORTH = 1.0
_COMMENT_WORTH = 0.6
"""A word of a comment says less than one of the name, and the name of a column's table less still."""
_TABLE_WORTH = 0.4
_MOST_COLUMNS = 20_000
"""Columns that are compared: beyond them a lake's columns are found by their tables alone."""
LEAST_SHARE = 0.5
"""The share of a text's words that a name, or a question, must have."""


@dataclass(frozen=True)
class NameHit:
    """A table, a column of one, or a verified query. `score` is from 0 to 1."""

    kind: str
    score: float
    table: str = ""
    column: str = ""
    detail: str = ""
    query: VerifiedQuery | None = None


class Names:
    """The tables and columns of a lake, by the words of their names and comments, and questions by their words."""

    def __init__(self, tables: Sequence[TableInfo], queries: Sequence[VerifiedQuery]) -> None:
        self._hits = [*_list_tables(tables), *_list_columns(tables)[:_MOST_COLUMNS]]
        self._names = WordIndex({number: _name_words(hit) for number, hit in enumerate(self._hits)})
        self._queries = queries
        self._questions = WordIndex({number: _question_words(query) for number, query in enumerate(queries)})

    def search(self, text: str, kind: str, limit: int) -> list[NameHit]:
        """Find what has at least half of the words of a text: `kind` is table, column or query."""
        if kind == "query":
            found = self._questions.search(split_telling_words(text))
            return [
                NameHit("query", score, query=self._queries[number])
                for score, number in found[:limit]
                if score >= LEAST_SHARE
            ]
        found = self._names.search(_split_asked_name(text))
        hits = ((score, self._hits[number]) for score, number in found if score >= LEAST_SHARE)
        chosen = [
            NameHit(hit.kind, score, hit.table, hit.column, hit.detail) for score, hit in hits if hit.kind == kind
        ]
        return chosen[:limit]


def _split_asked_name(text: str) -> list[str]:
    """Split what may be names of tables and columns: `movies_delta.startYear` has four words."""
    pieces = (split_name(piece) for piece in text.replace(".", " ").split())
    return split_telling_words(" ".join(part for parts in pieces for part in (parts[:-1] or parts)))


def _list_tables(tables: Sequence[TableInfo]) -> list[NameHit]:
    return [NameHit("table", 0, table.name, detail=table.comment) for table in tables if not table.problem]


def _list_columns(tables: Sequence[TableInfo]) -> list[NameHit]:
    return [
        NameHit("column", 0, table.name, column.name, f"{column.type}: {column.comment}".rstrip(": "))
        for table in tables
        if not table.problem
        for column in table.columns
    ]


def _name_words(hit: NameHit) -> dict[str, float]:
    words = dict.fromkeys(split_telling_words(hit.detail), _COMMENT_WORTH)
    words |= dict.fromkeys(split_name(hit.table), _TABLE_WORTH) if hit.column else {}
    return words | dict.fromkeys(split_name(hit.column or hit.table), _NAME_WORTH)


def _question_words(query: VerifiedQuery) -> dict[str, float]:
    words = dict.fromkeys(split_telling_words(query.note), _COMMENT_WORTH)
    return words | dict.fromkeys(split_telling_words(query.question), _NAME_WORTH)
