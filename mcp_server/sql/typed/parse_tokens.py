"""Steps over the tokens of a statement: what all parsers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.source import Source
from mcp_server.sql.words import CLAUSES, QUERY_STARTS, RESERVED

_Parsed = TypeVar("_Parsed")


class NotRead(Exception):  # noqa: N818  (a signal within the server, never seen outside)
    """No known construct stands at this token."""

    def __init__(self, at: int) -> None:
        super().__init__(f"token {at}")
        self.at = at


class TokenReader:
    """Stands at the token `at`. Errors: NotRead, where another token is needed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.at = 0
        self._ids = 0
        self.folded = False  # `Query.folded`
        self._keys = (*source.keys, *[""] * 4)

    @property
    def key(self) -> str:
        return self._keys[self.at]

    @property
    def token(self) -> Token:
        if self.at >= len(self.source.tokens):
            self.fail()
        return self.source.tokens[self.at]

    def fail(self) -> NoReturn:
        raise NotRead(self.at)

    def new_id(self) -> int:
        """Return an id for a relation or WITH name."""
        self._ids += 1
        return self._ids

    def sees(self, first: str, *more: str) -> bool:
        """Whether these words follow."""
        if self._keys[self.at] != first:
            return False
        return not more or self._keys[self.at + 1 : self.at + 1 + len(more)] == more

    def take(self, first: str, *more: str) -> bool:
        """Consume these words if they follow, and return whether they do."""
        if self._keys[self.at] != first or (more and not self.sees(first, *more)):
            return False
        self.at += 1 + len(more)
        return True

    def expect(self, first: str, *more: str) -> None:
        """Consume these words."""
        if not self.take(first, *more):
            self.fail()

    def parse_between_commas(self, parse_one: Callable[[], _Parsed]) -> tuple[_Parsed, ...]:
        """Parse one or more of something, with commas between them."""
        found = [parse_one()]
        while self.take(","):
            found.append(parse_one())
        return tuple(found)

    def take_name(self) -> str:
        """Consume a name, and return it in its own case without back-quotes."""
        token = self.token
        if not token.is_name:
            self.fail()
        self.at += 1
        calls = token.key == "FILTER" and self.key == "("
        self.folded |= token.kind is not Kind.QUOTED and token.key in RESERVED and not calls
        return token.bare

    def opens_query(self) -> bool:
        """Whether a bracket opens here that holds a query, and no expression."""
        at = self.at
        while self.source.key(at) == "(":
            at += 1
        if at == self.at or self.source.key(at) not in QUERY_STARTS:
            return False
        # `((SELECT 1) + 2)` is an expression: what follows the innermost query decides.
        for opened in range(at - 1, self.at, -1):
            if self.source.key(self.source.closing[opened] + 1) not in CLAUSES | {")"}:
                return False
        return True
