"""Which type an expression has in Spark: literals, the lake's columns, names given with AS, calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from mcp_server.guard.case import Case
from mcp_server.guard.catalog import Catalog
from mcp_server.guard.dialect.expr import Expr
from mcp_server.guard.dialect.sail import sail
from mcp_server.guard.dialect.types import (
    INTEGERS,
    Decimal,
    Type,
    as_decimal,
    bounded,
    combined,
    common,
    named,
    of_number,
    rounded,
)
from mcp_server.guard.source import Source, is_plain_integer
from mcp_server.guard.words import BEFORE_BRACKET

_TIMES = re.compile(r"hour|minute|second|\d:\d", re.IGNORECASE)
_YES_OR_NO = frozenset({"logic", "in", "between", "like", "is", "exists"})
_COMPARISONS = frozenset({"=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>"})

_LITERALS: Mapping[tuple[str, str], Type] = {
    ("string", ""): "string",
    ("typed", "x"): "binary",
    ("typed", "date"): "date",
    ("typed", "timestamp"): "timestamp",
    ("typed", "timestamp_ltz"): "timestamp",
    ("constant", "null"): "void",
    ("constant", ""): "boolean",
    ("interval", ""): "interval",
}


def _sum(kind: Type | None) -> Type | None:
    if isinstance(kind, Decimal):
        return bounded(kind.precision + 10, kind.scale)
    return "bigint" if kind in INTEGERS else "double" if kind in {"float", "double"} else None


def _average(kind: Type | None) -> Type | None:
    if isinstance(kind, Decimal):
        return bounded(kind.precision + 4, kind.scale + 4)
    return "double" if kind in {*INTEGERS, "float", "double"} else None


_SUMS: Mapping[str, Callable[[Type | None], Type | None]] = {"sum": _sum, "avg": _average}


def results(case: Expr) -> list[Expr]:
    """What a CASE may give."""
    return [part for part, word in zip(case.parts, case.word.split(), strict=True) if word in {"then", "else"}]


class Types:
    """The types of a statement's expressions. A name that stands for two things of different types has none."""

    def __init__(self, case: Case, catalog: Catalog, roots: Sequence[Expr]) -> None:
        self._source = case.source
        self._known: dict[Expr, Type | None] = {}
        self._open: set[str] = set()
        self._columns: dict[str, set[Type | None]] = {}
        self._aliases: dict[str, list[Expr | None]] = {}
        for table in case.tables:
            for column in catalog.by_name[table.lower()].columns:
                self._columns.setdefault(column.name.lower(), set()).add(named(column.type))
        for name, node in _names_given(case, roots):
            self._aliases.setdefault(name, []).append(node)

    def of(self, node: Expr) -> Type | None:
        """Spark's type of a node, where it can be told."""
        if node not in self._known:
            self._known[node] = None  # a name may be defined by itself
            self._known[node] = self._told(node)
        return self._known[node]

    def text(self, node: Expr) -> str:
        """The digits of a node that is a plain number without a sign, else nothing."""
        token = self._source.tokens[node.end - 1]
        return token.text if node.kind == "number" and is_plain_integer(token) else ""

    def decimal(self, node: Expr) -> Decimal | None:
        """A node as an operand of decimal arithmetic: integers count with their digits."""
        return as_decimal(self.of(node), self.text(node))

    def _told(self, node: Expr) -> Type | None:
        if node.kind in _YES_OR_NO or node.word == "not":
            return "boolean"
        if node.kind in {"brackets", "unary", "alias"}:
            return self.of(node.parts[0])
        if node.kind in {"cast", "try_cast"}:
            return named(node.word)
        reader = {
            "number": lambda: of_number(self._source.tokens[node.end - 1].text),
            "name": lambda: self._named(node.word.rpartition(".")[2]),
            "binary": lambda: self._operated(node),
            "case": lambda: common([self.of(part) for part in results(node)]),
            "call": lambda: self._called(node),
        }.get(node.kind)
        return reader() if reader is not None else _LITERALS.get((node.kind, node.word), _LITERALS.get((node.kind, "")))

    def _named(self, name: str) -> Type | None:
        found = set(self._columns.get(name, ()))
        if name in self._open:
            return found.pop() if len(found) == 1 else None
        self._open.add(name)
        for node in self._aliases.get(name, ()):
            # `round(x, 1) AS x`: the name within its own definition is the column.
            if node is None or node.kind != "name" or node.word.rpartition(".")[2] != name:
                found.add(None if node is None else self.of(node))
        self._open.discard(name)
        return found.pop() if len(found) == 1 else None

    def _operated(self, node: Expr) -> Type | None:
        left, right = node.parts
        one, other = self.of(left), self.of(right)
        if node.word in _COMPARISONS:
            return "boolean"
        if node.word in {"||", "div"}:
            return "bigint" if node.word == "div" else "string" if {one, other} <= {"string"} else None
        if one in {"date", "timestamp"} or other in {"date", "timestamp"}:
            return self._moved(node, one, other)
        if isinstance(one, Decimal) or isinstance(other, Decimal):
            first, second = self.decimal(left), self.decimal(right)
            if first is not None and second is not None:
                return combined(node.word, first, second)
        kind = common([one, other])
        return "double" if node.word == "/" and kind in INTEGERS else kind

    def _moved(self, node: Expr, one: Type | None, other: Type | None) -> Type | None:
        """The type of a date or time with something added or taken away."""
        if one == other or node.word not in {"+", "-"}:
            return "interval" if one == other else None
        moved, step = (one, node.parts[1]) if one in {"date", "timestamp"} else (other, node.parts[0])
        if step.kind == "interval" and self.is_of_day(step):
            return "timestamp" if moved == "date" else moved
        return moved if self.of(step) in {"interval", *INTEGERS} else None

    def _called(self, node: Expr) -> Type | None:
        rule = sail().types.get(node.word, "")
        kinds = [self.of(part) for part in node.parts]
        first = kinds[0] if kinds else None
        if rule in {"common", "branches"}:
            return common(kinds if rule == "common" else kinds[1:])
        if rule in {"sum", "avg"}:
            return _SUMS[rule](first)
        digits = self.digits(node) if rule == "round" else None
        if isinstance(first, Decimal) and digits is not None:
            return rounded(first, digits)
        return first if rule in {"first", "round"} else named(rule)

    def is_of_day(self, interval: Expr) -> bool:
        """Whether an interval has hours or less, which make a timestamp of a date."""
        text = " ".join(token.text for token in self._source.tokens[interval.first : interval.end])
        return _TIMES.search(text) is not None

    def digits(self, node: Expr) -> int | None:
        """The second argument of round where it is a plain number, 0 where there is none."""
        if len(node.parts) < 2:
            return 0
        last = node.parts[1]
        if last.kind != "number" or not is_plain_integer(self._source.tokens[last.end - 1]):
            return None
        return -int(self._source.tokens[last.end - 1].text) if last.word == "-" else int(self.text(last))


def _names_given(case: Case, roots: Sequence[Expr]) -> list[tuple[str, Expr | None]]:
    """Names that stand for an expression, and None with those of which only the name is seen."""
    source = case.source
    given: list[tuple[str, Expr | None]] = []
    for root in roots:
        for node in root.walk():
            if node.kind == "lambda":
                given += [(name.word, None) for name in node.parts[:-1]]
            elif node.kind == "query":
                given += _names_given(case, node.parts)
        at = root.end + (source.key(root.end) == "AS")
        if at < len(source.tokens) and source.tokens[at].is_name and source.key(at) not in BEFORE_BRACKET:
            given.append((source.tokens[at].name, root))
    return [*given, *_columns_given(source, case.reading.calls, roots)]


def _columns_given(source: Source, calls: Mapping[int, str], roots: Sequence[Expr]) -> list[tuple[str, Expr | None]]:
    """The names in `t (a, b)` behind a relation, which may be VALUES, or of a WITH."""
    given: list[tuple[str, Expr | None]] = []
    for index, token in enumerate(source.tokens[1:], start=1):
        before = source.tokens[index - 1]
        if token.key == "(" and before.is_name and index - 1 not in calls and before.key not in BEFORE_BRACKET:
            inside = source.tokens[index + 1 : source.closing[index]]
            if all(each.is_name or each.key == "," for each in inside):
                names = [each.name for each in inside if each.is_name]
                rows = _rows(source, roots, index - 1 - (source.key(index - 2) == "AS"))
                columns = [_values(rows, place) for place in range(len(names))]
                given += zip(names, columns, strict=True)
    return given


def _rows(source: Source, roots: Sequence[Expr], end: int) -> list[Expr]:
    """The rows of the VALUES that end before a token."""
    ends = {root.end: root for root in roots if root.kind in {"tuple", "brackets"}}
    rows: list[Expr] = []
    while (row := ends.get(end)) is not None:
        rows.append(row)
        if source.key(row.first - 1) == "VALUES":
            return rows
        end = row.first - 1
    return []


def _values(rows: list[Expr], place: int) -> Expr | None:
    """The values of one column, as branches of which any may be the one."""
    if not rows or any(len(row.parts) <= place for row in rows):
        return None
    values = tuple(row.parts[place] for row in rows)
    return Expr("case", rows[0].first, rows[0].end, " ".join(["then"] * len(values)), values)
