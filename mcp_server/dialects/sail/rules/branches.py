"""CASE and if, whose branches Sail computes before it knows which one is taken, where they are constants.

`CASE WHEN x = 0 THEN 0 ELSE 1 / 0 END` fails on Sail while the statement is planned. A condition that is known picks
its branch here; in other branches a constant divisor of zero becomes one that depends on chance, which nothing folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.make import fill, renew
from mcp_server.dialects.sail.rules.numbers import CallRule
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.nodes import Binary, Call, Case, Cast, Constant, Expression

_DIVISIONS: Final = frozenset({"/", "%", "div"})


def choose_branch(node: Node, _: Context) -> Node | None:
    """CASE and if with conditions that are known: the branch that is taken."""
    if isinstance(node, Call) and node.name == "if" and len(node.arguments) == 3:
        condition, *results = node.arguments
        if not isinstance(condition, Constant) or not (condition.value is None or isinstance(condition.value, bool)):
            return None
        return _chosen(results[0] if condition.value else results[1], node)
    return _choose_case(node) if isinstance(node, Case) else None


def _choose_case(node: Case) -> Node | None:
    kept: list[tuple[Expression, Expression]] = []
    otherwise = node.otherwise
    for condition, result in zip(node.conditions, node.results, strict=True):
        known = _is_true(node.operand, condition)
        if known is True:
            otherwise = result
            break
        if known is None:
            kept.append((condition, result))
    if not kept:
        return None if otherwise is None else _chosen(otherwise, node)
    conditions = tuple(condition for condition, _ in kept)
    return renew(node, conditions=conditions, results=tuple(result for _, result in kept), otherwise=otherwise)


def _chosen(result: Expression, node: Expression) -> Expression:
    return result if node.type is None or result.type == node.type else Cast(operand=result, type=node.type)


def unfold_case(node: Node, context: Context) -> Node | None:
    """CASE."""
    if not isinstance(node, Case):
        return None
    return renew(
        node,
        results=tuple(_unfolded(result, context) for result in node.results),
        otherwise=None if node.otherwise is None else _unfolded(node.otherwise, context),
    )


def _is_true(operand: Expression | None, condition: Expression) -> bool | None:
    """Whether a branch is taken, None where that depends on rows."""
    if operand is None:
        return condition.value is True if isinstance(condition, Constant) else None
    if not isinstance(operand, Constant) or not isinstance(condition, Constant) or operand.type != condition.type:
        return None
    return operand.value is not None and operand.value == condition.value


def unfold_if(node: Call, context: Context) -> Node | None:
    """if(condition, a, b)."""
    if len(node.arguments) != 3:
        return None
    condition, *results = node.arguments
    return renew(node, arguments=(condition, *(_unfolded(each, context) for each in results)))


def _unfolded(node: Expression, context: Context) -> Expression:
    def change(each: Node) -> Node:
        if isinstance(each, Binary) and each.operator in _DIVISIONS and _is_zero(each.right):
            right = fill(context, "if(rand() < 2D, {0}, NULL)", each.right, gives=each.right.type)
            return each.replace(right=right)
        return each

    return transform(node, change)


def _is_zero(node: Expression) -> bool:
    inner = node.operand if isinstance(node, Cast) else node
    return isinstance(inner, Constant) and not isinstance(inner.value, str | bool) and inner.value == 0


RULES: Final[Mapping[str, CallRule]] = {"if": unfold_if}
