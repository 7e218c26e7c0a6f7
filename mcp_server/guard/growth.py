"""Calls that make much out of nothing: constants are bounded here, what data decides by the engine's memory.

A width is a rough count of the characters or elements of one value. It is computed from constants only: a
column counts as a few words, whatever is in it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date

from sqlglot import exp

from lakehouse.errors import Refused
from mcp_server.guard.functions import functions
from mcp_server.guard.lexer import Kind
from mcp_server.guard.tree import Tree

MAX_WIDTH = 1_000_000
"""Characters or elements of one value that constants may ask for."""

MAX_RANGE_ROWS = 10_000_000
"""Rows of range(n)."""

MAX_POSITION = 10_000
"""Digits, positions and buckets: arguments for which engines reserve room before they look at data."""

MAX_OVERLAP = 100
"""Windows that one row may fall into. Engines make a copy of the row for each."""

COLUMN_WIDTH = 64
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_DURATION = re.compile(r"\s*([0-9]{1,6})\s+(second|minute|hour|day|week)s?\s*", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"[0-9]{5,}")
_OWN_STRING = re.compile(r"s([0-9]+)")
_MULTIPLYING = frozenset({"replace", "regexp_replace", "translate", "transform", "flatten", "zip_with", "array_join"})
_TEMPORAL = (exp.CurrentDate, exp.CurrentTimestamp, exp.Localtimestamp)
_DAYS = {"YEAR": 365, "QUARTER": 90, "MONTH": 28, "WEEK": 7, "DAY": 1}


def check_growth(tree: Tree) -> None:
    """Every call on the growth list has arguments within bounds.

    Errors: Refused, with the code `too_large`, `not_bounded` or `function_not_allowed`.
    """
    growth = functions().growth
    for node in tree.root.find_all(exp.Anonymous):
        name = tree.called(node)
        if name in growth:
            kind, argument = growth[name]
            _check(tree, node, name, kind, argument)


def _check(tree: Tree, node: exp.Anonymous, name: str, kind: str, argument: int) -> None:
    arguments = node.expressions
    if kind == "sliding":
        if len(arguments) > argument and not _slides_little(tree, arguments[argument - 1 : argument + 1]):
            raise _at(
                tree,
                node,
                "too_large",
                f"Each row would fall into many windows. Slide {name} by at least a hundredth of its length.",
            )
    elif kind == "format":
        _check_format(tree, node, name, arguments[argument : argument + 1])
    elif kind == "span":
        _check_span(tree, node, name)
    elif len(arguments) > argument and not _is_pattern(tree, name, arguments[argument]):
        value = constant(tree, arguments[argument])
        bound = MAX_POSITION if kind == "position" else MAX_WIDTH
        if value is None and not _has_column(arguments[argument]):
            raise _not_bounded(tree, node, name)
        if value is not None and abs(value) > bound:
            raise _too_large(tree, node, name, bound)
        if kind == "times" and width(tree, node) > MAX_WIDTH:
            raise _too_large(tree, node, name, MAX_WIDTH)


def _slides_little(tree: Tree, lengths: list[exp.Expr]) -> bool:
    """Whether a window slides by a hundredth of its length or more; the lengths must be plain."""
    seconds = []
    for length in lengths:
        found = _DURATION.fullmatch(_string(tree, length) or "")
        seconds.append(float(found[1]) * _SECONDS[found[2].lower()] if found else 0.0)
    return seconds[1] > 0 and seconds[0] / seconds[1] <= MAX_OVERLAP


def _is_pattern(tree: Tree, name: str, argument: exp.Expr) -> bool:
    """Whether format_number has a pattern such as '#,###.##', which is as long as its text."""
    text = _string(tree, argument) if name == "format_number" else None
    return text is not None and _number(text) is None


def _check_format(tree: Tree, node: exp.Anonymous, name: str, formats: list[exp.Expr]) -> None:
    text = _string(tree, formats[0]) if formats else None
    if text is None:
        raise _at(
            tree, node, "not_bounded", f"The format of {name} must be one plain string, as in {name}('%5.2f', x)."
        )
    if _LONG_NUMBER.search(text):
        raise _too_large(tree, node, name, MAX_POSITION)


def _check_span(tree: Tree, node: exp.Anonymous, name: str) -> None:
    arguments = node.expressions
    if any(_has_column(argument) for argument in arguments):
        return
    count = span(tree, node)
    bound = MAX_RANGE_ROWS if name == "range" else MAX_WIDTH
    if count is None:
        raise _not_bounded(tree, node, name)
    if count > bound or (name == "range" and len(arguments) > 3 and (constant(tree, arguments[3]) or bound) > 1_000):
        raise _too_large(tree, node, name, bound)


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
        or (isinstance(each, exp.Anonymous) and functions().allowed.get(tree.called(each)) == "date")
        for each in node.walk()
    )


def _date(node: exp.Expr) -> date | None:
    literal = node.find(exp.Literal)
    try:
        return date.fromisoformat(literal.name[:10]) if literal is not None and literal.is_string else None
    except ValueError:
        return None


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
        return _number(node.name)
    compute = _ARITHMETIC.get(type(node))
    if compute is None or not isinstance(node, exp.Binary):
        return None
    left, right = constant(tree, node.left), constant(tree, node.right)
    return None if left is None or right is None else compute(left, right)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def width(tree: Tree, node: exp.Expr) -> float:
    """A rough count of the characters or elements of the value of `node`."""
    if isinstance(node, exp.Column):
        return COLUMN_WIDTH
    if isinstance(node, exp.Literal):
        text = _string(tree, node)
        return float(len(text)) if text is not None else 8.0
    parts = [width(tree, child) for child in node.iter_expressions() if not isinstance(child, exp.Identifier)]
    return _made(tree, node, parts) if isinstance(node, exp.Anonymous) and parts else float(sum(parts))


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


def _string(tree: Tree, node: exp.Expr) -> str | None:
    """The sender's text of a string, without its quotes; None where `node` is no single string."""
    if not isinstance(node, exp.Literal) or not node.is_string:
        return None
    own = _OWN_STRING.fullmatch(node.name)
    token = tree.source.tokens[int(own[1])] if own and int(own[1]) < len(tree.source.tokens) else None
    return token.text[1:-1] if token is not None and token.kind is Kind.STRING else node.name


def _has_column(node: exp.Expr) -> bool:
    return node.find(exp.Column) is not None


def _too_large(tree: Tree, node: exp.Expr, name: str, bound: int) -> Refused:
    return _at(tree, node, "too_large", f"{name} would make a value larger than {bound:,}. Ask for less.")


def _not_bounded(tree: Tree, node: exp.Expr, name: str) -> Refused:
    return _at(tree, node, "not_bounded", f"How much {name} makes must be a plain number or come from a column.")


def _at(tree: Tree, node: exp.Expr, code: str, message: str) -> Refused:
    return tree.refused_at(code, message, node)
