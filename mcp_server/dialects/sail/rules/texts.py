"""Values as text: doubles, arrays and decimals are written by Sail otherwise than by Spark.

A double of ten million or more, or less than a thousandth, is 1.0E7 in Spark (Java's Double.toString) and 10000000.0
or 1e16 in Sail; infinity is inf; a null in an array is NULL and not null.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import is_nested, is_time
from mcp_server.dialects.sail.rules.make import call, fill, names_of_parameters
from mcp_server.dialects.sail.rules.template import text_constant
from mcp_server.sql.typed.nodes import Call, Cast, Column, Expression, Field, Lambda, Parameter
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
    if isinstance(kind, Array) and is_time(kind.element):  # an array is cast to ISO 8601
        return fill(context, "transform({0}, v_ -> CAST(v_ AS STRING))", node, gives=Array(STRING))
    if isinstance(kind, Array) and kind.element in FRACTIONS:
        item = Parameter(name=context.parameter_beside("v_", names_of_parameters((node,))), type=kind.element)
        return call("transform", node, Lambda(parameters=(item,), body=_double(item, context)), gives=Array(STRING))
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
    if isinstance(kind, Array | Map | Struct):
        return _render(inner, kind, context, 0)
    return None


def _render(node: Expression, kind: Type | None, context: Context, depth: int) -> Expression:
    """A value as Spark writes it within others: `[1.0E7, null]`, `{a -> 1}`, `{1, x}`. Errors: EngineLacks."""
    if isinstance(kind, Array):
        return _render_array(node, kind, context, depth)
    if isinstance(kind, Map):
        return _render_map(node, kind, context, depth)
    if isinstance(kind, Struct):
        return _render_struct(node, kind, context, depth)
    if kind == STRING:
        return node
    if kind is None or isinstance(kind, Interval):
        raise lacking("a list, map or struct as text", f"one of {kind} as Spark writes it", "Write to_json(…).")
    if kind in FRACTIONS:
        return _double_text(node.replace(type=kind), context)
    return Cast(operand=node, type=STRING)


def _render_array(node: Expression, kind: Array, context: Context, depth: int) -> Expression:
    strings = text_of(node, context)
    if strings is None and (is_nested(kind.element) or is_time(kind.element)):
        each = Parameter(name=context.parameter("each_", depth), type=kind.element)
        body = _render(each, kind.element, context, depth + 1)
        strings = Call(name="transform", arguments=(node, Lambda(parameters=(each,), body=body)))
    if strings is None:
        if kind.element is None or isinstance(kind.element, Interval):
            raise lacking("an array as text", f"one of {kind.element} as Spark writes it", "Write to_json(…).")
        strings = node if kind.element == STRING else fill(context, "CAST({0} AS ARRAY<STRING>)", node)
    return fill(context, "concat('[', array_join({0}, ', ', 'null'), ']')", strings, gives=STRING)


def _render_map(node: Expression, kind: Map, context: Context, depth: int) -> Expression:
    each = Parameter(name=context.parameter("each_", depth))
    key = _render(Field(base=each, name="key", type=kind.key), kind.key, context, depth + 1)
    value = _render(Field(base=each, name="value", type=kind.value), kind.value, context, depth + 1)
    body = fill(context, "concat({0}, ' -> ', coalesce({1}, 'null'))", key, value)
    pairs = Call(
        name="transform",
        arguments=(Call(name="map_entries", arguments=(node,)), Lambda(parameters=(each,), body=body)),
    )
    return fill(context, "concat('{', array_join({0}, ', '), '}')", pairs, gives=STRING)


def _render_struct(node: Expression, kind: Struct, context: Context, depth: int) -> Expression:
    names = [name.lower() for name, _ in kind.fields]
    if len(set(names)) < len(names):
        raise lacking("a struct as text", "one with two fields of a name", "Take its fields.")
    each = Parameter(name=context.parameter("each_", depth), type=kind)
    pieces: list[Expression] = []
    for name, field in kind.fields:
        pieces += [text_constant(", " if pieces else "{")]
        text = _render(Field(base=each, name=name, type=field), field, context, depth + 1)
        pieces.append(fill(context, "coalesce({0}, 'null')", text))
    whole = Call(name="concat", arguments=(*pieces, text_constant("}")), type=STRING)
    body = Lambda(parameters=(each,), body=fill(context, "if({0} IS NULL, NULL, {1})", each, whole))
    made = Call(name="transform", arguments=(Call(name="array", arguments=(node,)), body))
    return fill(context, "element_at({0}, 1)", made, gives=STRING)
