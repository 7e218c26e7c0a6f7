"""Functions of text that Sail answers otherwise than Spark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import has_fraction, is_nested
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill
from mcp_server.dialects.sail.rules.numbers import EXACT, CallRule, round_exactly, whole_constant
from mcp_server.dialects.sail.rules.patterns import read_null, read_text
from mcp_server.dialects.sail.rules.texts import text_of
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Cast, Column, Constant, Expression
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    FRACTIONS,
    STRING,
    Array,
    Decimal,
    Map,
    Struct,
)

_CASES: Final = ("lower", "lcase", "upper", "ucase")
_PLACES: Final = re.compile(r"%(\d{1,9}\$)?([-#+ 0,(]*+)(\d*+)(?:\.(\d{1,9}))?([a-zA-Z%])")
_PADDED: Final = re.compile(r"%-?\d+s")
_UNLIKE: Final = frozenset("SeEgGaA")
"""Conversions that Sail does otherwise: NaN for %g and %e of zero, ASCII alone for %S."""


def write_case(node: Call, _: Context) -> Node | None:
    """lower(upper(x)) is lower(x) to Spark's optimizer, which leaves an ß alone that upper(x) makes SS of.

    Constants are computed before anything is simplified.
    """
    inner = node.arguments[0] if len(node.arguments) == 1 else node
    if not _changes_case(inner) or not any(isinstance(each, Column) for each in inner.walk()):
        return None
    while isinstance(inner, Call) and _changes_case(inner):
        inner = inner.arguments[0]
    return node.replace(arguments=(inner,))


def _changes_case(node: Expression) -> bool:
    return isinstance(node, Call) and node.name in _CASES and len(node.arguments) == 1


def write_letter(node: Call, context: Context) -> Node | None:
    """chr counts to 255 and begins again; below zero it is nothing."""
    if len(node.arguments) != 1:
        return None
    number = whole_constant(node.arguments[0])
    if number is not None and 0 <= number < 256:
        return None
    template = "if(CAST({0} AS BIGINT) < 0, '', chr(CAST({0} AS BIGINT) & 255))"
    return fill(context, template, node.arguments[0], gives=STRING)


def write_repeated(node: Call, context: Context) -> Node | None:
    """A number of times, or a length, below zero is none in Spark, and an error in Sail."""
    if len(node.arguments) < 2:
        return None
    count = node.arguments[1]
    number = whole_constant(count)
    if number is not None and number >= 0:
        return None
    least = constant(0) if number is not None else fill(context, "if({0} < 0, 0, {0})", count, gives=count.type)
    return node.replace(arguments=(node.arguments[0], least, *node.arguments[2:]))


def write_substring(node: Call, context: Context) -> Node | None:
    """A place that is null gives null; a number of letters below zero is none in Spark, and an error in Sail.

    What is counted from the end, and begins before the text does, ends where it would all the same.
    """
    if len(node.arguments) < 2:
        return None
    text, first, *last = node.arguments
    begin = whole_constant(first)
    call: Expression | None = None
    if last:
        count, number = last[0], whole_constant(last[0])
        if begin is None or begin < 0:
            template = "if({1} + length({0}) < 0, {1} + length({0}), 0) + {2}"
            count = fill(context, template, text, first, count)
            call = fill(context, "substring({0}, {1}, if({2} < 0, 0, {2}))", text, first, count, gives=node.type)
        elif number is None or number < 0:
            call = fill(context, "substring({0}, {1}, if({2} < 0, 0, {2}))", text, first, count, gives=node.type)
    if begin is not None:
        return call
    return fill(context, "if({0} IS NULL, NULL, {1})", first, call or node, gives=node.type)


def write_overlay(node: Call, context: Context) -> Node | None:
    """A number of letters below zero is as many as are put in."""
    if len(node.arguments) != 4:
        return None
    number = whole_constant(node.arguments[3])
    if number is not None and number >= 0:
        return None
    count = fill(context, "if({0} < 0, length({1}), {0})", node.arguments[3], node.arguments[1])
    return node.replace(arguments=(*node.arguments[:3], count))


def write_element(node: Call, context: Context) -> Node | None:
    """elt(n, a, b) fails in Spark where there is no such, and gives NULL in Sail: the name of the error is cast."""
    if len(node.arguments) < 2:
        return None
    index = whole_constant(node.arguments[0])
    if isinstance(node.arguments[0], Cast) and read_null(node.arguments[0]):
        return constant(None, node.type)
    most = len(node.arguments) - 1
    if index is not None:
        if not 1 <= index <= most:
            raise SparkRefuses("INVALID_ARRAY_INDEX", f"elt has {most} values and no value {index}.", node.at)
        return None
    template = "if({0} < 1 OR {0} > {most}, CAST(CAST(concat('INVALID_ARRAY_INDEX ', {0}) AS INT) AS STRING), {call})"
    return fill(context, template, node.arguments[0], most=most, call=node, gives=node.type)


def write_conversion(node: Call, context: Context) -> Node | None:
    """conv(x, from, to) of numbers that are written out, in any base; of others only those that Sail reads alike."""
    if len(node.arguments) != 3:
        return None
    value, *bases = node.arguments
    if has_fraction(value.type):
        raise lacking(node.name, "it of a fraction as Spark does", "Cast to BIGINT.")
    text, numbers = _constant_text(value), [whole_constant(base) for base in bases]
    if text is None or numbers[0] is None or numbers[1] is None:
        if not all(isinstance(each, Cast | Constant) for each in value.walk()):
            context.warn("conv: what is below zero, or is no number, is answered otherwise than by Spark.")
        return node.replace(arguments=(cast_to(value, STRING), *bases))
    return constant(convert(text, numbers[0], numbers[1]), STRING)


def _constant_text(node: Expression) -> str | None:
    if isinstance(node, Cast) and node.type == STRING:
        return _constant_text(node.operand)
    number = whole_constant(node)
    return str(number) if number is not None else read_text(node)


def convert(text: str, base: int, target: int) -> str | None:
    """`NumberConverter.convert` of Spark. Errors: SparkRefuses, for more than 64 bits."""
    digits = text.strip(" ").lower()
    if not digits or not 2 <= base <= 36 or not 2 <= abs(target) <= 36:
        return None
    negative = digits.startswith("-")
    value = 0
    for letter in digits.removeprefix("-"):
        digit = int(letter, 36) if letter.isascii() and letter.isalnum() else 36
        if digit >= base:
            break
        value = value * base + digit
        if value >= 2**64:
            raise SparkRefuses("ARITHMETIC_OVERFLOW", "Overflow in function conv().")
    if negative and target > 0:
        value = 2**64 - value
        value %= 2**64
    elif target < 0:
        signed = value - 2**64 if value >= 2**63 else value
        negative = negative != (signed < 0)
        value = abs(signed)
    found = _in_base(value, abs(target))
    return f"-{found}" if negative and target < 0 else found


def _in_base(value: int, base: int) -> str:
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    found = letters[value % base]
    while value := value // base:
        found = letters[value % base] + found
    return found


def write_format(node: Call, context: Context) -> Node | None:
    """Values under their conversions: 1.5 under `%s` is written 15 by Sail, 1e10 as 10000000000, and 2.25 under
    `%.1f` is rounded down. It counts a width in bytes: a text is made as long as it is to be before.
    """
    format_ = read_text(node.arguments[0]) if node.arguments else None
    if format_ is None:
        return None
    changed: dict[int, Expression] = {}
    index, padded = 0, False
    for place, flags, width, precision, conversion in _PLACES.findall(format_):
        if conversion in "%n":
            continue
        index += not place
        at = int(place.rstrip("$")) if place else index
        if conversion in _UNLIKE or (conversion == "s" and width and place):
            raise lacking(node.name, f"%{place}{width}{conversion} as Spark does", "Write %d, %f, %s and lpad(x, n).")
        if at >= len(node.arguments):
            continue
        text = _convert(node.name, node.arguments[at], conversion, precision, context)
        if conversion == "s" and width:
            padded = True
            text = _pad(text or node.arguments[at], int(width), "rpad" if "-" in flags else "lpad", context)
        if text is not None:
            changed[at] = text
    if not changed:
        return None
    if padded:
        changed[0] = constant(_PADDED.sub("%s", format_))
    return node.replace(arguments=tuple(changed.get(at, each) for at, each in enumerate(node.arguments)))


def _pad(value: Expression, width: int, side: str, context: Context) -> Expression:
    text = fill(context, "coalesce(CAST({0} AS STRING), 'null')", value, gives=STRING)
    return fill(context, f"if(length({{0}}) < {{n}}, {side}({{0}}, {{n}}), {{0}})", text, n=width, gives=STRING)


def _convert(word: str, part: Expression, conversion: str, precision: str, context: Context) -> Expression | None:
    kind = part.type
    if isinstance(kind, Decimal) and conversion != "s":
        raise lacking(word, f"a decimal under %{conversion}, as in Spark", "Write CAST(x AS DOUBLE).")
    if conversion == "f" and kind in FRACTIONS:
        value = cast_to(part, DOUBLE) if kind == FLOAT else part
        return round_exactly(value, int(precision or 6), context) if int(precision or 6) <= EXACT.scale else None
    if conversion != "s":
        return None
    if isinstance(kind, Map | Struct | Array):
        raise lacking(word, f"{kind} as Spark writes it", "Write array_join(a, ',') or to_json(…).")
    if isinstance(kind, Decimal) or kind == BOOLEAN:
        return Cast(operand=part, type=STRING)
    return text_of(part, context) if kind in FRACTIONS else None


def write_hash(node: Call, _: Context) -> Node | None:
    """hash and xxhash64."""
    if any(isinstance(each.type, Decimal) for each in node.arguments):
        raise lacking(node.name, "it of decimals as Spark does", "Hash text: hash(CAST(x AS STRING)).")
    if any(is_nested(each.type) for each in node.arguments):
        raise lacking(node.name, "it of arrays, maps and structs", "Hash text: hash(array_join(a, ',')).")
    return None


def write_split(node: Call, _: Context) -> Node | None:
    """split of what another function gives, whose texts Sail keeps in a form that its split cannot read."""
    first = node.arguments[0] if node.arguments else None
    if first is None or isinstance(first, Column | Constant | Cast):
        return None
    return node.replace(arguments=(Cast(operand=first, type=STRING), *node.arguments[1:]))


RULES: Final[Mapping[str, CallRule]] = {
    **dict.fromkeys(_CASES, write_case),
    **dict.fromkeys(("char", "chr"), write_letter),
    "conv": write_conversion,
    "elt": write_element,
    "format_string": write_format,
    "hash": write_hash,
    "lpad": write_repeated,
    "overlay": write_overlay,
    "printf": write_format,
    "repeat": write_repeated,
    "rpad": write_repeated,
    "split": write_split,
    "substr": write_substring,
    "substring": write_substring,
    "xxhash64": write_hash,
}
