"""Names that a rewrite makes: of parameters, columns and relations that the statement does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Final

from mcp_server.dialects.sail.literals import value_of
from mcp_server.sql.case import Case
from mcp_server.sql.compose import Sql, quote_name
from mcp_server.sql.lexer import Kind

_WORDS: Final = re.compile(r"\w+")


class FreshNames:
    """Gives names of which none is a word of the statement or of its strings, or a column of a table that it reads.

    Each is given once: what is written within something else that is written takes none of its names away.
    """

    def __init__(self, case: Case) -> None:
        self._taken = set(_words(case))

    def name(self, base: str) -> Sql:
        """A name that begins with `base`."""
        name = next(each for each in _numbered(base) if each.lower() not in self._taken)
        self._taken.add(name.lower())
        return quote_name(name)


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}{number}" for number in count(2))


def _words(case: Case) -> Iterator[str]:
    for token in case.source.tokens:
        if token.is_name:
            yield token.name
        elif token.kind is Kind.STRING and token.text[0] not in "xX":
            text = value_of(token.text).lower()  # a string can name a column: in PIVOT, from_json, named_struct
            yield from (text, *_WORDS.findall(text))
    for _, info in case.names.refs:
        yield from (column.name.lower() for column in info.columns)
        yield info.name.lower()
