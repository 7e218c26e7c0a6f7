"""What constants make: the number that an expression of literals gives, and how wide a value it can become.

A width is a rough count of the characters or elements of one value. It is computed from constants only: a
column counts as a few words, whatever is in it.
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


def constant(tree: Tree, node: exp.Expr) -> float | None:
    """The number that an expression of constants gives; None where it holds anything else."""
    if isinstance(node, (exp.Paren, exp.Cast, exp.TryCast)):
        return constant(tree, node.this)
    if isinstance(node, exp.Neg):
        value = constant(tree, node.this)
        return None if value is None else -value
    if isinstance(node, exp.Literal):
        return number(node.name)
    compute = _ARITHMETIC.get(type(node))
    if compute is None or not isinstance(node, exp.Binary):
        return None
    left, right = constant(tree, node.left), constant(tree, node.right)
    return None if left is None or right is None else compute(left, right)


def number(text: str) -> float | None:
    """What a text says as a number; None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def string(tree: Tree, node: exp.Expr) -> str | None:
    """The sender's text of a string, without its quotes; None where `node` is no single string."""
    if not isinstance(node, exp.Literal) or not node.is_string:
        return None
    own = _OWN_STRING.fullmatch(node.name)
    token = tree.source.tokens[int(own[1])] if own and int(own[1]) < len(tree.source.tokens) else None
    return token.text[1:-1] if token is not None and token.kind is Kind.STRING else node.name


def width(tree: Tree, node: exp.Expr) -> float:
    """A rough count of the characters or elements of the value of `node`."""
    return widths(tree, node)[id(node)]


def widths(tree: Tree, root: exp.Expr) -> Mapping[int, float]:
    """The width of `root` and of all within, by the node's id. One pass, children first."""
    found: dict[int, float] = {}
    for node in reversed(list(root.walk())):
        if isinstance(node, exp.Column):
            found[id(node)] = COLUMN_WIDTH
        elif isinstance(node, exp.Literal):
            text = string(tree, node)
            found[id(node)] = float(len(text)) if text is not None else 8.0
        else:
            parts = [found[id(child)] for child in node.iter_expressions() if not isinstance(child, exp.Identifier)]
            found[id(node)] = (
                _made(tree, node, parts) if isinstance(node, exp.Anonymous) and parts else float(sum(parts))
            )
    return found


def _made(tree: Tree, call: exp.Anonymous, parts: list[float]) -> float:
    """The width of what a call makes from arguments of the widths `parts`."""
    name = tree.called(call)
    kind, argument = functions().growth.get(name, ("", 0))
    value = constant(tree, call.expressions[argument]) if len(call.expressions) > argument else None
    if kind == "times":
        return parts[0] * (COLUMN_WIDTH if value is None else max(value, 0.0))
    if kind == "width" and value is not None:
        return max(value, 0.0)
    if kind == "span":
        return span(tree, call) or COLUMN_WIDTH
    return parts[0] * max([*parts[1:], 1.0]) if name in _MULTIPLYING else float(sum(parts))


def span(tree: Tree, node: exp.Anonymous) -> float | None:
    """How many elements `sequence` or `range` makes from constants; None where that cannot be told."""
    arguments = node.expressions
    values = [constant(tree, argument) for argument in arguments[:3]]
    if len(arguments) == 1 and values[0] is not None:
        return max(values[0], 0.0)
    if len(arguments) > 1 and values[0] is not None and values[1] is not None:
        step = values[2] if len(values) > 2 else 1.0
        return None if not step else abs(values[1] - values[0]) / abs(step) + 1
    return _days(tree, arguments)


def _days(tree: Tree, arguments: list[exp.Expr]) -> float | None:
    """The elements of a sequence of dates. A step of a day or more is at most every day of the calendar."""
    if len(arguments) < 2 or not all(_is_temporal(tree, argument) for argument in arguments[:2]):
        return None
    step = arguments[2].find(exp.Interval) if len(arguments) > 2 else None
    if len(arguments) > 2 and step is None:
        return None
    unit = _unit(step) if step is not None else "DAY"
    if unit not in _DAYS:
        return None
    dates = [_date(argument) for argument in arguments[:2]]
    if dates[0] is None or dates[1] is None:
        return 36_525.0
    return abs((dates[1] - dates[0]).days) / _DAYS[unit] + 1


def _unit(step: exp.Interval) -> str:
    """The smallest unit of an interval: DAY, or MONTH of `YEAR TO MONTH`."""
    unit = step.args.get("unit")
    last = unit.expression if isinstance(unit, exp.IntervalSpan) else unit
    return last.name.upper().rstrip("S") if last is not None else ""


def _is_temporal(tree: Tree, node: exp.Expr) -> bool:
    return any(
        isinstance(each, _TEMPORAL)
        or (isinstance(each, exp.Cast) and each.to.this.name in {"DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ"})
        or (isinstance(each, exp.Anonymous) and functions().classes.get(tree.called(each)) == "date")
        for each in node.walk()
    )


def _date(node: exp.Expr) -> date | None:
    literal = node.find(exp.Literal)
    try:
        return date.fromisoformat(literal.name[:10]) if literal is not None and literal.is_string else None
    except ValueError:
        return None
