"""What a statement is made of, and the walk and the change of a whole tree. Nodes are immutable.

`at` is the index of the sender's token that a node was read from, None for what a rule has made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from operator import is_
from typing import Final, Self, TypeVar, cast

N = TypeVar("N", bound="Node")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Node:
    """A part of a statement. Nodes are compared by identity."""

    at: int | None = None

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes directly below, in the order of the fields; those of sub-queries included."""
        names = _child_fields(type(self))
        if not names:
            return ()
        found: list[Node] = []
        for name in names:
            value = getattr(self, name)
            if type(value) is tuple:
                found += value
            elif value is not None:
                found.append(value)
        return tuple(found)

    def walk(self) -> Iterator[Node]:
        """Yield the node and all below it, parents first. What a rule has put in several places comes once."""
        stack: list[Node] = [self]
        seen: set[Node] = set()
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                yield node
                stack += reversed(node.children)

    def map_children(self, change: Callable[[Node], Node]) -> Self:
        """Return the node with changed children: the same one where none changes."""
        changes: dict[str, object] = {}
        for name in _child_fields(type(self)):
            value = getattr(self, name)
            if type(value) is tuple:
                items = tuple(map(change, value))
                if not all(map(is_, items, value)):
                    changes[name] = items
            elif value is not None:
                new = change(value)
                if new is not value:
                    changes[name] = new
        return self.replace(**changes) if changes else self

    def replace(self, **changes: object) -> Self:
        """Return a copy with other values of some fields."""
        values = {name: getattr(self, name) for name in _fields(type(self))}
        return type(self)(**{**values, **changes})


_PLAIN: Final = frozenset({"sent"})
"""Fields that hold a node which is no part of the tree."""

_VALUES: Final = frozenset(
    {
        "BinaryOperator", "FrameEdge", "FrameUnit", "JoinKind", "LikeOperator", "Literal", "None", "Output",
        "Quantifier", "SampleUnit", "SetKind", "Sets", "Sql", "TableInfo", "Truth", "Type", "UnaryOperator", "bool",
        "int", "object", "str", "tuple",
    }
)  # fmt: skip
"""What the type of a field consists of that never holds a node."""

_TEXT: Final = re.compile(r"'[^']*'")
_WORD: Final = re.compile(r"\w+")
_FIELDS: dict[type, tuple[str, ...]] = {}
_CHILD_FIELDS: dict[type, tuple[str, ...]] = {}


def _fields(kind: type[Node]) -> tuple[str, ...]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(field.name for field in fields(kind))
    return _FIELDS[kind]


def _child_fields(kind: type[Node]) -> tuple[str, ...]:
    """The fields that may hold nodes or tuples of nodes, in the order of the class."""
    found = _CHILD_FIELDS.get(kind)
    if found is None:
        found = _CHILD_FIELDS[kind] = tuple(
            field.name
            for field in fields(kind)
            if field.name not in _PLAIN and not _VALUES.issuperset(_WORD.findall(_TEXT.sub("", str(field.type))))
        )
    return found


def transform(node: N, change: Callable[[Node], Node]) -> N:
    """Return the tree with `change` applied once to every node, children first. What it makes is not visited.

    What stands in several places is changed once, and stands there again: else a rule that writes an operand twice
    would make two to the power of n of n such operands in each other.
    """
    done: dict[Node, Node] = {}

    def visit(each: Node) -> Node:
        found = done.get(each)
        if found is None:
            found = done[each] = change(each.map_children(visit))
        return found

    return cast("N", visit(node))
