"""The functions of Spark 4.2: what they take and give (`functions.toml`), and the columns of those that make rows."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from mcp_server.sql import functions as classes
from mcp_server.sql.compose import quote_text
from mcp_server.sql.typed.coercion import UNKNOWN, NoCommonTypeError, join_types, widen_tightly
from mcp_server.sql.typed.nodes import Call, Constant, Expression, NamedArgument
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Output
from mcp_server.sql.typed.signatures import Signature, parse_signature
from mcp_server.sql.typed.types import BIGINT, INT, STRING, VARIANT, VOID, Array, Map, Struct, Type, as_schema

_AGGREGATES: Final = frozenset({"aggregate", "collecting"})


@dataclass(frozen=True, slots=True)
class Function:
    """A function. `kind` is its class, such as aggregate or generator (`mcp_server/sql/functions.toml`).

    `differ` is Spark's condition where arguments that must have one type have two; `parameters` are the names of its
    arguments where Spark takes `name => value`; `constants` maps the places of arguments that must be constants to
    Spark's condition where they are not; `options` is the place of a map of options; `nulls` is Spark's
    condition where an argument is NULL, if it refuses that.
    """

    name: str
    kind: str
    signatures: tuple[Signature, ...]
    differ: str
    parameters: tuple[str, ...]
    constants: Mapping[int, str]
    options: int | None
    nulls: str

    @property
    def least(self) -> int:
        """The least number of arguments."""
        return min(each.least for each in self.signatures)

    @property
    def most(self) -> int | None:
        """The largest number of arguments, None where there is none."""
        counts = [each.most for each in self.signatures]
        return None if None in counts else max(count for count in counts if count is not None)

    @property
    def is_aggregate(self) -> bool:
        """Whether it takes DISTINCT and FILTER, and OVER as well."""
        return self.kind in _AGGREGATES

    @property
    def is_window(self) -> bool:
        """Whether it needs OVER."""
        return self.kind == "window" and self.name not in {"window", "session_window", "window_time"}

    @property
    def is_generator(self) -> bool:
        """Whether it makes rows."""
        return self.kind == "generator"

    def signature(self, count: int) -> Signature | None:
        """Return the form that takes so many arguments, None where there is none."""
        return next((each for each in self.signatures if each.takes(count)), None)


@functools.cache
def functions() -> Mapping[str, Function]:
    """Return the functions by lower-case name."""
    data = tomllib.loads(resources.files(__package__).joinpath("functions.toml").read_text("utf-8"))
    kinds = classes.functions().classes
    differ = {name: condition for condition, names in data["conditions"].items() for name in names.split()}
    nulls = {name: condition for condition, names in data["nulls"].items() for name in names.split()}
    constants: dict[str, dict[int, str]] = {}
    for condition, places in data["constants"].items():
        for place in places.split():
            name, _, index = place.rpartition("/")
            constants.setdefault(name, {})[int(index) - 1] = condition
    return {
        name: Function(
            name,
            kinds.get(name, "scalar"),
            tuple(map(parse_signature, [text] if isinstance(text, str) else text)),
            differ.get(name, "DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
            tuple(data["parameters"].get(name, "").split()),
            constants.get(name, {}),
            data["options"].get(name, 0) - 1 if name in data["options"] else None,
            nulls.get(name, ""),
        )
        for name, text in data["signatures"].items()
    }


def is_aggregate(name: str) -> bool:
    """Whether a function aggregates."""
    return name in functions() and functions()[name].is_aggregate


def is_generator(name: str) -> bool:
    """Whether a function makes rows."""
    return name in functions() and functions()[name].is_generator


# --- named arguments


def place_arguments(call: Call) -> Call:
    """Return a call without `name => value`: each argument at its place.

    Raises SparkRefuses for names that the function does not have, and for what stands twice or is left out.
    """
    named = [each for each in call.arguments if isinstance(each, NamedArgument)]
    if not named:
        return call
    function = functions().get(call.name)
    if function is None:
        return call
    parameters = function.parameters
    if not parameters:
        raise SparkRefuses(
            "NAMED_PARAMETERS_NOT_SUPPORTED", f"{call.name} takes no named arguments: write them in order.", call.at
        )
    placed = _place(call, parameters)
    filled = [_default(each, name) for each, name in zip(_without_tail(placed), parameters, strict=False)]
    missing = [parameters[index] for index, each in enumerate(filled) if each is None]
    if missing or len(filled) < function.least:
        name = (missing[0] if missing else parameters[len(filled)]).partition("=")[0]
        text = f"{call.name} needs its argument {name} as well."
        raise SparkRefuses("REQUIRED_PARAMETER_NOT_FOUND", text, call.at)
    return call.replace(arguments=tuple(each for each in filled if each is not None))


def _place(call: Call, parameters: tuple[str, ...]) -> list[Expression | None]:
    placed: list[Expression | None] = [None] * max(len(parameters), len(call.arguments))
    seen = False
    for index, argument in enumerate(call.arguments):
        if not isinstance(argument, NamedArgument):
            if seen:
                text = "An argument without a name stands behind one with a name: put it before."
                raise SparkRefuses("UNEXPECTED_POSITIONAL_ARGUMENT", text, argument.at)
            placed[index] = argument
            continue
        seen = True
        place = _find(call.name, argument, parameters)
        if placed[place] is not None:
            named = any(each is not argument and _is_called(each, argument.name) for each in call.arguments)
            condition = "DOUBLE_NAMED_ARGUMENT_REFERENCE" if named else "BOTH_POSITIONAL_AND_NAMED"
            text = f"{call.name} has its argument {argument.name} twice."
            raise SparkRefuses(f"DUPLICATE_ROUTINE_PARAMETER_ASSIGNMENT.{condition}", text, argument.at)
        placed[place] = argument.operand
    return placed


def _default(argument: Expression | None, parameter: str) -> Expression | None:
    """Return an argument, or what stands for it where it is left out."""
    _, has_default, value = parameter.partition("=")
    return Constant(quote_text(value), value, type=STRING) if argument is None and has_default else argument


def _is_called(argument: Expression, name: str) -> bool:
    return isinstance(argument, NamedArgument) and argument.name.lower() == name.lower()


def _find(name: str, argument: NamedArgument, parameters: tuple[str, ...]) -> int:
    for index, parameter in enumerate(parameters):
        if parameter.partition("=")[0].lower() == argument.name.lower():
            return index
    known = ", ".join(parameter.partition("=")[0] for parameter in parameters)
    text = f"{name} has no argument {argument.name}; it has {known}."
    raise SparkRefuses("UNRECOGNIZED_PARAMETER_NAME", text, argument.at)


def _without_tail(placed: list[Expression | None]) -> list[Expression | None]:
    while placed and placed[-1] is None:
        placed = placed[:-1]
    return placed


# --- functions that make rows


def generated(call: Call) -> tuple[Output, ...] | None:
    """Return the columns of a function that makes rows; None where they cannot be told, or it makes none."""
    kinds = [each.type for each in call.arguments]
    name = call.name.removesuffix("_outer")
    if name in {"explode", "posexplode"}:
        columns = _exploded(kinds[0] if kinds else None)
        return columns and ((Output("pos", INT), *columns) if name == "posexplode" else columns)
    if name == "inline":
        return _inlined(kinds[0] if kinds else None)
    if name == "stack":
        return _stacked(call)
    if name == "json_tuple":
        return tuple(Output(f"c{index}", STRING) for index in range(len(kinds) - 1))
    return _FIXED.get(name)


_FIXED: Final[Mapping[str, tuple[Output, ...]]] = {
    "range": (Output("id", BIGINT),),
    "variant_explode": (Output("pos", INT), Output("key", STRING), Output("value", VARIANT)),
}


def _exploded(kind: Type | None) -> tuple[Output, ...] | None:
    if isinstance(kind, Array):
        return (Output("col", kind.element),)
    return (Output("key", kind.key), Output("value", kind.value)) if isinstance(kind, Map) else None


def _inlined(kind: Type | None) -> tuple[Output, ...] | None:
    if not isinstance(kind, Array) or not isinstance(kind.element, Struct):
        return None
    return tuple(Output(name, each) for name, each in kind.element.fields)


def _stacked(call: Call) -> tuple[Output, ...] | None:
    """The columns of stack(rows, value, …): each has the type of all values that stand in it."""
    first = call.arguments[0] if call.arguments else None
    if not isinstance(first, Constant) or not isinstance(first.value, int) or first.value < 1:
        return None
    values = [each.type for each in call.arguments[1:]]
    width = -(-len(values) // first.value)
    return tuple(Output(f"col{index}", _stacked_type(call, values[index::width])) for index in range(width))


def _same_or_null(left: Type, right: Type) -> Type | None:
    return widen_tightly(left, right) if left == right or {VOID, UNKNOWN} & {left, right} else None


def _stacked_type(call: Call, kinds: list[Type | None]) -> Type | None:
    try:
        return join_types(kinds, _same_or_null)
    except NoCommonTypeError as error:
        one, other = map(as_schema, error.types)
        text = f"A column of stack has values of the types {one} and {other}: cast one of them."
        raise SparkRefuses("DATATYPE_MISMATCH.STACK_COLUMN_DIFF_TYPES", text, call.at) from None
