"""Reads the expressions of a statement, for rewrites that must find operands, names and types.

Nothing is refused here. What this reader does not know it leaves out, and then nothing is rewritten there: what a
statement may do has been decided before, by the guard's two readers, and is decided again for every rewrite.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mcp_server.sql.case import Case, once
from mcp_server.sql.expr import Expr, Unread
from mcp_server.sql.operands import Operands
from mcp_server.sql.source import Source

OPENERS: Final = frozenset(
    {
        "SELECT", "DISTINCT", "ALL", "WHERE", "HAVING", "ON", "BY", "QUALIFY", "FROM", "VIEW", "OUTER", "LATERAL",
        "JOIN", "VALUES", "EXTEND", "AGGREGATE", "SET", ",", "(",
    }
)  # fmt: skip
"""What stands before an expression that is no part of another one."""

_LEVELS: Final = (
    ("=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>"),
    ("|",),
    ("^",),
    ("&",),
    ("<<", ">>", ">>>"),
    ("+", "-", "||"),
    ("*", "/", "%", "DIV"),
)
_LEVEL: Final = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
"""Operators of two operands and how much they bind; Spark 4.2's SqlBaseParser.g4, `valueExpression`."""

MAX_CHAIN = 64
"""Operators in a row, which nest in the tree: what reads it goes down with Python's stack."""


@once
def expressions(case: Case) -> tuple[Expr, ...]:
    """All outermost expressions of a statement; what is read inside sub-queries is part of their nodes."""
    return _between(case.source, case.reading.calls, 0, len(case.source.tokens))


def expression(case: Case, first: int) -> Expr | None:
    """The expression that begins at a token, where one does."""
    return _at(case.source, case.reading.calls, first)


def _between(source: Source, calls: dict[int, str], first: int, end: int) -> tuple[Expr, ...]:
    found, index = list[Expr](), first
    while index < end:
        root = _at(source, calls, index) if index == first or source.key(index - 1) in OPENERS else None
        if root is None:
            index += 1
        else:
            found.append(root)
            index = root.end
    return tuple(found)


def _at(source: Source, calls: dict[int, str], first: int) -> Expr | None:
    try:
        return _opened(source, calls, _Reader(source, calls, first).anything())
    except (Unread, RecursionError):
        return None


def _opened(source: Source, calls: dict[int, str], node: Expr) -> Expr:
    """The node with the expressions of its sub-queries, which are read only now: each of them once."""
    if node.kind == "query":
        return replace(node, parts=_between(source, calls, node.first + 1, node.end - 1))
    parts, rest = (tuple(_opened(source, calls, each) for each in group) for group in (node.parts, node.rest))
    return node if (parts, rest) == (node.parts, node.rest) else replace(node, parts=parts, rest=rest)


class _Reader(Operands):
    """One expression: operators and predicates between operands."""

    def anything(self) -> Expr:
        """OR of AND of NOT of predicates."""
        parts = [self.conjunction()]
        while self.take("OR"):
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else Expr("logic", parts[0].first, parts[-1].end, "or", tuple(parts))

    def conjunction(self) -> Expr:
        parts = [self.negation()]
        while self.take("AND"):
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else Expr("logic", parts[0].first, parts[-1].end, "and", tuple(parts))

    def negation(self) -> Expr:
        first = self.at
        if self.take("NOT") or (self.key == "!" and self.take("!")):
            inner = self.negation()
            return Expr("unary", first, inner.end, "not", (inner,))
        return self.predicate()

    def predicate(self) -> Expr:
        left = self.operation()
        while True:
            start = self.at
            negated = "not " if self.take("NOT") else ""
            if self.take("IN"):
                left = self.within(left, negated)
            elif self.take("BETWEEN"):
                low = self.operation()
                self.need("AND")
                high = self.operation()
                left = Expr("between", left.first, high.end, negated + "between", (left, low, high))
            elif self.key in {"LIKE", "ILIKE", "RLIKE", "REGEXP"}:
                left = self.like(left, negated)
            elif not negated and self.take("IS"):
                left = self.check(left)
            else:
                self.at = start
                return left

    def within(self, left: Expr, negated: str) -> Expr:
        parts = self.bracketed()
        return Expr("in", left.first, self.at, negated + "in", (left, *parts))

    def like(self, left: Expr, negated: str) -> Expr:
        word = negated + self.key.lower()
        self.at += 1
        if self.key in {"ANY", "SOME", "ALL"} and self.source.key(self.at + 1) == "(":
            word += " " + ("all" if self.key == "ALL" else "any")
            self.at += 1
            return Expr("like", left.first, self.source.closing[self.at] + 1, word, (left, *self.bracketed()))
        pattern = self.operation(1)
        parts: tuple[Expr, ...] = (left, pattern)
        if self.take("ESCAPE"):
            parts = (*parts, self.primary())
        return Expr("like", left.first, parts[-1].end, word, parts)

    def check(self, left: Expr) -> Expr:
        word = "is not" if self.take("NOT") else "is"
        if self.take("DISTINCT", "FROM"):
            right = self.operation(1)
            return Expr("is", left.first, right.end, word + " distinct from", (left, right))
        if self.key not in {"NULL", "TRUE", "FALSE", "UNKNOWN"}:
            raise Unread
        word += " " + self.key.lower()
        self.at += 1
        return Expr("is", left.first, self.at, word, (left,))

    def operation(self, floor: int = 0) -> Expr:
        """Operators that bind at least as much as `_LEVELS[floor]`."""
        left = self.signed()
        for _ in range(MAX_CHAIN):
            operator = self.operator()
            level = _LEVEL.get(operator, -1)
            if level < floor:
                return left
            self.at += len(operator) if operator in {">>", ">>>"} else 1
            right = self.operation(level + 1)
            left = Expr("binary", left.first, right.end, operator.lower(), (left, right))
        raise Unread

    def operator(self) -> str:
        """The operator that stands here; the lexer gives `>>` and `>>>` as single signs."""
        key, at = self.key, self.at
        while key in {">", ">>"} and self.source.key(at + 1) == ">" and self.source.tokens[at + 1].glued:
            key, at = key + ">", at + 1
        return key

    def path(self) -> str:
        """`a.b[0]` behind a colon, as the `$.a.b[0]` that functions take."""
        first = self.at
        while self.token.is_name or self.key == "[":
            self.at = self.source.closing[self.at] + 1 if self.key == "[" else self.at + 1
            if self.at >= len(self.source.tokens) or (self.key != "[" and not self.take(".")):
                break
        return "$." + "".join(token.text for token in self.source.tokens[first : self.at])

    def signed(self) -> Expr:
        first = self.at
        if self.key in {"-", "+", "~"}:
            word = self.key
            self.at += 1
            inner = self.signed()
            kind = "number" if word == "-" and inner.kind == "number" and inner.end - inner.first == 1 else "unary"
            return Expr(kind, first, inner.end, word, () if kind == "number" else (inner,))
        return self.behind(self.primary())

    def behind(self, base: Expr) -> Expr:
        """What is glued to an operand: fields, elements, casts, paths into JSON."""
        while True:
            if self.key == "." and self.source.tokens[self.at + 1 : self.at + 2] and base.kind != "name":
                self.at += 1
                if not self.token.is_name:
                    raise Unread
                word = self.token.name
                self.at += 1
                base = Expr("field", base.first, self.at, word, (base,))
            elif self.take("["):
                inner = self.anything()
                self.need("]")
                base = Expr("index", base.first, self.at, "", (base, inner))
            elif self.take("::"):
                word = self.type()
                base = Expr("cast", base.first, self.at, word, (base,))
            elif self.take(":"):
                word = self.path()
                base = Expr("path", base.first, self.at, word, (base,))
            else:
                return base
