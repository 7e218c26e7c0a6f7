"""Reads templates such as `CAST({0} AS BIGINT)` into trees with holes, and fills the holes with nodes.

A template is a text of this program in words that the embedded engine has. It is parsed once; nothing is spliced as
text. Holes are numbers (`{0}`, the first argument) or names (`{call}`); parameters of lambdas whose names end with `_`
become names that nothing else has.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal as Number
from typing import Final, cast

from mcp_server.sql.compose import Sql, compose, quote_text
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.nodes import (
    Between,
    Binary,
    BinaryOperator,
    Call,
    Case,
    Cast,
    Constant,
    Element,
    Expression,
    Field,
    In,
    Is,
    Lambda,
    Like,
    Logic,
    Not,
    Parameter,
    Unary,
)
from mcp_server.sql.typed.types import (
    BIGINT,
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIMESTAMP,
    TINYINT,
    VOID,
    Array,
    Atomic,
    Decimal,
    Text,
    Type,
)

_PIECE: Final = re.compile(
    r"\s*(?:(?P<hole>\{\w+\})|(?P<text>'(?:[^'\\]|\\.)*')|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:BD|[LDSY])?)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<symbol><=>|->|<>|<=|>=|\|\||<<|[-+*/%&|^~=<>()\[\],.]))",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">=", "<=>"})
_BINARY: Final[tuple[frozenset[str], ...]] = (
    frozenset({"|"}),
    frozenset({"^"}),
    frozenset({"&"}),
    frozenset({"+", "-", "||"}),
    frozenset({"*", "/", "%", "DIV"}),
)
"""Operators from the loosest to the tightest."""

_TYPES: Final = {
    str(kind): kind
    for kind in (BIGINT, BINARY, BOOLEAN, DATE, DOUBLE, FLOAT, INT, SMALLINT, STRING, TIMESTAMP, TINYINT)
}


@dataclass(frozen=True, eq=False, slots=True)
class Hole(Expression):
    """A place in a template."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class TypedHole(Expression):
    """`CAST(x AS {kind})`, whose type is filled in."""

    operand: Expression
    name: str
    tries: bool


@functools.cache
def read_template(text: str) -> Expression:
    """Parse a template. Errors: ValueError."""
    return _Reader(text).whole()


def fill_template(template: Expression, fill: Callable[[str], Expression | Type], rename: Callable[[str], str]) -> Node:
    """Return the template with its holes filled, and its parameters that end with `_` renamed."""

    def change(node: Node) -> Node:
        if isinstance(node, Hole):
            return cast("Expression", fill(node.name))
        if isinstance(node, TypedHole):
            kind = fill(node.name)
            return Cast(operand=node.operand, tries=node.tries, type=cast("Type", kind))
        if isinstance(node, Parameter) and node.name.endswith("_"):
            return node.replace(name=rename(node.name))
        return node

    return transform(template, change)


def has_parameters(template: Expression) -> bool:
    """Whether a template names parameters of lambdas."""
    return any(isinstance(node, Parameter) for node in template.walk())


class _Reader:
    """A parser by recursive descent, from the loosest operator to the tightest."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            match = _PIECE.match(text, at)
            if match is None:
                raise ValueError(f"{text!r} has an odd sign at {at}")
            self._tokens.append((str(match.lastgroup), str(match[str(match.lastgroup)])))
            at = match.end()
        self._at = 0

    def whole(self) -> Expression:
        found = self._expression()
        if self._at < len(self._tokens):
            raise ValueError(f"{self._text!r} goes on at {self._tokens[self._at][1]!r}")
        return found

    def type(self) -> Type:
        """The type that begins here."""
        word = self._next().upper()
        if word == "ARRAY":
            self._expect("<")
            element = self.type()
            self._expect(">")
            return Array(element)
        if word in {"DECIMAL", "VARCHAR"}:
            self._expect("(")
            first = int(self._next())
            second = int(self._next()) if self._take(",") else 0
            self._expect(")")
            return Decimal(first, second) if word == "DECIMAL" else Text("varchar", first)
        return _TYPES.get(word) or Atomic(word.lower())

    def _peek(self, ahead: int = 0) -> str:
        """The next token; a word in upper case."""
        if self._at + ahead >= len(self._tokens):
            return ""
        kind, text = self._tokens[self._at + ahead]
        return text.upper() if kind == "word" else text if kind == "symbol" else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _take(self, *words: str) -> bool:
        if all(self._peek(at) == word for at, word in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise ValueError(f"{self._text!r} lacks {word} at token {self._at}")

    def _expression(self) -> Expression:
        found = self._and()
        if self._peek() != "OR":
            return found
        operands = [found]
        while self._take("OR"):
            operands.append(self._and())
        return Logic(operator="or", operands=tuple(operands), type=BOOLEAN)

    def _and(self) -> Expression:
        found = self._not()
        if self._peek() != "AND":
            return found
        operands = [found]
        while self._take("AND"):
            operands.append(self._not())
        return Logic(operator="and", operands=tuple(operands), type=BOOLEAN)

    def _not(self) -> Expression:
        return Not(operand=self._not(), type=BOOLEAN) if self._take("NOT") else self._predicate()

    def _predicate(self) -> Expression:
        left = self._binary(0)
        while True:
            operator, negated = self._peek(), False
            if operator in _COMPARISONS:
                self._at += 1
                left = Binary(operator=cast("BinaryOperator", operator), left=left, right=self._binary(0), type=BOOLEAN)
                continue
            if self._take("IS"):
                negated = self._take("NOT")
                self._expect("NULL")
                left = Is(operand=left, value="null", negated=negated, type=BOOLEAN)
                continue
            negated = self._take("NOT")
            if self._take("BETWEEN"):
                low = self._binary(0)
                self._expect("AND")
                left = Between(operand=left, low=low, high=self._binary(0), negated=negated, type=BOOLEAN)
            elif self._peek() in {"LIKE", "RLIKE"}:
                like = self._next().lower()
                left = Like(
                    operand=left,
                    operator="like" if like == "like" else "rlike",
                    patterns=(self._binary(0),),
                    negated=negated,
                    type=BOOLEAN,
                )
            elif self._take("IN"):
                self._expect("(")
                left = In(operand=left, items=self._list(")"), negated=negated, type=BOOLEAN)
            else:
                return left

    def _binary(self, level: int) -> Expression:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek() in _BINARY[level]:
            operator = cast("BinaryOperator", self._next().lower())
            left = Binary(operator=operator, left=left, right=self._binary(level + 1))
        return left

    def _unary(self) -> Expression:
        if self._take("-"):
            return Unary(operator="-", operand=self._unary())
        if self._take("~"):
            return Unary(operator="~", operand=self._unary())
        found = self._primary()
        while True:
            if self._take("."):
                found = Field(base=found, name=self._next())
            elif self._take("["):
                found = Element(base=found, index=self._expression())
                self._expect("]")
            else:
                return found

    def _primary(self) -> Expression:
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "hole":
            return Hole(name=text[1:-1])
        if kind == "text":
            return text_constant(_unescape(text[1:-1]))
        if kind == "number":
            return _number(text)
        if kind == "word":
            return self._worded(text)
        if text == "(":
            found = self._expression()
            self._expect(")")
            return found
        raise ValueError(f"{self._text!r} has {text!r} where an operand belongs")

    def _worded(self, word: str) -> Expression:  # noqa: PLR0911  (one line for each kind)
        upper = word.upper()
        if upper in {"NULL", "TRUE", "FALSE"}:
            kind = VOID if upper == "NULL" else BOOLEAN
            return Constant(text=compose(upper), value=None if upper == "NULL" else upper == "TRUE", type=kind)
        if upper in {"CAST", "TRY_CAST"} and self._take("("):
            return self._cast(tries=upper == "TRY_CAST")
        if upper == "CASE":
            return self._case()
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "text" and upper in {"DATE", "TIMESTAMP"}:
            value = _unescape(self._next()[1:-1])
            return Constant(
                text=compose(f"{upper} {{}}", quote_text(value)),
                value=value,
                type=DATE if upper == "DATE" else TIMESTAMP,
            )
        if upper == "TRIM" and self._peek(1) in {"BOTH", "LEADING", "TRAILING"}:
            return self._trim()
        if self._take("("):
            return Call(name=word.lower(), arguments=self._list(")"))
        if self._take("->"):
            return Lambda(parameters=(Parameter(name=word),), body=self._expression())
        return Parameter(name=word)

    def _cast(self, *, tries: bool) -> Expression:
        operand = self._expression()
        self._expect("AS")
        if self._tokens[self._at][0] == "hole":
            found: Expression = TypedHole(operand=operand, name=self._next()[1:-1], tries=tries)
        else:
            found = Cast(operand=operand, tries=tries, type=self.type())
        self._expect(")")
        return found

    def _case(self) -> Expression:
        operand = None if self._peek() == "WHEN" else self._expression()
        conditions, results = list[Expression](), list[Expression]()
        while self._take("WHEN"):
            conditions.append(self._expression())
            self._expect("THEN")
            results.append(self._expression())
        otherwise = self._expression() if self._take("ELSE") else None
        self._expect("END")
        return Case(operand=operand, conditions=tuple(conditions), results=tuple(results), otherwise=otherwise)

    def _trim(self) -> Expression:
        self._at += 1
        how = self._next().lower()
        letters = self._expression()
        self._expect("FROM")
        text = self._expression()
        self._expect(")")
        return Call(name="trim", arguments=(letters, text), how=how, type=STRING)

    def _list(self, end: str) -> tuple[Expression, ...]:
        found: list[Expression] = []
        while not self._take(end):
            if found:
                self._expect(",")
            found.append(self._argument())
        return tuple(found)

    def _argument(self) -> Expression:
        """An argument, which may be a lambda of two parameters."""
        if self._peek() == "(" and self._peek(2) == "," and self._peek(4) == ")" and self._peek(5) == "->":
            first, second = self._tokens[self._at + 1][1], self._tokens[self._at + 3][1]
            self._at += 6
            return Lambda(parameters=(Parameter(name=first), Parameter(name=second)), body=self._expression())
        return self._expression()


def text_constant(value: str) -> Constant:
    """A text as a literal."""
    return Constant(text=quote_text(value), value=value, type=STRING)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1][1:], 16)) if len(m[1]) > 1 else _ESCAPES.get(m[1], m[1]), text)


def _number(text: str) -> Constant:
    sql: Sql = compose(text)
    suffix = text.lstrip("0123456789.eE+-").upper() or ("E" if "e" in text.lower() else "")
    digits = text[: len(text) - len(suffix)] if suffix not in {"", "E"} else text
    if suffix in {"D", "E"}:
        return Constant(text=sql, value=float(digits), type=DOUBLE)
    if suffix == "BD" or "." in digits:
        value = Number(digits)
        scale = max(-int(value.as_tuple().exponent), 0)
        return Constant(text=sql, value=value, type=Decimal(max(len(value.as_tuple().digits), scale), scale))
    kind = {"L": BIGINT, "S": SMALLINT, "Y": TINYINT}.get(suffix)
    return Constant(text=sql, value=int(digits), type=kind or (INT if int(digits) < 2**31 else BIGINT))
