"""Texts that make a regular expression work as hard as it can, made from the expression's own parse tree.

Each is a beginning, a part that is repeated, and an end: what stands before a repetition, what it repeats, and a letter
that lets the match fail. A matcher that backtracks over a repetition needs quadratic time or more for one of them.
"""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")

_MOST_SAMPLES = 4
_LETTERS = " \n\t,.;:aA0_-'\"`\\/(){}[]*+é"
"""What classes of characters are tried with: one of each kind that patterns tell apart."""

_ENDS = ("", "\x00", "!", "\n\x00", " x")


class Hostile(NamedTuple):
    """`beginning`, then `part` again and again, then `end`."""

    beginning: str
    part: str
    end: str

    def text(self, times: int) -> str:
        """With the part so many times."""
        return self.beginning + self.part * times + self.end


def hostile_texts(pattern: re.Pattern[str]) -> Iterator[Hostile]:
    """All texts to try a pattern with."""
    tree = _parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    found = list(_repetitions(tree, ("",), pattern.flags))
    parts = dict.fromkeys(part for _, repeated in found for part in repeated if part)
    singles = dict.fromkeys(part for part in parts if len(part) == 1)
    pairs = ["".join(pair) for pair in itertools.permutations(list(singles)[:8], 2)]
    beginnings = dict.fromkeys(beginning for begun, _ in found for beginning in begun)
    whole = [sample for sample in _samples(tree, pattern.flags) if sample]
    repeated = dict.fromkeys([*parts, *pairs, *whole, *(sample[:-1] for sample in whole if len(sample) > 1)])
    for beginning, part, end in itertools.product(list(beginnings)[:6] or [""], repeated, _ENDS):
        yield Hostile(beginning, part, end)


def _repetitions(tree: Any, before: Sequence[str], flags: int) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """For each repetition in a tree: what can stand before it, and what it repeats."""
    for operation, argument in tree:
        for inner in _inner_trees(operation, argument):
            if _is_repeat(operation) and argument[1] > 1:
                yield before, _samples(inner, flags, many=True)
            yield from _repetitions(inner, before, flags)
        before = [first + more for first in before for more in _node_samples(operation, argument, flags)]
        before = list(dict.fromkeys(before))[:_MOST_SAMPLES]


def _inner_trees(operation: Any, argument: Any) -> list[Any]:
    if _is_repeat(operation):
        return [argument[2]]
    if operation is _constants.SUBPATTERN:
        return [argument[3]]
    if operation is _constants.BRANCH:
        return list(argument[1])
    if operation is _constants.ATOMIC_GROUP:
        return [argument]
    if operation in {_constants.ASSERT, _constants.ASSERT_NOT}:
        return [argument[1]]
    return []


def _is_repeat(operation: Any) -> bool:
    return operation in {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}


def _samples(tree: Any, flags: int, *, many: bool = False) -> list[str]:
    """Some short texts that a tree matches; all letters that a single class takes where `many` are wanted."""
    most = len(_LETTERS) if many and len(tree) == 1 else _MOST_SAMPLES
    texts = [""]
    for operation, argument in tree:
        more = _node_samples(operation, argument, flags, most=most)
        texts = [text + one for text, one in itertools.product(texts, more)]
        texts = list(dict.fromkeys(texts))[:most]
    return texts


def _node_samples(operation: Any, argument: Any, flags: int, most: int = _MOST_SAMPLES) -> list[str]:
    if operation is _constants.LITERAL:
        return [chr(argument)]
    if operation in {_constants.IN, _constants.ANY, _constants.NOT_LITERAL}:
        return _letters(operation, argument, flags)[:most]
    if _is_repeat(operation):
        least, largest, inner = argument
        again = [text * max(1, least) for text in _samples(inner, flags, many=most > _MOST_SAMPLES)]
        return (again if least else [*again[: most - 1], ""]) if largest else [""]
    if operation is _constants.SUBPATTERN:
        return _samples(argument[3], flags, many=most > _MOST_SAMPLES)
    if operation is _constants.ATOMIC_GROUP:
        return _samples(argument, flags, many=most > _MOST_SAMPLES)
    if operation is _constants.BRANCH:
        choices = [_samples(choice, flags) for choice in argument[1]]
        return [text for texts in itertools.zip_longest(*choices) for text in texts if text is not None][: 4 * most]
    return [""]


def _letters(operation: Any, argument: Any, flags: int) -> list[str]:
    """Letters that a class of characters takes: of `_LETTERS`, and those that the class itself names."""
    state = _parser.State()
    state.flags = flags
    single = importlib.import_module("re._compiler").compile(_parser.SubPattern(state, [(operation, argument)]), flags)
    members = argument if operation is _constants.IN else []
    named = [chr(value) for kind, value in members if kind is _constants.LITERAL]
    ranged = [chr(value[0]) for kind, value in members if kind is _constants.RANGE]
    return [letter for letter in dict.fromkeys([*_LETTERS, *named, *ranged]) if single.fullmatch(letter)] or ["a"]
