"""Which type an expression has in Spark: literals, the lake's columns, names given with AS, calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from mcp_server.dialects.sail.given import bound, first_item, names_given
from mcp_server.dialects.sail.sail import sail
from mcp_server.sql.case import Case
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions
from mcp_server.sql.source import is_plain_integer
from mcp_server.sql.types import (
    FRACTIONS,
    INTEGERS,
    Decimal,
    Type,
    array_type,
    as_decimal,
    bound_decimal,
    combine_decimals,
    common_type,
    element_type,
    number_type,
    parse_type,
    round_decimal,
)

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
    ("place", ""): "int",
    ("zero", ""): "int",
}


def _sum(kind: Type | None) -> Type | None:
    if isinstance(kind, Decimal):
        return bound_decimal(kind.precision + 10, kind.scale)
    return "bigint" if kind in INTEGERS else "double" if kind in {*FRACTIONS, "string"} else None


def _average(kind: Type | None) -> Type | None:
    if isinstance(kind, Decimal):
        return bound_decimal(kind.precision + 4, kind.scale + 4)
    return "double" if kind in {*INTEGERS, *FRACTIONS, "string"} else None


def _whole(kind: Type | None) -> Type | None:
    """The type of ceil and floor."""
    return (
        bound_decimal(kind.precision - kind.scale + 1, 0) if isinstance(kind, Decimal) else "bigint" if kind else None
    )


Kinds = list[Type | None]

_OF_KINDS: Final[Mapping[str, Callable[[Kinds], Type | None]]] = {
    "common": common_type,
    "common of whole numbers": lambda kinds: common_type(kinds) if {*kinds} <= {*INTEGERS} else None,
    "bits": lambda kinds: kinds[0] if kinds and kinds[0] in {"int", "bigint"} else "int",
    "branches": lambda kinds: common_type(kinds[1:]),
    "quotient": lambda kinds: "double" if {*kinds} <= {*INTEGERS, *FRACTIONS} else None,
    "sum": lambda kinds: _sum(kinds[0]) if kinds else None,
    "avg": lambda kinds: _average(kinds[0]) if kinds else None,
    "whole": lambda kinds: _whole(kinds[0]) if len(kinds) == 1 else None,
    "elements": lambda kinds: array_type(common_type(kinds)),
    "array of first": lambda kinds: array_type(kinds[0] if kinds else None),
    "array of last": lambda kinds: array_type(kinds[-1] if kinds else None),
    "element": lambda kinds: element_type(kinds[0]) if kinds else None,
    "inner": lambda kinds: element_type(kinds[0]) if kinds else None,
    "second or last": lambda kinds: kinds[1] if len(kinds) == 3 else kinds[-1] if kinds else None,
}
"""Rules of `[types]` in sail.toml that look at the types of the arguments."""

_PLAIN: Final = frozenset({*INTEGERS, *FRACTIONS, "string", "boolean", "date", "timestamp", "void"})
"""Types of which text can be made."""


def results(case: Expr) -> list[Expr]:
    """What a CASE may give."""
    return [part for part, word in zip(case.parts, case.word.split(), strict=True) if word in {"then", "else"}]


def _is_named(node: Expr, name: str) -> bool:
    return node.kind == "name" and node.word.rpartition(".")[2] == name


def _depths(case: Case) -> list[int]:
    """In how many brackets each token stands."""
    return list(accumulate((token.key == "(") - (token.key == ")") for token in case.source.tokens))


class Types:
    """The types of a statement's expressions. A name that stands for two things of different types has none."""

    def __init__(self, case: Case) -> None:
        self._source = case.source
        self._known: dict[Expr, Type | None] = {}
        self._assumed: dict[Expr, Type | None] = {}
        self._running: set[Expr] = set()
        self._open: dict[str, set[Type | None]] = {}
        self._columns: dict[str, set[Type | None]] = {}
        self._aliases: dict[str, list[Expr | None]] = {}
        for _, info in case.names.refs:
            for column in info.columns:
                self._columns.setdefault(column.name.lower(), set()).add(parse_type(column.type))
        self.bound = bound(read_expressions(case))
        depths = _depths(case)
        for name, node in names_given(case):
            # What the statement itself selects is not meant by the parts of it that are called so.
            own = node is not None and not depths[node.first] and any(_is_named(each, name) for each in node.walk())
            if not own:
                self._aliases.setdefault(name, []).append(node)

    def bind(self, node: Expr) -> Expr:
        """A node that was read apart from the roots, the parameters of its lambdas known."""
        self.bound.update(bound([node]))
        return node

    def of(self, node: Expr) -> Type | None:
        """Spark's type of a node, where it can be told."""
        if node in self._known:
            return self._known[node]
        known = self._assumed if self._open else self._known
        if node not in known:
            known[node] = None  # a name may be defined by itself
            self._running.add(node)
            known[node] = self._told(node)
            self._running.discard(node)
        return known[node]

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
        if node in self.bound or node.kind in {"query", "brackets", "unary", "alias", "folded", "lambda"}:
            inner = self._inner(node)
            return self.of(inner) if inner is not None else None
        if node.kind in {"cast", "try_cast"}:
            return parse_type(node.word)
        reader = {
            "element": lambda: element_type(self.of(node.parts[0])),
            "index": lambda: element_type(self.of(node.parts[0])),
            "field": lambda: self._named(node.word),
            "number": lambda: number_type(self._source.tokens[node.end - 1].text),
            "name": lambda: self._named(node.word.rpartition(".")[2]),
            "binary": lambda: self._operated(node),
            "case": lambda: common_type([self.of(part) for part in results(node)]),
            "call": lambda: self._called(node),
        }.get(node.kind)
        return reader() if reader is not None else _LITERALS.get((node.kind, node.word), _LITERALS.get((node.kind, "")))

    def _inner(self, node: Expr) -> Expr | None:
        """The node that has the type of another one."""
        if node in self.bound:
            return self.bound[node]
        if node.kind == "query":
            return first_item(node, self._source)
        return node.parts[-1] if node.kind == "lambda" else node.parts[0]

    def _named(self, name: str) -> Type | None:
        """The one type of all that has this name. `x + 1 AS x` has the type that x has otherwise, if that is so."""
        if name in self._open:
            found = self._open[name]
            return next(iter(found)) if len(found) == 1 else None
        found = self._open[name] = set(self._columns.get(name, ()))
        own: list[Expr] = []
        for node in self._aliases.get(name, ()):
            if node is None:
                found.add(None)
            elif not any(_is_named(each, name) for each in node.walk()):
                found.add(self.of(node))
            elif not _is_named(node, name) and node not in self._running:  # `x AS x` says nothing
                own.append(node)
        for node in own:
            found.add(self.of(node))
        del self._open[name]
        if not self._open:
            self._assumed.clear()
        return next(iter(found)) if len(found) == 1 else None

    def _operated(self, node: Expr) -> Type | None:
        left, right = node.parts
        one, other = self.of(left), self.of(right)
        if node.word in _COMPARISONS:
            return "boolean"
        if node.word in {"||", "div"}:
            return "bigint" if node.word == "div" else self._joined([one, other])
        if one in {"date", "timestamp"} or other in {"date", "timestamp"}:
            return self._moved(node, one, other)
        if isinstance(one, Decimal) or isinstance(other, Decimal):
            first, second = self.decimal(left), self.decimal(right)
            if first is not None and second is not None:
                return combine_decimals(node.word, first, second)
        kind = common_type([one, other])
        return "double" if node.word == "/" and kind in INTEGERS else None if kind == "string" else kind

    def _joined(self, kinds: Sequence[Type | None]) -> Type | None:
        """The type of `a || b` and concat: text, unless they are arrays or bytes."""
        plain = all(kind in _PLAIN or isinstance(kind, Decimal) for kind in kinds)
        return "string" if plain else kinds[0] if len(set(kinds)) == 1 else None

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
        if rule in _OF_KINDS:
            return _OF_KINDS[rule](kinds)
        told: dict[str, Callable[[], Type | None]] = {
            "joined": lambda: self._joined(kinds),
            "part": lambda: self._part(node),
            "first": lambda: kinds[0] if kinds else None,
            "round": lambda: self._rounded(node, kinds[0] if kinds else None),
        }
        return told[rule]() if rule in told else parse_type(rule)

    def _part(self, node: Expr) -> Type | None:
        """The type of a field of a date or time: seconds have a fraction."""
        field = self._source.tokens[node.parts[0].first].text.strip("'\"").lower() if node.parts else ""
        return Decimal(8, 6) if field.startswith("sec") or field == "s" else "int"

    def _rounded(self, node: Expr, kind: Type | None) -> Type | None:
        digits = self.digits(node)
        return round_decimal(kind, digits) if isinstance(kind, Decimal) and digits is not None else kind

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
