"""Functions that read and write formats: JSON, variants, character sets and BASE64."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill
from mcp_server.dialects.sail.rules.numbers import CallRule, whole_constant
from mcp_server.dialects.sail.rules.patterns import read_text
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Cast, Constant, Expression
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BINARY,
    BOOLEAN,
    DATE,
    FRACTIONS,
    INTEGERS,
    STRING,
    TIME,
    TIMESTAMP,
    Decimal,
    Interval,
    Type,
    holds_type,
)


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
_BASE64_TEXT: Final = re.compile(r"[A-Za-z0-9+/\s]*={0,2}", re.ASCII)
_WORD: Final = re.compile(r"[a-z]+")
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
        if _BASE64_TEXT.fullmatch(text) and whole:
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


_SHORT: Final = frozenset({"int", "integer", "smallint", "short", "tinyint", "byte"})
_NO_OPTIONS: Final = frozenset({"ignorenullfields", "pretty"})
_NO_JSON: Final = frozenset({*INTEGERS, *FRACTIONS, BOOLEAN, DATE, TIMESTAMP, STRING, BINARY})


def _is_time_or_interval(kind: Type) -> bool:
    return isinstance(kind, Interval) or kind == TIME or str(kind).startswith(f"{TIME}(")


def write_json(node: Call, _: Context) -> Node | None:
    """to_json of what is no struct, map or array, and with options that Sail does not know."""
    options = node.arguments[1] if len(node.arguments) > 1 else None
    names = options.arguments[::2] if isinstance(options, Call) and options.name == "map" else ()
    if any((read_text(name) or "").lower() in _NO_OPTIONS for name in names):
        raise lacking("to_json", "the options ignoreNullFields and pretty", "Write to_json(x).")
    kind = node.arguments[0].type if node.arguments else None
    if holds_type(kind, _is_time_or_interval):
        raise lacking("to_json", "values of the types TIME and INTERVAL", "Cast them to STRING.")
    if isinstance(kind, Decimal) or kind in _NO_JSON:
        raise lacking("to_json", f"it of {kind} as Spark does, which refuses it", "Write to_json(struct(x)).")
    return None


def write_from_json(node: Call, context: Context) -> Node | None:
    """from_json, to which an array with a value of another type is NULL in Spark."""
    schema = read_text(node.arguments[1]) if len(node.arguments) > 1 else None
    if schema is None:
        return None
    words = _WORD.findall(schema.lower())
    if holds_type(node.type, _is_time_or_interval) or (node.type is None and "time" in words):
        raise lacking("from_json", "values of the types TIME and INTERVAL", "Read them as STRING.")
    if _SHORT.intersection(words):
        context.warn(
            "from_json: a whole number that outgrows its type wraps around here, and is NULL in Spark. Read BIGINT."
        )
    if "array" in schema.lower():
        context.warn("from_json: an array with a value of another type has a null here, and is NULL in Spark.")
    return None


RULES: Final[Mapping[str, CallRule]] = {
    "encode": write_encoded,
    "from_json": write_from_json,
    "get_json_object": write_json_path,
    "to_binary": write_binary_of,
    "to_json": write_json,
    "try_to_binary": write_binary_of,
    "try_variant_get": write_variant,
    "variant_get": write_variant,
}
