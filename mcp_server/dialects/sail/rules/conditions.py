"""Conditions with a lambda in WHERE, HAVING and ON, which Sail pushes into the scan and then finds no column for.

What depends on chance is pushed nowhere: such a condition goes into one that is always asked for and never decides.
"""

from __future__ import annotations

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.make import fill, renew
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Expression, Lambda, Logic
from mcp_server.sql.typed.relations import Join, Query, Select
from mcp_server.sql.typed.types import BOOLEAN


def guard_conditions(node: Node, context: Context) -> Node | None:
    """The conditions of a SELECT or a join."""
    if isinstance(node, Select):
        return renew(node, where=_guard(node.where, context), having=_guard(node.having, context))
    return renew(node, on=_guard(node.on, context)) if isinstance(node, Join) else None


def _guard(condition: Expression | None, context: Context) -> Expression | None:
    if isinstance(condition, Logic) and condition.operator == "and":
        return renew(condition, operands=tuple(_guarded(each, context) for each in condition.operands)) or condition
    return None if condition is None else _guarded(condition, context)


def _guarded(condition: Expression, context: Context) -> Expression:
    if not _has_lambda(condition):
        return condition
    return fill(context, "if(rand() < 2D, {0}, NULL)", condition, gives=BOOLEAN)


def _has_lambda(node: Node) -> bool:
    """Whether there is one, apart from those in sub-queries."""
    if isinstance(node, Query):
        return False
    return isinstance(node, Lambda) or any(map(_has_lambda, node.children))
