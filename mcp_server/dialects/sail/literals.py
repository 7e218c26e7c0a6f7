"""Literals that the embedded engine reads otherwise than Spark."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final

from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import compose, quote_text, write_type
from mcp_server.sql.edits import Edit
from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.words import OPERAND_NEXT

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[01][0-7]{2}|.)", re.DOTALL)
_MEANINGS: Final = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}

_SMALLEST: Final = {
    "2147483648": "INT",
    "9223372036854775808": "BIGINT",
    "9223372036854775808L": "BIGINT",
    "32768S": "SMALLINT",
    "128Y": "TINYINT",
}
"""Numbers that fit only with their sign, which Sail reads apart from them."""


def rewrite_literals(case: Case, _: Catalog) -> Sequence[Edit]:
    """Doubled quotes as escaped ones: `'it''s'` is `its` to Sail. The smallest integers as casts."""
    tokens, edits, index = case.source.tokens, list[Edit](), 0
    while index < len(tokens):
        end = index + 1
        if tokens[index].kind is Kind.STRING:
            while end < len(tokens) and _goes_on(tokens[end - 1], tokens[end]):
                end += 1
            if end > index + 1:
                edits.append(Edit(index, end, quote_text(said(tokens[index:end]))))
        elif tokens[index].key == "-" and end < len(tokens) and (index == 0 or tokens[index - 1].key in OPERAND_NEXT):
            number = tokens[end].text.upper()
            if number in _SMALLEST:
                end += 1
                edits.append(
                    Edit(
                        index,
                        end,
                        compose(
                            "CAST({} AS {})", quote_text(f"-{number.rstrip('LSY')}"), write_type(_SMALLEST[number])
                        ),
                    )
                )
        index = end
    return edits


def _goes_on(before: Token, token: Token) -> bool:
    """Whether the quote that ends one token is doubled by the one that begins the next."""
    return token.kind is Kind.STRING and token.glued and token.text[0] == before.text[0] and token.text[0] in "'\""


def value_of(text: str) -> str:
    """What a string literal says, as Spark reads it: `\\%` and `\\_` keep their backslash, for LIKE."""
    if text[0] in "rR":
        return text[2:-1]
    inner = text[1:-1].replace(text[0] * 2, text[0])
    return _ESCAPE.sub(_meaning, inner)


def said(tokens: Sequence[Token]) -> str:
    """What string literals in a row say together: a quote between two that touch, for it is a doubled one."""
    value = value_of(tokens[0].text)
    for before, token in itertools.pairwise(tokens):
        value += (token.text[0] if _goes_on(before, token) else "") + value_of(token.text)
    return value


def _meaning(match: re.Match[str]) -> str:
    escaped = match[1]
    if len(escaped) > 1:
        return chr(int(escaped[1:], 16)) if escaped[0] in "uU" else chr(int(escaped, 8))
    return _MEANINGS.get(escaped, escaped)
