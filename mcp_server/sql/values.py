"""Evaluates the literals of a statement that mean the same to every engine. Any other literal has no value.

Conditions are read for estimates: leaving one out costs nothing, and misreading one would hide files that are needed.
So only plain forms are known: digits, strings without escapes, ISO dates, casts that change nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from sqlglot import exp

from mcp_server.sql.tree import Tree

_T = TypeVar("_T")
Value = bool | int | float | Decimal | str | date | datetime

_PLAIN_STRING = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,38}", re.ASCII)
_MOST_DIGITS = 38
"""Of a decimal, and so of any number that is exact."""
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "BIGINT": 64}
_NUMBERS = frozenset({"tinyint", "smallint", "int", "bigint", "float", "double"})


def read_literal(tree: Tree, node: exp.Expr | None) -> Value | None:
    """Return the value of a literal, with or without a sign or a cast, or None."""
    match node:
        case exp.Paren():
            return read_literal(tree, node.this)
        case exp.Neg():
            value = read_literal(tree, node.this)
            return -value if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None
        case exp.Boolean():
            return bool(node.this)
        case exp.Literal():
            return _read_string(tree, node) if node.is_string else _parse_number(node.name)
        case exp.Cast() if not isinstance(node, exp.TryCast):
            value = read_literal(tree, node.this)
            cast = _CASTS.get(node.to.this.name)
            return None if value is None or cast is None else cast(value, node.to)
    return None


def as_type(value: Value, column: str) -> Value | None:
    """Return a literal as it compares with a column of a Spark type, or None where they do not compare as they are."""
    if isinstance(value, bool) or column == "boolean":
        return value if isinstance(value, bool) and column == "boolean" else None
    if column in _NUMBERS or column.startswith("decimal("):
        return value if isinstance(value, int | float | Decimal) else None
    if column == "string":
        return value if isinstance(value, str) else None
    if column == "date":
        return _to_date(value) if not isinstance(value, datetime) else None
    return _to_timestamp(value) if column == "timestamp" and not _is_day(value) else None


def _read_string(tree: Tree, node: exp.Literal) -> str | None:
    """Return the string of the caller's own token: the copy for sqlglot has numbers in place of some."""
    index = tree.token_index(node)
    if (
        index is None
        or tree.source.key(index - 1) == "X"
        or not _PLAIN_STRING.fullmatch(tree.source.tokens[index].text)
    ):
        return None
    return tree.source.tokens[index].text[1:-1]


def _parse_number(text: str) -> int | float | Decimal | None:
    try:
        if text.isdigit():
            return int(text) if len(text) <= _MOST_DIGITS else None
        number = float(text) if "e" in text.lower() else Decimal(text)
    except (ValueError, InvalidOperation):
        return None
    return number if math.isfinite(number) else None


def _to_integer(value: Value, to: exp.DataType) -> int | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    limit: int = 2 ** (_BITS[to.this.name] - 1)
    return value if -limit <= value < limit else None


def _to_double(value: Value, _: exp.DataType) -> float | None:
    return float(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None


def _to_decimal(value: Value, to: exp.DataType) -> Decimal | None:
    """Cast to a decimal that has room for every digit, or return None."""
    digits = [int(each.name) for each in to.expressions] or [10]
    precision, scale = (*digits, 0)[:2]
    if isinstance(value, bool | float | date) or not scale <= precision <= _MOST_DIGITS:
        return None
    try:
        number = Decimal(value)
        scaled = number.scaleb(scale)
    except InvalidOperation:
        return None
    fits = number.is_finite() and scaled == scaled.to_integral_value() and abs(scaled) < 10**precision
    return number if fits else None


def _is_day(value: Value) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def _to_date(value: Value, _: exp.DataType | None = None) -> date | None:
    if isinstance(value, str):
        return _try_parse(date.fromisoformat, value) if _DATE.fullmatch(value) else None
    return value if isinstance(value, date) and _is_day(value) else None


def _to_timestamp(value: Value, _: exp.DataType | None = None) -> datetime | None:
    """Cast to a point in time. Without a zone it is in UTC, which sessions use."""
    if isinstance(value, str):
        known = _DATE.fullmatch(value) or _MOMENT.fullmatch(value)
        found = _try_parse(datetime.fromisoformat, value) if known else None
        return found.replace(tzinfo=UTC) if found is not None else None
    return value if isinstance(value, datetime) else None


def _try_parse(parse: Callable[[str], _T], text: str) -> _T | None:
    try:
        return parse(text)
    except ValueError:
        return None


_CASTS: Mapping[str, Callable[[Value, exp.DataType], Value | None]] = {
    **dict.fromkeys(_BITS, _to_integer),
    "DOUBLE": _to_double,
    "DECIMAL": _to_decimal,
    "DATE": _to_date,
    "TIMESTAMPTZ": _to_timestamp,
}
