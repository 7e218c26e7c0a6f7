"""Whole numbers that outgrow their type: Spark fails, Sail goes on from the other end.

Where the range of the result says that this can happen, the step is done in a wider type and cast back, which fails
on both. Where the types are known and the bounds of the lake's columns fit, nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.make import call, cast_to, fill
from mcp_server.dialects.sail.rules.passes import Rules
from mcp_server.dialects.sail.rules.ranges import Ranges, fits
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Call, Constant, Expression, Unary
from mcp_server.sql.typed.types import BIGINT, INT, INTEGERS, MAX_PRECISION, SMALLINT, TINYINT, VOID, Decimal, Type

_WIDER: Final[Mapping[Type, Type]] = {TINYINT: INT, SMALLINT: INT, INT: BIGINT, BIGINT: Decimal(19, 0)}
"""A product of two of the type fits its wider one; two of 19 digits have 38, and those of a bigint fit these."""

_LONG: Final = 8
"""Terms of a sum whose checks are nested in each other; the guard takes 40 brackets."""

_SIGNS: Final = frozenset("+-*")


def overflow_rules(root: Node, context: Context) -> Rules:
    """The rules for the steps of a statement, which look at the statement as it is before them."""
    ranges = Ranges(root, context.catalog)
    sums: dict[Node, tuple[Expression, ...]] = {}

    def widen(node: Expression, context: Context) -> Node | None:
        parts = _operands(node)
        if not parts:
            return None
        _warn(node, parts, context)
        kind = node.type
        if kind not in INTEGERS or any(part.type not in INTEGERS for part in parts):
            return None
        found = ranges.exactly(node)
        if found is not None and fits(found, kind):
            return None
        if not isinstance(node, Binary) or node.operator == "*":
            return cast_to(_widen(node, parts, _WIDER[kind]), kind)
        terms = (*sums.get(node.left, (node.left,)), _term(node, _WIDER[kind]))
        if len(terms) <= _LONG or node.left.type != kind:
            step = cast_to(_widen(node, parts, _WIDER[kind]), kind)
        else:
            step = _fold(terms, kind, context)
        sums[step] = terms if node.left.type == kind else (step,)
        return step

    return {Binary: (widen,), Call: (widen,)}


def _term(node: Binary, wider: Type) -> Expression:
    """What a step adds, in the wider type, in which every number has a negative."""
    right = cast_to(node.right, wider)
    return right if node.operator == "+" else Unary(operator="-", operand=right, type=wider)


def _fold(terms: Sequence[Expression], kind: Type, context: Context) -> Expression:
    """A long sum, checked at each step as any other, but not nested in itself."""
    first, *rest = terms
    template = "aggregate({0}, {1}, (sum_, term_) -> CAST(sum_ + term_ AS {k}))"
    return fill(context, template, call("array", *rest), first, k=kind, gives=kind)


def _operands(node: Expression) -> tuple[Expression, ...]:
    """What a node adds, subtracts, multiplies or sums up; nothing for any other."""
    if isinstance(node, Binary) and node.operator in _SIGNS:
        return node.left, node.right
    if isinstance(node, Call) and node.name == "sum" and len(node.arguments) == 1:
        return node.arguments
    return ()


def _widen(node: Expression, parts: tuple[Expression, ...], wider: Type) -> Expression:
    def widened(part: Expression) -> Expression:
        # A number that is written out takes the type of the other one.
        written = isinstance(part, Constant) and wider == BIGINT and part is not parts[0]
        return part if written else cast_to(part, wider)

    if isinstance(node, Binary):
        return node.replace(left=widened(node.left), right=widened(node.right), type=wider)
    return node.replace(arguments=(cast_to(parts[0], wider),), type=wider)


def _warn(node: Expression, parts: tuple[Expression, ...], context: Context) -> None:
    kinds = {part.type for part in parts} - {VOID}
    if None in kinds and kinds <= {None, *INTEGERS}:
        context.warn(
            f"{_name(node)} of values whose types are not known: a whole number that outgrows its type wraps around "
            "here, where Spark fails."
        )
    elif isinstance(node.type, Decimal) and node.type.precision == MAX_PRECISION and node.type.scale == 0:
        context.warn(f"{_name(node)}: a decimal of more than 38 digits is kept here, where Spark fails.")


def _name(node: Expression) -> str:
    return node.name if isinstance(node, Call) else getattr(node, "operator", "")
