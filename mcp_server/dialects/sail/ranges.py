"""Which whole numbers an expression can be: from its literals, its columns' bounds, and what functions give.

None means that it is no whole number, or not known to be one. A range is never too narrow. A name stands for
everything that has this name in the statement, so no scope needs to be known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.given import first_item, names_given
from mcp_server.dialects.sail.inference import Types, results
from mcp_server.dialects.sail.sail import sail
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.expr import Expr
from mcp_server.sql.functions import functions

Range = tuple[int, int]

BITS: Final[Mapping[str, int]] = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}

MAX_ROWS: Final = 2**32 - 1
"""More rows than a query reads within its time: 4 thousand million."""

_BOUNDED: Final = frozenset({"generator", "random"})
"""Classes of functions that make rows of their own."""


def of_type(kind: object) -> Range | None:
    """What a type holds."""
    bits = BITS.get(str(kind))
    return None if bits is None else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def fits(range_: Range, kind: object) -> bool:
    held = of_type(kind)
    return held is not None and held[0] <= range_[0] and range_[1] <= held[1]


class Ranges:
    """The ranges of a statement's expressions, after a type is exceeded nowhere."""

    def __init__(self, case: Case, catalog: Catalog, types: Types) -> None:
        self._source = case.source
        self._types = types
        self._known: dict[Expr, Range | None] = {}
        self._open: set[str] = set()
        self._columns: dict[str, list[Range | None]] = {}
        self._given: dict[str, list[Expr | None]] = {}
        for ref, info in case.names.refs:
            bounds = catalog.bounds(info.name, case.names.versions.get(ref.first))
            for column in info.columns:
                name = column.name.lower()
                self._columns.setdefault(name, []).append(bounds.get(name) or of_type(column.type))
        for name, node in names_given(case):
            self._given.setdefault(name, []).append(node)
        self.rows = _rows(case)

    def of(self, node: Expr) -> Range | None:
        """What a node can be, within its type."""
        if node not in self._known:
            self._known[node] = self._of_type(node)  # a name may be defined by itself
            self._known[node] = self._within(node, self.exactly(node))
        return self._known[node]

    def exactly(self, node: Expr) -> Range | None:
        """What a node would be if no type were ever exceeded by its last step."""
        if node in self._types.bound:
            value = self._types.bound[node]
            return self.of(value) if value is not None else None
        if node.kind in {"brackets", "alias", "folded", "element", "index"}:
            return self._of_type(node) if node.kind == "folded" else self._element(node)
        reader: Callable[[], Range | None] | None = {
            "number": lambda: self._number(node),
            "zero": lambda: (0, 0),
            "place": lambda: (0, 2**31 - 16),
            "cast": lambda: self._real(node.parts[0]),
            "try_cast": lambda: self._real(node.parts[0]),
            "name": lambda: self._named(node.word.rpartition(".")[2]),
            "field": lambda: self._named(node.word),
            "query": lambda: self._first(node),
            "case": lambda: self._union(results(node)),
            "binary": lambda: self._operated(node),
            "unary": lambda: self._negated(node),
            "call": lambda: self._called(node),
            "lambda": lambda: self.of(node.parts[-1]),
        }.get(node.kind)
        return reader() if reader is not None else None

    def _of_type(self, node: Expr) -> Range | None:
        return of_type(self._types.of(node))

    def _within(self, node: Expr, found: Range | None) -> Range | None:
        held = self._of_type(node)
        if found is None or held is None:
            return held
        low, high = max(found[0], held[0]), min(found[1], held[1])
        return (low, high) if low <= high else held

    def _number(self, node: Expr) -> Range | None:
        digits = self._source.tokens[node.end - 1].text.rstrip("lLsSyY")
        if not digits.isdigit():
            return None
        value = -int(digits) if node.word == "-" else int(digits)
        return value, value

    def _element(self, node: Expr) -> Range | None:
        """What a node is that is its only part, or an element of it."""
        base = node.parts[0]
        if node.kind in {"brackets", "alias"}:
            return self.of(base)
        if base.kind == "call" and base.word in {"array", "sequence"}:
            return self._union(base.parts[:2] if base.word == "sequence" else base.parts)
        return None

    def _named(self, name: str) -> Range | None:
        if name in self._open:
            return None
        self._open.add(name)
        nodes = self._given.get(name, [])
        own = [n for n in nodes if n is None or n.kind != "name" or n.word.rpartition(".")[2] != name]
        found = [*self._columns.get(name, []), *(None if node is None else self.of(node) for node in own)]
        self._open.discard(name)
        return _joined(found)

    def _first(self, query: Expr) -> Range | None:
        item = first_item(query, self._source)
        return self.of(item) if item is not None else None

    def _union(self, nodes: Sequence[Expr]) -> Range | None:
        """What one of several is; nulls are no numbers."""
        return _joined([self.of(node) for node in nodes if self._types.of(node) != "void"])

    def _negated(self, node: Expr) -> Range | None:
        inner = self.of(node.parts[0])
        return (-inner[1], -inner[0]) if inner is not None and node.word == "-" else None

    def _operated(self, node: Expr) -> Range | None:
        left, right = map(self.of, node.parts)
        operator = _OPERATORS.get(node.word)
        return operator(left, right) if left is not None and right is not None and operator is not None else None

    def _real(self, node: Expr) -> Range | None:
        """The whole numbers around a number, which may be a quotient of two whole ones."""
        while node.kind == "brackets":
            node = node.parts[0]
        if node.kind == "call" and node.word in _ROUNDING and len(node.parts) == 1:
            return self._real(node.parts[0])
        if node.kind != "binary" or node.word != "/":
            return self.of(node)
        left, right = map(self.of, node.parts)
        if left is None or right is None:
            return None
        if right[0] < 1:
            return _divided(left, right)
        quotients = [one / other for one in left for other in right]
        return math.floor(min(quotients)) - 1, math.ceil(max(quotients)) + 1

    def _called(self, node: Expr) -> Range | None:
        name = node.word
        if name in sail().ranges or name in sail().counts:
            return sail().ranges.get(name, (0, self.rows))
        if name in _ROUNDING and len(node.parts) == 1:
            return self._real(node.parts[0])
        if name in _OF_ARGUMENTS:
            return self._union(node.parts[1:] if name in {"if", "nvl2"} else node.parts)
        ranges = [found for found in map(self.of, node.parts) if found is not None]
        if name == "sum" and len(ranges) == 1:
            return _times(ranges[0], (0, self.rows))
        if len(ranges) != len(node.parts) or (name, len(ranges)) not in _CALLS:
            return None
        return _CALLS[name, len(ranges)](*ranges)


_ROUNDING: Final = frozenset({"floor", "ceil", "ceiling", "round", "bround", "int", "bigint"})

_OF_ARGUMENTS: Final = frozenset(
    {
        "coalesce", "greatest", "least", "ifnull", "nvl", "if", "nvl2", "max", "min", "lag", "lead", "first", "last",
        "first_value", "last_value", "nth_value", "any_value", "max_by", "min_by", "mode", "nullif", "zeroifnull",
        "nullifzero", "positive",
    }
)  # fmt: skip
"""Functions that give one of their arguments, or null."""


def _joined(ranges: Sequence[Range | None]) -> Range | None:
    known = [each for each in ranges if each is not None]
    if not known or len(known) < len(ranges):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _plus(left: Range, right: Range) -> Range:
    return left[0] + right[0], left[1] + right[1]


def _minus(left: Range, right: Range) -> Range:
    return left[0] - right[1], left[1] - right[0]


def _times(left: Range, right: Range) -> Range:
    products = [one * other for one in left for other in right]
    return min(products), max(products)


def _divided(left: Range, _: Range) -> Range:
    most = max(abs(left[0]), abs(left[1]))
    return -most, most


def _left_over(left: Range, right: Range) -> Range:
    most = max(abs(right[0]), abs(right[1]), 1) - 1
    return max(-most, min(left[0], 0)), min(most, max(left[1], 0))


def _positive_left_over(_: Range, right: Range) -> Range:
    most = max(abs(right[0]), abs(right[1]), 1) - 1
    return -most, most


def _absolute(inner: Range) -> Range:
    return 0, max(abs(inner[0]), abs(inner[1]))


_OPERATORS: Final[Mapping[str, Callable[[Range, Range], Range]]] = {
    "+": _plus,
    "-": _minus,
    "*": _times,
    "div": _divided,
    "%": _left_over,
}
_CALLS: Final[Mapping[tuple[str, int], Callable[..., Range]]] = {
    ("mod", 2): _left_over,
    ("pmod", 2): _positive_left_over,
    ("abs", 1): _absolute,
}
"""By name and number of arguments: a call may have any, until an engine looks at it."""


def _rows(case: Case) -> int:
    """How many rows the statement can add up: those of its tables in all combinations, unless it makes others."""
    tables = [None if ref.travels else info.rows for ref, info in case.names.refs]
    kinds = {functions().classes.get(name) for name in case.functions}
    made = kinds & _BOUNDED or case.functions & {"range"} or "VALUES" in {token.key for token in case.source.tokens}
    if made or None in tables or not tables:
        return MAX_ROWS
    product = 1
    for rows in tables:
        product = min(product * max(rows or 1, 1), MAX_ROWS)
    return product
