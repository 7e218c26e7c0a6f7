"""Parses the operands of expressions: literals, columns, calls with their clauses, CASE, brackets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from mcp_server.sql.expr import Expr, Unread
from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.source import Source
from mcp_server.sql.words import CLAUSES, QUERY_STARTS

_TYPED: Final = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIME", "X"})
_CONSTANTS: Final = frozenset({"NULL", "TRUE", "FALSE"})
_NO_OPERAND: Final = (
    CLAUSES
    | QUERY_STARTS
    | frozenset(
        {
            "AND", "OR", "THEN", "ELSE", "END", "WHEN", "AS", "IN", "IS", "LIKE", "ILIKE", "RLIKE", "BETWEEN", "ON",
            "JOIN", "USING", "UNION", "EXCEPT", "INTERSECT", "OVER", "ASC", "DESC", "DISTINCT", "BY", "ESCAPE",
        }
    )
)  # fmt: skip
_BETWEEN_ARGUMENTS: Final = frozenset({",", "FROM", "FOR", "IN", "PLACING"})
_FIRST_WORDS: Final = frozenset({"BOTH", "LEADING", "TRAILING"})


class Operands(ABC):
    """Parses from the token `at` on. Each method returns what it read and moves `at` after it."""

    def __init__(self, source: Source, calls: dict[int, str], first: int) -> None:
        self.source = source
        self.calls = calls
        self.at = first

    @property
    def key(self) -> str:
        return self.source.key(self.at)

    @property
    def token(self) -> Token:
        if self.at >= len(self.source.tokens):
            raise Unread
        return self.source.tokens[self.at]

    def take(self, *keys: str) -> bool:
        """Consume the words `keys` if they follow, and return whether they do."""
        for at, key in enumerate(keys, self.at):
            if self.source.key(at) != key:
                return False
        self.at += len(keys)
        return True

    def expect(self, *keys: str) -> None:
        """Consume the words `keys`. Errors: Unread."""
        if not self.take(*keys):
            raise Unread

    @abstractmethod
    def read_expression(self) -> Expr:
        """Parse a whole expression. Errors: Unread."""

    @abstractmethod
    def read_operation(self) -> Expr:
        """Parse an expression without NOT, AND, OR and predicates. Errors: Unread."""

    def read_type(self) -> str:
        """Return the words of a type, in upper case."""
        first = self.at
        if not self.token.is_name:
            raise Unread
        self.at += 1
        if self.key == "(":
            self.at = self.source.closing[self.at] + 1
        elif self.key == "<" and self.at in self.source.types:
            depth = 0
            while True:
                depth += (self.key == "<") - (self.key == ">")
                self.at += 1
                if not depth:
                    break
        return "".join(token.text.upper() for token in self.source.tokens[first : self.at])

    def read_primary(self) -> Expr:
        """Parse one operand, without its suffixes."""
        first, token, key = self.at, self.token, self.key
        following = self.source.tokens[first + 1 : first + 2]
        if token.kind is Kind.STRING:
            return self.read_string(first)
        if key == "(":
            return self.read_brackets(first)
        if key in {"CASE", "INTERVAL"} and self.source.key(first + 1) != ".":
            return self.read_case(first) if key == "CASE" else self.read_interval(first)
        self.at += 1
        if following and following[0].kind is Kind.STRING and key in _TYPED:
            return Expr("typed", first, self.read_string(first).end, key.lower())
        if token.kind is Kind.NUMBER or key == "*" or key in _CONSTANTS:
            kind = "number" if token.kind is Kind.NUMBER else "star" if key == "*" else "constant"
            return Expr(kind, first, self.at, key.lower())
        if token.is_name and (key not in _NO_OPERAND or first in self.calls):
            return self.read_named(first)
        raise Unread

    def read_string(self, first: int) -> Expr:
        while self.at < len(self.source.tokens) and self.token.kind is Kind.STRING:
            self.at += 1
        return Expr("string", first, self.at)

    def read_brackets(self, first: int) -> Expr:
        """Parse a sub-query, an expression in brackets, several of them, or the names before an arrow."""
        end = self.source.closing[first] + 1
        if self.source.key(first + 1) in QUERY_STARTS:
            self.at = end
            return Expr("query", first, end)
        parts = self.read_bracketed()
        if self.take("->"):
            return self.read_lambda(first, parts)
        return Expr("brackets" if len(parts) == 1 else "tuple", first, end, "", parts)

    def read_bracketed(self) -> tuple[Expr, ...]:
        """Parse the list in the brackets that open here. A sub-query is an item of it."""
        self.expect("(")
        end = self.source.closing[self.at - 1]
        if self.key in QUERY_STARTS:
            inner = Expr("query", self.at - 1, end + 1)
            self.at = end + 1
            return (inner,)
        parts: list[Expr] = []
        while self.at < end:
            parts.append(self.read_expression())
            if self.at < end:
                self.expect(",")
        self.expect(")")
        return tuple(parts)

    def read_lambda(self, first: int, names: tuple[Expr, ...]) -> Expr:
        if any(name.kind != "name" or name.end - name.first != 1 for name in names):
            raise Unread
        body = self.read_expression()
        return Expr("lambda", first, body.end, "", (*names, body))

    def read_case(self, first: int) -> Expr:
        """Parse CASE. The parts are the operand, if any, then what follows each word; `word` lists the words."""
        self.at += 1
        words, parts = list[str](), list[Expr]()
        if self.key != "WHEN":
            words.append("case")
            parts.append(self.read_expression())
        while self.key in {"WHEN", "THEN", "ELSE"}:
            words.append(self.key.lower())
            self.at += 1
            parts.append(self.read_expression())
        self.expect("END")
        return Expr("case", first, self.at, " ".join(words), tuple(parts))

    def read_interval(self, first: int) -> Expr:
        """`INTERVAL '1' DAY`, `INTERVAL 2 HOURS 30 MINUTES`, `INTERVAL '1-2' YEAR TO MONTH`; `word` has the units."""
        self.at += 1
        units: list[str] = []
        while self.token.kind in {Kind.NUMBER, Kind.STRING} or (self.key in {"-", "+", "("} and not units):
            text = self.token.kind is Kind.STRING
            if self.key == "(":
                self.at = self.source.closing[self.at] + 1
            else:
                self.at += 2 if self.key in {"-", "+"} else 1
            if self.at < len(self.source.tokens) and self.token.kind is Kind.WORD and self.key not in _NO_OPERAND:
                units.append(self.key)
                self.at += 1
            elif not text:
                raise Unread
            if self.take("TO"):
                units.append(self.key)
                self.at += 1
            if self.at >= len(self.source.tokens):
                break
        if self.at == first + 1:
            raise Unread
        return Expr("interval", first, self.at, " ".join(units).lower())

    def read_named(self, first: int) -> Expr:
        """Parse a column, a call, or what begins with the name of one."""
        last, tokens = first, self.source.tokens
        while self.source.key(last + 1) == "." and last + 2 < len(tokens):
            last += 2
            if self.source.key(last) == "*":
                self.at = last + 1
                return Expr("star", first, self.at)
            if not tokens[last].is_name:
                raise Unread
        self.at = last + 1
        if last in self.calls and self.key == "(":
            return self.read_call_tail(self.read_call(first, last))
        name = Expr("name", first, self.at, ".".join(token.name for token in tokens[first : self.at : 2]))
        if self.take("->"):
            return self.read_lambda(first, (name,))
        if self.take("=>"):
            value = self.read_expression()
            return Expr("named", first, value.end, name.word, (value,))
        return name

    def read_call(self, first: int, last: int) -> Expr:
        name = self.calls[last]
        end = self.source.closing[self.at]
        self.at += 1
        if name in {"cast", "try_cast"}:
            inner = self.read_expression()
            self.expect("AS")
            node = Expr("cast" if name == "cast" else "try_cast", first, end + 1, self.read_type(), (inner,))
        elif name == "exists" and self.key in QUERY_STARTS:
            node = Expr("exists", first, end + 1, "", (Expr("query", self.at - 1, end + 1),))
            self.at = end
        else:
            rest: tuple[Expr, ...] = (Expr("distinct", self.at, self.at + 1),) if self.key == "DISTINCT" else ()
            self.at += len(rest)
            node = Expr("call", first, end + 1, name, self.read_arguments(end), rest)
        if self.at != end:
            raise Unread
        self.at = end + 1
        return node

    def read_arguments(self, end: int) -> tuple[Expr, ...]:
        """Parse arguments between commas, or between words as in `substring(s FROM 1 FOR 2)`."""
        parts: list[Expr] = []
        if self.key in _FIRST_WORDS:
            parts.append(Expr("word", self.at, self.at + 1, self.key.lower()))
            self.at += 1
            if self.take("FROM"):
                parts.append(self.read_expression())
        while self.at < end:
            # `position(a IN b)`: IN stands between arguments, and is no predicate there.
            part = self.read_operation() if self.calls.get(self.at - 2) == "position" else self.read_expression()
            if self.take("AS"):
                self.at += 1
                part = Expr("alias", part.first, self.at, self.source.tokens[self.at - 1].name, (part,))
            parts.append(part)
            if self.at < end and self.key in _BETWEEN_ARGUMENTS:
                self.at += 1
            elif self.at < end:
                raise Unread
        return tuple(parts)

    def read_call_tail(self, call: Expr) -> Expr:
        """Parse WITHIN GROUP, FILTER, IGNORE NULLS and OVER after a call."""
        rest = list(call.rest)
        while True:
            first = self.at
            if self.take("WITHIN", "GROUP", "("):
                parts = self.read_sort_keys()
                self.expect(")")
                rest.append(Expr("within", first, self.at, "", parts))
            elif self.key == "FILTER" and self.take("FILTER", "(", "WHERE"):
                inner = self.read_expression()
                self.expect(")")
                rest.append(Expr("filter", first, self.at, "", (inner,)))
            elif self.key in {"IGNORE", "RESPECT"} and self.source.key(self.at + 1) == "NULLS":
                rest.append(Expr("nulls", first, first + 2, self.key.lower()))
                self.at += 2
            elif self.take("OVER"):
                rest.append(self.read_window(first))
            else:
                break
        if len(rest) == len(call.rest):
            return call
        return Expr("call", call.first, rest[-1].end, call.word, call.parts, tuple(rest))

    def read_window(self, first: int) -> Expr:
        """Parse a window: `parts` partition it, `rest` orders it, `word` is the frame or the name of a window."""
        if self.key != "(":
            self.at += 1
            return Expr("over", first, self.at, "window " + self.source.tokens[self.at - 1].name)
        end = self.source.closing[self.at]
        self.at += 1
        parts: list[Expr] = []
        if any(self.take(word, "BY") for word in ("PARTITION", "DISTRIBUTE", "CLUSTER")):
            parts.append(self.read_expression())
            while self.take(","):
                parts.append(self.read_expression())
        order = self.read_sort_keys() if self.key in {"ORDER", "SORT"} else ()
        frame = " ".join(token.text for token in self.source.tokens[self.at : end])
        if frame and self.key not in {"ROWS", "RANGE"}:
            raise Unread
        self.at = end + 1
        return Expr("over", first, self.at, frame, tuple(parts), order)

    def read_sort_keys(self) -> tuple[Expr, ...]:
        """Parse ORDER BY. Each key is a `sort` whose word is the full direction, as Spark names it."""
        if not (self.take("ORDER", "BY") or self.take("SORT", "BY")):
            raise Unread
        parts: list[Expr] = []
        while True:
            inner = self.read_expression()
            down = self.take("DESC")
            if not down:
                self.take("ASC")
            nulls = "LAST" if down else "FIRST"
            if self.take("NULLS"):
                nulls = self.key
                self.at += 1
            word = f"{'DESC' if down else 'ASC'} NULLS {nulls}"
            parts.append(Expr("sort", inner.first, self.at, word, (inner,)))
            if not self.take(","):
                return tuple(parts)
