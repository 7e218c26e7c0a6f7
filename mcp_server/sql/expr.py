"""Expressions as small trees whose nodes know their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Expr:
    """Tokens `first` up to `end`. `word` is the operator, or the name of what is called, in lower case.

    `parts` are operands or arguments; `rest` is what follows a call: kinds `distinct`, `within`, `filter`, `nulls`
    and `over`. A `query` is not looked into: it holds expressions of its own.
    """

    kind: str
    first: int
    end: int
    word: str = ""
    parts: tuple[Expr, ...] = ()
    rest: tuple[Expr, ...] = ()

    @property
    def children(self) -> tuple[Expr, ...]:
        return self.parts + self.rest

    def walk(self) -> Iterator[Expr]:
        yield self
        for child in self.children:
            yield from child.walk()

    def has(self, kind: str) -> Expr | None:
        """What follows the call, of that kind."""
        return next((each for each in self.rest if each.kind == kind), None)


class Unread(Exception):  # noqa: N818  (a signal within this package, never seen outside)
    """No expression that is known here stands at this token."""
