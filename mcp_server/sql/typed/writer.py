"""What the writers of a typed tree share: which function writes a class of nodes, levels of binding, brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, Final

from mcp_server.sql.compose import Sql, compose, join, quote_name, write_type
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.types import Array, Map, Struct, Type


class Level(IntEnum):
    """How tightly an expression is bound, from the loosest."""

    OR = 1
    AND = 2
    NOT = 3
    PREDICATE = 4
    BIT_OR = 5
    BIT_XOR = 6
    BIT_AND = 7
    SHIFT = 8
    SUM = 9
    PRODUCT = 10
    SIGN = 11
    PRIMARY = 12


Written = tuple[Level, Sql]
Writer = Callable[[Any], Written | Sql]
"""Gives the text and its level; Sql alone is bound by nothing around it."""

NOTHING: Final = join("", ())
WORD: Final = re.compile(r"[a-z_][a-z0-9_]*")

_WRITERS: Final[dict[type, Writer]] = {}


def writes(*kinds: type[Node]) -> Callable[[Writer], Writer]:
    """Register the function that writes nodes of these classes."""

    def register(writer: Writer) -> Writer:
        _WRITERS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def write(node: Node) -> Written:
    """Write a node, and tell how tightly it is bound.

    Errors: TypeError for a node of a class that no function was registered for.
    """
    writer = _WRITERS.get(type(node))
    if writer is None:
        raise TypeError(f"the printer does not know {type(node).__name__}")
    written = writer(node)
    return written if isinstance(written, tuple) else (Level.PRIMARY, written)


def write_text(node: Node) -> Sql:
    """Write a node where nothing beside it can take a part of it."""
    return write(node)[1]


def write_operand(e: Expression, lowest: Level) -> Sql:
    """Write an operand, in brackets where it is bound more loosely than its place asks for."""
    level, text = write(e)
    return text if level >= lowest else compose("({})", text)


def write_value(e: Expression) -> Sql:
    """Write an operand of a predicate. Predicates are put in brackets: they are not associative."""
    return write_operand(e, Level.BIT_OR)


def write_list(nodes: Iterable[Node]) -> Sql:
    """Write nodes with commas between them."""
    return join(", ", map(write_text, nodes))


def fill_list(template: str, parts: Iterable[Sql]) -> Sql:
    """Fill a template with a list; nothing where the list is empty."""
    text = join(", ", parts)
    return compose(template, text) if text else NOTHING


def write_names(parts: Iterable[str]) -> Sql:
    """Write a name of several parts."""
    return join(".", map(quote_name, parts))


def print_type(kind: Type | None) -> Sql:
    """Write a type.

    Errors: TypeError where it is not known.
    """
    if kind is None:
        raise TypeError("a type that is not known cannot be written")
    if isinstance(kind, Array):
        return compose("ARRAY<{}>", print_type(kind.element))
    if isinstance(kind, Map):
        return compose("MAP<{}, {}>", print_type(kind.key), print_type(kind.value))
    if isinstance(kind, Struct):
        fields = (compose("{}: {}", quote_name(name), print_type(each)) for name, each in kind.fields)
        return compose("STRUCT<{}>", join(", ", fields))
    return write_type(kind)
