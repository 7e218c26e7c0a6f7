"""A copy of the statement for sqlglot: the same structure, spelled so that sqlglot reads it in one way.

The copy never runs. In it

- every called function is named after its position (`f12`), so that sqlglot gives each call the same plain node with
  all arguments, and the tree can be compared with the tokens call by call,
- strings hold a number instead of their text, unless the text is plain,
- a LATERAL VIEW has a name and the AS before its columns,
- `MAX RECURSION LEVEL n` and `VERSION AS OF n` are left out, as they are read from the tokens, and
- pipes (`FROM t |> WHERE c`) are nested sub-queries (`SELECT * FROM (SELECT * FROM t) WHERE c`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mcp_server.sql.clauses import Reading
from mcp_server.sql.lexer import Kind
from mcp_server.sql.source import Source, is_plain_integer
from mcp_server.sql.words import KEYWORDS, QUERY_NAMES, QUERY_STARTS, SET_OPERATORS

_PLAIN_STRING = re.compile(r"'[A-Za-z0-9 _.:,/+-]{0,64}'", re.ASCII)
_TYPES = frozenset({"CHAR", "DEC", "DECIMAL", "NUMERIC", "TIME", "TIMESTAMP", "VARCHAR"})
_COMPARISONS = frozenset({"=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>", "LIKE", "ILIKE"})
_APPENDED = frozenset(
    {
        "WHERE", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET", "TABLESAMPLE", "PIVOT", "UNPIVOT",
        "LATERAL", "JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI", "NATURAL", "AS",
    }
)  # fmt: skip


class Piece(NamedTuple):
    """A word of the copy. `token` is the index of the caller's token that it stands for, or None."""

    text: str
    token: int | None
    key: str


Item = Piece | list[Piece]
"""A piece, or everything in one pair of brackets with the brackets."""


@dataclass(frozen=True)
class Copy:
    """The text for sqlglot. `origin` maps the offset of each word to the caller's token."""

    text: str
    origin: Mapping[int, int]


def copy_for_analysis(source: Source, reading: Reading) -> Copy:
    """Write the copy of a query whose tables and calls are known.

    Errors: Refused, with the code `recursion` or `syntax`.
    """
    pieces = _fold_pipes(source, _split_pieces(source, reading))
    parts: list[str] = []
    origin: dict[int, int] = {}
    at = 0
    for piece in pieces:
        if piece.token is not None:
            origin[at] = piece.token
        parts.append(piece.text)
        at += len(piece.text) + 1
    return Copy(" ".join(parts), origin)


def _split_pieces(source: Source, reading: Reading) -> list[Item]:
    """Return all tokens as items of the outermost level."""
    ends = {ref.last: ref.end for ref in reading.tables}
    added = dict(_words_of_views(source, reading.calls))
    stack: list[list[Item]] = [[]]
    index, tokens = 0, source.tokens
    while index < len(tokens):
        token = tokens[index]
        if token.key == "MAX" and source.key(index + 1) == "RECURSION":
            index = _after_level(source, index)
            continue
        if index in added:
            stack[-1] += _split_words(added[index])
        piece = Piece(_spell_token(source, index, reading.calls), index, token.key)
        if token.key == "(":
            stack.append([piece])
        elif token.key == ")":
            group = stack.pop()
            stack[-1].append([*_flatten(group[:1]), *_fold_pipes(source, group[1:]), piece])
        else:
            stack[-1].append(piece)
        index = ends.get(index, index) + 1
    return stack[0]


def _words_of_views(source: Source, calls: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Yield what sqlglot needs and Spark does not: the AS of `LATERAL VIEW explode(x) t col`, the t of `… AS col`."""
    tokens = source.tokens
    for index in calls:
        before = source.key(index - 1), source.key(index - 2)
        if before in {("VIEW", "LATERAL"), ("OUTER", "VIEW")}:
            at = source.closing[index + 1] + 2
            if at < len(tokens) and tokens[at - 1].is_name and tokens[at].is_name and tokens[at].key not in KEYWORDS:
                yield (at - 1, f"view{index}") if tokens[at - 1].key == "AS" else (at, "AS")


def _after_level(source: Source, index: int) -> int:
    """Return the index after `MAX RECURSION LEVEL n`."""
    tokens = source.tokens
    if source.key(index + 2) == "LEVEL" and index + 3 < len(tokens) and is_plain_integer(tokens[index + 3]):
        return index + 4
    raise source.refusal_at("recursion", "The bound of a recursion is a plain integer: MAX RECURSION LEVEL 50.", index)


def _spell_token(source: Source, index: int, calls: Mapping[int, str]) -> str:
    """Return the spelling of one token in the copy."""
    token = source.tokens[index]
    key = token.key
    if key == "X" and index + 1 < len(source.tokens) and source.tokens[index + 1].kind is Kind.STRING:
        return ""
    if key == "CLUSTER" and source.key(index - 1) == "(" and source.key(index - 2) == "OVER":
        return "PARTITION"
    if token.kind is Kind.STRING:
        return token.text if _PLAIN_STRING.fullmatch(token.text) else f"'s{index}'"
    if index in calls and not _keeps_name(source, index, key):
        return f"f{index}"
    if key == ">" and index not in source.types:
        # `8 >>> 1` is three glued signs; sqlglot knows the shift by two.
        glued = source.key(index + 1) == ">" and source.tokens[index + 1].glued
        before = source.key(index - 1) == ">" and token.glued
        return "" if before else ">>" if glued else ">"
    return token.text


def _keeps_name(source: Source, index: int, key: str) -> bool:
    """Whether a call has its own grammar or is a type, so that its name must stay."""
    before, inside = source.key(index - 1), source.key(index + 2)
    if key in QUERY_NAMES:
        return True
    if key in _TYPES:
        return before in {"AS", "::", ":", "<"} or _is_within_type(source, index)
    if key == "EXISTS":
        return inside in QUERY_STARTS
    if key in {"ANY", "SOME"}:
        return before in _COMPARISONS
    if key in {"LIKE", "ILIKE", "RLIKE", "REGEXP"}:
        return before not in {"", "SELECT", ",", "(", "WHERE", "AND", "OR", "ON", "WHEN", "THEN", "ELSE", "HAVING"}
    return key == "FILTER" and inside == "WHERE"


def _is_within_type(source: Source, index: int) -> bool:
    """Whether a token stands between the `<` and `>` of a type, as the second one in map<int, decimal(5, 2)>."""
    opened = [at for at in source.types if at < index]
    return sum(1 if source.key(at) == "<" else -1 for at in opened) > 0


def _split_words(text: str) -> list[Piece]:
    return [Piece(word, None, word) for word in text.split()]


def _flatten(items: Iterable[Item]) -> list[Piece]:
    return [piece for item in items for piece in (item if isinstance(item, list) else (item,))]


def _fold_pipes(source: Source, items: list[Item]) -> list[Piece]:
    """Return the pieces of `items`, with pipes folded into nested sub-queries."""
    segments: list[list[Item]] = [[]]
    for item in items:
        if isinstance(item, Piece) and item.key == "|>":
            segments.append([])
        else:
            segments[-1].append(item)
    if len(segments) == 1:
        return _flatten(items)
    head = _after_with(segments[0])
    query = _flatten(segments[0][head:])
    if query and query[0].key in {"FROM", "VALUES"}:
        query = _split_words("SELECT *" if query[0].key == "FROM" else "SELECT * FROM") + query
    for segment in segments[1:]:
        query = _fold_segment(source, query, segment)
    return _flatten(segments[0][:head]) + query


def _after_with(items: list[Item]) -> int:
    """Return the index of the query after `WITH a AS (…), b (x) AS (…)`, or 0 where there is no WITH."""
    if _key_of(items, 0) != "WITH":
        return 0
    at = 2 if _key_of(items, 1) == "RECURSIVE" else 1
    while at < len(items):
        at += 1
        if _key_of(items, at) == "(" and _key_of(items, at + 1) in {"AS", "("}:
            at += 1
        at += 2 if _key_of(items, at) == "AS" else 1
        if _key_of(items, at) != ",":
            break
        at += 1
    return at


def _key_of(items: list[Item], index: int) -> str:
    """Return the key of an item: `(` for a group, an empty string past the end."""
    if index >= len(items):
        return ""
    item = items[index]
    return item[0].key if isinstance(item, list) else item.key


def _find_words(items: list[Item], *keys: str) -> int:
    """Return where the words `keys` follow each other, or the length of `items`."""
    for index in range(len(items)):
        if all(_key_of(items, index + offset) == key for offset, key in enumerate(keys)):
            return index
    return len(items)


def _fold_segment(source: Source, query: list[Piece], segment: list[Item]) -> list[Piece]:
    """Write `query |> segment` as one query around `query`.

    Grouped pipes may name their groups (`GROUP BY y AS year`). The copy then selects the groups, which reads and calls
    the same.
    """
    word, rest = _key_of(segment, 0), segment[1:]
    inner = [*_split_words("FROM ("), *query, *_split_words(")")]
    if word in _APPENDED or word in SET_OPERATORS:
        return [*_split_words("SELECT *"), *inner, *_flatten(segment)]
    match word:
        case "SELECT":
            window = _find_words(rest, "WINDOW")
            return [*_split_words("SELECT"), *_flatten(rest[:window]), *inner, *_flatten(rest[window:])]
        case "EXTEND" | "SET":
            return [*_split_words("SELECT * ,"), *_flatten(rest), *inner]
        case "DISTINCT":
            return [*_split_words("SELECT DISTINCT *"), *inner]
        case "AGGREGATE":
            return [*_split_words("SELECT"), *_write_aggregate(rest, inner)]
        case "DROP" if all(isinstance(item, Piece) and item.key != "." for item in rest):
            return [*_split_words("SELECT * EXCEPT ("), *_flatten(rest), *_split_words(")"), *inner]
    first = segment[0] if segment else None
    at = first.token if isinstance(first, Piece) and first.token is not None else 0
    raise source.refusal_at(
        "syntax",
        "After |> comes SELECT, EXTEND, SET, DROP, AS, WHERE, AGGREGATE, JOIN, ORDER BY, LIMIT, UNION, PIVOT or "
        "TABLESAMPLE.",
        at,
    )


def _write_aggregate(rest: list[Item], inner: list[Piece]) -> list[Piece]:
    """Write `AGGREGATE a GROUP BY b AS c` as `a, b AS c FROM … GROUP BY ALL`."""
    group = _find_words(rest, "GROUP", "BY")
    groups = _flatten(rest[group + 2 :])
    comma = _split_words(",") if groups and group else []
    return [*_flatten(rest[:group]), *comma, *groups, *inner, *(_split_words("GROUP BY ALL") if groups else [])]
