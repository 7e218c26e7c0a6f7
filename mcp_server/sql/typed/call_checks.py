"""What Spark's analyser refuses of calls, besides types: windows, WITHIN GROUP, arguments that must be constants."""

from __future__ import annotations

from typing import Final

from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.casts import refused_cast
from mcp_server.sql.typed.coercion import UNKNOWN, close, has_map, is_moment, is_number, is_ordered
from mcp_server.sql.typed.functions import Function, is_generator
from mcp_server.sql.typed.nodes import Call, Constant, Expression, Frame, Lambda, Window
from mcp_server.sql.typed.operators import refuse
from mcp_server.sql.typed.relations import Query, Select
from mcp_server.sql.typed.results import whole_number
from mcp_server.sql.typed.types import DATE, INT, STRING, TIMESTAMP, VOID, Interval, Map, Type, as_schema

_WITHIN: Final = "INVALID_WITHIN_GROUP_EXPRESSION"
_NEED_WITHIN: Final = frozenset({"percentile_cont", "percentile_disc"})
_TAKE_WITHIN: Final = _NEED_WITHIN | {"mode", "listagg", "string_agg"}
_WITHOUT_ORDER: Final = _NEED_WITHIN | {"median"}
"""Functions that have an order of their own, so that their window has none."""


def check_operands(node: Expression) -> None:
    """Refuse a function that makes rows within an expression. Raises SparkRefuses."""
    if any(isinstance(each, Call) and is_generator(each.name) for each in node.children):
        text = "A function that makes rows stands alone in the SELECT list, or behind LATERAL."
        raise refuse("UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS", text)


def check_place(call: Call, function: Function) -> None:
    """Refuse what Spark refuses of a call before it looks at types. Raises SparkRefuses."""
    _check_within(call)
    if call.window is not None:
        check_window(call.window, call.name)
    for index, argument in enumerate(call.arguments):
        if isinstance(argument, Lambda) and all(form.shape_at(index) is None for form in function.signatures):
            text = f"{call.name} takes no lambda."
            raise refuse("INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION", text)
        if index == function.options:
            _check_options(argument)


def check_arguments(call: Call, function: Function) -> None:
    """Refuse values and columns where a call has constants of some kind. Raises SparkRefuses."""
    for index, argument in enumerate(call.arguments):
        condition = function.constants.get(index)
        if condition and not is_constant(argument):
            raise refuse(condition, f"Argument {index + 1} of {call.name} is a constant: it cannot depend on rows.")
    if call.name == "mask":
        _check_mask(call)
    if call.name in {"max_by", "min_by"} and len(call.arguments) > 2:
        count = whole_number(call.arguments[2])
        if count is not None and not 1 <= count <= _MOST_VALUES:
            text = f"{call.name} takes from 1 to {_MOST_VALUES} values."
            raise refuse("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", text)


_MOST_VALUES: Final = 100_000


def _check_mask(call: Call) -> None:
    for argument in call.arguments[1:]:
        if isinstance(argument, Constant) and isinstance(argument.value, str) and len(argument.value) != 1:
            text = f"mask writes single characters, not {argument.value}."
            raise refuse("DATATYPE_MISMATCH.INPUT_SIZE_NOT_ONE", text)


def is_constant(node: Expression) -> bool:
    """Whether no part of an expression depends on a row. What is not known may be a constant."""
    for each in node.walk():
        if isinstance(each, nodes.Column) and each.source is not None:
            return False
        if isinstance(each, nodes.ItemUse | nodes.Star | Query):
            return False
    return True


def _check_within(call: Call) -> None:
    name = call.name
    if not call.within:
        if name in _NEED_WITHIN or (name == "mode" and not call.arguments):
            raise refuse(f"{_WITHIN}.WITHIN_GROUP_MISSING", f"{name} needs WITHIN GROUP (ORDER BY …).")
        if call.distinct and name == "mode":
            raise refuse(f"{_WITHIN}.DISTINCT_UNSUPPORTED", f"{name} takes no DISTINCT.")
        return
    if name not in _TAKE_WITHIN:
        raise refuse("INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX", f"{name} takes no WITHIN GROUP.")
    if call.distinct and name not in {"listagg", "string_agg"}:
        raise refuse(f"{_WITHIN}.DISTINCT_UNSUPPORTED", f"{name} takes no DISTINCT with WITHIN GROUP.")
    takes_one = name in _NEED_WITHIN or name == "mode"
    if takes_one and (len(call.within) != 1 or (name == "mode" and call.arguments)):
        raise refuse(f"{_WITHIN}.WRONG_NUM_ORDERINGS", f"WITHIN GROUP of {name} orders by one expression.")


def check_sort_key(kind: Type | None) -> None:
    """Refuse an order by a type that has none. Raises SparkRefuses."""
    closed = close(kind)
    if has_map(closed) or not is_ordered(closed):
        text = f"Values of the type {as_schema(kind)} have no order: cast them."
        raise refuse("DATATYPE_MISMATCH.INVALID_ORDERING_TYPE", text)


def check_window(window: Window, name: str) -> None:
    """Refuse the window of a function. Raises SparkRefuses."""
    for key in window.order:
        check_sort_key(key.operand.type)
    if name in _WITHOUT_ORDER and (window.order or window.frame is not None):
        text = f"The window of {name} has neither ORDER BY nor a frame: leave them out."
        raise refuse("INVALID_WINDOW_SPEC_FOR_AGGREGATION_FUNC", text)
    if window.frame is not None:
        _check_frame(window, window.frame)


# --- frames


_FRAME: Final = "DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME"
_RANGE: Final = "DATATYPE_MISMATCH.RANGE_FRAME"


def check_named_windows(select: Select) -> None:
    """Refuse what Spark refuses of windows that a WINDOW clause defines, where items use them. Raises SparkRefuses."""
    windows = {each.name.lower(): each.window for each in select.windows}
    for item in select.items:
        for node in item.walk():
            if isinstance(node, Call) and node.window is not None and node.window.base is not None:
                window = windows.get(node.window.base.lower())
                if window is not None:
                    check_window(window, node.name)


def _check_frame(window: Window, frame: Frame) -> None:
    """`SpecifiedWindowFrame` and `WindowSpecDefinition` of `windowExpressions.scala`."""
    if frame.start == "unbounded following" or frame.end == "unbounded preceding":
        raise refuse(f"{_FRAME}_INVALID_BOUND", "A frame begins before it ends.")
    bounds = [each for each in (frame.low, frame.high) if each is not None]
    for bound in bounds:
        kind = close(bound.type)
        # Spark casts a text to the type of the order, so that 'inf' is a distance.
        ranges = frame.unit == "range" and (is_number(kind) or isinstance(kind, Interval) or kind == STRING)
        fits = ranges or kind in {UNKNOWN, INT}
        if not fits:
            text = f"The distances of {frame.unit.upper()} are not of the type {as_schema(kind)}."
            raise refuse(f"{_FRAME}_UNACCEPTED_TYPE", text)
    if frame.low is not None and frame.high is not None:
        low = _place(frame.start, whole_number(frame.low))
        high = _place(frame.end, whole_number(frame.high))
        if low is not None and high is not None and low > high:
            raise refuse(f"{_FRAME}_WRONG_COMPARISON", "A frame begins before it ends.")
    if frame.unit == "range" and window.base is None:
        _check_range(window, frame, bounds)


def _place(edge: str, distance: int | None) -> int | None:
    return None if distance is None else -distance if edge == "preceding" else distance


def _check_range(window: Window, frame: Frame, bounds: list[Expression]) -> None:
    unbounded = frame.start == "unbounded preceding" and frame.end == "unbounded following"
    if not window.order and not unbounded:
        raise refuse(f"{_RANGE}_WITHOUT_ORDER", "A RANGE needs ORDER BY in its window.")
    if bounds and len(window.order) > 1:
        raise refuse(f"{_RANGE}_MULTI_ORDER", "A RANGE with a distance has one expression in ORDER BY.")
    for bound in bounds:
        key, kind = close(window.order[0].operand.type), close(bound.type)
        if UNKNOWN not in {key, kind} and not _spans(key, kind):
            text = f"A RANGE over {as_schema(key)} has no distance of the type {as_schema(kind)}."
            raise refuse(f"{_RANGE}_INVALID_TYPE", text)


def _spans(key: Type, distance: Type) -> bool:
    """Whether a distance can be added to the values of an order."""
    if key == DATE:
        months = isinstance(distance, Interval) and distance.of_months
        return months or distance in {INT, Interval("day", "day")}
    if key == TIMESTAMP or (is_moment(key) and isinstance(distance, Interval)):
        return isinstance(distance, Interval)
    return not refused_cast(distance, key)


# --- options of JSON and CSV


def _check_options(argument: Expression) -> None:
    if not isinstance(argument, Call) or argument.name not in {"map", "map_from_arrays", "str_to_map", "map_concat"}:
        if argument.type is None:
            return
        raise refuse("INVALID_OPTIONS.NON_MAP_FUNCTION", "Options are written as map('name', 'value').")
    kind = argument.type
    if isinstance(kind, Map) and not {close(kind.key), close(kind.value)} <= {STRING, UNKNOWN, VOID}:
        raise refuse("INVALID_OPTIONS.NON_STRING_TYPE", "The options are texts, both names and values.")
