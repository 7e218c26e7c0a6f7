"""Parses the expressions of a statement, for rewrites that need operands, names and types.

It refuses nothing and leaves out what it does not know; rewrites then change nothing there. What a statement may do was
decided before, and is decided again after each rewrite.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mcp_server.sql.case import Case, memoize
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


@memoize
def read_expressions(case: Case) -> tuple[Expr, ...]:
    """Return all outermost expressions. Those of sub-queries are parts of the nodes of the sub-queries."""
    return _read_between(case.source, case.reading.calls, 0, len(case.source.tokens))


def read_expression(case: Case, first: int) -> Expr | None:
    """Return the expression that begins at a token, or None."""
    return _read_at(case.source, case.reading.calls, first)


def _read_between(source: Source, calls: dict[int, str], first: int, end: int) -> tuple[Expr, ...]:
    found, index = list[Expr](), first
    while index < end:
        root = _read_at(source, calls, index) if index == first or source.key(index - 1) in OPENERS else None
        if root is None:
            index += 1
        else:
            found.append(root)
            index = root.end
    return tuple(found)


def _read_at(source: Source, calls: dict[int, str], first: int) -> Expr | None:
    try:
        return _read_inside(source, calls, _ExpressionReader(source, calls, first).read_expression())
    except (Unread, RecursionError):
        return None


def _read_inside(source: Source, calls: dict[int, str], node: Expr) -> Expr:
    """Return the node with the expressions of its sub-queries, each of them parsed once."""
    if node.kind == "query":
        return replace(node, parts=_read_between(source, calls, node.first + 1, node.end - 1))
    parts, rest = (tuple(_read_inside(source, calls, each) for each in group) for group in (node.parts, node.rest))
    return node if (parts, rest) == (node.parts, node.rest) else replace(node, parts=parts, rest=rest)


class _ExpressionReader(Operands):
    """Parses one expression: operators and predicates between operands."""

    def read_expression(self) -> Expr:
        """Parse OR of AND of NOT of predicates."""
        parts = [self.read_conjunction()]
        while self.take("OR"):
            parts.append(self.read_conjunction())
        return parts[0] if len(parts) == 1 else Expr("logic", parts[0].first, parts[-1].end, "or", tuple(parts))

    def read_conjunction(self) -> Expr:
        parts = [self.read_negation()]
        while self.take("AND"):
            parts.append(self.read_negation())
        return parts[0] if len(parts) == 1 else Expr("logic", parts[0].first, parts[-1].end, "and", tuple(parts))

    def read_negation(self) -> Expr:
        first = self.at
        if self.take("NOT") or (self.key == "!" and self.take("!")):
            inner = self.read_negation()
            return Expr("unary", first, inner.end, "not", (inner,))
        return self.read_predicate()

    def read_predicate(self) -> Expr:
        left = self.read_operation()
        while True:
            start = self.at
            negated = "not " if self.take("NOT") else ""
            if self.take("IN"):
                left = self.read_in(left, negated)
            elif self.take("BETWEEN"):
                low = self.read_operation()
                self.expect("AND")
                high = self.read_operation()
                left = Expr("between", left.first, high.end, negated + "between", (left, low, high))
            elif self.key in {"LIKE", "ILIKE", "RLIKE", "REGEXP"}:
                left = self.read_like(left, negated)
            elif not negated and self.take("IS"):
                left = self.read_is(left)
            else:
                self.at = start
                return left

    def read_in(self, left: Expr, negated: str) -> Expr:
        parts = self.read_bracketed()
        return Expr("in", left.first, self.at, negated + "in", (left, *parts))

    def read_like(self, left: Expr, negated: str) -> Expr:
        word = negated + self.key.lower()
        self.at += 1
        if self.key in {"ANY", "SOME", "ALL"} and self.source.key(self.at + 1) == "(":
            word += " " + ("all" if self.key == "ALL" else "any")
            self.at += 1
            return Expr("like", left.first, self.source.closing[self.at] + 1, word, (left, *self.read_bracketed()))
        pattern = self.read_operation(1)
        parts: tuple[Expr, ...] = (left, pattern)
        if self.take("ESCAPE"):
            parts = (*parts, self.read_primary())
        return Expr("like", left.first, parts[-1].end, word, parts)

    def read_is(self, left: Expr) -> Expr:
        word = "is not" if self.take("NOT") else "is"
        if self.take("DISTINCT", "FROM"):
            right = self.read_operation(1)
            return Expr("is", left.first, right.end, word + " distinct from", (left, right))
        if self.key not in {"NULL", "TRUE", "FALSE", "UNKNOWN"}:
            raise Unread
        word += " " + self.key.lower()
        self.at += 1
        return Expr("is", left.first, self.at, word, (left,))

    def read_operation(self, floor: int = 0) -> Expr:
        """Parse operators that bind at least as tightly as `_LEVELS[floor]`."""
        left = self.read_signed()
        for _ in range(MAX_CHAIN):
            operator = self.find_operator()
            level = _LEVEL.get(operator, -1)
            if level < floor:
                return left
            self.at += len(operator) if operator in {">>", ">>>"} else 1
            right = self.read_operation(level + 1)
            left = Expr("binary", left.first, right.end, operator.lower(), (left, right))
        raise Unread

    def find_operator(self) -> str:
        """Return the operator at the current token. The lexer splits `>>` and `>>>` into single signs."""
        key, at = self.key, self.at
        while key in {">", ">>"} and self.source.key(at + 1) == ">" and self.source.tokens[at + 1].glued:
            key, at = key + ">", at + 1
        return key

    def read_path(self) -> str:
        """Return `a.b[0]` after a colon as the `$.a.b[0]` that functions take."""
        first = self.at
        while self.token.is_name or self.key == "[":
            self.at = self.source.closing[self.at] + 1 if self.key == "[" else self.at + 1
            if self.at >= len(self.source.tokens) or (self.key != "[" and not self.take(".")):
                break
        return "$." + "".join(token.text for token in self.source.tokens[first : self.at])

    def read_signed(self) -> Expr:
        first = self.at
        if self.key in {"-", "+", "~"}:
            word = self.key
            self.at += 1
            inner = self.read_signed()
            kind = "number" if word == "-" and inner.kind == "number" and inner.end - inner.first == 1 else "unary"
            return Expr(kind, first, inner.end, word, () if kind == "number" else (inner,))
        return self.read_suffixes(self.read_primary())

    def read_suffixes(self, base: Expr) -> Expr:
        """Parse what follows an operand directly: fields, elements, casts, paths into JSON."""
        while True:
            if self.key == "." and self.source.tokens[self.at + 1 : self.at + 2] and base.kind != "name":
                self.at += 1
                if not self.token.is_name:
                    raise Unread
                word = self.token.name
                self.at += 1
                base = Expr("field", base.first, self.at, word, (base,))
            elif self.take("["):
                inner = self.read_expression()
                self.expect("]")
                base = Expr("index", base.first, self.at, "", (base, inner))
            elif self.take("::"):
                word = self.read_type()
                base = Expr("cast", base.first, self.at, word, (base,))
            elif self.take(":"):
                word = self.read_path()
                base = Expr("path", base.first, self.at, word, (base,))
            else:
                return base
