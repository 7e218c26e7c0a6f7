"""Finds time travel in a statement: `VERSION AS OF 3`, `TIMESTAMP AS OF '2026-01-31'`.

The text is the one that runs, checked by the guard: one statement without comments.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_TOKEN = re.compile(r"""[rR]'[^']*'|[rR]"[^"]*"|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`]|``)*`|\w+|\S""", re.DOTALL)
_BY_NUMBER: Final = frozenset({"VERSION", "SYSTEM_VERSION"})
_BY_TIME: Final = frozenset({"TIMESTAMP", "SYSTEM_TIME"})
_BEFORE_TABLE: Final = frozenset({"FROM", "JOIN", ",", "(", "."})


@dataclass(frozen=True)
class Travel:
    """A requested version of `table` (lower case), by number or timestamp, at these offsets of the text."""

    table: str
    asked: int | str
    start: int
    end: int


def read_travels(sql: str) -> list[Travel]:
    """Return every version that a statement requests.

    >>> [(each.table, each.asked) for each in read_travels("SELECT 1 FROM a.`t` VERSION AS OF 3, u")]
    [('t', 3)]
    """
    return list(_find_travels(_tokenize(sql)))


def reads_latest(sql: str, table: str) -> bool:
    """Whether a statement may read a table without a version. Errs only toward True."""
    tokens = _tokenize(sql)
    asked = {travel.start for travel in _find_travels(tokens) if travel.table == table}
    starts = [token.start() for token in tokens] + [len(sql)]
    words = ["", *(token[0].upper() for token in tokens), ""]
    return not asked or any(
        _unquote_name(token[0]) == table
        and words[index] in _BEFORE_TABLE
        and words[index + 2] != "."
        and starts[index + 1] not in asked
        for index, token in enumerate(tokens)
    )


@functools.lru_cache(256)
def _tokenize(sql: str) -> list[re.Match[str]]:
    """Tokenize a statement; cached because it is called before the run and for each of its tables."""
    return list(_TOKEN.finditer(sql))


def _find_travels(tokens: list[re.Match[str]]) -> Iterator[Travel]:
    words = [token[0].upper() for token in tokens]
    for index in range(1, len(tokens) - 3):
        if words[index] not in _BY_NUMBER | _BY_TIME or words[index + 1 : index + 3] != ["AS", "OF"]:
            continue
        first = index - 1 if words[index - 1] == "FOR" and index > 1 else index
        value = tokens[index + 3][0]
        asked: int | str | None = None
        if words[index] in _BY_NUMBER and value.isdecimal() and value.isascii():
            asked = int(value) if len(value) < 20 else None
        elif words[index] in _BY_TIME and value[0] in "'\"":
            asked = value[1:-1]
        if asked is not None:
            yield Travel(_unquote_name(tokens[first - 1][0]), asked, tokens[first].start(), tokens[index + 3].end())


def _unquote_name(token: str) -> str:
    return token[1:-1].replace("``", "`").lower() if token.startswith("`") else token.lower()
