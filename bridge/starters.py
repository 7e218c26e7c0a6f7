"""What a visitor may begin with: the first verified queries of the lake's context."""

from __future__ import annotations

import logging
from typing import Final, Literal, NamedTuple

from bridge.settings import Settings
from lakehouse.context import read_queries
from lakehouse.errors import LakehouseError
from lakehouse.storage import Lake, LakeKind

log = logging.getLogger(__name__)

_QUESTIONS: Final = 3
_STATEMENTS: Final = 2
_CATALOG: Final = Lake(LakeKind.CATALOG, "")
"""Stands for the lake of a server at a URL, whose files are not known here: only IMDB_CONTEXT_DIR has its context."""


class Starter(NamedTuple):
    """A question, or a statement."""

    kind: Literal["question", "sql"]
    text: str


def read_starters(settings: Settings) -> tuple[Starter, ...]:
    """Read what to begin with; nothing where the lake has no context that can be read."""
    known = settings.lake is not None and settings.chat_server is None
    lake = Lake.parse(settings.lake) if known and settings.lake else _CATALOG
    try:
        queries = read_queries(lake, settings.context_dir)
    except LakehouseError as error:
        log.warning("Visitors are offered no examples: %s", error)
        return ()
    questions = [Starter("question", query.question) for query in queries[:_QUESTIONS]]
    return (*questions, *(Starter("sql", query.sql) for query in queries[_QUESTIONS : _QUESTIONS + _STATEMENTS]))
