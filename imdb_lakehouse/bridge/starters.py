"""The verified queries of the lake's context, and what a visitor may begin with: the first of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from imdb_lakehouse.bridge.settings import Settings
from lakehouse.context import VerifiedQuery, read_queries
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


def find_own_lake(settings: Settings) -> Lake | None:
    """Return the lake of the server that this program starts, None where the server is elsewhere."""
    return Lake.parse(settings.lake) if settings.lake and settings.chat_server is None else None


def read_verified_queries(settings: Settings) -> tuple[VerifiedQuery, ...]:
    """Read the verified queries; none where the lake has no context that can be read."""
    try:
        return read_queries(find_own_lake(settings) or _CATALOG, settings.context_dir)
    except LakehouseError as error:
        log.warning("Visitors are offered no examples: %s", error)
        return ()


def choose_starters(queries: Sequence[VerifiedQuery]) -> tuple[Starter, ...]:
    """Choose what to begin with."""
    questions = [Starter("question", query.question) for query in queries[:_QUESTIONS]]
    return (*questions, *(Starter("sql", query.sql) for query in queries[_QUESTIONS : _QUESTIONS + _STATEMENTS]))
