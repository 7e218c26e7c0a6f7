"""Arrays and maps in words that the embedded engine has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import is_integer, is_nested, is_null_constant, is_number
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill, names_of_parameters
from mcp_server.dialects.sail.rules.numbers import CallRule, whole_constant
from mcp_server.dialects.sail.rules.template import text_constant
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.nodes import (
    Call,
    Cast,
    Column,
    Constant,
    Element,
    Expression,
    Field,
    Lambda,
    Parameter,
)
from mcp_server.sql.typed.types import BOOLEAN, VOID, Array, Atomic, Decimal, Map, Text, Type

_NO_NULLS: Final = frozenset(
    {"split", "collect_list", "collect_set", "array_agg", "regexp_extract_all", "map_keys", "sequence"}
)
"""Functions whose arrays hold no nulls."""


def write_element(node: Node, context: Context) -> Node | None:
    """`a[i]`, where Sail takes no index but a number: element_at counts from one, and from the end below zero."""
    if not isinstance(node, Element):
        return None
    if node.base.type == VOID:
        return constant(None)
    if not isinstance(node.base.type, Array) or whole_constant(node.index) is not None:
        return None
    return fill(context, "element_at({0}, if({1} < 0, 0, {1} + 1))", node.base, node.index, gives=node.type)


def write_contains(node: Call, context: Context) -> Node | None:
    """array_contains is null, and not false, where a null may be what is looked for.

    Arrays in a table's columns hold no nulls.
    """
    if len(node.arguments) != 2:
        return None
    base, wanted = node.arguments
    is_constant = isinstance(wanted, Constant) and wanted.value is not None
    written = isinstance(base, Call) and base.name == "array" and all(map(_is_known, base.arguments))
    safe = (isinstance(base, Column) and base.source in context.tables) or (
        isinstance(base, Call) and (written or base.name in _NO_NULLS)
    )
    if safe and is_constant:
        return None
    found = fill(context, "exists({0}, item_ -> item_ = {1})", base, wanted, gives=BOOLEAN)
    return found if is_constant else fill(context, "if({0} IS NULL, NULL, {1})", wanted, found, gives=BOOLEAN)


def _is_known(node: Expression) -> bool:
    return isinstance(node, Constant) and node.value is not None


def write_extreme(node: Call, context: Context) -> Node | None:
    """array_max and array_min of nested values, which sort_array puts in Spark's order."""
    if len(node.arguments) != 1 or not _is_nested_array(node.arguments[0]):
        return None
    upward = node.name == "array_min"
    template = "get(sort_array(filter({0}, each_ -> each_ IS NOT NULL), {up}), 0)"
    return fill(context, template, node.arguments[0], up=upward, gives=node.type)


def _is_nested_array(node: Expression) -> bool:
    return isinstance(node.type, Array) and is_nested(node.type.element)


def write_slice(node: Call, context: Context) -> Node | None:
    """slice from a place that is counted from the end, of which Sail loses some that reach it."""
    if len(node.arguments) != 3:
        return None
    array, first, length = node.arguments
    start, count = whole_constant(first), whole_constant(length)
    if start == 0 or (count is not None and count < 0):
        raise lacking("slice", "a place of 0 or a length below it as Spark does, which fails", "Count from 1 or -1.")
    if start is None or count is None:
        context.warn("slice: a place or a number outside of what there is gives less here, where Spark fails.")
    if start is not None and start > 0:
        return None
    place = "if({1} < 0, if({1} + size({0}) < 0, size({0}) + 1, size({0}) + {1} + 1), {1})"
    return node.replace(arguments=(array, fill(context, place, array, first), length))


def write_sort(node: Call, context: Context) -> Node | None:
    """array_sort of nested values, whose nulls come last; by a constant nothing is sorted."""
    if len(node.arguments) == 2 and not isinstance(node.arguments[1], Lambda):
        return node.arguments[0]
    if len(node.arguments) != 1 or not _is_nested_array(node.arguments[0]):
        return None
    template = "concat(sort_array(filter({0}, each_ -> each_ IS NOT NULL)), filter({0}, each_ -> each_ IS NULL))"
    return fill(context, template, node.arguments[0], gives=node.type)


def write_sort_array(node: Call, _: Context) -> Node | None:
    """sort_array(a, NULL) is NULL."""
    if len(node.arguments) != 2 or not is_null_constant(node.arguments[1]):
        return None
    return constant(None, node.type)


def write_size(node: Call, _: Context) -> Node | None:
    """The size of NULL."""
    return constant(None, node.type) if node.arguments and node.arguments[0].type == VOID else None


def write_explode(node: Call, _: Context) -> Node | None:
    """explode of a map, on which Sail's process panics."""
    if len(node.arguments) != 1 or not isinstance(node.arguments[0].type, Map):
        return None
    name = "inline_outer" if node.name.endswith("outer") else "inline"
    entries = Call(name="map_entries", arguments=node.arguments)
    return node.replace(name=name, arguments=(entries,))


def refuse_places(node: Call, _: Context) -> Node | None:
    """posexplode of a map."""
    if len(node.arguments) == 1 and isinstance(node.arguments[0].type, Map):
        raise lacking(node.name, "the places of a map's entries", "Write posexplode(map_entries(m)).")
    return None


def write_zip(node: Call, context: Context) -> Node | None:
    """zip_with(a, b, (x, y) -> e) as a transform of arrays_zip, which pads with nulls too.

    A column would give its name to its field: coalesce has none, and the fields are numbers.
    """
    if len(node.arguments) != 3:
        return None
    left, right, function = node.arguments
    zipped = fill(context, "arrays_zip(coalesce({0}), coalesce({1}))", left, right)
    if not isinstance(function, Lambda):
        return fill(context, "transform({0}, item_ -> {1})", zipped, function, gives=node.type)
    kinds = [each.type.element if isinstance(each.type, Array) else None for each in (left, right)]
    return _over_pairs(node, function, zipped, ("0", "1"), kinds, "{body}", context)


def write_map_function(node: Call, context: Context) -> Node | None:
    """transform_values(m, (k, v) -> e) and transform_keys as a transform of the map's entries."""
    if len(node.arguments) != 2:
        return None
    base, function = node.arguments
    entries = fill(context, "map_entries({0})", base)
    kinds = [base.type.key, base.type.value] if isinstance(base.type, Map) else [None, None]
    pair = "struct({first}, {body})" if node.name == "transform_values" else "struct({body}, {second})"
    if not isinstance(function, Lambda):
        value = "struct(item_.key, {1})" if node.name == "transform_values" else "struct({1}, item_.value)"
        return fill(
            context, f"map_from_entries(transform({{0}}, item_ -> {value}))", entries, function, gives=node.type
        )
    found = _over_pairs(node, function, entries, ("key", "value"), kinds, pair, context)
    return fill(context, "map_from_entries({0})", found, gives=node.type)


def write_map_zip(node: Call, context: Context) -> Node | None:
    """map_zip_with(m, n, (k, v, w) -> e) over the keys of both maps, in the order of m and then of n."""
    if len(node.arguments) != 3:
        return None
    left, right, function = node.arguments
    if not isinstance(left.type, Map) or not isinstance(right.type, Map):
        raise lacking(node.name, "this function of maps whose types are not known", "Cast the maps first.")
    key = node.type.key if isinstance(node.type, Map) else None
    left, right = _with_key(left, key, context), _with_key(right, key, context)
    names = _names_of(function, 3)
    fields = "{a}, key_, {b}, element_at({0}, key_), {c}, element_at({1}, key_)"
    keys = f"transform(array_union(map_keys({{0}}), map_keys({{1}})), key_ -> named_struct({fields}))"
    triples = fill(context, keys, left, right, a=names[0], b=names[1], c=names[2])
    both = fill(context, "{0} IS NULL OR {1} IS NULL", left, right)
    if not isinstance(function, Lambda):
        found = fill(context, "transform({0}, item_ -> struct(item_.first, {1}))", triples, function)
    else:
        item = Parameter(name=context.parameter_beside("item_", names_of_parameters((function,))))
        values = [Field(base=item, name=name) for name in names]
        body = _replace_parameters(node.name, function, values)
        made = Call(name="struct", arguments=(values[0], body))
        found = Call(name="transform", arguments=(triples, Lambda(parameters=(item,), body=made)))
    return fill(context, "if({0}, NULL, map_from_entries({1}))", both, found, gives=node.type)


def _names_of(function: Expression, count: int) -> list[str]:
    """Names for the fields of what a lambda is called with: its parameters, after which Sail names those of structs."""
    names = [each.name for each in function.parameters] if isinstance(function, Lambda) else []
    others = [each for each in ("first", "second", "third") if each not in {name.lower() for name in names}]
    return [*names, *others][:count]


def _with_key(node: Expression, key: Type | None, context: Context) -> Expression:
    """A map whose keys are cast to a type."""
    if not isinstance(node.type, Map) or key is None or node.type.key == key:
        return node
    if not isinstance(key, Atomic | Decimal):
        return node
    template = "map_from_entries(transform(map_entries({0}), entry_ -> struct(CAST(entry_.key AS {k}), entry_.value)))"
    return fill(context, template, node, k=key, gives=Map(key, node.type.value))


def _over_pairs(
    node: Call,
    function: Lambda,
    pairs: Expression,
    fields: tuple[str, str],
    kinds: Sequence[Type | None],
    result: str,
    context: Context,
) -> Expression:
    """A transform of pairs. Their fields are cast to their types where these are known, which tells them to Sail."""
    names = [each.name for each in function.parameters]
    if not 1 <= len(names) <= 2:
        raise lacking(node.name, "this function of two values", f"Write {node.name}(…, (x, y) -> …).")
    before = Parameter(name=context.parameter_beside("pair_", names_of_parameters((pairs,))))
    cells: list[Expression] = []
    own = _names_of(function, 2)
    for name, field, kind in zip(own, fields, kinds, strict=True):
        cells += [constant(name), _as(Field(base=before, name=field), kind)]
    made = Call(name="named_struct", arguments=tuple(cells))
    array = Call(name="transform", arguments=(pairs, Lambda(parameters=(before,), body=made)))
    after = Parameter(name=context.parameter_beside("item_", names_of_parameters((function,))))
    values = [Field(base=after, name=name) for name in own]
    body = _replace_parameters(node.name, function, values[: len(names)])
    item = fill(context, result, body=body, first=values[0], second=values[1])
    return Call(name="transform", arguments=(array, Lambda(parameters=(after,), body=item)), type=node.type)


def _replace_parameters(word: str, function: Lambda, values: Sequence[Expression]) -> Expression:
    """The body with values in the place of its parameters. Errors: EngineLacks."""
    names = [each.name.lower() for each in function.parameters]
    inner = {each.name.lower() for node in function.body.walk() if isinstance(node, Lambda) for each in node.parameters}
    if len(set(names)) != len(values) or len(names) != len(values) or inner & set(names):
        raise lacking(word, "this function of several values", f"Write {word}(…, (x, y) -> …), each name once.")
    found = dict(zip(names, values, strict=True))

    def replaced(node: Node) -> Node:
        return found.get(node.name.lower(), node) if isinstance(node, Parameter) else node

    return transform(function.body, replaced)


def _as(node: Expression, kind: Type | None) -> Expression:
    if kind is not None and str(kind) == "STRING":
        return Cast(operand=node, type=Text("varchar", 65535))
    return cast_to(node, kind) if isinstance(kind, Decimal) or is_number(kind) else node


def write_constant_lambda(node: Call, context: Context) -> Node | None:
    """transform(a, e) without a lambda: e for each item."""
    if len(node.arguments) != 2 or isinstance(node.arguments[1], Lambda):
        return None
    return fill(context, f"{node.name}({{0}}, item_ -> {{1}})", *node.arguments, gives=node.type)


def write_condition(node: Call, context: Context) -> Node | None:
    """filter(a, x -> NULL): to Sail NULL is no condition; and filter(a, e) without a lambda."""
    if len(node.arguments) != 2:
        return None
    base, function = node.arguments
    if isinstance(function, Lambda) and function.body.type == VOID:
        return node.replace(arguments=(base, function.replace(body=cast_to(function.body, BOOLEAN))))
    return write_constant_lambda(node, context)


def write_constant_fold(node: Call, context: Context) -> Node | None:
    """aggregate(a, z, e) without a lambda: e for each item."""
    if len(node.arguments) != 3 or isinstance(node.arguments[2], Lambda):
        return None
    return fill(context, "aggregate({0}, {1}, (sum_, item_) -> {2})", *node.arguments, gives=node.type)


def write_key(node: Call, _: Context) -> Node | None:
    """map_contains_key of a map with keys of another type."""
    if len(node.arguments) != 2:
        return None
    base, key = node.arguments
    if not isinstance(base.type, Map) or base.type.key == key.type or not is_number(base.type.key):
        return None
    keys = Call(name="map_keys", arguments=(base,))
    if not is_number(key.type) or (is_integer(base.type.key) and is_integer(key.type)):
        return None
    wide = Array(key.type) if is_integer(base.type.key) else Array(base.type.key)
    if isinstance(wide.element, Decimal) and isinstance(key.type, Decimal):
        return None
    return Call(name="array_contains", arguments=(cast_to(keys, wide), cast_to(key, wide.element)), type=BOOLEAN)


def refuse_computed_names(node: Call, _: Context) -> Node | None:
    """json_tuple of names that are not written out. Errors: EngineLacks."""
    if not all(isinstance(each, Constant) and isinstance(each.value, str) for each in node.arguments[1:]):
        raise lacking("json_tuple", "names that are not written out", "Write get_json_object(j, '$.name').")
    return None


def write_field(node: Field, _: Context) -> Node | None:
    """`m.key`, a value of a map, and a field of NULL."""
    if isinstance(node.base.type, Map):
        return Element(base=node.base, index=text_constant(node.name), type=node.type)
    return constant(None) if node.base.type == VOID else None


RULES: Final[Mapping[str, CallRule]] = {
    **dict.fromkeys(("aggregate", "reduce"), write_constant_fold),
    **dict.fromkeys(("exists", "filter", "forall"), write_condition),
    "array_contains": write_contains,
    "array_max": write_extreme,
    "array_min": write_extreme,
    "array_size": write_size,
    "array_sort": write_sort,
    "cardinality": write_size,
    "explode": write_explode,
    "explode_outer": write_explode,
    "json_tuple": refuse_computed_names,
    "map_contains_key": write_key,
    "map_zip_with": write_map_zip,
    "posexplode": refuse_places,
    "posexplode_outer": refuse_places,
    "size": write_size,
    "slice": write_slice,
    "sort_array": write_sort_array,
    "transform": write_constant_lambda,
    "transform_keys": write_map_function,
    "transform_values": write_map_function,
    "zip_with": write_zip,
}
