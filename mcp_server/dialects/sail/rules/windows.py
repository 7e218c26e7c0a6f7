"""Windows in the words that Sail has.

Measured on Sail 0.7.2: FILTER in a window is not read; RANGE over dates counts otherwise than in days; a definition
that begins with the name of another window is not read.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import is_number
from mcp_server.dialects.sail.rules.kit import number
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Call,
    Case,
    Cast,
    Constant,
    Expression,
    Frame,
    IntervalLiteral,
    SortKey,
    Star,
    Unary,
    Window,
)
from mcp_server.sql.typed.relations import Select
from mcp_server.sql.typed.types import DATE, INT, TIMESTAMP

_SKIPS_NULLS: Final = frozenset(
    {
        "sum",
        "avg",
        "mean",
        "min",
        "max",
        "stddev",
        "stddev_samp",
        "stddev_pop",
        "std",
        "variance",
        "var_samp",
        "var_pop",
    }
) | {"bool_and", "bool_or", "every", "some", "any", "count_if", "collect_list", "collect_set", "array_agg"}
"""Aggregates to which a row is nothing whose value is null."""


def name_windows(select: Select, context: Context) -> Node | None:
    """Write out windows that begin with the name of another one."""
    del context
    if not select.windows:
        return None
    known = {each.name.lower(): each.window for each in select.windows}

    def change(node: Node) -> Node:
        if isinstance(node, Window) and node.base is not None and node.base.lower() in known:
            full = _extend(node, known, 0)
            if (node.partition or node.order or node.frame or full.base is not None) or _is_extended(node, known):
                return full
        return node if isinstance(node, Select) and node is not select else node.map_children(change)

    after = select.map_children(change)
    return None if after is select else after


def _is_extended(node: Window, known: dict[str, Window]) -> bool:
    return known[(node.base or "").lower()].base is not None


def _extend(node: Window, known: dict[str, Window], depth: int) -> Window:
    base = known.get((node.base or "").lower())
    if base is None or depth > len(known):
        return node
    base = _extend(base, known, depth + 1)
    return base.replace(
        partition=node.partition or base.partition, order=node.order or base.order, frame=node.frame or base.frame
    )


def filter_in_windows(call: Call, context: Context) -> Node | None:
    """`sum(x) FILTER (WHERE c) OVER …` as `sum(CASE WHEN c THEN x END) OVER …`."""
    del context
    if call.window is None or call.filter is None:
        return None
    first = call.arguments[0] if call.arguments else Star()
    if call.name == "count" and isinstance(first, Star):
        first = number(1)
    ignores = call.nulls == "ignore" or call.name in _SKIPS_NULLS or call.name == "count"
    if not ignores or (len(call.arguments) > 1 and call.name == "count"):
        raise lacking(f"{call.name} FILTER OVER", "a FILTER in a window", "Write sum(CASE WHEN c THEN x END) OVER (…).")
    kept = Case(None, (call.filter,), (first,), type=first.type)
    return call.replace(arguments=(kept, *call.arguments[1:]), filter=None)


def range_of_days(window: Window, context: Context) -> Node | None:
    """RANGE over dates by the number of the day; by the time of midnight, where months are counted."""
    del context
    frame = window.frame
    if frame is None or frame.unit != "range" or len(window.order) != 1:
        return None
    key = window.order[0]
    if is_number(key.operand.type) and any(isinstance(each, IntervalLiteral) for each in (frame.low, frame.high)):
        raise lacking("RANGE", "an interval of time between numbers", "Give the distance as a number.")
    if key.operand.type != DATE or (frame.low is None and frame.high is None):
        return None
    days = [None if each is None else _days(each) for each in (frame.low, frame.high)]
    if all((each is None) == (known is None) for each, known in zip((frame.low, frame.high), days, strict=True)):
        return _by(window, key, Call("unix_date", (key.operand,), type=INT), frame.replace(low=days[0], high=days[1]))
    return _by(window, key, Cast(key.operand, type=TIMESTAMP), frame)


def _by(window: Window, key: SortKey, operand: Expression, frame: Frame) -> Window:
    return window.replace(order=(key.replace(operand=operand),), frame=frame)


def _days(distance: Expression) -> Expression | None:
    """Return a distance in days as a number, None where it is something else."""
    if isinstance(distance, IntervalLiteral):
        if distance.units != ("day",):
            return None
        value = distance.values[0]
        if isinstance(value, Constant):
            text = str(value.value).strip()
            return number(int(text)) if text.lstrip("-").isdigit() else None
        return value if isinstance(value, Unary) else None
    return distance if distance.type is None or distance.type == INT or isinstance(distance, Constant) else None
