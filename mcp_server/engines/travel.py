"""Where a statement asks for versions of tables: `VERSION AS OF 3`, `TIMESTAMP AS OF '2026-01-31'`.

Reads what runs, which the guard has checked: one statement without comments.
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
    """A version that is asked for: of the `table` (lower case), by number or moment, at these places of the text."""

    table: str
    asked: int | str
    start: int
    end: int


def read_travels(sql: str) -> list[Travel]:
    """Every version that a statement asks for.

    >>> [(each.table, each.asked) for each in read_travels("SELECT 1 FROM a.`t` VERSION AS OF 3, u")]
    [('t', 3)]
    """
    return list(_travels(_tokens(sql)))


def reads_latest(sql: str, table: str) -> bool:
    """Whether a statement may read a table without saying which version: mostly, and never the other way round."""
    tokens = _tokens(sql)
    asked = {travel.start for travel in _travels(tokens) if travel.table == table}
    starts = [token.start() for token in tokens] + [len(sql)]
    words = ["", *(token[0].upper() for token in tokens), ""]
    return not asked or any(
        _name(token[0]) == table
        and words[index] in _BEFORE_TABLE
        and words[index + 2] != "."
        and starts[index + 1] not in asked
        for index, token in enumerate(tokens)
    )


@functools.lru_cache(256)
def _tokens(sql: str) -> list[re.Match[str]]:
    """A statement is read by the engine before it runs, and asked about for each of its tables."""
    return list(_TOKEN.finditer(sql))


def _travels(tokens: list[re.Match[str]]) -> Iterator[Travel]:
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
            yield Travel(_name(tokens[first - 1][0]), asked, tokens[first].start(), tokens[index + 3].end())


def _name(token: str) -> str:
    return token[1:-1].replace("``", "`").lower() if token.startswith("`") else token.lower()
