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
from mcp_server.sql.typed.nodes import Call, Cast, Column, Constant, Expression, Node
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    FRACTIONS,
    INTEGERS,
    STRING,
    TIME,
    TIMESTAMP,
    Array,
    Decimal,
    Interval,
    Map,
    Struct,
    Type,
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


def write_repeated(node: Call, _: Context) -> Node | None:
    """A number of times, or a length, below zero is none in Spark, and an error in Sail."""
    if len(node.arguments) < 2:
        return None
    number = whole_constant(node.arguments[1])
    if number is None or number >= 0:
        return None
    return node.replace(arguments=(node.arguments[0], constant(0), *node.arguments[2:]))


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


def write_encoded(node: Call, _: Context) -> Node | None:
    """Other character sets lack letters, for which Spark fails, or begin with a mark even where there is no letter."""
    charset = (read_text(node.arguments[1]) or "").lower() if len(node.arguments) == 2 else ""
    if charset not in {"utf-8", "utf-16be", "utf-16le"}:
        raise lacking("encode", "this character set as Spark does", "Write encode(s, 'UTF-8') or 'UTF-16BE'.")
    return None


_BASE64: Final = (
    "CASE WHEN {0} RLIKE '^[A-Za-z0-9+/\\\\s]*={0,2}$' AND if({0} LIKE '%=%', "
    "length(regexp_replace({0}, '\\\\s', '')) % 4 = 0, length(regexp_replace({0}, '\\\\s', '')) % 4 <> 1) "
    "THEN unbase64(regexp_replace({0}, '[\\\\s=]', '')) ELSE {otherwise} END"
)
_FORMATS: Final = frozenset({"utf-8", "utf8", "hex", "base64"})


def write_binary_of(node: Call, context: Context) -> Node | None:
    """to_binary and try_to_binary: malformed text Sail takes for something all the same."""
    if not node.arguments:
        return None
    asked = "hex"
    if len(node.arguments) == 2:
        chosen = _fold_text(node.arguments[1])
        if chosen is None:
            return constant(None, BINARY)
        asked = chosen.lower()
    tries = node.name == "try_to_binary"
    if asked not in _FORMATS and tries:
        return constant(None, BINARY)
    if asked == "base64":
        return _from_base64(node, context, tries=tries)
    if asked not in ({"utf-8", "utf8", "hex"} if tries else {"utf-8", "utf8"}):
        raise lacking(
            node.name, f"the format {asked} as Spark does", "Write unhex(s), unbase64(s) or CAST(s AS BINARY)."
        )
    return None


def _from_base64(node: Call, context: Context, *, tries: bool) -> Node:
    """Malformed text is NULL, or fails: a cast that no constant makes says so."""
    value = cast_to(node.arguments[0], STRING)
    text = read_text(value)
    if text is not None:
        letters = "".join(text.split())
        whole = len(letters) % 4 == 0 if "=" in letters else len(letters) % 4 != 1
        if re.fullmatch(r"[A-Za-z0-9+/\s]*={0,2}", text, re.ASCII) and whole:
            return fill(context, "unbase64({0})", constant(letters.rstrip("=")), gives=BINARY)
        if not tries:
            raise SparkRefuses("CONVERSION_INVALID_INPUT", f"'{text[:40]}' is no BASE64. Use try_to_binary.", node.at)
        return constant(None, BINARY)
    otherwise = constant(None, BINARY) if tries else fill(context, _NO_BASE64, value)
    return fill(context, _BASE64, value, otherwise=otherwise, gives=BINARY)


_NO_BASE64: Final = "CAST(CAST(CAST(concat('CONVERSION_INVALID_INPUT ', {0}) AS INT) AS STRING) AS BINARY)"


def _fold_text(node: Expression) -> str | None:
    """The text of a constant, which may be cut from another. Errors: EngineLacks for what is no constant."""
    if isinstance(node, Cast):
        return _fold_text(node.operand)
    if isinstance(node, Constant) and (node.value is None or isinstance(node.value, str)):
        return node.value
    if isinstance(node, Call) and node.name in {"substr", "substring"} and len(node.arguments) == 3:
        text, first, length = _fold_text(node.arguments[0]), *map(whole_constant, node.arguments[1:])
        if text is not None and first is not None and length is not None and first >= 0 and length >= 0:
            begin = max(first - 1, 0)
            return text[begin : begin + length]
    raise lacking("to_binary", "a format that is no constant", "Write 'hex', 'utf-8' or 'base64'.")


def write_json_path(node: Call, _: Context) -> Node | None:
    """get_json_object with a star."""
    if len(node.arguments) == 2 and "*" in (read_text(node.arguments[1]) or ""):
        raise lacking(
            "get_json_object", "a path with *", "Write from_json(j, 'b ARRAY<STRUCT<c: INT>>').b and transform it."
        )
    return None


def write_variant(node: Call, _: Context) -> Node | None:
    """variant_get as a text."""
    if len(node.arguments) == 3 and (read_text(node.arguments[2]) or "").lower() == "string":
        raise lacking(node.name, "a value of another type as a string", "Write get_json_object(j, '$.a').")
    return None


_NO_JSON: Final = frozenset({*INTEGERS, *FRACTIONS, BOOLEAN, DATE, TIMESTAMP, STRING, BINARY})


def _holds(kind: Type | None, wanted: Type | None) -> bool:
    """Whether a type is, or holds, another one; an interval where none is named."""
    match kind:
        case Array(element):
            return _holds(element, wanted)
        case Map(key, value):
            return _holds(key, wanted) or _holds(value, wanted)
        case Struct(fields):
            return any(_holds(each, wanted) for _, each in fields)
        case _:
            return isinstance(kind, Interval) if wanted is None else kind == wanted


def write_json(node: Call, _: Context) -> Node | None:
    """to_json of what is no struct, map or array."""
    kind = node.arguments[0].type if node.arguments else None
    if _holds(kind, TIME) or _holds(kind, None):
        raise lacking("to_json", "values of the types TIME and INTERVAL", "Cast them to STRING.")
    if isinstance(kind, Decimal) or kind in _NO_JSON:
        raise lacking("to_json", f"it of {kind} as Spark does, which refuses it", "Write to_json(struct(x)).")
    return None


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


def write_from_json(node: Call, context: Context) -> Node | None:
    """from_json, to which an array with a value of another type is NULL in Spark."""
    schema = read_text(node.arguments[1]) if len(node.arguments) > 1 else None
    if schema is None:
        return None
    if _holds(node.type, TIME) or _holds(node.type, None):
        raise lacking("from_json", "values of the types TIME and INTERVAL", "Read them as STRING.")
    if "array" in schema.lower():
        context.warn("from_json: an array with a value of another type has a null here, and is NULL in Spark.")
    return None


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
    "encode": write_encoded,
    "format_string": write_format,
    "from_json": write_from_json,
    "get_json_object": write_json_path,
    "hash": write_hash,
    "lpad": write_repeated,
    "overlay": write_overlay,
    "printf": write_format,
    "repeat": write_repeated,
    "rpad": write_repeated,
    "split": write_split,
    "substr": write_substring,
    "substring": write_substring,
    "to_binary": write_binary_of,
    "to_json": write_json,
    "try_to_binary": write_binary_of,
    "try_variant_get": write_variant,
    "variant_get": write_variant,
    "xxhash64": write_hash,
}
