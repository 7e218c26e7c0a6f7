"""Which whole numbers an expression can be: from its literals, its columns' bounds, and what functions give.

None means that it is no whole number, or not known to be one. A range is never too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.rules.data import sail
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.functions import functions
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Binary,
    Call,
    Case,
    Cast,
    Column,
    Constant,
    Element,
    Expression,
    ItemUse,
    Lambda,
    ScalarQuery,
    Unary,
)
from mcp_server.sql.typed.relations import Cte, CteUse, Derived, InlineTable, Query, Relation, Select, Table
from mcp_server.sql.typed.types import VOID, Type, range_of_type

Range = tuple[int, int]

MAX_ROWS: Final = 2**32 - 1
"""More rows than a query reads within its time: 4 thousand million."""

_BOUNDED: Final = frozenset({"generator", "random"})
"""Classes of functions that make rows of their own."""


def fits(range_: Range, kind: Type | None) -> bool:
    """Whether all numbers of a range are of a type."""
    held = range_of_type(kind)
    return held is not None and held[0] <= range_[0] and range_[1] <= held[1]


class Ranges:
    """The ranges of a statement's expressions, after a type is exceeded nowhere."""

    def __init__(self, root: Node, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[int, tuple[Expression, Range | None]] = {}
        self._open: set[tuple[int, str]] = set()
        self._relations: dict[int, Relation] = {}
        self._ctes: dict[int, Cte] = {}
        tables: list[Table] = []
        made = False
        for node in root.walk():
            if isinstance(node, Relation):
                self._relations[node.id] = node
            if isinstance(node, Cte):
                self._ctes[node.id] = node
            if isinstance(node, Table):
                tables.append(node)
            made = made or isinstance(node, InlineTable) or (isinstance(node, Call) and _makes_rows(node.name))
        self.rows = MAX_ROWS if made or not tables else _count_rows(tables)

    def of(self, node: Expression) -> Range | None:
        """What a node can be, within its type."""
        if id(node) not in self._known:
            self._known[id(node)] = node, range_of_type(node.type)  # a name may be defined by itself
            self._known[id(node)] = node, self._within(node, self.exactly(node))
        return self._known[id(node)][1]

    def exactly(self, node: Expression) -> Range | None:
        """What a node would be if no type were ever exceeded by its last step."""
        for kind, read in self._readers:
            if isinstance(node, kind):
                return read(node)
        return None

    @property
    def _readers(self) -> tuple[tuple[type[Expression], Callable[..., Range | None]], ...]:
        return (
            (Constant, _read_constant),
            (Column, self._of_column),
            (Cast, lambda node: self._real(node.operand)),
            (Binary, self._operated),
            (Unary, self._negated),
            (Call, self._called),
            (Case, lambda node: self._union([*node.results, *([node.otherwise] if node.otherwise else [])])),
            (Element, self._element),
            (Lambda, lambda node: self.of(node.body)),
            (ScalarQuery, lambda node: self._of_item(node.query, 0)),
            (ItemUse, lambda _: None),
        )

    def _within(self, node: Expression, found: Range | None) -> Range | None:
        held = range_of_type(node.type)
        if found is None or held is None:
            return held
        low, high = max(found[0], held[0]), min(found[1], held[1])
        return (low, high) if low <= high else held

    def _of_column(self, node: Column) -> Range | None:
        relation = self._relations.get(node.source) if node.source is not None else None
        if relation is None or (relation.id, node.name) in self._open:
            return None
        self._open.add((relation.id, node.name))
        found = self._of_output(relation, node.name.lower())
        self._open.discard((relation.id, node.name))
        return found

    def _of_output(self, relation: Relation, name: str) -> Range | None:
        if isinstance(relation, Table):
            # The bounds are those of the version that is read unless the statement asks for another one.
            asks = " " in str(relation.text) or "@" in str(relation.text)
            return None if asks or relation.names else self._catalog.bounds(relation.info.name, None).get(name)
        if isinstance(relation, CteUse):
            cte = self._ctes.get(relation.cte)
            names = relation.names or (cte.names if cte is not None else ())
            return self._of_query(cte.query, name, names) if cte is not None else None
        return self._of_query(relation.query, name, relation.names) if isinstance(relation, Derived) else None

    def _of_query(self, query: Query, name: str, names: Sequence[str]) -> Range | None:
        if names:
            spelled = [each.lower() for each in names]
        elif query.outputs is not None:
            spelled = [(each.name or "").lower() for each in query.outputs]
        else:
            return None
        return self._of_item(query, spelled.index(name)) if spelled.count(name) == 1 else None

    def _of_item(self, query: Query, index: int) -> Range | None:
        body = query.body
        if isinstance(body, Query):
            return self._of_item(body, index)
        if not isinstance(body, Select) or any(len(item.outputs or (1, 2)) != 1 for item in body.items):
            return None
        return self.of(body.items[index].operand) if index < len(body.items) else None

    def _element(self, node: Element) -> Range | None:
        base = node.base
        if isinstance(base, Call) and base.name in {"array", "sequence"}:
            return self._union(base.arguments[:2] if base.name == "sequence" else base.arguments)
        return None

    def _union(self, nodes: Sequence[Expression]) -> Range | None:
        """What one of several is; nulls are no numbers."""
        return _join([self.of(node) for node in nodes if node.type != VOID])

    def _negated(self, node: Unary) -> Range | None:
        inner = self.of(node.operand)
        return None if inner is None else (-inner[1], -inner[0]) if node.operator == "-" else inner

    def _operated(self, node: Binary) -> Range | None:
        left, right = self.of(node.left), self.of(node.right)
        operator = _OPERATORS.get(node.operator)
        return operator(left, right) if left is not None and right is not None and operator is not None else None

    def _real(self, node: Expression) -> Range | None:
        """The whole numbers around a number, which may be a quotient of two whole ones."""
        if isinstance(node, Call) and node.name in _ROUNDING and len(node.arguments) == 1:
            return self._real(node.arguments[0])
        if isinstance(node, Binary) and node.operator == "/":
            left, right = self._real(node.left), self._real(node.right)
            return _divide(left, right) if left is not None and right is not None else None
        return self.of(node)

    def _called(self, node: Call) -> Range | None:  # noqa: PLR0911  (one line for each kind)
        name, tables = node.name, sail()
        if name in tables.counts:
            return 0, self.rows
        if name in tables.ranges:
            return tables.ranges[name]
        if name == "sum" and len(node.arguments) == 1:
            inner = self.of(node.arguments[0])
            return None if inner is None else (min(inner[0], 0) * self.rows, max(inner[1], 0) * self.rows)
        if name in _OF_ARGUMENTS:
            return self._union(_chosen(node))
        if name in _ROUNDING and len(node.arguments) == 1:
            return self._real(node.arguments[0])
        ranges = [self.of(each) for each in node.arguments]
        if None in ranges or (name, len(ranges)) not in _CALLS:
            return None
        return _CALLS[name, len(ranges)](*ranges)


def _makes_rows(name: str) -> bool:
    return name == "range" or functions().classes.get(name) in _BOUNDED


def _count_rows(tables: Sequence[Table]) -> int:
    """How many rows the statement can add up: those of its tables in all combinations."""
    product = 1
    for table in tables:
        if table.info.rows is None or " " in str(table.text):
            return MAX_ROWS
        product = min(product * max(table.info.rows, 1), MAX_ROWS)
    return product


def _chosen(node: Call) -> Sequence[Expression]:
    if node.name in {"if", "nvl2"}:
        return node.arguments[1:]
    return node.arguments[:1] if node.name in _FIRST else node.arguments


def _read_constant(node: Constant) -> Range | None:
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value, node.value
    return None


_ROUNDING: Final = frozenset({"floor", "ceil", "ceiling", "round", "bround", "int", "bigint"})

_FIRST: Final = frozenset(
    {
        "max", "min", "first", "last", "first_value", "last_value", "nth_value", "any_value", "max_by", "min_by",
        "mode",
        "nullif", "zeroifnull", "nullifzero", "positive",
    }
)  # fmt: skip
"""Functions that give their first argument, or null; zeroifnull may give 0, which is in no bounds' way."""

_OF_ARGUMENTS: Final = _FIRST | {"coalesce", "greatest", "least", "ifnull", "nvl", "if", "nvl2", "lag", "lead"}
"""Functions that give one of their arguments, or null."""


def _join(ranges: Sequence[Range | None]) -> Range | None:
    known = [each for each in ranges if each is not None]
    if not known or len(known) < len(ranges):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _add(left: Range, right: Range) -> Range:
    return left[0] + right[0], left[1] + right[1]


def _subtract(left: Range, right: Range) -> Range:
    return left[0] - right[1], left[1] - right[0]


def _multiply(left: Range, right: Range) -> Range:
    products = [one * other for one in left for other in right]
    return min(products), max(products)


def _divide(left: Range, _: Range) -> Range:
    most = max(abs(left[0]), abs(left[1]))
    return -most, most


def _remainder(left: Range, right: Range) -> Range:
    most = max(abs(right[0]), abs(right[1]), 1) - 1
    return max(-most, min(left[0], 0)), min(most, max(left[1], 0))


def _positive_remainder(_: Range, right: Range) -> Range:
    most = max(abs(right[0]), abs(right[1]), 1) - 1
    return -most, most


def _absolute(inner: Range) -> Range:
    return 0, max(abs(inner[0]), abs(inner[1]))


_OPERATORS: Final[Mapping[str, Callable[[Range, Range], Range]]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "div": _divide,
    "%": _remainder,
}
_CALLS: Final[Mapping[tuple[str, int], Callable[..., Range]]] = {
    ("mod", 2): _remainder,
    ("pmod", 2): _positive_remainder,
    ("abs", 1): _absolute,
}
"""By name and number of arguments: a call may have any, until an engine looks at it."""
