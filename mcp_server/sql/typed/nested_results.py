"""What functions of arrays, maps, structs and JSON give where `functions.toml` cannot say it (see `results.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_server.sql.typed.call_checks import is_constant
from mcp_server.sql.typed.casts import cast_implicitly
from mcp_server.sql.typed.coercion import (
    UNKNOWN,
    are_alike,
    close,
    has_map,
    is_ansi_interval,
    is_moment,
    widen_as_element,
)
from mcp_server.sql.typed.functions import generated
from mcp_server.sql.typed.nodes import (
    Alias,
    Call,
    Column,
    Constant,
    Expression,
    Field,
    ItemUse,
    NamedArgument,
    Parameter,
)
from mcp_server.sql.typed.operators import refuse
from mcp_server.sql.typed.results import Kinds, Rule, join_kinds
from mcp_server.sql.typed.types import (
    DATE,
    INTEGERS,
    STRING,
    VARIANT,
    VOID,
    Array,
    Interval,
    Map,
    Struct,
    Type,
    as_schema,
    parse_fields,
    parse_type,
)

_UNEXPECTED: Final = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"
_MAP_KEY: Final = "DATATYPE_MISMATCH.INVALID_MAP_KEY_TYPE"


def _array(call: Call, kinds: Kinds) -> Type:
    return Array(join_kinds(call.name, kinds))


def name_field(node: Expression, index: int) -> str:
    """Return the name that a field of a struct has: that of a column or field, else col1, col2 …"""
    match node:
        case Column() | Field() | NamedArgument() | Alias() | Parameter() | ItemUse():
            return node.name
        case _:
            return f"col{index + 1}"


def _struct(call: Call, kinds: Kinds) -> Type:
    pairs = enumerate(zip(call.arguments, kinds, strict=True))
    return Struct(tuple((name_field(node, index), kind) for index, (node, kind) in pairs))


def _named_struct(call: Call, kinds: Kinds) -> Type:
    _need_pairs(call, kinds)
    names = call.arguments[::2]
    if any(each.type not in {STRING, None} for each in names) or not all(map(is_constant, names)):
        condition = "DATATYPE_MISMATCH.CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING"
        raise refuse(condition, "The names in named_struct are constant texts.")
    if not all(isinstance(each, Constant) and isinstance(each.value, str) for each in names):
        return UNKNOWN
    texts = [str(each.value) for each in names if isinstance(each, Constant)]
    return Struct(tuple(zip(texts, kinds[1::2], strict=True)))


def _need_pairs(call: Call, kinds: Kinds) -> None:
    if len(kinds) % 2:
        raise refuse("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", f"{call.name} takes pairs of arguments, not {len(kinds)}.")


def _check_key(name: str, kind: Type) -> Type:
    if has_map(kind) or kind == VARIANT:
        raise refuse(_MAP_KEY, f"The keys of {name} cannot be of the type {as_schema(kind)}.")
    return kind


def _map(call: Call, kinds: Kinds) -> Type:
    _need_pairs(call, kinds)
    key = join_kinds(call.name, kinds[::2], condition="DATATYPE_MISMATCH.CREATE_MAP_KEY_DIFF_TYPES")
    value = join_kinds(call.name, kinds[1::2], condition="DATATYPE_MISMATCH.CREATE_MAP_VALUE_DIFF_TYPES")
    return Map(_check_key(call.name, key), value)


def _map_concat(call: Call, kinds: Kinds) -> Type:
    if not kinds:
        return Map(STRING, STRING)
    if any(not isinstance(kind, Map) and kind != UNKNOWN for kind in kinds):
        raise refuse("DATATYPE_MISMATCH.MAP_CONCAT_DIFF_TYPES", f"{call.name} takes maps alone.")
    return join_kinds(call.name, kinds)


def _map_from_entries(call: Call, kinds: Kinds) -> Type:
    kind = kinds[0]
    pair = kind.element if isinstance(kind, Array) else kind
    if pair in {UNKNOWN, None}:
        return Map(UNKNOWN, UNKNOWN)
    if not isinstance(pair, Struct) or len(pair.fields) != 2:
        raise refuse(_UNEXPECTED, f"{call.name} takes an array of structs of two fields, not {as_schema(kind)}.")
    return Map(_check_key(call.name, close(pair.fields[0][1])), close(pair.fields[1][1]))


def _zip(call: Call, kinds: Kinds) -> Type:
    fields = []
    for index, (node, kind) in enumerate(zip(call.arguments, kinds, strict=True)):
        name = node.name if isinstance(node, Column | Field | Alias) else str(index)
        fields.append((name, kind.element if isinstance(kind, Array) else UNKNOWN))
    return Array(Struct(tuple(fields)))


def _flatten(call: Call, kinds: Kinds) -> Type:
    kind = kinds[0]
    if kind == UNKNOWN:
        return UNKNOWN
    if isinstance(kind, Array):
        if kind.element == UNKNOWN:
            return UNKNOWN
        if isinstance(kind.element, Array):
            return kind.element
    raise refuse(_UNEXPECTED, f"{call.name} takes an array of arrays, not {as_schema(kind)}.")


def type_element(name: str, base: Type, index: Type, *, strict: bool = True) -> Type:
    """Return the type of an element of an array, or of a value of a map. Raises SparkRefuses without a place.

    `strict`: as element_at; else as `base[index]`.
    """
    if base in {UNKNOWN, VOID} and (base == UNKNOWN or not strict):
        return base
    if isinstance(base, Array):
        allowed = INTEGERS[:3] if strict else INTEGERS
        if index not in {*allowed, UNKNOWN} and (strict or index != VOID):
            raise refuse(_UNEXPECTED, f"The index of an array is a whole number, not {as_schema(index)}.")
        return base.element or UNKNOWN
    if isinstance(base, Map):
        key = base.key or UNKNOWN
        fits = widen_as_element(key, index) is not None if strict else cast_implicitly(index, key) is not None
        if not fits:
            condition = "DATATYPE_MISMATCH.MAP_FUNCTION_DIFF_TYPES" if strict else _UNEXPECTED
            raise refuse(condition, f"The keys of the map are of the type {as_schema(key)}, not {as_schema(index)}.")
        return base.value or UNKNOWN
    raise refuse(
        _UNEXPECTED if strict else "INVALID_EXTRACT_BASE_FIELD_TYPE",
        f"{name} takes an array or a map, not {as_schema(base)}.",
    )


def _element_at(call: Call, kinds: Kinds) -> Type:
    return type_element(call.name, kinds[0], kinds[1])


def _sequence(call: Call, kinds: Kinds) -> Type:
    if UNKNOWN in kinds[:2]:
        return Array(UNKNOWN)
    condition = "DATATYPE_MISMATCH.SEQUENCE_WRONG_INPUT_TYPES"
    steps = [kind for kind in kinds[2:] if not isinstance(kind, Interval) and kind != UNKNOWN]
    kind = join_kinds(call.name, [*kinds[:2], *(steps if kinds[0] in INTEGERS else [])], condition=condition)
    step = kinds[2] if len(kinds) > 2 else UNKNOWN
    if kind in INTEGERS:
        fits = step == UNKNOWN or step in {*INTEGERS, VOID}
    else:
        fits = (kind == DATE or is_moment(kind)) and (step in {UNKNOWN, Interval(), VOID} or is_ansi_interval(step))
    if not fits:
        raise refuse(condition, f"{call.name} takes whole numbers, or dates or timestamps with an interval as step.")
    return Array(kind)


def _aggregate(call: Call, kinds: Kinds) -> Type:
    """aggregate and reduce: what the last lambda gives, else the type of the start."""
    if not are_alike(kinds[1], kinds[2]):
        one, other = map(as_schema, kinds[1:3])
        raise refuse(_UNEXPECTED, f"{call.name} starts with {one}, and its lambda gives {other}: cast the start.")
    return kinds[3] if len(kinds) > 3 else kinds[1]


def _transform_keys(call: Call, kinds: Kinds) -> Type:
    base = kinds[0]
    value = base.value if isinstance(base, Map) else None
    return Map(_check_key(call.name, kinds[1]), value or UNKNOWN)


def _from_text(call: Call, _: Kinds) -> Type:
    """from_json and from_csv with a constant schema."""
    schema = call.arguments[1]
    if schema.type not in {STRING, None} or not is_constant(schema):
        text = f"The schema in {call.name} is a constant text, such as 'a INT'."
        raise refuse("INVALID_SCHEMA.NON_STRING_LITERAL", text)
    if not isinstance(schema, Constant) or not isinstance(schema.value, str):
        return UNKNOWN
    return close(parse_type(schema.value) or parse_fields(schema.value))


def _variant_get(call: Call, kinds: Kinds) -> Type:
    if len(kinds) < 3:
        return VARIANT
    target = call.arguments[2]
    return close(parse_type(target.value) if isinstance(target, Constant) and isinstance(target.value, str) else None)


def _generator(call: Call, kinds: Kinds) -> Type:
    """The type of a function that makes rows of one column."""
    if call.name == "json_tuple" and any(kind not in {STRING, UNKNOWN} for kind in kinds):
        raise refuse("DATATYPE_MISMATCH.NON_STRING_TYPE", "All arguments of json_tuple are texts.")
    if call.name in {"inline", "inline_outer"}:
        element = kinds[0].element if isinstance(kinds[0], Array) else None
        if kinds[0] != UNKNOWN and element != UNKNOWN and not isinstance(element, Struct):
            raise refuse(_UNEXPECTED, f"{call.name} takes an array of structs, not {as_schema(kinds[0])}.")
    outputs = generated(call)
    return close(outputs[0].type) if outputs is not None and len(outputs) == 1 else UNKNOWN


NESTED_RULES: Final[Mapping[str, Rule]] = {
    "aggregate": _aggregate,
    "array": _array,
    "element_at": _element_at,
    "flatten": _flatten,
    "from_text": _from_text,
    "generator": _generator,
    "map": _map,
    "map_concat": _map_concat,
    "map_from_entries": _map_from_entries,
    "named_struct": _named_struct,
    "sequence": _sequence,
    "struct": _struct,
    "transform_keys": _transform_keys,
    "variant_get": _variant_get,
    "zip": _zip,
}
