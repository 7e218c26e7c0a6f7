"""Evaluates constants: the number that an expression of literals has, and the width that a value can reach.

A width is a rough count of the characters or elements of one value. It is computed from constants alone; a column
counts as a few words, whatever it holds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import date

from sqlglot import exp

from mcp_server.sql.functions import functions
from mcp_server.sql.lexer import Kind
from mcp_server.sql.tree import Tree

COLUMN_WIDTH = 64
_OWN_STRING = re.compile(r"s([0-9]+)")
_MULTIPLYING = frozenset({"replace", "regexp_replace", "transform", "flatten", "zip_with", "array_join"})
_TEMPORAL = (exp.CurrentDate, exp.CurrentTimestamp)
_DAYS = {"YEAR": 365, "QUARTER": 90, "MONTH": 28, "WEEK": 7, "DAY": 1}

_ARITHMETIC: dict[type[exp.Expr], Callable[[float, float], float | None]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
    exp.Div: lambda left, right: left / right if right else None,
    exp.IntDiv: lambda left, right: left / right if right else None,
}


def compute_constant(tree: Tree, node: exp.Expr) -> float | None:
    """Return the number of an expression of constants, or None where it holds anything else."""
    if isinstance(node, (exp.Paren, exp.Cast, exp.TryCast)):
        return compute_constant(tree, node.this)
    if isinstance(node, exp.Neg):
        value = compute_constant(tree, node.this)
        return None if value is None else -value
    if isinstance(node, exp.Literal):
        return parse_number(node.name)
    compute = _ARITHMETIC.get(type(node))
    if compute is None or not isinstance(node, exp.Binary):
        return None
    left, right = compute_constant(tree, node.left), compute_constant(tree, node.right)
    return None if left is None or right is None else compute(left, right)


def parse_number(text: str) -> float | None:
    """Parse a number, or return None."""
    try:
        return float(text)
    except ValueError:
        return None


def read_string(tree: Tree, node: exp.Expr) -> str | None:
    """Return the caller's text of a string without its quotes, or None where `node` is not a single string."""
    if not isinstance(node, exp.Literal) or not node.is_string:
        return None
    own = _OWN_STRING.fullmatch(node.name)
    token = tree.source.tokens[int(own[1])] if own and int(own[1]) < len(tree.source.tokens) else None
    return token.text[1:-1] if token is not None and token.kind is Kind.STRING else node.name


def measure_width(tree: Tree, node: exp.Expr) -> float:
    """Return a rough count of the characters or elements of the value of `node`."""
    return measure_widths(tree, node)[id(node)]


def measure_widths(tree: Tree, root: exp.Expr) -> Mapping[int, float]:
    """Return the widths of `root` and every node below it, by the id of the node. One pass, children first."""
    found: dict[int, float] = {}
    for node in reversed(list(root.walk())):
        if isinstance(node, exp.Column):
            found[id(node)] = COLUMN_WIDTH
        elif isinstance(node, exp.Literal):
            text = read_string(tree, node)
            found[id(node)] = float(len(text)) if text is not None else 8.0
        else:
            parts = [found[id(child)] for child in node.iter_expressions() if not isinstance(child, exp.Identifier)]
            found[id(node)] = (
                _measure_call(tree, node, parts) if isinstance(node, exp.Anonymous) and parts else float(sum(parts))
            )
    return found


def _measure_call(tree: Tree, call: exp.Anonymous, parts: list[float]) -> float:
    """Return the width of the result of a call whose arguments have the widths `parts`."""
    name = tree.called_name(call)
    kind, argument = functions().growth.get(name, ("", 0))
    value = compute_constant(tree, call.expressions[argument]) if len(call.expressions) > argument else None
    if kind == "times":
        return parts[0] * (COLUMN_WIDTH if value is None else max(value, 0.0))
    if kind == "width" and value is not None:
        return max(value, 0.0)
    if kind == "span":
        return count_elements(tree, call) or COLUMN_WIDTH
    return parts[0] * max([*parts[1:], 1.0]) if name in _MULTIPLYING else float(sum(parts))


def count_elements(tree: Tree, node: exp.Anonymous) -> float | None:
    """Count the elements that `sequence` or `range` makes from constants, or return None where that is unknown."""
    arguments = node.expressions
    values = [compute_constant(tree, argument) for argument in arguments[:3]]
    if len(arguments) == 1 and values[0] is not None:
        return max(values[0], 0.0)
    if len(arguments) > 1 and values[0] is not None and values[1] is not None:
        step = values[2] if len(values) > 2 else 1.0
        return None if not step else abs(values[1] - values[0]) / abs(step) + 1
    return _count_days(tree, arguments)


def _count_days(tree: Tree, arguments: list[exp.Expr]) -> float | None:
    """Count the elements of a sequence of dates. With a step of a day or more there is at most one for each day."""
    if len(arguments) < 2 or not all(_is_temporal(tree, argument) for argument in arguments[:2]):
        return None
    step = arguments[2].find(exp.Interval) if len(arguments) > 2 else None
    if len(arguments) > 2 and step is None:
        return None
    unit = _find_unit(step) if step is not None else "DAY"
    if unit not in _DAYS:
        return None
    dates = [_parse_date(argument) for argument in arguments[:2]]
    if dates[0] is None or dates[1] is None:
        return 36_525.0
    return abs((dates[1] - dates[0]).days) / _DAYS[unit] + 1


def _find_unit(step: exp.Interval) -> str:
    """Return the smallest unit of an interval: DAY, or MONTH of `YEAR TO MONTH`."""
    unit = step.args.get("unit")
    last = unit.expression if isinstance(unit, exp.IntervalSpan) else unit
    return last.name.upper().rstrip("S") if last is not None else ""


def _is_temporal(tree: Tree, node: exp.Expr) -> bool:
    return any(
        isinstance(each, _TEMPORAL)
        or (isinstance(each, exp.Cast) and each.to.this.name in {"DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ"})
        or (isinstance(each, exp.Anonymous) and functions().classes.get(tree.called_name(each)) == "date")
        for each in node.walk()
    )


def _parse_date(node: exp.Expr) -> date | None:
    literal = node.find(exp.Literal)
    try:
        return date.fromisoformat(literal.name[:10]) if literal is not None and literal.is_string else None
    except ValueError:
        return None
