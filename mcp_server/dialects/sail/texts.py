"""Values as text: doubles, arrays and decimals are written by Sail otherwise than by Spark.

A double of ten million or more, or less than a thousandth, is 1.0E7 in Spark (Java's Double.toString) and 10000000.0
or 1e16 in Sail; infinity is inf; a null in an array is NULL and not null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.literals import said
from mcp_server.dialects.sail.sail import sail
from mcp_server.dialects.sail.writing import Rule, Writing, written
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, compose_named, quote_text, write_type, write_word
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.types import FRACTIONS, Decimal, element_type, is_nested

RAW: Final = "VARCHAR(32749)"
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


def rewrite_texts(case: Case, _: Catalog) -> Sequence[Edit]:
    """Casts to text, and text that is made unasked, as Spark writes it. Errors: EngineLacks, for maps and structs."""
    if not (case.functions & _CALLS.keys() or any(t.key in {"CAST", "::", "||", "LIKE"} for t in case.source.tokens)):
        return ()
    return written(case, _written)


def _written(node: Expr, write: Writing) -> Sql | None:
    if node.kind == "cast":
        if (
            node.word.startswith(("VARCHAR", "CHAR"))
            and node.word != RAW
            and write.types.of(node.parts[0]) in FRACTIONS
        ):
            raise lacking("a double as VARCHAR", "it as Spark writes it", "Write CAST(x AS STRING).")
        return _CASTS[node.word](node, write) if node.word in _CASTS else None
    if node.kind == "like":
        return _first(node, write)
    if node.word == "||":
        return _every(node, write)
    rule = _CALLS.get(node.word) if node.kind == "call" else None
    return rule(node, write) if rule is not None else None


def _cast(node: Expr, write: Writing) -> Sql | None:
    inner = node.parts[0]
    kind = write.types.of(inner)
    if kind in FRACTIONS:
        return _text(inner, write)
    if kind in {"map", "struct"}:
        raise lacking(f"a {kind} as text", "it as Spark writes it", "Take its fields, or write to_json(…).")
    inside = element_type(kind)
    if inside is None:
        return None
    strings = _text(inner, write) or write.text(inner)
    if is_nested(inside):
        raise lacking("an array as text", f"one of {inside} as Spark writes it", "Write to_json(…).")
    if inside != "string" and inside not in FRACTIONS:
        strings = compose("CAST({} AS ARRAY<STRING>)", strings)
    return compose("concat('[', array_join({}, ', ', 'null'), ']')", strings)


def _each(node: Expr, write: Writing) -> Sql | None:
    """A cast to an array of texts."""
    return _text(node.parts[0], write) if element_type(write.types.of(node.parts[0])) in FRACTIONS else None


def _text(node: Expr, write: Writing) -> Sql | None:
    """A double, or each of an array, as Spark writes it; what is no name is said once. None for anything else."""
    kind, sent = write.types.of(node), write.text(node)
    if kind in FRACTIONS and node.kind == "name":
        return _double(sent)
    if kind in FRACTIONS:
        name = write.fresh("v_", node)
        return compose("element_at(transform(array({}), {} -> {}), 1)", sent, name, _double(name))
    if element_type(kind) not in FRACTIONS:
        return None
    name = write.fresh("v_", node)
    return compose("transform({}, {} -> {})", sent, name, _double(name))


def _double(name: Sql) -> Sql:
    return compose_named(_DOUBLE, (), v=name, t=compose("CAST({} AS {})", name, write_type(RAW)))


def _every(node: Expr, write: Writing) -> Sql | None:
    """What makes text of all its operands unasked."""
    texts = {part: _text(part, write) for part in node.parts}
    if node.word == "concat" and any(element_type(write.types.of(part)) is not None for part in node.parts):
        return None
    return write.kept(node, texts.get) if any(texts.values()) else None


def _first(node: Expr, write: Writing) -> Sql | None:
    """What makes text of its first operand unasked."""
    if not node.parts or (node.word == "reverse" and element_type(write.types.of(node.parts[0])) is not None):
        return None
    text = _text(node.parts[0], write)
    return write.replaced(node, node.parts[0], text) if text is not None else None


def _formatted(node: Expr, write: Writing) -> Sql | None:
    """Values under their conversions: 1.5 under `%s` is written 15 by Sail, and 1e10 as 10000000000.

    It counts a width in bytes: a text is made as long as it is to be before.
    """
    if not node.parts or node.parts[0].kind != "string":
        return None
    format_ = said(write.source.tokens[node.parts[0].first : node.parts[0].end])
    texts: dict[Expr, Sql] = {}
    index = 0
    for place, flags, width, conversion in _PLACES.findall(format_):
        if conversion in "%n":
            continue
        index += not place
        at = int(place.rstrip("$")) if place else index
        if conversion in _UNLIKE or (conversion == "s" and width and place):
            raise lacking(node.word, f"%{place}{width}{conversion} as Spark does", "Write %d, %f, %s and lpad(x, n).")
        text = _converted(node.word, node.parts[at], conversion, write) if at < len(node.parts) else None
        if conversion == "s" and width and at < len(node.parts):
            text = _padded(text or write.text(node.parts[at]), int(width), left="-" in flags)
        if text is not None:
            texts[node.parts[at]] = text
    if texts:
        texts[node.parts[0]] = quote_text(_PADDED.sub("%s", format_))
    return write.kept(node, texts.get) if texts else None


def _padded(value: Sql, width: int, *, left: bool) -> Sql:
    text = compose("coalesce(CAST({} AS STRING), 'null')", value)
    return compose(
        "if(length({}) < {}, {}({}, {}), {})", text, width, write_word("rpad" if left else "lpad"), text, width, text
    )


def _converted(word: str, part: Expr, conversion: str, write: Writing) -> Sql | None:
    kind = write.types.of(part)
    if isinstance(kind, Decimal) and conversion != "s":
        raise lacking(word, f"a decimal under %{conversion}, as in Spark", "Write CAST(x AS DOUBLE).")
    if conversion != "s":
        return None
    if kind in {"map", "struct"} or element_type(kind) is not None:
        raise lacking(word, f"{kind} as Spark writes it", "Write array_join(a, ',') or to_json(…).")
    if isinstance(kind, Decimal) or kind == "boolean":
        return compose("CAST({} AS STRING)", write.text(part))
    return _text(part, write) if kind in FRACTIONS else None


def _hashed(node: Expr, write: Writing) -> Sql | None:
    if any(isinstance(kind, Decimal) for kind in map(write.types.of, node.parts)):
        raise lacking(node.word, "it of decimals as Spark does", "Hash text: hash(CAST(x AS STRING)).")
    if any(element_type(kind) is not None or kind in {"map", "struct"} for kind in map(write.types.of, node.parts)):
        raise lacking(node.word, "it of arrays, maps and structs", "Hash text: hash(array_join(a, ',')).")
    return None


_PLACES: Final = re.compile(r"%(\d{1,9}\$)?([-#+ 0,(]*+)(\d*+)(?:\.\d++)?([a-zA-Z%])")
_PADDED: Final = re.compile(r"%-?\d+s")
_UNLIKE: Final = frozenset("SeEgGaA")
"""Conversions that Sail does otherwise: NaN for %g and %e of zero, ASCII alone for %S."""

_CASTS: Final[Mapping[str, Rule]] = {"STRING": _cast, "ARRAY<STRING>": _each}

_CALLS: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("concat", "concat_ws"), _every),
    **dict.fromkeys(sail().texts, _first),
    "format_string": _formatted,
    "printf": _formatted,
    "hash": _hashed,
    "xxhash64": _hashed,
}
