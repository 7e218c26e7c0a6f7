"""Makes nodes in the embedded engine's words: templates filled with nodes, constants, casts and calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.template import fill_template, has_parameters, read_template, text_constant
from mcp_server.sql.compose import compose
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Cast, Constant, Expression, Parameter
from mcp_server.sql.typed.types import BIGINT, BOOLEAN, INT, VOID, Type

N = TypeVar("N", bound=Node)
Filling = Expression | Type | int | str | bool | None


def fill(
    context: Context, template: str, *nodes: Expression, gives: Type | None = None, **named: Filling
) -> Expression:
    """Fill a template: `{0}` is the first node, `{name}` a named one; a type fills `CAST(x AS {name})`.

    `gives` is Spark's type of the whole, where it is not told by the template itself.
    """
    tree = read_template(template)

    def find(name: str) -> Expression | Type:
        return nodes[int(name)] if name.isdigit() else _as_filling(named[name])

    inner = (*nodes, *(each for each in named.values() if isinstance(each, Node))) if has_parameters(tree) else ()
    used = names_of_parameters(inner)
    found = cast("Expression", fill_template(tree, find, lambda base: context.parameter_beside(base, used)))
    return with_type(found, gives) if gives is not None else found


def with_type(node: Expression, kind: Type | None) -> Expression:
    """The node as one of a type."""
    return node if isinstance(node, Cast) or node.type == kind else node.replace(type=kind)


def _as_filling(value: Filling) -> Expression | Type:
    if isinstance(value, bool | int | str) or value is None:
        return constant(value)
    return value


def names_of_parameters(nodes: Iterable[Node]) -> frozenset[str]:
    """The names of parameters that nodes hold: what is put around them needs another."""
    return frozenset(each.name for node in nodes for each in node.walk() if isinstance(each, Parameter))


def constant(value: bool | int | str | None, gives: Type | None = None) -> Expression:
    """A literal."""
    if value is None:
        null = Constant(text=compose("NULL"), value=None, type=VOID)
        return null if gives is None else Cast(operand=null, type=gives)
    if isinstance(value, bool):
        return Constant(text=compose("true" if value else "false"), value=value, type=BOOLEAN)
    if isinstance(value, str):
        return text_constant(value)
    kind = gives or (INT if -(2**31) <= value < 2**31 else BIGINT)
    return Constant(text=compose("{}", value), value=value, type=kind)


def call(name: str, *arguments: Expression, gives: Type | None = None) -> Call:
    """A call."""
    return Call(name=name, arguments=arguments, type=gives)


def cast_to(node: Expression, kind: Type | None) -> Expression:
    """The node cast to a type, unless it is of it."""
    return node if kind is None or node.type == kind else Cast(operand=node, type=kind)


def renew(node: N, **changes: object) -> N | None:
    """The node with other values of some fields, None where they are those that it has."""

    def is_same(old: object, new: object) -> bool:
        if isinstance(old, tuple) and isinstance(new, tuple):
            return len(old) == len(new) and all(one is other for one, other in zip(old, new, strict=True))
        return old is new

    if all(is_same(getattr(node, name), value) for name, value in changes.items()):
        return None
    return node.replace(**changes)
