"""Columns that ranges of constants leave one value: `y >= 2025 AND y + 1 <= 2026`.

The embedded engine solves such conditions as intervals, and takes a column that has one value left for a constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil, floor
from typing import Final

from mcp_server.sql.expr import Expr
from mcp_server.sql.functions import functions
from mcp_server.sql.source import Source

_RANGES: Final = {"<": "most", "<=": "most", ">": "least", ">=": "least"}
_NEGATED: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_MIRRORED: Final = str.maketrans("<>", "><")
_OPPOSITE: Final = {"least": "most", "most": "least"}
_ARITHMETIC: Final = frozenset("+-*/")
_TRANSPARENT: Final = frozenset({"brackets", "cast", "try_cast"})
_VARYING: Final = frozenset({"aggregate", "collecting", "window", "random", "generator"})
"""Classes of functions whose results differ from row to row, or group to group, without a column."""
_CLOCKS: Final = frozenset({"curdate", "current_date", "current_time", "current_timestamp", "localtimestamp", "now"})
_CONVERSIONS: Final = frozenset({"bigint", "date", "double", "int", "smallint", "timestamp", "tinyint", "to_date"})

_NUMBER = re.compile(r"(-?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++))(?:L|S|Y|D|F|BD)?", re.ASCII | re.IGNORECASE)
_TEXT_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?", re.ASCII)
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Bound:
    """One end of a range. `value` is None where a constant is not computed here; then `text` are its words.

    A time counts in microseconds, and an open bound of one is compared as if it were closed: between two days there are
    more moments than one, unless the column is a date, whose open bounds the engine does not solve.
    """

    side: str
    value: Fraction | None
    text: str
    is_opaque: bool = False
    """Whether it is made by functions, so that it may be equal to any other bound."""


def column_of(node: Expr) -> str:
    """The column that a node is, whatever brackets, casts or sums with constants are around it."""
    while node.kind in _TRANSPARENT or (node.kind == "binary" and node.word in _ARITHMETIC):
        node = node.parts[1] if node.kind == "binary" and is_fixed(node.parts[0]) else node.parts[0]
    return node.word.rpartition(".")[2] if node.kind == "name" else ""


def is_fixed(node: Expr) -> bool:
    """Whether a node reads no column and no row."""
    classes = functions().classes
    return not any(
        each.kind in {"element", "name", "place", "query", "star", "zero"}
        or (each.kind == "call" and classes.get(each.word) in _VARYING)
        for each in node.walk()
    )


def columns_of_one_value(nodes: Sequence[Expr], source: Source) -> set[str]:
    """Names of columns that the ranges among some conditions leave one value."""
    bounds: dict[str, list[_Bound]] = {}
    for node in nodes:
        for name, bound in _read_bounds(node, source):
            bounds.setdefault(name, []).append(bound)
    return {name for name, ends in bounds.items() if _meet(ends)}


def _meet(bounds: Iterable[_Bound]) -> bool:
    ends = list(bounds)
    least, most = ([each for each in ends if each.side == side] for side in _OPPOSITE)
    return any(
        low.text == high.text or (low.value is not None and low.value == high.value) or low.is_opaque or high.is_opaque
        for low in least
        for high in most
    )


def _read_bounds(node: Expr, source: Source) -> Iterator[tuple[str, _Bound]]:
    if node.kind == "between":
        column, low, high = node.parts
        yield from _read_bound(column, ">=", low, source)
        yield from _read_bound(column, "<=", high, source)
    elif node.kind == "binary" and node.word in _RANGES:
        left, right = node.parts
        # What stands below NOT holds the other way round, and so does what is compared with a column to its right.
        for operator in (node.word, _NEGATED[node.word]) if "NOT" in source.keys else (node.word,):
            yield from _read_bound(left, operator, right, source)
            yield from _read_bound(right, operator.translate(_MIRRORED), left, source)


def _read_bound(column: Expr, operator: str, bound: Expr, source: Source) -> Iterator[tuple[str, _Bound]]:
    name = column_of(column)
    if not name or not is_fixed(bound):
        return
    side, text = _RANGES[operator], _words(bound, source)
    value, is_time = _evaluate(bound, source)
    solved = _solve(column, value, source) if value is not None else None
    if solved is None:
        is_opaque = not _is_plain(bound) or (value is not None and column.kind == "binary")
        yield name, _Bound(side, None, text, is_opaque=is_opaque)
        return
    value, is_turned = solved
    side = _OPPOSITE[side] if is_turned else side
    yield name, _Bound(side, value if is_time else _step(value, side, closed="=" in operator), f"{side} {value}")


def _step(value: Fraction, side: str, *, closed: bool) -> Fraction:
    """The last whole number within a bound."""
    whole = Fraction(ceil(value) if side == "least" else floor(value))
    return whole if closed or whole != value else whole + (1 if side == "least" else -1)


def _solve(node: Expr, value: Fraction, source: Source) -> tuple[Fraction, bool] | None:
    """What a column is compared with where a sum or a product of it is, and whether the comparison turns around.

    None where that is not known: of a product with zero, or with a constant that is not computed here.
    """
    is_turned = False
    while node.kind != "name":
        if node.kind in _TRANSPARENT:
            node = node.parts[0]
            continue
        if node.kind != "binary" or node.word not in _ARITHMETIC:
            return None
        is_left = is_fixed(node.parts[0])
        fixed, node, operator = node.parts[not is_left], node.parts[is_left], node.word
        constant, _ = _evaluate(fixed, source)
        if constant is None or (operator in "*/" and (not constant or (is_left and operator == "/"))):
            return None
        if operator == "+":
            value -= constant
        elif operator == "-":
            value = constant - value if is_left else value + constant
        else:
            value = value / constant if operator == "*" else value * constant
        is_turned ^= (operator == "-" and is_left) or (operator in "*/" and constant < 0)
    return value, is_turned


def _evaluate(node: Expr, source: Source) -> tuple[Fraction | None, bool]:
    """The number that a constant is, and whether it is a time; a time is one in microseconds."""
    if node.kind == "number":
        found = _NUMBER.fullmatch(_words(node, source))
        return (Fraction(found[1]) if found is not None else None), False
    if node.kind in {"string", "typed"}:
        return _evaluate_text(source.tokens[node.end - 1].text[1:-1])
    if node.kind in _TRANSPARENT or (node.kind == "call" and node.word in _CONVERSIONS and len(node.parts) == 1):
        return _evaluate(node.parts[0], source)
    if node.kind == "unary" and node.word == "-":
        value, is_time = _evaluate(node.parts[0], source)
        return (None if value is None else -value), is_time
    if node.kind == "binary" and node.word in _ARITHMETIC:
        (left, _), (right, _) = (_evaluate(part, source) for part in node.parts)
        if left is not None and right is not None and (right or node.word != "/"):
            return _compute(node.word, left, right), False
    return None, False


def _compute(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator in "+-":
        return left + right if operator == "+" else left - right
    return left * right if operator == "*" else left / right


def _evaluate_text(text: str) -> tuple[Fraction | None, bool]:
    if _TEXT_NUMBER.fullmatch(text):
        return Fraction(text), False
    if _MOMENT.fullmatch(text):
        try:
            since = datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH
        except ValueError:  # the thirtieth of February
            return None, False
        return Fraction(since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds), True
    return None, False


def _is_plain(node: Expr) -> bool:
    """Whether a constant that is not computed here is equal to no other one, except to one of the same words."""
    calls = [each for each in node.walk() if each.kind == "call"]
    return not calls or any(each.word in _CLOCKS for each in calls)


def _words(node: Expr, source: Source) -> str:
    return "".join(token.text for token in source.tokens[node.first : node.end])
