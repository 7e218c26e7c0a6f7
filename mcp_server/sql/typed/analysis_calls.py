"""What Spark's analyser refuses of windows, calls, PIVOT and functions of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.sql.typed.analysis_parts import (
    is_aggregate,
    is_generator,
    iter_relations,
    refuse_nested,
    walk_here,
)
from mcp_server.sql.typed.nodes import Call, Expression, Frame, IntervalLiteral, ItemUse, Star, Window
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Pivot, Select
from mcp_server.sql.typed.types import BIGINT, DATE, VARIANT, Array, Interval, Map, Struct, Type

_ORDERED: Final = frozenset({"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"})
"""Window functions that need an order (`AggregateWindowFunction`, `FrameLessOffsetWindowFunction`)."""

_WHOLE: Final = frozenset({"median", "percentile_cont", "percentile_disc"})
"""Aggregates that take whole partitions alone (`SupportsOrderingWithinGroup`)."""


def check_call(call: Call) -> None:
    window = call.window
    if window is None and call.name in _ORDERED | {"nth_value"}:
        raise SparkRefuses(
            "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE", f"The window function {call.name} needs OVER (ORDER BY …).", call.at
        )
    if window is not None and call.name in _ORDERED and not window.order and window.base is None:
        raise SparkRefuses(
            "WINDOW_FUNCTION_FRAME_NOT_ORDERED", f"{call.name} needs an ORDER BY in its window.", call.at
        )
    if call.distinct and (call.within or call.name == "mode") and call.name != "listagg":
        raise SparkRefuses(
            "INVALID_WITHIN_GROUP_EXPRESSION.DISTINCT_UNSUPPORTED", f"{call.name} takes no DISTINCT.", call.at
        )
    first = call.arguments[0] if len(call.arguments) == 1 else None
    if call.name == "count" and isinstance(first, Star) and first.parts and not call.distinct:
        raise SparkRefuses(
            "INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT",
            "count(t.*) is not allowed: write count(*), or count the columns by their names.",
            call.at,
        )


def check_frame(window: Window) -> None:
    frame = window.frame
    if frame is None:
        return
    distances = [each for each in (frame.low, frame.high) if each is not None]
    if frame.unit == "rows":
        for each in distances:
            if each.type == BIGINT or isinstance(each, IntervalLiteral):
                raise SparkRefuses(
                    "DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_UNACCEPTED_TYPE",
                    f"ROWS counts rows by an INT, not by a {each.type}.",
                    frame.at,
                )
    elif distances and window.base is None:
        _check_range(window, frame, distances)


def _check_range(window: Window, frame: Frame, distances: Sequence[Expression]) -> None:
    if not window.order:
        raise SparkRefuses(
            "DATATYPE_MISMATCH.RANGE_FRAME_WITHOUT_ORDER", "RANGE needs an ORDER BY in its window.", frame.at
        )
    if len(window.order) > 1:
        raise SparkRefuses(
            "DATATYPE_MISMATCH.RANGE_FRAME_MULTI_ORDER", "RANGE with a distance has one key of ORDER BY.", frame.at
        )
    kind = window.order[0].operand.type
    numeric = [each for each in distances if not isinstance(each, IntervalLiteral) and _is_number(each.type)]
    if numeric and str(kind) in {"TIMESTAMP", "TIMESTAMP_NTZ", "STRING", "BOOLEAN"}:
        raise _range_type(kind, frame)
    for each in distances:
        if kind == DATE and isinstance(each.type, Interval) and each.type.end in {"hour", "minute", "second"}:
            raise _range_type(kind, frame)


def _is_number(kind: Type | None) -> bool:
    return str(kind) in {"TINYINT", "SMALLINT", "INT", "BIGINT"}


def _range_type(kind: Type | None, frame: Frame) -> SparkRefuses:
    return SparkRefuses(
        "DATATYPE_MISMATCH.RANGE_FRAME_INVALID_TYPE", f"RANGE over {kind} has no distance of this type.", frame.at
    )


def check_pivot(pivot: Pivot) -> None:
    for column in pivot.columns:
        if _has_map(column.type):
            raise SparkRefuses(
                "INCOMPARABLE_PIVOT_COLUMN", "PIVOT FOR a column with maps in it, which are not compared.", pivot.at
            )


def _has_map(kind: Type | None) -> bool:
    match kind:
        case Map():
            return True
        case Array():
            return _has_map(kind.element)
        case Struct():
            return any(_has_map(each) for _, each in kind.fields)
    return kind == VARIANT


# generators


def check_generators(select: Select) -> None:
    for item in select.items:
        top = item.operand
        for each in walk_here(item):
            if is_generator(each) and each is not top:
                raise refuse_nested(each)
        if len(item.aliases) > 1 and not is_generator(top):
            raise SparkRefuses("MULTI_ALIAS_WITHOUT_GENERATOR", "Several aliases need a function of rows.", item.at)
        _check_lateral_alias(select, top)
    for relation in iter_relations(select.base):
        call = getattr(relation, "call", None)
        if isinstance(call, Call):
            inner = next((each for part in call.arguments for each in walk_here(part) if is_generator(each)), None)
            if inner is not None:
                raise refuse_nested(inner)


def _check_lateral_alias(select: Select, operand: Expression) -> None:
    """Refuse a function of rows over the name of an item that is none: Spark 4.2 fails with an internal error."""
    if (
        not is_generator(operand)
        or select.group is not None
        or any(is_aggregate(each) for item in select.items for each in walk_here(item))
    ):
        return
    for each in walk_here(operand):
        if isinstance(each, ItemUse) and not is_generator(select.items[each.index].operand):
            raise SparkRefuses(
                "INTERNAL_ERROR",
                f"A function of rows cannot name the item {each.name}: write its expression.",
                operand.at,
            )


def check_whole(select: Select) -> None:
    """Refuse an order or a frame of rows in a window of what takes whole partitions."""
    known = {each.name.lower(): each.window for each in select.windows}
    for item in select.items:
        for each in walk_here(item):
            if isinstance(each, Call) and each.window is not None and each.name in _WHOLE:
                window = _extend(each.window, known)
                if window.order or window.frame is not None:
                    raise SparkRefuses(
                        "INVALID_WINDOW_SPEC_FOR_AGGREGATION_FUNC",
                        f"{each.name} takes a window without an order and a frame: PARTITION BY alone.",
                        each.at,
                    )


def _extend(window: Window, known: Mapping[str, Window]) -> Window:
    base = known.get((window.base or "").lower())
    return window if base is None else base


def check_stars(select: Select) -> None:
    """Refuse columns that EXCEPT names twice, or of which it names a part, too."""
    for item in select.items:
        star = item.operand
        if not isinstance(star, Star):
            continue
        names = [tuple(map(str.lower, each)) for each in star.excluded]
        for at, one in enumerate(names):
            if any(other[: len(one)] == one for other in (*names[:at], *names[at + 1 :])):
                raise SparkRefuses(
                    "EXCEPT_OVERLAPPING_COLUMNS", f"EXCEPT names {'.'.join(one)} twice: name it once.", item.at
                )
