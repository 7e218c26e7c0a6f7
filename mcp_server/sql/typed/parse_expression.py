"""Parses expressions from the tokens of a statement, by Spark 4.2's SqlBaseParser.g4. Names and types come later.

sqlglot's tree does not serve here: it has other precedences (`a | b & c`, `a || b + c`), joins literals, takes intervals
apart, and does not tell the token of each leaf.
"""

from __future__ import annotations

import decimal
from abc import ABC, abstractmethod
from typing import Final, NoReturn, cast

from mcp_server.sql.compose import Sql, copy_tokens, quote_text
from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.source import Source
from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.literals import number_type, read_texts, value_of
from mcp_server.sql.typed.nodes import Expression, Frame, SortKey, Window
from mcp_server.sql.typed.refusal import SparkRefuses
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
    CLAUSES
    | (QUERY_STARTS - {"TABLE"})
    | frozenset(
        {
            "AND", "OR", "THEN", "ELSE", "END", "WHEN", "AS", "IN", "IS", "LIKE", "ILIKE", "RLIKE", "BETWEEN", "ON",
            "JOIN", "USING", "UNION", "EXCEPT", "INTERSECT", "OVER", "ASC", "DESC", "DISTINCT", "BY", "ESCAPE",
        }
    )
)  # fmt: skip
_UNITS: Final = frozenset(
    {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND", "NANOSECOND"}
)
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
_BEHIND_TRIM: Final = {"BOTH": "both", "LEADING": "leading", "TRAILING": "trailing"}
_BEHIND_CALL: Final = frozenset({"WITHIN", "FILTER", "IGNORE", "RESPECT", "OVER"})
_LAMBDA_NEXT: Final = "->"


_UNIT_CALLS: Final = frozenset(
    {"date_add", "date_diff", "dateadd", "datediff", "timediff", "timestampadd", "timestampdiff"}
)
"""Functions whose first of three arguments is the word for a unit, as in timestampadd(MONTH, 1, t)."""


class NotRead(Exception):  # noqa: N818  (a signal within the server, never seen outside)
    """No known construct stands at this token."""

    def __init__(self, at: int) -> None:
        super().__init__(f"token {at}")
        self.at = at


class ExpressionParser(ABC):
    """Parses from the token `at` on. Each method returns what it read and moves `at` behind it. Errors: NotRead."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.at = 0
        self._ids = 0
        self._keys = (*source.keys, *[""] * 4)

    @property
    def key(self) -> str:
        return self._keys[self.at]

    @property
    def token(self) -> Token:
        if self.at >= len(self.source.tokens):
            self.fail()
        return self.source.tokens[self.at]

    def fail(self) -> NoReturn:
        raise NotRead(self.at)

    def new_id(self) -> int:
        """Return an id for a relation or WITH name."""
        self._ids += 1
        return self._ids

    def sees(self, first: str, *more: str) -> bool:
        """Whether these words follow."""
        if self._keys[self.at] != first:
            return False
        return not more or self._keys[self.at + 1 : self.at + 1 + len(more)] == more

    def take(self, first: str, *more: str) -> bool:
        """Consume these words if they follow, and return whether they do."""
        if self._keys[self.at] != first or (more and not self.sees(first, *more)):
            return False
        self.at += 1 + len(more)
        return True

    def expect(self, first: str, *more: str) -> None:
        """Consume these words."""
        if not self.take(first, *more):
            self.fail()

    def take_name(self) -> str:
        """Consume a name, and return it in its own case without back-quotes."""
        token = self.token
        if not token.is_name:
            self.fail()
        self.at += 1
        return token.bare

    @abstractmethod
    def parse_bracketed_query(self) -> Query:
        """Parse a query in brackets, the opening one at `at`."""

    def opens_query(self) -> bool:
        """Whether a bracket opens here that holds a query, and no expression."""
        at = self.at
        while self.source.key(at) == "(":
            at += 1
        if at == self.at or self.source.key(at) not in QUERY_STARTS:
            return False
        # `((SELECT 1) + 2)` is an expression: what follows the innermost query decides.
        for opened in range(at - 1, self.at, -1):
            if self.source.key(self.source.closing[opened] + 1) not in CLAUSES | {")"}:
                return False
        return True

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
        return nodes.In(left, self._parse_list("("), negated, at=first)

    def _parse_like(self, left: Expression, negated: bool, first: int) -> Expression:
        operator = {"REGEXP": "rlike"}.get(self.key, self.key.lower())
        self.at += 1
        kind = cast("nodes.LikeOperator", operator)
        if self.key in {"ANY", "SOME", "ALL"} and self.source.key(self.at + 1) == "(":
            quantifier: nodes.Quantifier = "all" if self.key == "ALL" else "any"
            self.at += 1
            return nodes.Like(left, kind, self._parse_list("("), quantifier, None, negated, at=first)
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
        left = self._parse_signed()
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

    def _parse_signed(self) -> Expression:
        first = self.at
        if self.key in {"-", "+", "~"}:
            sign = cast("nodes.UnaryOperator", self.key)
            self.at += 1
            if sign == "-" and self.token.kind is Kind.NUMBER:
                return self._parse_suffixes(self._parse_number(first))
            return nodes.Unary(sign, self._parse_signed(), at=first)
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
            if self.key in _UNITS:
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

    def parse_primary(self) -> Expression:
        """Parse one operand, without its suffixes."""
        first, token, key = self.at, self.token, self.key
        following = self.source.tokens[first + 1 : first + 2]
        if token.kind is Kind.STRING:
            return self._parse_text(first)
        if token.kind is Kind.NUMBER:
            return self._parse_number(first)
        if key == "(":
            return self._parse_brackets(first)
        if key == "CASE" and self.source.key(first + 1) not in {".", ",", ")"}:
            return self._parse_case(first)
        if key == "INTERVAL" and following and self._begins_interval(following[0]):
            return self._parse_interval(first)
        if following and following[0].kind is Kind.STRING and key in _TYPED:
            self.at += 1
            inner = self._parse_text(self.at)
            return nodes.Constant(copy_tokens(self.source, first, self.at), inner.value, type=_TYPED[key], at=first)
        if key in _CONSTANTS and self.source.key(first + 1) not in {"(", "."}:
            self.at += 1
            value, kind = _CONSTANTS[key]
            return nodes.Constant(copy_tokens(self.source, first, self.at), value, type=kind, at=first)
        if key == "*":
            self.at += 1
            return self._parse_star((), first)
        if token.is_name and (key not in _NO_OPERAND or self.source.key(first + 1) in {"(", "."}):
            return self._parse_named(first)
        self.fail()

    def _parse_text(self, first: int) -> nodes.Constant:
        while self.at < len(self.source.tokens) and self.token.kind is Kind.STRING:
            self.at += 1
        tokens = self.source.tokens[first : self.at]
        if len(tokens) == 1 and tokens[0].text[0] in "xX":
            return nodes.Constant(copy_tokens(self.source, first, self.at), tokens[0].text[2:-1], type=BINARY, at=first)
        value = value_of(tokens[0].text) if len(tokens) == 1 else read_texts(tokens)
        text = copy_tokens(self.source, first, self.at) if len(tokens) == 1 else quote_text(value)
        return nodes.Constant(text, value, type=STRING, at=first)

    def _parse_number(self, first: int) -> nodes.Constant:
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
        items = self._parse_list("(")
        return items[0] if len(items) == 1 else nodes.Row(items, at=first)

    def _parse_list(self, opening: str) -> tuple[Expression, ...]:
        """Parse expressions in brackets, between commas."""
        self.expect(opening)
        end = self.source.closing[self.at - 1]
        items: list[Expression] = []
        while self.at < end:
            items.append(self._parse_aliased())
            if self.at < end:
                self.expect(",")
        self.at = end + 1
        return tuple(items)

    def _parse_aliased(self) -> Expression:
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
            or (token.is_name and self.source.key(self.at + 2).removesuffix("S") in _UNITS)
        )

    def _parse_interval(self, first: int) -> Expression:
        """`INTERVAL '1' DAY`, `INTERVAL 2 HOURS 30 MINUTES`, `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '1 day'`."""
        self.at += 1
        values, units = list[Expression](), list[str]()
        while self.at < len(self.source.tokens):
            start = self.at
            try:
                value = self._parse_signed()
            except NotRead:
                self.at = start
                break
            unit = self.key.removesuffix("S")
            if unit in _UNITS:
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
            return self._parse_call(first, names)
        return nodes.Column(names[-1], tuple(names[:-1]), at=first)

    def _parse_call(self, first: int, names: list[str]) -> Expression:
        name = names[-1].lower()
        end = self.source.closing[self.at]
        if name in {"cast", "try_cast"} and len(names) == 1:
            self.at += 1
            operand = self.parse_expression()
            self.expect("AS")
            text = self.parse_type()
            call: Expression = nodes.Cast(operand, text, name == "try_cast", at=first)
        elif name == "exists" and self.opens_query():
            return nodes.Exists(self.parse_bracketed_query(), at=first)
        else:
            self.at += 1
            distinct = self.take("DISTINCT")
            if not distinct:
                self.sees("ALL") and self.source.key(self.at + 1) not in {")", ","} and self.take("ALL")
            how, arguments = self._parse_arguments(name, end)
            call = nodes.Call(name, arguments, distinct, how=how, at=first)
        if self.at != end:
            self.fail()
        self.at = end + 1
        return self._parse_call_tail(call) if isinstance(call, nodes.Call) else call

    def _parse_arguments(self, name: str, end: int) -> tuple[str, tuple[Expression, ...]]:
        """Parse arguments between commas, or between words as in `substring(s FROM 1 FOR 2)`."""
        how, arguments = "", list[Expression]()
        if name == "trim" and self.key in _BEHIND_TRIM:
            how = _BEHIND_TRIM[self.key]
            self.at += 1
            if self.take("FROM"):
                return how, (self.parse_expression(),)
        if name == "extract" and self.source.key(self.at + 1) == "FROM":
            field = self.token
            word = quote_text(value_of(field.text) if field.kind is Kind.STRING else field.bare)
            arguments.append(nodes.Constant(word, field.bare.strip("'\""), type=STRING, at=self.at))
            self.at += 2
        while self.at < end:
            # `position(a IN b)`: IN stands between arguments, and is no predicate there.
            if name == "position" and not arguments:
                arguments.append(self.parse_operation())
            else:
                arguments.append(self._parse_aliased())
            if self.at < end and self.key in {",", "FROM", "FOR", "IN", "PLACING"}:
                if self.key == "FROM" and name == "trim":
                    how = how or "both"
                self.at += 1
            elif self.at < end:
                self.fail()
        if name in _UNIT_CALLS and len(arguments) == 3:
            arguments[0] = _read_unit(arguments[0])
        return how, tuple(arguments)

    def _parse_call_tail(self, call: nodes.Call) -> nodes.Call:
        """Parse WITHIN GROUP, FILTER, IGNORE NULLS and OVER behind a call."""
        while self.key in _BEHIND_CALL:
            if self.take("WITHIN", "GROUP", "("):
                call = call.replace(within=self.parse_sort_keys("ORDER"))
                self.expect(")")
            elif self.take("FILTER", "(", "WHERE"):
                call = call.replace(filter=self.parse_expression())
                self.expect(")")
            elif self.key in {"IGNORE", "RESPECT"} and self.source.key(self.at + 1) == "NULLS":
                call = call.replace(nulls=self.key.lower())
                self.at += 2
            elif self.take("OVER"):
                call = call.replace(window=self.parse_window())
            else:
                break
        return call

    def parse_window(self) -> Window:
        """Parse the name of a window, or its definition in brackets."""
        first = self.at
        if self.key != "(":
            return Window(base=self.take_name(), at=first)
        end = self.source.closing[self.at]
        self.at += 1
        partition: tuple[Expression, ...] = ()
        order: tuple[SortKey, ...] = ()
        base = None
        if self.at < end and self.token.is_name and self.at + 1 == end:
            base = self.take_name()
        if any(self.take(word, "BY") for word in ("PARTITION", "DISTRIBUTE", "CLUSTER")):
            partition = self.parse_many()
        if self.key in {"ORDER", "SORT"}:
            order = self.parse_sort_keys(self.key)
        frame = self._parse_frame() if self.key in {"ROWS", "RANGE"} else None
        if self.at != end:
            self.fail()
        self.at = end + 1
        return Window(partition, order, frame, base, at=first)

    def _parse_frame(self) -> Frame:
        first = self.at
        unit: nodes.FrameUnit = "rows" if self.key == "ROWS" else "range"
        self.at += 1
        between = self.take("BETWEEN")
        start, low = self._parse_edge()
        end: nodes.FrameEdge = "current row"
        high = None
        if between:
            self.expect("AND")
            end, high = self._parse_edge()
        return Frame(unit, start, end, low, high, at=first)

    def _parse_edge(self) -> tuple[nodes.FrameEdge, Expression | None]:
        if self.take("CURRENT", "ROW"):
            return "current row", None
        if self.take("UNBOUNDED"):
            preceding = self.take("PRECEDING")
            if not preceding:
                self.expect("FOLLOWING")
            return "unbounded preceding" if preceding else "unbounded following", None
        distance = self.parse_expression()
        preceding = self.take("PRECEDING")
        if not preceding:
            self.expect("FOLLOWING")
        return "preceding" if preceding else "following", distance

    def parse_many(self) -> tuple[Expression, ...]:
        """Parse expressions between commas."""
        found = [self.parse_expression()]
        while self.take(","):
            found.append(self.parse_expression())
        return tuple(found)

    def parse_sort_keys(self, word: str) -> tuple[SortKey, ...]:
        """Parse ORDER BY or SORT BY."""
        self.expect(word, "BY")
        keys = [self.parse_sort_key()]
        while self.take(","):
            keys.append(self.parse_sort_key())
        return tuple(keys)

    def parse_sort_key(self) -> SortKey:
        """Parse one key of an order."""
        first = self.at
        operand = self.parse_expression()
        descending = self.take("DESC")
        if not descending:
            self.take("ASC")
        nulls_first = None
        if self.take("NULLS"):
            nulls_first = self.key == "FIRST"
            self.at += 1
        return SortKey(operand, descending, nulls_first, at=first)


def _read_unit(node: Expression) -> Expression:
    """Return the word for a unit as a text. Errors: SparkRefuses, where it is a text already."""
    if isinstance(node, nodes.Constant) and node.type == STRING:
        text = f"The unit is a word, not a text: write {node.value} without quotes."
        raise SparkRefuses("INVALID_PARAMETER_VALUE.DATETIME_UNIT", text, node.at)
    if isinstance(node, nodes.Column) and not node.parts:
        return nodes.Constant(quote_text(node.name), node.name, type=STRING, at=node.at)
    return node
