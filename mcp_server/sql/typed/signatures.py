"""The small language of `functions.toml`: what a function takes and gives.

Kinds of types are written as types (`array<T>`): a letter, a kind such as `number`, and `arg1` are atomic types here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mcp_server.sql.typed.casts import ABSTRACT
from mcp_server.sql.typed.types import Atomic, Type, TypeReader

LETTERS: Final = frozenset("TUKVASWM")

ORDERED: Final = "ordered"


@dataclass(frozen=True, slots=True)
class LambdaShape:
    """A lambda: the types of its parameters, of which it may name fewer, and what its body gives.

    Nothing but NULL is cast to a `strict` result, where `nulls` are taken.
    """

    parameters: tuple[Type, ...]
    result: Type
    strict: bool
    nulls: bool


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument. `kinds` are tried in order; nothing is cast to those in `strict`, but NULL where `nulls` says so."""

    kinds: tuple[Type, ...]
    strict: frozenset[Type] = frozenset()
    nulls: bool = True
    optional: bool = False
    repeated: bool = False
    shape: LambdaShape | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What one form of a function takes and gives: `result` is a type with letters, or `rule` names a rule."""

    arguments: tuple[Argument, ...]
    result: Type | None
    rule: str

    @property
    def least(self) -> int:
        """The least number of arguments."""
        return sum(not each.optional and not each.repeated for each in self.arguments)

    @property
    def most(self) -> int | None:
        """The largest number of arguments, None where there is none."""
        return None if any(each.repeated for each in self.arguments) else len(self.arguments)

    def takes(self, count: int) -> bool:
        """Whether the function may have so many arguments."""
        return self.least <= count and (self.most is None or count <= self.most)

    def argument(self, index: int) -> Argument:
        """Return the argument at a place, from 0."""
        return self.arguments[min(index, len(self.arguments) - 1)]

    def shape_at(self, index: int) -> LambdaShape | None:
        """Return the shape of the lambda at a place, None where none is taken."""
        return self.argument(index).shape if self.arguments else None


class _SignatureReader(TypeReader):
    """Reads "(arguments) -> result"."""

    def read(self) -> Type:
        word = self.peek()
        if word in ABSTRACT or word == ORDERED or word.startswith("arg"):
            return super().read() if self.peek(1) in {"<", "("} else Atomic(self.take().lower())
        if word.upper() in LETTERS:
            return Atomic(self.take())
        return super().read()

    def signature(self) -> Signature:
        self.take("(")
        arguments: list[Argument] = []
        while not self.skip(")"):
            if arguments:
                self.take(",")
            arguments.append(self._argument())
        self.take("-")
        self.take(">")
        if self.skip("@"):
            return Signature(tuple(arguments), None, self.take())
        return Signature(tuple(arguments), self.read(), "")

    def _argument(self) -> Argument:
        if self.peek() == "fn":
            shape = self._shape()
            return Argument((shape.result,), optional=self.skip("?"), shape=shape)
        exact, loose = self.skip("!"), self.skip("~")
        every = self.skip("=") or exact
        kinds, strict = [self.read()], set[Type]()
        while self.skip("|"):
            alone = self.skip("=")
            kinds.append(self.read())
            strict |= {kinds[-1]} if alone else set()
        found = frozenset(kinds) if every else frozenset(strict)
        return Argument(tuple(kinds), found, not exact and not loose, self.skip("?"), self.skip("*"))

    def _shape(self) -> LambdaShape:
        self.take("fn")
        self.take("(")
        parameters = [self.read()]
        while self.take(",", ")") == ",":
            parameters.append(self.read())
        nulls = not self.skip("!")
        strict = self.skip("=") or not nulls
        return LambdaShape(tuple(parameters), self.read(), strict, nulls)


def parse_signature(text: str) -> Signature:
    """Read one signature of `functions.toml`.

    >>> parse_signature("(array<T>, int?) -> T").least
    1
    """
    return _SignatureReader(text.replace("$", "arg")).signature()
