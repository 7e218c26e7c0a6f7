"""Parses expressions from the tokens of a statement, by Spark 4.2's SqlBaseParser.g4. Names and types come later.

sqlglot's tree does not serve here: it has other precedences (`a | b & c`, `a || b + c`), joins literals, takes
intervals apart, and does not tell the token of each leaf.
"""

from __future__ import annotations

from typing import Final, cast

from mcp_server.sql.compose import Sql, copy_tokens
from mcp_server.sql.lexer import Kind
from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.parse_call import CallParser
from mcp_server.sql.typed.parse_operand import UNITS

_COMPARISONS: Final = {
    "=": "=",
    "==": "=",
    "<>": "<>",
    "!=": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "<=>": "<=>",
}
_LEVELS: Final = (
    _COMPARISONS,
    {"|": "|"},
    {"^": "^"},
    {"&": "&"},
    {"<<": "<<", ">>": ">>", ">>>": ">>>"},
    {"+": "+", "-": "-", "||": "||"},
    {"*": "*", "/": "/", "%": "%", "DIV": "div"},
)
_LEVEL: Final = {sign: (level, word) for level, signs in enumerate(_LEVELS) for sign, word in signs.items()}
"""Operators of two operands and how much they bind (`valueExpression`)."""

_PREDICATES: Final = frozenset({"NOT", "!", "IN", "BETWEEN", "LIKE", "ILIKE", "RLIKE", "REGEXP", "IS"})
_SUFFIXES: Final = frozenset({".", "[", "::", ":", "COLLATE"})


class ExpressionParser(CallParser):
    """Parses whole expressions."""

    def parse_expression(self) -> Expression:
        """Parse OR of AND of NOT of predicates."""
        first = self.at
        operands = [self._parse_conjunction()]
        while self.take("OR"):
            operands.append(self._parse_conjunction())
        return operands[0] if len(operands) == 1 else nodes.Logic("or", tuple(operands), at=first)

    def _parse_conjunction(self) -> Expression:
        first = self.at
        operands = [self.parse_negation()]
        while self.take("AND"):
            operands.append(self.parse_negation())
        return operands[0] if len(operands) == 1 else nodes.Logic("and", tuple(operands), at=first)

    def parse_negation(self) -> Expression:
        """Parse an operand of AND."""
        first = self.at
        if self.take("NOT") or self.take("!"):
            return nodes.Not(self.parse_negation(), at=first)
        return self._parse_predicate()

    def _parse_predicate(self) -> Expression:
        left = self.parse_operation()
        first = self.at
        if self.key not in _PREDICATES:
            return left
        negated = self.take("NOT") or (self.key == "!" and self.take("!"))
        if self.take("IN"):
            return self._parse_in(left, negated, first)
        if self.take("BETWEEN"):
            low = self.parse_operation()
            self.expect("AND")
            return nodes.Between(left, low, self.parse_operation(), negated, at=first)
        if self.key in {"LIKE", "ILIKE", "RLIKE", "REGEXP"}:
            return self._parse_like(left, negated, first)
        if not negated and self.take("IS"):
            return self._parse_is(left, first)
        if negated:
            self.fail()
        return left

    def _parse_in(self, left: Expression, negated: bool, first: int) -> Expression:
        if self.opens_query():
            operands = left.items if isinstance(left, nodes.Row) else (left,)
            return nodes.InQuery(operands, self.parse_bracketed_query(), negated, at=first)
        return nodes.In(left, self.parse_list("("), negated, at=first)

    def _parse_like(self, left: Expression, negated: bool, first: int) -> Expression:
        operator = {"REGEXP": "rlike"}.get(self.key, self.key.lower())
        self.at += 1
        kind = cast("nodes.LikeOperator", operator)
        if self.key in {"ANY", "SOME", "ALL"} and self.source.key(self.at + 1) == "(":
            quantifier: nodes.Quantifier = "all" if self.key == "ALL" else "any"
            self.at += 1
            return nodes.Like(left, kind, self.parse_list("("), quantifier, None, negated, at=first)
        pattern = self.parse_operation()
        escape = self.parse_primary() if self.take("ESCAPE") else None
        return nodes.Like(left, kind, (pattern,), None, escape, negated, at=first)

    def _parse_is(self, left: Expression, first: int) -> Expression:
        negated = self.take("NOT")
        if self.take("DISTINCT", "FROM"):
            same = nodes.Binary("<=>", left, self.parse_operation(), at=first)
            return same if negated else nodes.Not(same, at=first)
        if self.key not in {"NULL", "TRUE", "FALSE", "UNKNOWN"}:
            self.fail()
        value = cast("nodes.Truth", self.key.lower())
        self.at += 1
        return nodes.Is(left, value, negated, at=first)

    def parse_operation(self, floor: int = 0) -> Expression:
        """Parse operators that bind at least as tightly as `_LEVELS[floor]`."""
        left = self.parse_signed()
        while True:
            sign = self._find_operator()
            level, word = _LEVEL.get(sign, (-1, ""))
            if level < floor:
                return left
            first = self.at
            self.at += len(sign) if sign in {">>", ">>>"} else 1
            right = self.parse_operation(level + 1)
            left = nodes.Binary(cast("nodes.BinaryOperator", word), left, right, at=first)

    def _find_operator(self) -> str:
        """Return the operator at the current token. The lexer splits `>>` and `>>>` into single signs."""
        key, at = self.key, self.at
        while key in {">", ">>"} and self.source.key(at + 1) == ">" and self.source.tokens[at + 1].glued:
            key, at = key + ">", at + 1
        return key

    def parse_signed(self) -> Expression:
        """Parse an operand with its sign and suffixes."""
        first = self.at
        if self.key in {"-", "+", "~"}:
            sign = cast("nodes.UnaryOperator", self.key)
            self.at += 1
            if sign == "-" and self.token.kind is Kind.NUMBER:
                return self._parse_suffixes(self.parse_number(first))
            return nodes.Unary(sign, self.parse_signed(), at=first)
        return self._parse_suffixes(self.parse_primary())

    def _parse_suffixes(self, base: Expression) -> Expression:
        """Parse what follows an operand directly: fields, elements, casts, collations, paths into JSON."""
        while self.key in _SUFFIXES:
            first = self.at
            if self.key == "." and not isinstance(base, nodes.Star):
                self.at += 1
                base = (
                    nodes.Star((), base=base, at=first)
                    if self.take("*")
                    else nodes.Field(base, self.take_name(), at=first)
                )
            elif self.take("["):
                index = self.parse_expression()
                self.expect("]")
                base = nodes.Element(base, index, at=first)
            elif self.take("::"):
                text = self.parse_type()
                base = nodes.Cast(base, text, at=first)
            elif self.take(":"):
                base = nodes.JsonPath(base, self._parse_path(), at=first)
            elif self.take("COLLATE"):
                base = nodes.Collate(base, self.take_name(), at=first)
            else:
                break
        return base

    def _parse_path(self) -> Sql:
        first = self.at
        while self.token.is_name or self.key == "[":
            self.at = self.source.closing[self.at] + 1 if self.key == "[" else self.at + 1
            if self.at >= len(self.source.tokens) or (self.key != "[" and not self.take(".")):
                break
        return copy_tokens(self.source, first, self.at)

    def parse_type(self) -> Sql:
        """Parse the name of a type, and return it as it was sent."""
        first = self.at
        if not self.token.is_name:
            self.fail()
        self.at += 1
        if self.source.key(first) == "INTERVAL":
            if self.key in UNITS:
                self.at += 3 if self.source.key(self.at + 1) == "TO" else 1
        elif self.key == "(":
            self.at = self.source.closing[self.at] + 1
        elif self.key == "<" and self.at in self.source.types:
            depth = 0
            while True:
                depth += (self.key == "<") - (self.key == ">" and self.at in self.source.types)
                self.at += 1
                if not depth:
                    break
        elif self.sees("<>"):
            self.at += 1
        return copy_tokens(self.source, first, self.at)
