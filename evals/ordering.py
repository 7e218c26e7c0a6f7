"""Whether a statement orders its result, and by which of its columns. Reads words and brackets, no more.

An ORDER BY in brackets (a sub-query, a window) orders nothing that a reader sees. What it takes for a string, a name or
a comment is what Spark does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | `(?:``|[^`])*` | \|[>|] | \w+ | \S""",
    re.VERBOSE | re.DOTALL,
)
_TAIL = frozenset({"LIMIT", "OFFSET", "|>", ";"})
"""What ends a list of ORDER BY."""
_DIRECTION = frozenset({"ASC", "DESC", "NULLS", "FIRST", "LAST"})


@dataclass(frozen=True)
class _Token:
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """In capitals; a quoted name is none of SQL's words."""
        return self.text.upper()


Words = tuple[str, ...]


@dataclass(frozen=True)
class Ordering:
    """The outermost ORDER BY: its `keys` as words, the `items` of the SELECT above it, and its LIMIT, if it has one."""

    sql: str
    keys: tuple[Words, ...]
    items: tuple[Words, ...]
    limit: tuple[int, int, int] | None

    @property
    def limited(self) -> int | None:
        """How many rows the statement asks for, where it says that in a number."""
        return None if self.limit is None else self.limit[0]

    def widened(self, rows: int) -> str:
        """The same statement with another number in its LIMIT."""
        if self.limit is None:
            return self.sql
        _, start, end = self.limit
        return f"{self.sql[:start]}{rows}{self.sql[end:]}"

    def visible(self, columns: Sequence[str]) -> tuple[int, ...]:
        """The result's columns that it is ordered by, in order, up to the first key that the result does not show."""
        if self.keys == (("ALL",),):
            return tuple(range(len(columns)))
        found: list[int] = []
        for key in self.keys:
            position = self._position(key, columns)
            if position is None:
                break
            found.append(position)
        return tuple(dict.fromkeys(found))

    def _position(self, key: Words, columns: Sequence[str]) -> int | None:
        if len(key) == 1 and key[0].isdecimal() and 1 <= int(key[0]) <= len(columns):
            return int(key[0]) - 1
        if len(self.items) == len(columns) and (alike := [i for i, item in enumerate(self.items) if item == key]):
            return alike[0]
        names = [column.upper() for column in columns]
        is_name = all(part == "." for part in key[1::2]) and len(key) % 2 == 1
        name = key[-1].strip("`").upper()
        return names.index(name) if is_name and names.count(name) == 1 else None


def ordering(sql: str) -> Ordering | None:
    """The outermost ORDER BY of a statement, None where it orders nothing."""
    tokens = list(_tokens(sql))
    while len(tokens) > 1 and tokens[-1].word == ";":
        tokens.pop()
    while len(tokens) > 2 and all(token.depth > tokens[0].depth for token in tokens[1:-1]) and tokens[0].text == "(":
        tokens = tokens[1:-1]
    level = tokens[0].depth if tokens else 0
    outer = [token for token in tokens if token.depth == level]
    starts = [i for i, token in enumerate(outer[:-1]) if token.word == "ORDER" and outer[i + 1].word == "BY"]
    if not starts:
        return None
    by = outer[starts[-1] + 1]
    end = next((t.start for t in outer if t.start > by.start and t.word in _TAIL), tokens[-1].end)
    keys = [_without_direction(key) for key in _listed(tokens, level, by.end, end)]
    return Ordering(sql, tuple(keys), _items(tokens, outer, by.start), _limit(outer, by.start))


def _tokens(sql: str) -> Iterator[_Token]:
    depth = 0
    for match in _TOKEN.finditer(sql):
        text = match[0]
        if text.startswith(("--", "/*")):
            continue
        depth -= text in {")", "]"}
        yield _Token(text, match.start(), match.end(), depth)
        depth += text in {"(", "["}


def _listed(tokens: Sequence[_Token], level: int, start: int, end: int) -> list[Words]:
    """What stands between two places, split at its commas."""
    parts: list[list[str]] = [[]]
    for token in tokens:
        if not start <= token.start < end:
            continue
        if token.text == "," and token.depth == level:
            parts.append([])
        else:
            parts[-1].append(token.word)
    return [tuple(part) for part in parts]


def _without_direction(key: Words) -> Words:
    while len(key) > 1 and key[-1] in _DIRECTION:
        key = key[:-1]
    return key


def _items(tokens: Sequence[_Token], outer: Sequence[_Token], before: int) -> tuple[Words, ...]:
    """The items of the last SELECT before the ORDER BY, without their aliases."""
    selects = [token for token in outer if token.word == "SELECT" and token.start < before]
    if not selects:
        return ()
    begin = selects[-1]
    end = next((t.start for t in outer if t.word == "FROM" and t.start > begin.start), before)
    items = _listed(tokens, begin.depth, begin.end, end)
    if items[0][:1] in {("DISTINCT",), ("ALL",)}:
        items[0] = items[0][1:]
    return tuple(item[:-2] if len(item) > 2 and item[-2] == "AS" else item for item in items)


def _limit(outer: Sequence[_Token], after: int) -> tuple[int, int, int] | None:
    """The number of the LIMIT, and where it stands."""
    for token, number in pairwise(outer):
        if token.word == "LIMIT" and token.start > after and number.text.isdecimal():
            return int(number.text), number.start, number.end
    return None
