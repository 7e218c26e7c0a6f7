"""Casts whose result Sail gives otherwise than Spark, or refuses.

A double goes to a decimal by its decimal digits in Spark (`CAST(1.005D AS DECIMAL(10,2))` is 1.01) and by its binary
value in Sail (1.00), so it goes by way of its text. Text to a date: Sail does not trim it, and takes `1999 Jan 08` for
its year. Text to a boolean: Sail takes `on` and `off`. Text to a double: Spark takes `1.5d` and no `-nan`. Text to a
decimal: Sail takes no exponent. Times before 1970 are cut off towards zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP
from decimal import Decimal as Number
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.data import sail
from mcp_server.dialects.sail.rules.intervals import cast_from_interval, cast_to_interval
from mcp_server.dialects.sail.rules.kinds import is_string, is_time
from mcp_server.dialects.sail.rules.literals import cast_text
from mcp_server.dialects.sail.rules.make import constant, fill
from mcp_server.dialects.sail.rules.texts import RAW, cast_to_text, text_of
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Cast, Column, Constant, Expression, Parameter
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT,
    FRACTIONS,
    INTEGERS,
    STRING,
    TIME,
    TIMESTAMP,
    VARIANT,
    VOID,
    Array,
    Decimal,
    Interval,
    Text,
    Type,
)

_EARLY: Final = "{0} < TIMESTAMP '1970-01-01 00:00:00' AND unix_micros({0}) % 1000000 <> 0"


def write_cast(node: Node, context: Context) -> Node | None:
    """CAST and TRY_CAST."""
    if not isinstance(node, Cast) or node.type is None:
        return None
    source, target = node.operand.type, node.type
    if source == VARIANT:  # Sail keeps the quotes of a text, and null as a word
        raise lacking("a VARIANT that is cast", "it as Spark does", "Write variant_get(v, '$.a', 'int') or to_json(v).")
    if target == TIME and source not in {TIME, VOID, None}:
        context.warn(sail().caveats["time"].format(name="CAST"))
    if isinstance(source, Interval) or isinstance(target, Interval):
        return cast_from_interval(node, context) or cast_to_interval(node, context)
    for kind, rule in _RULES.items():
        if isinstance(target, kind):
            return rule(node, context)
    return None


def _to_atomic(node: Cast, context: Context) -> Expression | None:
    source, target = node.operand.type, node.type
    if target == STRING:
        return cast_to_text(node.operand, context)
    if is_string(source):
        rule = _FROM_TEXT.get(target) if target is not None else None
        return rule(node, context) if rule is not None else None
    if target == BOOLEAN and isinstance(source, Decimal):
        return fill(context, "{0} <> 0", node.operand, gives=BOOLEAN)
    if target in INTEGERS and is_time(source):
        return fill(
            context,
            _keep(node, "CAST(unix_seconds({0}) - if(" + _EARLY + ", 1, 0) AS {k})"),
            node.operand,
            k=target,
        )
    return None


def _keep(node: Cast, template: str) -> str:
    """The template with TRY_CAST in the place of CAST where the node tries."""
    return template.replace("CAST(", "TRY_CAST(", 1) if node.tries else template


def _to_text(node: Cast, _: Context) -> Expression | None:
    """CHAR and VARCHAR."""
    if node.type == RAW or node.operand.type not in FRACTIONS:
        return None
    raise lacking("a double as VARCHAR", "it as Spark writes it", "Write CAST(x AS STRING).")


def _to_decimal(node: Cast, context: Context) -> Expression | None:
    source, target = node.operand.type, node.type
    if source == BOOLEAN:
        return fill(context, "CAST(CAST({0} AS INT) AS {k})", node.operand, k=target)
    if is_time(source):
        template = "CAST(CAST(unix_micros({0}) AS DECIMAL(20,0)) * 0.000001BD AS {k})"
        return fill(context, _keep(node, template), node.operand, k=target)
    if source in FRACTIONS and source is not None:
        return _double_to_decimal(node, context)
    if is_string(source):
        return _text_to_decimal(node, context)
    return None


def _double_to_decimal(node: Cast, context: Context) -> Expression:
    """By the digits that Java writes; NaN and the infinities are NULL."""
    value, target = node.operand, node.type
    if isinstance(value, Constant) and isinstance(value.value, float | Number) and isinstance(target, Decimal):
        return _decimal_constant(node, Number(repr(float(value.value))), target)
    if value.type == FLOAT:  # Spark takes a FLOAT for the double that it is
        value = fill(context, "CAST({0} AS DOUBLE)", value)
    cast = _keep(node, "CAST({t} AS {k})")
    template = (
        f"CASE WHEN {{v}} IS NULL OR isnan({{v}}) OR {{t}} LIKE '%inf' THEN CAST(NULL AS {{k}}) "
        f"WHEN {{t}} LIKE '%e%' THEN {_scientific(node)} ELSE {cast} END"
    )
    if isinstance(value, Column | Parameter):
        return fill(context, template, v=value, t=Cast(operand=value, type=RAW), k=target, gives=target)
    template = template.replace("{v}", "v_").replace("{t}", "CAST(v_ AS VARCHAR(32749))")
    return fill(context, f"element_at(transform(array({{0}}), v_ -> {template}), 1)", value, k=target, gives=target)


def _decimal_constant(node: Cast, value: Number, target: Decimal) -> Expression:
    rounded = value.quantize(Number(1).scaleb(-target.scale), ROUND_HALF_UP) if value.is_finite() else value
    if not rounded.is_finite() or len(rounded.as_tuple().digits) > target.precision:
        if node.tries or not rounded.is_finite():
            return constant(None, target)
        raise SparkRefuses(
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
            f"{value} is too large for {target}. Take a wider type.",
            node.at,
        )
    return Cast(operand=constant(format(rounded, "f")), type=target)


def _scientific(node: Cast) -> str:
    """A text such as 1.5e16: its digits, times or by a power of ten."""
    digits, power = "split_part({t}, 'e', 1)", "CAST(split_part({t}, 'e', 2) AS INT)"
    up = f"CAST(rpad(replace({digits}, '.', ''), if({power} > 0, {power} + 1, 1) + if({{v}} < 0D, 1, 0), '0') AS {{k}})"
    unit = f"CAST(concat('0.', repeat('0', if({power} < 0, 0 - {power} - 1, 0)), '1') AS DECIMAL(20,20))"
    down = f"CAST(CAST({digits} AS DECIMAL(17,16)) * {unit} AS {{k}})"
    return (
        f"CASE WHEN {power} > 0 THEN {_keep(node, up)} WHEN {power} < -19 THEN CAST(0 AS {{k}}) "
        f"ELSE {_keep(node, down)} END"
    )


def _text_to_decimal(node: Cast, context: Context) -> Expression | None:
    """Sail takes no text with an exponent, such as 1e3."""
    value = node.operand
    if isinstance(value, Constant) and "e" not in str(value.value).lower():
        return None
    if isinstance(value, Cast) and value.type == RAW:
        return None
    template = (
        "if({0} RLIKE '[eE]', " + _keep(node, "CAST(CAST({0} AS DOUBLE) AS {k})") + ", {call})"
        if not node.tries
        else "if({0} RLIKE '[eE]', TRY_CAST(TRY_CAST({0} AS DOUBLE) AS {k}), {call})"
    )
    return fill(context, template, value, k=node.type, call=node, gives=node.type)


def _to_array(node: Cast, context: Context) -> Expression | None:
    source, target = node.operand.type, node.type
    if isinstance(source, Array) and isinstance(target, Array) and target.element == STRING:
        return text_of(node.operand, context)
    return None


def _text_to_moment(node: Cast, context: Context) -> Expression | None:
    value = node.operand
    if isinstance(value, Constant) and isinstance(value.value, str):
        found = cast_text(value.value, node.type, context)
        if found is not None:
            return found
        if node.tries:
            return constant(None, node.type)
        raise SparkRefuses(
            "CAST_INVALID_INPUT", f"'{value.value}' is no {node.type}. Correct it, or use try_cast.", node.at
        )
    if node.type != DATE:
        return None
    # What follows a day is no part of the date; what follows a year or a month makes it none, and Sail leaves it out.
    template = "concat(regexp_extract({0}, {whole}, 1), regexp_extract({0}, {part}, 1))"
    text = fill(context, template, value, whole=_WHOLE_DATE, part=_PART_OF_DATE, gives=STRING)
    return fill(context, _keep(node, "CAST({0} AS DATE)"), text)


_BLANK: Final = r"[\x00-\x20\x7F]*"
_WHOLE_DATE: Final = rf"^{_BLANK}([+-]?[0-9]{{4,7}}-[0-9]{{1,2}}-[0-9]{{1,2}})(?:[ T](?s:.)*)?{_BLANK}$"
_PART_OF_DATE: Final = rf"^{_BLANK}([+-]?[0-9]{{4,7}}(?:-[0-9]{{1,2}})?){_BLANK}$"

_TRUTHS: Final = {
    **dict.fromkeys(("t", "true", "y", "yes", "1"), True),
    **dict.fromkeys(("f", "false", "n", "no", "0"), False),
}


def _text_to_boolean(node: Cast, context: Context) -> Expression | None:
    value = node.operand
    if isinstance(value, Constant) and isinstance(value.value, str):
        truth = _TRUTHS.get(value.value.strip().lower())
        if truth is None and not node.tries:
            raise SparkRefuses(
                "CAST_INVALID_INPUT", f"'{value.value}' is no BOOLEAN. Correct it, or use try_cast.", node.at
            )
        return constant(truth, BOOLEAN)
    template = "CAST(if(lower(trim({0})) IN ('on', 'off'), 'x', {0}) AS BOOLEAN)"
    return fill(context, _keep(node, template), value)


def _text_to_double(node: Cast, context: Context) -> Expression | None:
    """A letter behind the digits says that it is a double."""
    value = node.operand
    if isinstance(value, Constant) and str(value.value).strip().lower()[-1:] not in {"d", "f", "n", "y"}:
        return None
    template = (
        "CAST(regexp_replace(regexp_replace({0}, '([0-9.])[dDfF]([\\\\x00-\\\\x20]*)$', '$1$2'), "
        "'^([\\\\x00-\\\\x20]*)[+-]([nN])', '$1?$2') AS {k})"
    )
    return fill(context, _keep(node, template), value, k=node.type)


_FROM_TEXT: Final[Mapping[Type, Callable[[Cast, Context], Expression | None]]] = {
    BOOLEAN: _text_to_boolean,
    DATE: _text_to_moment,
    TIMESTAMP: _text_to_moment,
    DOUBLE: _text_to_double,
    FLOAT: _text_to_double,
}

_RULES: Final[Mapping[type, Callable[[Cast, Context], Expression | None]]] = {
    Text: _to_text,
    Decimal: _to_decimal,
    Array: _to_array,
    type(STRING): _to_atomic,
}
