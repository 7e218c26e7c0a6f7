"""The nodes of expressions, which know their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Expr:
    """The tokens from `first` up to `end`, exclusive. `word` is the operator or the called name, in lower case.

    `parts` are operands or arguments. `rest` holds what follows a call, as nodes of the kinds `distinct`, `within`,
    `filter`, `nulls` and `over`. A `query` is a leaf: its expressions are nodes of their own.
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

    def find_rest(self, kind: str) -> Expr | None:
        """Return the part of that kind that follows the call."""
        return next((each for each in self.rest if each.kind == kind), None)


class Unread(Exception):  # noqa: N818  (a signal within this package, never seen outside)
    """No known expression stands at this token."""
