"""Finds the outermost ORDER BY of a statement and the columns it orders by. Reads tokens and brackets only.

An ORDER BY in brackets (a subquery, a window) does not order the result. Strings, names and comments are recognised as
by Spark.
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
"""Tokens that end the list of ORDER BY."""
_DIRECTION = frozenset({"ASC", "DESC", "NULLS", "FIRST", "LAST"})


@dataclass(frozen=True)
class _SqlToken:
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """The text in upper case, for comparison with keywords."""
        return self.text.upper()


TokenTexts = tuple[str, ...]


@dataclass(frozen=True)
class Ordering:
    """The outermost ORDER BY: its `keys`, the `items` of its SELECT, and the LIMIT as (rows, start, end)."""

    sql: str
    keys: tuple[TokenTexts, ...]
    items: tuple[TokenTexts, ...]
    limit: tuple[int, int, int] | None

    @property
    def row_limit(self) -> int | None:
        """The number of the LIMIT, else None."""
        return None if self.limit is None else self.limit[0]

    def with_limit(self, rows: int) -> str:
        """Return the statement with another number in its LIMIT."""
        if self.limit is None:
            return self.sql
        _, start, end = self.limit
        return f"{self.sql[:start]}{rows}{self.sql[end:]}"

    def find_visible_columns(self, columns: Sequence[str]) -> tuple[int, ...]:
        """Find the result columns of the keys in order, up to the first key that is not in the result."""
        if self.keys == (("ALL",),):
            return tuple(range(len(columns)))
        found: list[int] = []
        for key in self.keys:
            position = self._find_position(key, columns)
            if position is None:
                break
            found.append(position)
        return tuple(dict.fromkeys(found))

    def _find_position(self, key: TokenTexts, columns: Sequence[str]) -> int | None:
        if len(key) == 1 and key[0].isdecimal() and 1 <= int(key[0]) <= len(columns):
            return int(key[0]) - 1
        if len(self.items) == len(columns) and (alike := [i for i, item in enumerate(self.items) if item == key]):
            return alike[0]
        names = [column.upper() for column in columns]
        is_name = all(part == "." for part in key[1::2]) and len(key) % 2 == 1
        name = key[-1].strip("`").upper()
        return names.index(name) if is_name and names.count(name) == 1 else None


def parse_ordering(sql: str) -> Ordering | None:
    """Parse the outermost ORDER BY of a statement, None if there is none."""
    tokens = list(_split_tokens(sql))
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
    keys = [_strip_direction(key) for key in _split_list(tokens, level, by.end, end)]
    return Ordering(sql, tuple(keys), _select_items(tokens, outer, by.start), _find_limit(outer, by.start))


def _split_tokens(sql: str) -> Iterator[_SqlToken]:
    depth = 0
    for match in _TOKEN.finditer(sql):
        text = match[0]
        if text.startswith(("--", "/*")):
            continue
        depth -= text in {")", "]"}
        yield _SqlToken(text, match.start(), match.end(), depth)
        depth += text in {"(", "["}


def _split_list(tokens: Sequence[_SqlToken], level: int, start: int, end: int) -> list[TokenTexts]:
    """Split the tokens between two offsets at the commas of this level."""
    parts: list[list[str]] = [[]]
    for token in tokens:
        if not start <= token.start < end:
            continue
        if token.text == "," and token.depth == level:
            parts.append([])
        else:
            parts[-1].append(token.word)
    return [tuple(part) for part in parts]


def _strip_direction(key: TokenTexts) -> TokenTexts:
    while len(key) > 1 and key[-1] in _DIRECTION:
        key = key[:-1]
    return key


def _select_items(tokens: Sequence[_SqlToken], outer: Sequence[_SqlToken], before: int) -> tuple[TokenTexts, ...]:
    """Return the items of the last SELECT before the ORDER BY, without aliases."""
    selects = [token for token in outer if token.word == "SELECT" and token.start < before]
    if not selects:
        return ()
    begin = selects[-1]
    end = next((t.start for t in outer if t.word == "FROM" and t.start > begin.start), before)
    items = _split_list(tokens, begin.depth, begin.end, end)
    if items[0][:1] in {("DISTINCT",), ("ALL",)}:
        items[0] = items[0][1:]
    return tuple(item[:-2] if len(item) > 2 and item[-2] == "AS" else item for item in items)


def _find_limit(outer: Sequence[_SqlToken], after: int) -> tuple[int, int, int] | None:
    """Find the LIMIT after an offset: its number, and start and end of it in the text."""
    for token, number in pairwise(outer):
        if token.word == "LIMIT" and token.start > after and number.text.isdecimal():
            return int(number.text), number.start, number.end
    return None
