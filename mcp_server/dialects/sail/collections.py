"""Arrays and maps in words that the embedded engine has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.literals import said
from mcp_server.dialects.sail.writing import Writing
from mcp_server.sql.compose import (
    Operand,
    Sql,
    as_operand,
    back_quote,
    compose,
    copy_replaced,
    join,
    quote_name,
    quote_text,
    write_type,
    write_word,
)
from mcp_server.sql.expr import Expr
from mcp_server.sql.types import FRACTIONS, INTEGERS, Decimal, Type, element_type, is_nested

_NO_NULLS = frozenset(
    {"split", "collect_list", "collect_set", "array_agg", "regexp_extract_all", "map_keys", "sequence"}
)
"""Functions whose arrays hold no nulls."""


def indexed(node: Expr, write: Writing) -> Sql | None:
    """`a[i]`, where Sail takes no index but a number: element_at counts from one, and from the end below zero."""
    base, index = node.parts
    if index.kind in {"number", "string"} or not str(write.types.of(base)).startswith("array<"):
        return None
    place = write.text(index)
    return compose("element_at({}, if({} < 0, 0, {} + 1))", write.text(base), place, place)


def contains(node: Expr, write: Writing) -> Sql | None:
    """array_contains is null, and not false, where a null may be what is looked for.

    Arrays in a table's columns hold no nulls.
    """
    if len(node.parts) != 2:
        return None
    base, wanted = node.parts
    written_out = base.word == "array" and all(part.kind in {"string", "number"} for part in base.parts)
    has_nulls = (base.kind != "name" or not write.reads_tables) and not (
        base.kind == "call" and (written_out or base.word in _NO_NULLS)
    )
    if not has_nulls and wanted.kind in {"string", "number"}:
        return None
    item = write.fresh("item_", node)
    found = compose("exists({}, {} -> {} = {})", write.text(base), item, item, write.text(wanted))
    return (
        found if wanted.kind in {"string", "number"} else compose("if({} IS NULL, NULL, {})", write.text(wanted), found)
    )


def fields_of(node: Expr, write: Writing) -> list[tuple[str, Expr]]:
    """Names and values of a struct, or an array, that is written out; nothing for any other."""
    if node.kind != "call" or any(part.kind == "star" for part in node.parts):
        return []
    if node.word == "named_struct":
        if len(node.parts) % 2 or any(name.kind != "string" for name in node.parts[::2]):
            return []
        pairs = zip(node.parts[::2], node.parts[1::2], strict=True)
        return [(said(write.source.tokens[name.first : name.end]), value) for name, value in pairs]
    if node.word not in {"struct", "array"}:
        return []
    tokens = write.source.tokens
    names = [tokens[part.end - 1].bare if part.kind in {"name", "alias"} else "" for part in node.parts]
    values = [part.parts[0] if part.kind == "alias" else part for part in node.parts]
    return [
        (name or compose("col{}", at), value)
        for at, (name, value) in enumerate(zip(names, values, strict=True), start=1)
    ]


def extreme(node: Expr, write: Writing) -> Sql | None:
    """array_max and array_min of nested values, which sort_array puts in Spark's order."""
    if len(node.parts) != 1 or not is_nested(element_type(write.types.of(node.parts[0]))):
        return None
    upward = compose("true" if node.word == "array_min" else "false")
    return compose("get(sort_array({}, {}), 0)", _known(node.parts[0], write), upward)


def cut(node: Expr, write: Writing) -> Sql | None:
    """slice from a place that is counted from the end, of which Sail loses some that reach it."""
    if len(node.parts) != 3:
        return None
    _, first, length = node.parts
    if write.types.text(first) == "0" or (length.kind, length.word) == ("number", "-"):
        raise lacking("slice", "a place of 0 or a length below it as Spark does, which fails", "Count from 1 or -1.")
    array = write.text(node.parts[0])
    own = _place(array, write.sent(first.parts[-1])) if first.word == "if" and first.parts else None
    if (first.kind, first.word) == ("number", "") or (own is not None and write.stands(own, first)):
        return None
    return write.replaced(node, first, _place(array, write.text(first)))


def _place(array: Sql, start: Sql) -> Sql:
    """A place that is counted from the array's first; behind its last where there is no such."""
    return compose(
        "if({} < 0, if({} + size({}) < 0, size({}) + 1, size({}) + {} + 1), {})",
        *(start, start, array, array, array, start, start),
    )


def sort(node: Expr, write: Writing) -> Sql | None:
    """array_sort of nested values; its nulls come last."""
    if len(node.parts) != 1 or not is_nested(element_type(write.types.of(node.parts[0]))):
        return None
    each = write.fresh("each_", node)
    nulls = compose("filter({}, {} -> {} IS NULL)", write.text(node.parts[0]), each, each)
    return compose("concat(sort_array({}), {})", _known(node.parts[0], write), nulls)


def _known(array: Expr, write: Writing) -> Sql:
    each = write.fresh("each_", array)
    return compose("filter({}, {} -> {} IS NOT NULL)", write.text(array), each, each)


def explode(node: Expr, write: Writing) -> Sql | None:
    """explode of a map, on which Sail's process panics."""
    if len(node.parts) != 1 or not _is_map(node, write, 2):
        return None
    word = write_word("inline_outer" if node.word.endswith("outer") else "inline")
    return compose("{}(map_entries({}))", word, write.text(node.parts[0]))


def posexplode(node: Expr, write: Writing) -> Sql | None:
    if len(node.parts) == 1 and _is_map(node, write, 3):
        raise lacking(node.word, "the places of a map's entries", "Write posexplode(map_entries(m)).")
    return None


def _is_map(node: Expr, write: Writing, names: int) -> bool:
    """Whether it is a map by its type, or by the number of names that a LATERAL VIEW gives to its columns."""
    kind, source = write.types.of(node.parts[0]), write.source
    if kind == "map" or node.parts[0].kind in {"cast", "try_cast"}:
        return kind == "map" or node.parts[0].word.startswith("MAP")
    if source.key(node.first - 1) not in {"VIEW", "OUTER"}:
        return False
    at = node.end
    while source.key(at) != "AS" and at < len(source.tokens) and source.tokens[at].is_name and at < node.end + 2:
        at += 1
    at += source.key(at) == "AS"
    return all(source.key(at + 2 * place - 1) == "," for place in range(1, names))


def zip_with(node: Expr, write: Writing) -> Sql | None:
    """zip_with(a, b, (x, y) -> e) as a transform of arrays_zip, which pads with nulls too."""
    if len(node.parts) != 3:
        return None
    left, right, function = node.parts
    # A column would give its name to its field: coalesce has none, and the fields are numbers.
    zipped = compose("arrays_zip(coalesce({}), coalesce({}))", write.text(left), write.text(right))
    kinds = [element_type(write.types.of(part)) for part in (left, right)]
    pairs = _of_pairs(node.word, function, write, zipped, ("0", "1"), kinds)
    return compose("transform({}, {} -> {})", pairs.array, pairs.name, pairs.body)


def transform_map(node: Expr, write: Writing) -> Sql | None:
    """transform_values(m, (k, v) -> e) and transform_keys as a transform of the map's entries."""
    if len(node.parts) != 2:
        return None
    entries, function = node.parts
    pairs = _of_pairs(node.word, function, write, compose("map_entries({})", write.text(entries)), ("key", "value"))
    key, value = pairs.values
    pair = [key, pairs.body] if node.word == "transform_values" else [pairs.body, value]
    made = compose("transform({}, {} -> struct({}))", pairs.array, pairs.name, join(", ", pair))
    return compose("map_from_entries({})", made)


class _Pairs(NamedTuple):
    """An array of pairs whose fields bear the names of a lambda's parameters, and its body about such a pair."""

    array: Sql
    name: Sql
    values: tuple[Sql, Sql]
    body: Operand


def _of_pairs(
    word: str,
    function: Expr,
    write: Writing,
    pairs: Sql,
    fields: tuple[str, str],
    kinds: Sequence[Type | None] = (None, None),
) -> _Pairs:
    """The fields are cast to their types where these are known, which tells them to whoever reads the result.

    What the body holds is rewritten in the next step. Errors: EngineLacks.
    """
    *names, body = function.parts if function.kind == "lambda" else (function,)
    taken = {name.word for node in body.walk() if node.kind == "lambda" for name in node.parts[:-1]}
    if len({name.word for name in names}) != 2 or taken & {name.word for name in names}:
        raise lacking(word, "this function of two values", f"Write {word}(…, (x, y) -> …), each name once.")
    before, after = write.fresh("pair_", function), write.fresh("pair2_", function)
    cells = [
        compose("{}, {}", quote_text(name.word), _as(compose("{}.{}", before, back_quote(field)), kind))
        for name, field, kind in zip(names, fields, kinds, strict=True)
    ]
    array = compose("transform({}, {} -> named_struct({}))", pairs, before, join(", ", cells))
    first, second = (compose("{}.{}", after, quote_name(name.word)) for name in names)
    return _Pairs(array, after, (first, second), _about(body, write, {names[0].word: first, names[1].word: second}))


def _as(text: Sql, kind: Type | None) -> Sql:
    if kind == "string":
        return compose("CAST({} AS VARCHAR(65535))", text)
    plain = isinstance(kind, Decimal) or kind in {*INTEGERS, *FRACTIONS}
    return compose("CAST({} AS {})", text, write_type(str(kind).upper())) if plain else text


def _about(body: Expr, write: Writing, values: Mapping[str, Sql]) -> Operand:
    """The body with values in the place of its parameters."""
    named = {
        node.first: values.get(write.source.tokens[node.first].name) for node in body.walk() if node.kind == "name"
    }
    return as_operand(copy_replaced(write.source, body.first, body.end, named.get))


def split(node: Expr, write: Writing) -> Sql | None:
    """split of what another function gives, whose texts Sail keeps in a form that its split cannot read."""
    first = node.parts[0] if node.parts else None
    if first is None or first.kind in {"name", "string", "cast"}:
        return None
    return write.replaced(node, first, compose("CAST({} AS STRING)", write.text(first)))
