"""Parses operands: literals, intervals, brackets, CASE, lambdas, stars and columns."""

from __future__ import annotations

import decimal
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from mcp_server.sql.compose import copy_tokens, quote_text
from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.literals import number_type, read_texts, value_of
from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.parse_tokens import NotRead, TokenReader
from mcp_server.sql.typed.relations import Query
from mcp_server.sql.typed.types import (
    BINARY,
    BOOLEAN,
    DATE,
    STRING,
    TIME,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    VOID,
)
from mcp_server.sql.words import CLAUSES, QUERY_STARTS

_TYPED: Final = {
    "DATE": DATE,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMP_LTZ": TIMESTAMP,
    "TIMESTAMP_NTZ": TIMESTAMP_NTZ,
    "TIME": TIME,
    "X": BINARY,
}
_CONSTANTS: Final = {"NULL": (None, VOID), "TRUE": (True, BOOLEAN), "FALSE": (False, BOOLEAN)}
_NO_OPERAND: Final = (
    (CLAUSES - {"WINDOW"})  # the column that GROUP BY window(…) makes
    | (QUERY_STARTS - {"TABLE"})
    | frozenset(
        {
            "AND", "OR", "THEN", "ELSE", "END", "WHEN", "AS", "IN", "IS", "LIKE", "ILIKE", "RLIKE", "BETWEEN", "ON",
            "JOIN", "USING", "UNION", "EXCEPT", "INTERSECT", "OVER", "ASC", "DESC", "DISTINCT", "BY", "ESCAPE",
        }
    )
)  # fmt: skip
UNITS: Final = frozenset(
    {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND", "NANOSECOND"}
)
_LAMBDA_NEXT: Final = "->"


class OperandParser(TokenReader, ABC):
    """Parses operands. Each method returns what it read and moves `at` behind it."""

    @abstractmethod
    def parse_bracketed_query(self) -> Query:
        """Parse a query in brackets, the opening one at `at`."""

    @abstractmethod
    def parse_expression(self) -> Expression:
        """Parse a whole expression."""

    @abstractmethod
    def parse_signed(self) -> Expression:
        """Parse an operand with its sign and suffixes."""

    @abstractmethod
    def parse_call(self, first: int, names: list[str]) -> Expression:
        """Parse a call behind its name."""

    def parse_primary(self) -> Expression:
        """Parse one operand, without its suffixes."""
        first, token = self.at, self.token
        parse = {
            Kind.STRING: self._parse_text,
            Kind.NUMBER: self.parse_number,
            Kind.QUOTED: self._parse_named,
            Kind.SYMBOL: self._parse_symbol,
            Kind.WORD: self._parse_word,
        }[token.kind]
        return parse(first)

    def _parse_symbol(self, first: int) -> Expression:
        if self.take("*"):
            return self._parse_star((), first)
        if self.key != "(":
            self.fail()
        return self._parse_brackets(first)

    def _parse_word(self, first: int) -> Expression:
        """Parse what begins with a word: CASE, a literal, a column or a call."""
        key, behind = self.key, self._keys[first + 1]
        following = self.source.tokens[first + 1 : first + 2]
        is_text = bool(following) and following[0].kind is Kind.STRING
        parse: Callable[[int], Expression] = self._parse_named
        if key == "CASE" and behind not in {".", ",", ")"}:
            parse = self._parse_case
        elif key == "INTERVAL" and following and self._begins_interval(following[0]):
            parse = self._parse_interval
        elif key in _TYPED and is_text:
            parse = self._parse_typed
        elif key in _CONSTANTS and behind not in {"(", "."}:
            parse = self._parse_constant
        elif key in _NO_OPERAND and behind not in {"(", "."} and (key != "WINDOW" or self._keys[first + 2] == "AS"):
            self.fail()  # a column may be called window, as that of window(…) is
        return parse(first)

    def _parse_typed(self, first: int) -> nodes.Constant:
        """Parse DATE '2026-01-31' and the like."""
        kind = _TYPED[self.key]
        self.at += 1
        inner = self._parse_text(self.at)
        return nodes.Constant(copy_tokens(self.source, first, self.at), inner.value, type=kind, at=first)

    def _parse_constant(self, first: int) -> nodes.Constant:
        """Parse NULL, TRUE and FALSE."""
        value, kind = _CONSTANTS[self.key]
        self.at += 1
        return nodes.Constant(copy_tokens(self.source, first, self.at), value, type=kind, at=first)

    def _parse_text(self, first: int) -> nodes.Constant:
        while self.at < len(self.source.tokens) and self.token.kind is Kind.STRING:
            self.at += 1
        tokens = self.source.tokens[first : self.at]
        if len(tokens) == 1 and tokens[0].text[0] in "xX":
            return nodes.Constant(copy_tokens(self.source, first, self.at), tokens[0].text[2:-1], type=BINARY, at=first)
        self.folded |= len(tokens) > 1
        value = value_of(tokens[0].text) if len(tokens) == 1 else read_texts(tokens)
        text = copy_tokens(self.source, first, self.at) if len(tokens) == 1 else quote_text(value)
        return nodes.Constant(text, value, type=STRING, at=first)

    def parse_number(self, first: int) -> nodes.Constant:
        """Parse a number, with the sign that is part of it."""
        text, sign = self.token.text, "-" if self.at > first else ""
        self.at += 1
        digits = text.rstrip("lLsSyYdDfFbB") if text[-1] in "lLsSyYdDfF" else text
        kind = number_type(sign + text)
        try:
            value: object = int(sign + digits) if digits.isdigit() else decimal.Decimal(sign + digits)
        except decimal.InvalidOperation:
            self.fail()
        return nodes.Constant(copy_tokens(self.source, first, self.at), value, type=kind, at=first)

    def _parse_brackets(self, first: int) -> Expression:
        """Parse a sub-query, an expression in brackets, several of them, or the parameters before an arrow."""
        if self.opens_query():
            return nodes.ScalarQuery(self.parse_bracketed_query(), at=first)
        end = self.source.closing[first]
        if self.source.key(end + 1) == _LAMBDA_NEXT:
            return self._parse_lambda(first)
        items = self.parse_list("(")
        return items[0] if len(items) == 1 else nodes.Row(items, at=first)

    def parse_list(self, opening: str) -> tuple[Expression, ...]:
        """Parse expressions in brackets, between commas."""
        self.expect(opening)
        end = self.source.closing[self.at - 1]
        items: list[Expression] = []
        while self.at < end:
            items.append(self.parse_aliased())
            if self.at < end:
                self.expect(",")
        self.at = end + 1
        return tuple(items)

    def parse_aliased(self) -> Expression:
        """Parse an expression that may have a name, as in struct(a AS b)."""
        first = self.at
        operand = self.parse_expression()
        if self.take("AS"):
            return nodes.Alias(operand, self.take_name(), at=first)
        return operand

    def _parse_lambda(self, first: int) -> Expression:
        names = []
        if self.take("("):
            while not self.take(")"):
                names.append(nodes.Parameter(self.take_name(), at=self.at - 1))
                self.take(",")
        else:
            names.append(nodes.Parameter(self.take_name(), at=first))
        self.expect(_LAMBDA_NEXT)
        return nodes.Lambda(tuple(names), self.parse_expression(), at=first)

    def _parse_case(self, first: int) -> Expression:
        self.at += 1
        operand = None if self.key == "WHEN" else self.parse_expression()
        conditions, results = list[Expression](), list[Expression]()
        while self.take("WHEN"):
            conditions.append(self.parse_expression())
            self.expect("THEN")
            results.append(self.parse_expression())
        otherwise = self.parse_expression() if self.take("ELSE") else None
        self.expect("END")
        return nodes.Case(operand, tuple(conditions), tuple(results), otherwise, at=first)

    def _begins_interval(self, token: Token) -> bool:
        return (
            token.kind in {Kind.NUMBER, Kind.STRING}
            or token.key in {"-", "+", "("}
            or (token.is_name and self.source.key(self.at + 2).removesuffix("S") in UNITS)
        )

    def _parse_interval(self, first: int) -> Expression:
        """`INTERVAL '1' DAY`, `INTERVAL 2 HOURS 30 MINUTES`, `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '1 day'`."""
        self.at += 1
        values, units = list[Expression](), list[str]()
        while self.at < len(self.source.tokens):
            start = self.at
            try:
                value = self.parse_signed()
            except NotRead:
                self.at = start
                break
            unit = self.key.removesuffix("S")
            if unit in UNITS:
                self.at += 1
                name = unit.lower()
                if self.take("TO"):
                    name = f"{name} to {self.key.lower()}"
                    self.at += 1
                values.append(value)
                units.append(name)
            elif not values and isinstance(value, nodes.Constant) and value.type == STRING:
                values.append(value)
                units.append("")
                break
            else:
                self.at = start
                break
        if not values:
            self.fail()
        return nodes.IntervalLiteral(tuple(values), tuple(units), at=first)

    def _parse_star(self, parts: tuple[str, ...], first: int) -> Expression:
        excluded: list[tuple[str, ...]] = []
        if self.key in {"EXCEPT", "EXCLUDE"} and self.source.key(self.at + 1) == "(" and not self._excepts_query():
            self.at += 2
            while not self.take(")"):
                excluded.append(self._parse_dotted())
                self.take(",")
        return nodes.Star(parts, tuple(excluded), at=first)

    def _excepts_query(self) -> bool:
        return self.source.key(self.at + 2) in QUERY_STARTS | {"("}

    def _parse_dotted(self) -> tuple[str, ...]:
        names = [self.take_name()]
        while self.take("."):
            names.append(self.take_name())
        return tuple(names)

    def _parse_named(self, first: int) -> Expression:
        """Parse a column, a call, or what begins with the name of one."""
        if self.source.key(first + 1) == _LAMBDA_NEXT:
            return self._parse_lambda(first)
        if self.source.key(first + 1) == "=>":
            name = self.take_name()
            self.at += 1
            return nodes.NamedArgument(name, self.parse_expression(), at=first)
        names = [self.take_name()]
        while self.key == "." and self.source.tokens[self.at + 1 : self.at + 2]:
            self.at += 1
            if self.take("*"):
                return self._parse_star(tuple(names), first)
            names.append(self.take_name())
        if self.key == "(":
            return self.parse_call(first, names)
        return nodes.Column(names[-1], tuple(names[:-1]), at=first)
