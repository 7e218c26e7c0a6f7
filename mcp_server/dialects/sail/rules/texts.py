"""Values as text: doubles, arrays and decimals are written by Sail otherwise than by Spark.

A double of ten million or more, or less than a thousandth, is 1.0E7 in Spark (Java's Double.toString) and 10000000.0
or 1e16 in Sail; infinity is inf; a null in an array is NULL and not null.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import is_nested
from mcp_server.dialects.sail.rules.make import fill
from mcp_server.sql.typed.nodes import Cast, Column, Expression, Parameter
from mcp_server.sql.typed.types import FRACTIONS, STRING, Array, Interval, Map, Struct, Text, Type

RAW: Final = Text("varchar", 32749)
"""The type that asks for a double as Sail writes it: text, of a length that nobody asks for."""

_DOUBLE: Final = (
    "CASE WHEN {v} IS NULL OR {v} = 0D OR isnan({v}) OR (abs({v}) >= 1E-3D AND abs({v}) < 1E7D) THEN {t} "
    "WHEN {t} LIKE '%inf' THEN if({v} > 0D, 'Infinity', '-Infinity') "
    "WHEN {t} LIKE '%e%' THEN replace(if({t} LIKE '%.%', {t}, replace({t}, 'e', '.0e')), 'e', 'E') "
    "WHEN abs({v}) >= 1E7D THEN concat(regexp_replace(regexp_replace({t}, '^(-?[0-9])([0-9]*)[.]([0-9]*)$', "
    "'$1.$2$3'), '([0-9])0+$', '$1'), 'E', CAST(length(split_part({t}, '.', 1)) - if({v} < 0D, 2, 1) AS STRING)) "
    "ELSE concat(regexp_replace(regexp_replace({t}, '^(-?)0[.]0*([0-9])([0-9]*)$', '$1$2.$3'), '[.]$', '.0'), "
    "'E-', CAST(length(regexp_extract({t}, '[.](0*)', 1)) + 1 AS STRING)) END"
)
"""A double {v} as Java writes it, made of what Sail writes, {t}: all digits below 1e16, 1.5e16 above and below 1e-5."""


def text_of(node: Expression, context: Context) -> Expression | None:
    """A double, or each of an array, as Spark writes it; None for what Sail writes alike."""
    kind = node.type
    if kind in FRACTIONS:
        return _double_text(node, context)
    if isinstance(kind, Array) and kind.element in FRACTIONS:
        body = _double(Parameter(name="v_", type=kind.element), context)
        return fill(context, "transform({0}, v_ -> {body})", node, body=body, gives=Array(STRING))
    return None


def _double_text(node: Expression, context: Context) -> Expression:
    if isinstance(node, Column | Parameter):
        return _double(node, context)
    template = _DOUBLE.replace("{v}", "v_").replace("{t}", "CAST(v_ AS VARCHAR(32749))")
    return fill(context, f"element_at(transform(array({{0}}), v_ -> {template}), 1)", node, gives=STRING)


def _double(value: Expression, context: Context) -> Expression:
    return fill(context, _DOUBLE, v=value, t=Cast(operand=value, type=RAW), gives=STRING)


def cast_to_text(inner: Expression, context: Context) -> Expression | None:
    """What CAST(x AS STRING) is, None where Sail's own is the same. Errors: EngineLacks."""
    kind = inner.type
    if kind in FRACTIONS:
        return text_of(inner, context)
    if isinstance(kind, Array):
        return _array_text(inner, kind.element, context)
    if isinstance(kind, Map | Struct) and not _is_plain(kind):
        raise lacking(f"{_family(kind)} as text", "it as Spark writes it", "Take its fields, or write to_json(…).")
    return None


def _array_text(inner: Expression, element: Type | None, context: Context) -> Expression:
    strings = text_of(inner, context)
    if strings is None:
        if is_nested(element) or isinstance(element, Interval):
            raise lacking("an array as text", f"one of {element} as Spark writes it", "Write to_json(…).")
        strings = inner if element == STRING else fill(context, "CAST({0} AS ARRAY<STRING>)", inner)
    return fill(context, "concat('[', array_join({0}, ', ', 'null'), ']')", strings, gives=STRING)


def _family(kind: Type) -> str:
    return "a map" if isinstance(kind, Map) else "a struct"


def _is_plain(kind: Type | None) -> bool:
    """Whether values of a type are written alike and are never null: nothing says that they are not null."""
    return kind is None
