"""The operands of an expression: literals, columns, calls with what follows them, CASE, brackets."""

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
    """Reads from the token `at` on; each method returns what it read and moves `at` behind it."""

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
        """Moves behind the words `keys` where they stand next."""
        for at, key in enumerate(keys, self.at):
            if self.source.key(at) != key:
                return False
        self.at += len(keys)
        return True

    def need(self, *keys: str) -> None:
        if not self.take(*keys):
            raise Unread

    @abstractmethod
    def anything(self) -> Expr:
        """A whole expression. Errors: Unread."""

    @abstractmethod
    def operation(self) -> Expr:
        """An expression without NOT, AND, OR and predicates. Errors: Unread."""

    def type(self) -> str:
        """The words of a type, in upper case."""
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

    def primary(self) -> Expr:
        """One operand, without what is glued to it."""
        first, token, key = self.at, self.token, self.key
        following = self.source.tokens[first + 1 : first + 2]
        if token.kind is Kind.STRING:
            return self.string(first)
        if key == "(":
            return self.brackets(first)
        if key in {"CASE", "INTERVAL"} and self.source.key(first + 1) != ".":
            return self.case(first) if key == "CASE" else self.interval(first)
        self.at += 1
        if following and following[0].kind is Kind.STRING and key in _TYPED:
            return Expr("typed", first, self.string(first).end, key.lower())
        if token.kind is Kind.NUMBER or key == "*" or key in _CONSTANTS:
            kind = "number" if token.kind is Kind.NUMBER else "star" if key == "*" else "constant"
            return Expr(kind, first, self.at, key.lower())
        if token.is_name and (key not in _NO_OPERAND or first in self.calls):
            return self.named(first)
        raise Unread

    def string(self, first: int) -> Expr:
        while self.at < len(self.source.tokens) and self.token.kind is Kind.STRING:
            self.at += 1
        return Expr("string", first, self.at)

    def brackets(self, first: int) -> Expr:
        """A sub-query, an expression in brackets, several of them, or the names before an arrow."""
        end = self.source.closing[first] + 1
        if self.source.key(first + 1) in QUERY_STARTS:
            self.at = end
            return Expr("query", first, end)
        parts = self.bracketed()
        if self.take("->"):
            return self.arrow(first, parts)
        return Expr("brackets" if len(parts) == 1 else "tuple", first, end, "", parts)

    def bracketed(self) -> tuple[Expr, ...]:
        """What stands in the brackets that open here, between commas; a sub-query is one of them."""
        self.need("(")
        end = self.source.closing[self.at - 1]
        if self.key in QUERY_STARTS:
            inner = Expr("query", self.at - 1, end + 1)
            self.at = end + 1
            return (inner,)
        parts: list[Expr] = []
        while self.at < end:
            parts.append(self.anything())
            if self.at < end:
                self.need(",")
        self.need(")")
        return tuple(parts)

    def arrow(self, first: int, names: tuple[Expr, ...]) -> Expr:
        if any(name.kind != "name" or name.end - name.first != 1 for name in names):
            raise Unread
        body = self.anything()
        return Expr("lambda", first, body.end, "", (*names, body))

    def case(self, first: int) -> Expr:
        """Parts: the operand where there is one, then what follows each word; `word` names these words."""
        self.at += 1
        words, parts = list[str](), list[Expr]()
        if self.key != "WHEN":
            words.append("case")
            parts.append(self.anything())
        while self.key in {"WHEN", "THEN", "ELSE"}:
            words.append(self.key.lower())
            self.at += 1
            parts.append(self.anything())
        self.need("END")
        return Expr("case", first, self.at, " ".join(words), tuple(parts))

    def interval(self, first: int) -> Expr:
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

    def named(self, first: int) -> Expr:
        """A column, a call, or what begins with the name of one."""
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
            return self.tail(self.call(first, last))
        name = Expr("name", first, self.at, ".".join(token.name for token in tokens[first : self.at : 2]))
        if self.take("->"):
            return self.arrow(first, (name,))
        if self.take("=>"):
            value = self.anything()
            return Expr("named", first, value.end, name.word, (value,))
        return name

    def call(self, first: int, last: int) -> Expr:
        name = self.calls[last]
        end = self.source.closing[self.at]
        self.at += 1
        if name in {"cast", "try_cast"}:
            inner = self.anything()
            self.need("AS")
            node = Expr("cast" if name == "cast" else "try_cast", first, end + 1, self.type(), (inner,))
        elif name == "exists" and self.key in QUERY_STARTS:
            node = Expr("exists", first, end + 1, "", (Expr("query", self.at - 1, end + 1),))
            self.at = end
        else:
            rest: tuple[Expr, ...] = (Expr("distinct", self.at, self.at + 1),) if self.key == "DISTINCT" else ()
            self.at += len(rest)
            node = Expr("call", first, end + 1, name, self.arguments(end), rest)
        if self.at != end:
            raise Unread
        self.at = end + 1
        return node

    def arguments(self, end: int) -> tuple[Expr, ...]:
        """Arguments between commas, or between the words of `substring(s FROM 1 FOR 2)` and its kin."""
        parts: list[Expr] = []
        if self.key in _FIRST_WORDS:
            parts.append(Expr("word", self.at, self.at + 1, self.key.lower()))
            self.at += 1
            if self.take("FROM"):
                parts.append(self.anything())
        while self.at < end:
            # `position(a IN b)`: IN stands between arguments, and is no predicate there.
            part = self.operation() if self.calls.get(self.at - 2) == "position" else self.anything()
            if self.take("AS"):
                self.at += 1
                part = Expr("alias", part.first, self.at, self.source.tokens[self.at - 1].name, (part,))
            parts.append(part)
            if self.at < end and self.key in _BETWEEN_ARGUMENTS:
                self.at += 1
            elif self.at < end:
                raise Unread
        return tuple(parts)

    def tail(self, call: Expr) -> Expr:
        """WITHIN GROUP, FILTER, IGNORE NULLS and OVER after a call."""
        rest = list(call.rest)
        while True:
            first = self.at
            if self.take("WITHIN", "GROUP", "("):
                parts = self.sorting()
                self.need(")")
                rest.append(Expr("within", first, self.at, "", parts))
            elif self.key == "FILTER" and self.take("FILTER", "(", "WHERE"):
                inner = self.anything()
                self.need(")")
                rest.append(Expr("filter", first, self.at, "", (inner,)))
            elif self.key in {"IGNORE", "RESPECT"} and self.source.key(self.at + 1) == "NULLS":
                rest.append(Expr("nulls", first, first + 2, self.key.lower()))
                self.at += 2
            elif self.take("OVER"):
                rest.append(self.window(first))
            else:
                break
        if len(rest) == len(call.rest):
            return call
        return Expr("call", call.first, rest[-1].end, call.word, call.parts, tuple(rest))

    def window(self, first: int) -> Expr:
        """`parts` are what it is cut by, `rest` is its order, and `word` the frame, or the name of a window."""
        if self.key != "(":
            self.at += 1
            return Expr("over", first, self.at, "window " + self.source.tokens[self.at - 1].name)
        end = self.source.closing[self.at]
        self.at += 1
        parts: list[Expr] = []
        if any(self.take(word, "BY") for word in ("PARTITION", "DISTRIBUTE", "CLUSTER")):
            parts.append(self.anything())
            while self.take(","):
                parts.append(self.anything())
        order = self.sorting() if self.key in {"ORDER", "SORT"} else ()
        frame = " ".join(token.text for token in self.source.tokens[self.at : end])
        if frame and self.key not in {"ROWS", "RANGE"}:
            raise Unread
        self.at = end + 1
        return Expr("over", first, self.at, frame, tuple(parts), order)

    def sorting(self) -> tuple[Expr, ...]:
        """ORDER BY: each part is a `sort` whose word says the direction in full, as Spark names it."""
        if not (self.take("ORDER", "BY") or self.take("SORT", "BY")):
            raise Unread
        parts: list[Expr] = []
        while True:
            inner = self.anything()
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
