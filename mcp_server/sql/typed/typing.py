"""Tells the type of an expression whose parts have theirs, and what Spark's analyser refuses of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar, cast

from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.call_checks import check_arguments, check_operands, check_place
from mcp_server.sql.typed.casts import cast_implicitly, refused_cast
from mcp_server.sql.typed.coercion import UNKNOWN, are_alike, close, reopen
from mcp_server.sql.typed.date_results import DATE_RULES
from mcp_server.sql.typed.functions import functions, place_arguments
from mcp_server.sql.typed.literal_checks import check_constant, type_interval
from mcp_server.sql.typed.literals import number_type
from mcp_server.sql.typed.matching import match
from mcp_server.sql.typed.nested_results import NESTED_RULES, name_field, type_element
from mcp_server.sql.typed.nodes import Call, Expression
from mcp_server.sql.typed.operators import refuse, type_binary, type_unary
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.results import RULES, join_kinds, whole_literal
from mcp_server.sql.typed.signatures import Signature
from mcp_server.sql.typed.types import (
    BINARY,
    BOOLEAN,
    DATE,
    STRING,
    TIME,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    VARIANT,
    VOID,
    Array,
    Map,
    Struct,
    Type,
    as_schema,
    parse_type,
    without_lengths,
)
from mcp_server.sql.typed.widening import common_outputs, row_outputs

E = TypeVar("E", bound=Expression)

_UNEXPECTED: Final = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"


def complete(node: E) -> E:
    """Return an expression with its type; its children have theirs.

    Raises SparkRefuses where Spark's analyser refuses it for types or numbers of arguments.
    """
    if isinstance(node, Call):
        node = cast("E", place_arguments(node))
    rule = _RULES.get(type(node))
    try:
        check_operands(node)
        kind = node.type if rule is None else rule(node)
    except SparkRefuses as error:
        if error.at is None:
            raise SparkRefuses(error.condition, error.message, node.at) from None
        raise
    return node if kind is node.type else node.replace(type=kind)


# --- literals


_WORDS: Final[Mapping[str, Type]] = {"NULL": VOID, "TRUE": BOOLEAN, "FALSE": BOOLEAN}
_TYPED: Final[Mapping[str, Type]] = {
    "DATE": DATE,
    "TIME": TIME,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMP_LTZ": TIMESTAMP,
    "TIMESTAMP_NTZ": TIMESTAMP_NTZ,
    "X": BINARY,
}


_QUOTE: Final = re.compile("['\"]")


def type_constant(text: str) -> Type | None:
    """Return the type of a literal as it is written: `1`, `1.5`, `2L`, `'a'`, `NULL`, `DATE '2026-01-31'`."""
    upper = text.strip().upper()
    if upper in _WORDS:
        return _WORDS[upper]
    word = _QUOTE.split(upper, maxsplit=1)[0].strip()
    if word != upper:
        return _TYPED.get(word) if word not in {"", "R"} else STRING
    return number_type(upper)


# --- operators


def _constant(node: nodes.Constant) -> Type | None:
    check_constant(node)
    return node.type or type_constant(node.text)


def _unary(node: nodes.Unary) -> Type | None:
    return type_unary(node.operator, node.operand.type)


_CALLED: Final[Mapping[str, str]] = {"||": "concat", "<<": "shiftleft", ">>": "shiftright", ">>>": "shiftrightunsigned"}


def _binary(node: nodes.Binary) -> Type | None:
    if node.operator in _CALLED:
        return _call(Call(_CALLED[node.operator], (node.left, node.right), at=node.at))
    literals = whole_literal(node.left), whole_literal(node.right)
    return type_binary(node.operator, node.left.type, node.right.type, literals)


def _logic(node: nodes.Logic) -> Type | None:
    first, *others = node.operands
    kind = first.type
    for other in others:
        type_binary(node.operator, kind, other.type)
        kind = BOOLEAN
    return BOOLEAN


def _need_boolean(what: str, kind: Type | None) -> None:
    if cast_implicitly(close(kind), BOOLEAN) is None:
        raise refuse(_UNEXPECTED, f"{what} takes a boolean, not {as_schema(kind)}: compare it with something.")


def _not(node: nodes.Not) -> Type:
    _need_boolean("NOT", node.operand.type)
    return BOOLEAN


def _is(node: nodes.Is) -> Type:
    if node.value != "null":
        type_binary("<=>", node.operand.type, BOOLEAN)
    return BOOLEAN


def _between(node: nodes.Between) -> Type:
    for operator, edge in ((">=", node.low), ("<=", node.high)):
        literals = whole_literal(node.operand), whole_literal(edge)
        type_binary(operator, node.operand.type, edge.type, literals)
    return BOOLEAN


def _like(node: nodes.Like) -> Type:
    for kind in (node.operand.type, *(each.type for each in node.patterns)):
        if cast_implicitly(close(kind), STRING) is None:
            raise refuse(_UNEXPECTED, f"{node.operator.upper()} compares texts, not {as_schema(kind)}.")
    return BOOLEAN


def _in(node: nodes.In) -> Type:
    kinds = [close(each.type) for each in (node.operand, *node.items)]
    if not all(are_alike(kinds[0], each) for each in kinds):
        join_kinds("IN", kinds)
    return BOOLEAN


def _case(node: nodes.Case) -> Type | None:
    for condition in node.conditions:
        if node.operand is None:
            _need_condition(condition.type)
        else:
            literals = whole_literal(node.operand), whole_literal(condition)
            type_binary("=", node.operand.type, condition.type, literals)
    results = [*node.results, *([node.otherwise] if node.otherwise is not None else [])]
    return reopen(join_kinds("CASE", [close(each.type) for each in results]))


def _need_condition(kind: Type | None) -> None:
    if close(kind) not in {UNKNOWN, BOOLEAN, VOID}:
        raise refuse(_UNEXPECTED, f"WHEN takes a boolean, not {as_schema(kind)}: compare it with something.")


def _cast(node: nodes.Cast) -> Type | None:
    target = without_lengths(node.type or parse_type(node.text or ""))
    condition = refused_cast(node.operand.type, target, tries=node.tries)
    if condition:
        raise refuse(condition, f"{as_schema(node.operand.type)} cannot be cast to {as_schema(target)}.")
    return target


# --- sub-queries


def _scalar_query(node: nodes.ScalarQuery) -> Type | None:
    outputs = node.query.outputs
    if outputs is None:
        return None
    if len(outputs) != 1:
        condition = "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN"
        raise refuse(condition, f"A sub-query that is a value gives one column, not {len(outputs)}.")
    return outputs[0].type


_DIFFERS_IN_QUERY: Final = "DATATYPE_MISMATCH.IN_SUBQUERY_DATA_TYPE_MISMATCH"


def _in_query(node: nodes.InQuery) -> Type:
    outputs = node.query.outputs
    if outputs is None:
        return BOOLEAN
    operands = [each.type for each in node.operands]
    if len(operands) == 1 and isinstance(operands[0], Struct) and len(outputs) != 1:
        operands = [kind for _, kind in operands[0].fields]
    if len(operands) != len(outputs):
        text = f"{len(operands)} values are compared with {len(outputs)} columns of the sub-query."
        raise refuse("DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH", text)
    for kind, output in zip(operands, outputs, strict=True):
        join_kinds("IN", (close(kind), close(output.type)), condition=_DIFFERS_IN_QUERY)
    return BOOLEAN


# --- parts of values


def _field(node: nodes.Field) -> Type | None:
    kind = node.base.type
    if isinstance(kind, Struct):
        return _find_field(node, kind)
    if isinstance(kind, Array) and isinstance(kind.element, Struct):
        return Array(_find_field(node, kind.element))
    if isinstance(kind, Map):
        return kind.value
    if kind in {None, VOID, VARIANT} or (isinstance(kind, Array) and kind.element is None):
        return kind if kind in {VOID, VARIANT} else None
    if isinstance(node.base, nodes.ItemUse):
        return None  # Spark tries the column behind the item as well
    raise refuse("INVALID_EXTRACT_BASE_FIELD_TYPE", f"{as_schema(kind)} has no fields, such as {node.name}.")


def _find_field(node: nodes.Field, kind: Struct) -> Type | None:
    found = [each for name, each in kind.fields if name.lower() == node.name.lower()]
    if len(found) > 1:
        text = f"{as_schema(kind)} has several fields of the name {node.name}."
        raise refuse("AMBIGUOUS_REFERENCE_TO_FIELDS", text)
    if not found:
        names = ", ".join(name for name, _ in kind.fields)
        raise refuse("FIELD_NOT_FOUND", f"There is no field {node.name}; there are {names}.")
    return found[0]


def _element(node: nodes.Element) -> Type | None:
    base, index = close(node.base.type), node.index
    if isinstance(base, Struct):
        if isinstance(index, nodes.Constant) and isinstance(index.value, str):
            return _find_field(nodes.Field(node.base, index.value), base)
        raise refuse("INVALID_EXTRACT_FIELD_TYPE", "A field of a struct is named by a text.")
    if isinstance(node.base, nodes.ItemUse) and not isinstance(base, Array | Map):
        return None  # Spark tries the column behind the item as well
    return reopen(type_element("[]", base, close(index.type), strict=False))


def _row(node: nodes.Row) -> Type:
    return Struct(tuple((name_field(each, index), each.type) for index, each in enumerate(node.items)))


# --- calls


_RESULTS: Final = {**RULES, **DATE_RULES, **NESTED_RULES}


def _call(node: Call) -> Type | None:
    function = functions().get(node.name)
    if function is None:
        return None
    if any(isinstance(each, nodes.Star) for each in node.arguments):
        return _free_result(function.signatures[0])
    check_place(node, function)
    signature = function.signature(len(node.arguments))
    if signature is None:
        text = f"{node.name} takes {_count(function.least, function.most)}, not {len(node.arguments)}."
        if function.parameters and len(node.arguments) < function.least:
            raise refuse("REQUIRED_PARAMETER_NOT_FOUND", text)
        suggestion = "WITH" if node.name == "count" else "WITHOUT"
        raise refuse(f"WRONG_NUM_ARGS.{suggestion}_SUGGESTION", text)
    if function.nulls and VOID in [each.type for each in node.arguments]:
        raise refuse(function.nulls, f"{node.name} takes no NULL.")
    fitted = match(node.name, signature, [each.type for each in node.arguments], function.differ)
    check_arguments(node, function)
    if signature.result is not None:
        return reopen(fitted.fill(signature.result))
    rule = _RESULTS[signature.rule]
    return reopen(rule(node, fitted.kinds))


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} arguments or more"
    return f"{least} arguments" if least == most else f"{least} to {most} arguments"


def _free_result(signature: Signature) -> Type | None:
    """The result where the arguments are not known."""
    if signature.result is None:
        return None
    fitted = match("", Signature((), signature.result, ""), [])
    return reopen(fitted.fill(signature.result))


def bind_parameters(name: str, types: Sequence[Type | None], index: int | None = None) -> tuple[Type | None, ...]:
    """Return the types of the parameters that a lambda of a call may have, given those of the arguments before it.

    `index` is the place of the lambda, by default behind the arguments. Nothing is returned for other functions.
    """
    place = len(types) if index is None else index
    function = functions().get(name)
    if function is None:
        return ()
    for signature in function.signatures:
        shape = signature.argument(place).shape if signature.arguments else None
        if shape is not None:
            try:
                fitted = match(name, signature, types[:place], function.differ)
            except SparkRefuses:
                return tuple(None for _ in shape.parameters)
            return tuple(reopen(fitted.fill(each)) for each in shape.parameters)
    return ()


_RULES: Final[Mapping[type, Callable[..., Type | None]]] = {
    nodes.Alias: lambda node: node.operand.type,
    nodes.Between: _between,
    nodes.Binary: _binary,
    Call: _call,
    nodes.Case: _case,
    nodes.Cast: _cast,
    nodes.Collate: lambda _: None,
    nodes.Constant: _constant,
    nodes.Element: _element,
    nodes.Exists: lambda _: BOOLEAN,
    nodes.Field: _field,
    nodes.In: _in,
    nodes.InQuery: _in_query,
    nodes.IntervalLiteral: type_interval,
    nodes.Is: _is,
    nodes.JsonPath: lambda _: VARIANT,
    nodes.Lambda: lambda node: node.body.type,
    nodes.Like: _like,
    nodes.Logic: _logic,
    nodes.NamedArgument: lambda node: node.operand.type,
    nodes.Not: _not,
    nodes.Row: _row,
    nodes.ScalarQuery: _scalar_query,
    nodes.Unary: _unary,
}

__all__ = ["bind_parameters", "common_outputs", "complete", "row_outputs", "type_constant"]
