"""What the arguments of a call become in a function's signature, and what its letters stand for then."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mcp_server.sql.typed.casts import ABSTRACT, cast_implicitly, cast_to_kind
from mcp_server.sql.typed.coercion import (
    UNKNOWN,
    NoCommonTypeError,
    Widen,
    close,
    has_map,
    is_ordered,
    join_types,
    widen,
    widen_as_element,
    widen_keys,
    widen_without_strings,
)
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.signatures import LETTERS, ORDERED, Argument, Signature
from mcp_server.sql.typed.types import VOID, Array, Atomic, Map, Struct, Type, as_schema, map_parts

UNEXPECTED = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"
DIFFERENT = "DATATYPE_MISMATCH.DATA_DIFF_TYPES"
UNORDERED = "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"

_ANY_TYPE: Final = re.compile(r"<[a-z](?:, ?[a-z])?>")
"""The letters for any type, in a list's or a map's: `array<w>` is an array."""


_WIDENED: Final[Mapping[str, Widen]] = {"S": widen, "W": widen_without_strings, "M": widen_keys}
"""How types of one letter are widened, if not as elements."""


@dataclass(frozen=True, slots=True)
class Match:
    """The types that arguments are cast to, and those that letters stand for. All are closed."""

    kinds: tuple[Type, ...]
    letters: Mapping[str, Type] = field(default_factory=dict)

    def fill(self, template: Type) -> Type:
        """Return a type with its letters and `arg1` replaced."""
        filled = map_parts(template, self._fill_atom)
        return filled or UNKNOWN

    def _fill_atom(self, kind: Type | None) -> Type | None:
        if not isinstance(kind, Atomic):
            return kind
        if kind.name in LETTERS:
            return self.letters.get(kind.name, UNKNOWN)
        if kind.name.startswith("arg"):
            place = int(kind.name[3:]) - 1
            return self.kinds[place] if place < len(self.kinds) else UNKNOWN
        return kind


def match(name: str, signature: Signature, types: Sequence[Type | None], differ: str = DIFFERENT) -> Match:
    """Fit the types of arguments to a signature that takes so many.

    Raises SparkRefuses without a place; `differ` is its condition where arguments of one letter differ.
    """
    closed = [close(kind) for kind in types]
    found: dict[str, list[Type]] = {}
    kinds: list[Type] = []
    for index, kind in enumerate(closed):
        argument = signature.argument(index)
        cast = _fit(argument, kind, found)
        if cast is None:
            raise _refuse(name, index, argument, kind, _condition(argument, differ))
        kinds.append(cast)
    letters = {letter: _join(name, letter, several, differ) for letter, several in found.items()}
    fitted = Match(tuple(kinds), letters)
    return Match(tuple(_final(fitted, signature.argument(index), kind) for index, kind in enumerate(kinds)), letters)


def _final(fitted: Match, argument: Argument, kind: Type) -> Type:
    """What an argument with letters becomes once they are known."""
    first = argument.kinds[0]
    return fitted.fill(first) if argument.shape is None and _has_letter(first) else kind


def _has_letter(kind: Type | None) -> bool:
    match kind:
        case Array(element):
            return _has_letter(element)
        case Map(key, value):
            return _has_letter(key) or _has_letter(value)
        case Struct(fields):
            return any(_has_letter(each) for _, each in fields)
        case _:
            return isinstance(kind, Atomic) and kind.name in LETTERS


def _fit(argument: Argument, kind: Type, found: dict[str, list[Type]]) -> Type | None:
    """Return what an argument is cast to; None where it does not fit. Adds to `found` what its letters stand for."""
    if argument.shape is not None:
        return kind if _fit_body(argument, kind, found) else None
    if kind == UNKNOWN:
        for each in argument.kinds:
            _collect(each, UNKNOWN, found)
        return UNKNOWN
    for each in argument.kinds:
        if _accepts(each, kind):
            _collect(each, kind, found)
            return kind
    for each in argument.kinds:
        cast = _cast(each, kind, argument)
        if cast is not None:
            _collect(each, kind, found)
            return cast
    return None


def _fit_body(argument: Argument, kind: Type, found: dict[str, list[Type]]) -> bool:
    shape = argument.shape
    if shape is None or _has_letter(shape.result):
        _collect(argument.kinds[0], kind, found)
        return True
    if kind == VOID:
        return shape.nulls
    return kind in {UNKNOWN, shape.result} or (not shape.strict and cast_implicitly(kind, shape.result) is not None)


def _accepts(expected: Type, kind: Type) -> bool:
    """Whether a value is of a kind without a cast."""
    if isinstance(expected, Atomic):
        if expected.name in LETTERS:
            return True
        if expected.name == ORDERED:
            return is_ordered(kind) and not has_map(kind)
        return ABSTRACT[expected.name][0](kind) if expected.name in ABSTRACT else expected == kind
    if isinstance(expected, Array) and isinstance(kind, Array):
        return _accepts(expected.element or UNKNOWN, kind.element or UNKNOWN) or kind.element == UNKNOWN
    return expected == kind or (isinstance(expected, Map) and isinstance(kind, Map))


def _cast(expected: Type, kind: Type, argument: Argument) -> Type | None:
    """What Spark makes of a value where a kind is expected; None where it does not cast it."""
    strict = expected in argument.strict
    if expected == Atomic(ORDERED) or (kind == VOID and not argument.nulls):
        return None
    if isinstance(expected, Atomic) and expected.name in ABSTRACT:
        return cast_to_kind(kind, expected.name) if not strict or kind == VOID else None
    if kind == VOID:
        return map_parts(expected, lambda each: VOID if isinstance(each, Atomic) and each.name in LETTERS else each)
    if strict or _has_letter(expected):
        return None
    return cast_implicitly(kind, expected)


def _collect(expected: Type, kind: Type, found: dict[str, list[Type]]) -> None:
    """Note what the letters of a kind stand for in a value of a type."""
    match expected, kind:
        case Atomic(name), _:
            if name in LETTERS:
                found.setdefault(name, []).append(kind)
        case Array(one), Array(other):
            _collect(one or UNKNOWN, other or UNKNOWN, found)
        case Map(key, value), Map(other_key, other_value):
            _collect(key or UNKNOWN, other_key or UNKNOWN, found)
            _collect(value or UNKNOWN, other_value or UNKNOWN, found)
        case Array(one), _:
            _collect(one or UNKNOWN, UNKNOWN if kind == UNKNOWN else VOID, found)
        case Map(key, value), _:
            for each in (key, value):
                _collect(each or UNKNOWN, UNKNOWN if kind == UNKNOWN else VOID, found)
        case _:
            pass


def _join(name: str, letter: str, kinds: list[Type], differ: str) -> Type:
    try:
        return close(join_types(kinds, _WIDENED.get(letter, widen_as_element)))
    except NoCommonTypeError as error:
        one, other = map(as_schema, error.types)
        raise SparkRefuses(
            differ, f"{name} takes arguments of one type, not {one} and {other}: cast one of them."
        ) from None


def _condition(argument: Argument, differ: str) -> str:
    if argument.kinds == (Atomic(ORDERED),):
        return UNORDERED
    letters = not argument.strict and any(_has_letter(each) for each in argument.kinds)
    letters = letters or argument.shape is not None
    return differ if letters and differ != DIFFERENT else UNEXPECTED


def _refuse(name: str, index: int, argument: Argument, kind: Type, condition: str) -> SparkRefuses:
    expected = " or ".join(_ANY_TYPE.sub("", as_schema(each)) for each in argument.kinds)
    return SparkRefuses(
        condition, f"Argument {index + 1} of {name} is of the type {as_schema(kind)}; it takes {expected}."
    )
