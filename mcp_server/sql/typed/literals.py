"""What literals say, and their types."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final

from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.typed.types import BIGINT, DOUBLE, FLOAT, INT, MAX_PRECISION, SMALLINT, TINYINT, Decimal, Type

_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[01][0-7]{2}|.)", re.DOTALL)
_MEANINGS: Final = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}
_SUFFIXES: Final = {"L": BIGINT, "S": SMALLINT, "Y": TINYINT, "D": DOUBLE, "F": FLOAT}


def value_of(text: str) -> str:
    """Return what a string literal says, as Spark reads it: `\\%` and `\\_` keep their backslash, for LIKE."""
    if text[0] in "rR":
        return text[2:-1]
    inner = text[1:-1].replace(text[0] * 2, text[0])
    return _ESCAPE.sub(_read_escape, inner)


def read_texts(tokens: Sequence[Token]) -> str:
    """Return what string literals in a row say together: a quote between two that touch, for it is a doubled one."""
    value = value_of(tokens[0].text)
    for before, token in itertools.pairwise(tokens):
        value += (token.text[0] if _goes_on(before, token) else "") + value_of(token.text)
    return value


def number_type(text: str) -> Type | None:
    """Return the type of a number literal, with its sign if that is part of it.

    `SqlBaseParser.g4`, `number`; `AstBuilder.visitIntegerLiteral` and the like. None where Spark refuses it.
    """
    upper = text.lstrip("-").upper()
    least = 1 if text.startswith("-") else 0
    if not upper.endswith("BD"):
        if upper[-1] in _SUFFIXES:
            return _SUFFIXES[upper[-1]]
        if "E" in upper:
            return DOUBLE
        if upper.isdigit() and int(upper) < 2**63 + least:
            return INT if int(upper) < 2**31 + least else BIGINT
    upper = upper.removesuffix("BD")
    mantissa, _, exponent = upper.partition("E")
    whole, _, fraction = mantissa.partition(".")
    scale = len(fraction) - int(exponent or 0)
    digits = len((whole + fraction).lstrip("0")) or 1
    if scale < 0:
        digits, scale = digits - scale, 0
    precision = max(digits, scale)
    return Decimal(precision, scale) if precision <= MAX_PRECISION else None


def _goes_on(before: Token, token: Token) -> bool:
    """Whether the quote that ends one token is doubled by the one that begins the next."""
    return token.kind is Kind.STRING and token.glued and token.text[0] == before.text[0] and token.text[0] in "'\""


def _read_escape(match: re.Match[str]) -> str:
    escaped = match[1]
    if len(escaped) > 1:
        return chr(int(escaped[1:], 16)) if escaped[0] in "uU" else chr(int(escaped, 8))
    return _MEANINGS.get(escaped, escaped)
