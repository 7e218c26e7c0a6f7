"""Spark's types of expressions, as far as the text and the lake's columns determine them.

None means unknown, and then nothing is rewritten for the type. The rules are those of Spark 4.2's
`DecimalPrecisionTypeCoercion` and `arithmetic.scala`; tests compare them with Spark's answers.
"""

from __future__ import annotations

import decimal
import re
from typing import NamedTuple

INTEGERS = ("tinyint", "smallint", "int", "bigint")
_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 20}
FRACTIONS = ("float", "double")
_SUFFIXES = {"L": "bigint", "S": "smallint", "Y": "tinyint", "D": "double", "F": "float"}
_ALIASES = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint", "real": "float"}
_DECIMAL = re.compile(r"(?:decimal|dec|numeric)(?:\((\d+)(?:,(\d+))?\))?")
MAX_PRECISION = 38
MIN_SCALE = 6


class Decimal(NamedTuple):
    """`decimal(precision, scale)`."""

    precision: int
    scale: int

    def __str__(self) -> str:
        return f"DECIMAL({self.precision},{self.scale})"


Type = str | Decimal


def adjust_decimal(precision: int, scale: int) -> Decimal:
    """Return the type of a result as Spark adjusts it: beyond 38 digits, those before the point have precedence."""
    if precision <= MAX_PRECISION:
        return Decimal(precision, scale)
    return Decimal(MAX_PRECISION, max(MAX_PRECISION - (precision - scale), min(scale, MIN_SCALE)))


def bound_decimal(precision: int, scale: int) -> Decimal:
    return Decimal(min(precision, MAX_PRECISION), min(scale, MAX_PRECISION))


def parse_type(text: str) -> Type | None:
    """Return the type of that name, in any case."""
    text = text.lower().replace(" ", "")
    if found := _DECIMAL.fullmatch(text):
        return Decimal(int(found[1] or 10), int(found[2] or 0))
    if text.startswith("array<"):
        return text
    if text.startswith(("varchar(", "char(")):
        return "string"
    text = _ALIASES.get(text, text)
    return text if text.isidentifier() else "map" if text.startswith("map<") else None


def array_type(kind: Type | None) -> Type:
    """Return the type of an array of such elements."""
    return f"array<{kind or 'any'}>".lower()


def element_type(kind: Type | None) -> Type | None:
    """Return the type of the elements of an array."""
    return parse_type(kind[len("array<") : -1]) if isinstance(kind, str) and kind.startswith("array<") else None


def is_nested(kind: Type | None) -> bool:
    """Whether values of a type contain others. A null within one sorts first in Spark, and last in Sail."""
    return kind in {"struct", "map", "any"} or element_type(kind) is not None


def number_type(text: str) -> Type | None:
    """Return the type of a number literal without a sign."""
    upper = text.upper()
    if not upper.endswith("BD"):
        if upper[-1] in _SUFFIXES:
            return _SUFFIXES[upper[-1]]
        if "E" in upper:
            return "double"
        if upper.isdigit() and int(upper) < 2**63:
            return "int" if int(upper) < 2**31 else "bigint"
    upper = upper.removesuffix("BD")
    if "E" in upper:
        return None
    whole, _, fraction = upper.partition(".")
    digits = len((whole + fraction).lstrip("0")) or 1
    return Decimal(max(digits, len(fraction)), len(fraction))


def as_decimal(kind: Type | None, text: str = "") -> Decimal | None:
    """Return a number as a decimal. `text` is the literal, if it is one, which needs fewer digits."""
    if isinstance(kind, Decimal):
        return kind
    if kind in INTEGERS:
        return Decimal(len(text) if text.isdigit() else _DIGITS[kind], 0)
    return None


def divide_decimals(left: Decimal, right: Decimal) -> Decimal:
    scale = max(MIN_SCALE, left.scale + right.precision + 1)
    return adjust_decimal(left.precision - left.scale + right.scale + scale, scale)


def combine_decimals(operator: str, left: Decimal, right: Decimal) -> Decimal:
    """Return the type of `+`, `-`, `*`, `/` and `%` of two decimals."""
    whole = left.precision - left.scale, right.precision - right.scale
    scale = max(left.scale, right.scale)
    if operator == "/":
        return divide_decimals(left, right)
    if operator == "*":
        return adjust_decimal(left.precision + right.precision + 1, left.scale + right.scale)
    if operator == "%":
        return adjust_decimal(min(whole) + scale, scale)
    return adjust_decimal(max(whole) + scale + 1, scale)


def common_type(kinds: list[Type | None]) -> Type | None:
    """Return the type that values of all these types become, as in CASE and coalesce."""
    found: Type | None = "void"
    for kind in kinds:
        found = _common_of_two(found, kind)
    return found


def _common_of_two(left: Type | None, right: Type | None) -> Type | None:
    if "void" in {left, right}:
        return right if left == "void" else left
    for one, other in ((left, right), (right, left)):
        if one == "array<void>" and element_type(other) is not None:
            return other
        if one == "string" or (one, other) == ("date", "timestamp"):
            return other if one in {other, "date"} else _from_text(other)
    return left if left == right else _common_number(left, right)


def _common_number(left: Type | None, right: Type | None) -> Type | None:
    if left in INTEGERS and right in INTEGERS:
        return max(left, right, key=lambda kind: INTEGERS.index(str(kind)))
    one, other = as_decimal(left), as_decimal(right)
    if one is None or other is None:
        numbers = {kind in FRACTIONS or as_decimal(kind) is not None for kind in (left, right)}
        return "double" if numbers == {True} else None
    scale = max(one.scale, other.scale)
    return bound_decimal(max(one.precision - one.scale, other.precision - other.scale) + scale, scale)


def _from_text(kind: Type | None) -> Type | None:
    """Return the type that a string becomes beside another type (Spark's `AnsiTypeCoercion`)."""
    if kind in INTEGERS:
        return "bigint"
    if kind in FRACTIONS or isinstance(kind, Decimal):
        return "double"
    return kind if kind in {"boolean", "date", "timestamp"} else None


def round_decimal(kind: Decimal, digits: int) -> Decimal:
    """Return the type of `round(x, digits)`."""
    whole = kind.precision - kind.scale + 1
    if digits < 0:
        return Decimal(min(max(whole, 1 - digits), MAX_PRECISION), 0)
    scale = min(kind.scale, digits)
    return Decimal(min(whole + scale, MAX_PRECISION), scale)


def java_double(value: float) -> str:
    """Write a large or small double as Java's Double.toString does: 1.0E9."""
    _, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    first, *rest = map(str, digits)
    return f"{first}.{''.join(rest) or '0'}E{int(exponent) + len(rest)}"
