"""Calls: what Sail lacks, what it answers otherwise, and the forms of `forms.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules import aggregates, branches, collections, dates, formats, numbers, strings, tried
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.data import sail
from mcp_server.dialects.sail.rules.make import constant, fill
from mcp_server.dialects.sail.rules.numbers import CallRule, whole_constant
from mcp_server.dialects.sail.rules.patterns import write_patterns
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Call, Case, Expression, NamedArgument
from mcp_server.sql.typed.types import STRING, as_schema

_ONE_PARAMETER: Final = frozenset(
    {"explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "variant_explode"}
)
"""Functions whose one argument may have a name: there is nothing to confuse."""


def write_typeof(node: Call, _: Context) -> Node | None:
    """typeof(x), which Sail says of its own types."""
    kind = node.arguments[0].type if len(node.arguments) == 1 else None
    return None if kind is None else constant(as_schema(kind), STRING)


def write_decode(node: Call, _: Context) -> Node | None:
    """decode(x, a, b, …, otherwise), where nulls are equal."""
    if len(node.arguments) < 3:
        return None
    value, *rest = node.arguments
    pairs = list(zip(rest[::2], rest[1::2], strict=False))
    return Case(
        operand=None,
        conditions=tuple(Binary(operator="<=>", left=value, right=key) for key, _ in pairs),
        results=tuple(found for _, found in pairs),
        otherwise=rest[-1] if len(rest) % 2 else None,
        type=node.type,
    )


_RULES: Final[Mapping[str, CallRule]] = {
    **aggregates.RULES,
    **branches.RULES,
    **collections.RULES,
    **dates.RULES,
    **formats.RULES,
    **numbers.RULES,
    **strings.RULES,
    **tried.RULES,
    "decode": write_decode,
    "typeof": write_typeof,
}


def write_call(node: Node, context: Context) -> Node | None:
    """A call in words that Sail has. Errors: EngineLacks, with what to write instead."""
    if not isinstance(node, Call):
        return None
    tables, key = sail(), f"{node.name}/{len(node.arguments)}"
    for each in (node.name, key):
        if each in tables.lacks:
            lack = tables.lacks[each]
            raise lacking(node.name, lack.why.format(name=node.name), lack.instead)
    if node.name == "coalesce" and not node.arguments:  # on which Sail's process panics
        raise lacking("coalesce", "it of no values", "Name the columns.")
    _check_arguments(node)
    if node.name in tables.caveats:
        context.warn(tables.caveats[node.name].format(name=node.name))
    found: Node = write_patterns(node) or node
    rule = _RULES.get(node.name)
    if rule is not None and isinstance(found, Call):
        found = rule(found, context) or found
    if isinstance(found, Call) and found.name == node.name and not (rule is not None and found is not node):
        found = _form(found, key, context) or found
    return None if found is node else found


def _form(node: Call, key: str, context: Context) -> Node | None:
    """The call in the words of a form."""
    tables = sail()
    form = tables.forms.get(key)
    if form is None and key in tables.lengths and not _is_length(node.arguments[1]):
        form = tables.lengths[key]
    if form is None or node.distinct:
        return None
    found = fill(context, form, *node.arguments, call=node, gives=node.type)
    # What stands behind a call belongs to the call that the form makes of it.
    if isinstance(found, Call) and "{call}" not in form:
        return found.replace(within=node.within, filter=node.filter, nulls=node.nulls, window=node.window)
    return found


def _is_length(node: Expression) -> bool:
    number = whole_constant(node)
    return number is not None and number >= 0


def _check_arguments(node: Call) -> None:
    if node.name not in _ONE_PARAMETER and any(isinstance(each, NamedArgument) for each in node.arguments):
        raise lacking(f"{node.name}(name => value)", "arguments by name", "Give the arguments in their order.")
