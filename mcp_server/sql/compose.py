"""Builds SQL text from templates of this program and complete parts.

Only this module makes `Sql`. A part is a copy of the caller's tokens, a quoted name or text, a number, or Sql. A plain
`str` is no part, so nothing that a caller wrote gets into a statement unquoted. An operand is put in brackets where its
neighbours could take it apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Self

from lakehouse.quoting import quote_identifier, quote_literal
from mcp_server.sql.lexer import Kind, Token, tokenize
from mcp_server.sql.source import MAX_TOKENS, Source
from mcp_server.sql.words import KEYWORDS, NO_ALIAS, RESERVED

_SEAL: Final = object()
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_TYPE: Final = re.compile(r"[A-Za-z0-9_<>(),: ]+")
_VALUES: Final = frozenset(
    {
        "CASE", "CAST", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER", "DATE", "FALSE",
        "INTERVAL", "LOCALTIMESTAMP", "NULL", "SESSION_USER", "TIME", "TIMESTAMP", "TRUE", "TRY_CAST", "USER",
    }
)  # fmt: skip
"""Words that stand for a value, or begin one, where a name could stand."""

_BEHIND_CALL: Final = frozenset({"FILTER", "WITHIN", "GROUP", "IGNORE", "RESPECT", "NULLS", "OVER"})
_TYPED: Final = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIME", "X"})


class Sql(str):
    """A text of whole tokens with paired brackets."""

    __slots__ = ()

    def __new__(cls, text: str, seal: object = None) -> Self:
        if seal is not _SEAL:
            raise TypeError("Sql is made of parts: call compose, copy_tokens, quote_name or quote_text.")
        return super().__new__(cls, text)


class Operand(Sql):
    """An expression. It is put in brackets wherever it is filled in, unless it is closed by itself."""

    __slots__ = ()


Part = Sql | int


def compose(template: str, *parts: Part) -> Sql:
    """Fill the holes `{}` of a template of this program.

    Errors: TypeError for a part that is plain text.
    """
    return Sql(template.format(*map(_fill_hole, parts)), _SEAL)


def join(separator: str, parts: Iterable[Part]) -> Sql:
    """Join parts with a separator of this program. Empty parts are left out."""
    return Sql(separator.join(filter(None, map(_fill_hole, parts))), _SEAL)


def copy_tokens(source: Source, first: int, end: int) -> Sql:
    """Copy the caller's tokens from one up to another, without comments."""
    return Sql(_space_tokens(source.tokens[first:end]), _SEAL)


def as_operand(text: Sql) -> Operand:
    """Return the same text as an expression."""
    return Operand(text, _SEAL)


def back_quote(name: str) -> Sql:
    """Write a name in back-quotes."""
    return Sql(quote_identifier(name), _SEAL)


def quote_name(name: str) -> Sql:
    """Write a name, in back-quotes where it is not a plain word."""
    plain = _WORD.fullmatch(name) and name.upper() not in KEYWORDS | NO_ALIAS | RESERVED | _VALUES
    return Sql(name if plain else quote_identifier(name), _SEAL)


def quote_text(value: str) -> Sql:
    """Write a string literal that both engines read as `value`."""
    return Sql(quote_literal(value), _SEAL)


def write_word(word: str) -> Sql:
    """Write the name of a function, or a keyword.

    Errors: ValueError where it is more than one word.
    """
    if not all(_WORD.fullmatch(each) for each in word.split(" ")):
        raise ValueError(f"{word!r} is no word")
    return Sql(word, _SEAL)


def write_number(digits: str) -> Sql:
    """Write a number without a sign.

    Errors: ValueError where it is none.
    """
    if not _NUMBER.fullmatch(digits):
        raise ValueError(f"{digits!r} is no number")
    return Sql(digits, _SEAL)


def write_type(kind: object) -> Sql:
    """Write a type by its name.

    Errors: ValueError where it is no type.
    """
    text = str(kind)
    if not _TYPE.fullmatch(text):
        raise ValueError(f"{text!r} is no type")
    return Sql(text, _SEAL)


def _fill_hole(part: Part) -> str:
    if isinstance(part, Operand):
        return part if is_closed(part) else f"({part})"
    if isinstance(part, Sql) or type(part) is int:
        return str(part)
    raise TypeError(f"{part!r} is plain text, and no part of a statement")


def _space_tokens(tokens: Iterable[Token]) -> str:
    return "".join(("" if token.glued or at == 0 else " ") + token.text for at, token in enumerate(tokens))


def is_closed(text: str) -> bool:
    """Whether an expression is a single operand, of which no neighbour can take a part."""
    tokens = tokenize(text, MAX_TOKENS * 16)
    if not tokens or all(token.kind is Kind.STRING for token in tokens):
        return True
    first = tokens[0]
    if first.key == "-":
        return len(tokens) == 2 and tokens[1].kind is Kind.NUMBER
    if first.key == "CASE":
        return _end_of_case(tokens) == len(tokens)
    if first.key == "INTERVAL" and len(tokens) > 1:
        return all(token.kind is not Kind.SYMBOL for token in tokens)
    if first.key in _TYPED and len(tokens) == 2:
        return tokens[1].kind is Kind.STRING
    return _end_of_primary(tokens) == len(tokens)


def _end_of_case(tokens: tuple[Token, ...]) -> int:
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.key == "CASE") - (token.key == "END")
        if depth == 0:
            return at + 1
    return 0


def _end_of_primary(tokens: tuple[Token, ...]) -> int:
    """Return the end of the name, call, literal or brackets that the tokens begin with, and its suffixes."""
    at, keys = 1, [token.key for token in tokens]
    if keys[0] == "(":
        at = _behind_brackets(keys, 0)
    elif keys[0] == "NOT" or (tokens[0].kind is Kind.SYMBOL and keys[0] != "*"):
        return 0
    while at < len(keys):
        if keys[at] == "." and at + 1 < len(keys):
            at += 2
        elif keys[at] in {"(", "["}:
            at = _behind_brackets(keys, at)
        elif keys[at] in _BEHIND_CALL and keys[at - 1] != ".":
            at += 2 if keys[at] == "OVER" and at + 1 < len(keys) and tokens[at + 1].is_name else 1
        else:
            return 0
    return at


def _behind_brackets(keys: list[str], at: int) -> int:
    depth = 0
    for index in range(at, len(keys)):
        depth += (keys[index] in {"(", "["}) - (keys[index] in {")", "]"})
        if depth == 0:
            return index + 1
    return len(keys) + 1
