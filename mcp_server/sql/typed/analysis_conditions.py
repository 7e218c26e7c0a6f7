"""What Spark's analyser refuses of conditions: those of WHERE, HAVING, ON, FILTER and QUALIFY.

In HAVING a value that is no predicate is cast to BOOLEAN (`AstBuilder.withHavingClause`), so that its type is free.
"""

from __future__ import annotations

from mcp_server.sql.typed.analysis_parts import is_aggregate, is_window, own_ids, walk_here
from mcp_server.sql.typed.nodes import Call, Column, Expression
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Join, Select
from mcp_server.sql.typed.types import BOOLEAN


def check_conditions(select: Select) -> None:
    """Refuse a WHERE that is no condition, what is computed behind it or HAVING, and a QUALIFY without a window."""
    for part, word in ((select.where, "WHERE"), (select.having, "HAVING")):
        window = next((each for each in walk_here(part) if is_window(each)), None) if part is not None else None
        if window is not None:
            raise SparkRefuses(
                "WINDOW_FUNCTION_NOT_ALLOWED_IN_CLAUSE",
                f"Window functions are not allowed inside {word}. Compute it in a sub-query, or use QUALIFY.",
                window.at,
            )
    _check_aggregates(select)
    if select.where is not None and _is_other(select.where):
        raise SparkRefuses(
            "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN",
            f"WHERE needs a condition, as in x <> 0, and not a value of the type {select.where.type}.",
            select.where.at,
        )
    if select.qualify is not None and not any(
        is_window(each) for part in (select.qualify, *select.items) for each in walk_here(part)
    ):
        raise SparkRefuses(
            "QUALIFY_REQUIRES_WINDOW_FUNCTION",
            "QUALIFY needs a window function, in itself or in the list: write WHERE or HAVING.",
            select.qualify.at,
        )


def _check_aggregates(select: Select) -> None:
    """Refuse aggregates in WHERE, but for those of a query around, which are values there."""
    own = own_ids(select.base)
    for each in walk_here(select.where) if select.where is not None else ():
        if is_aggregate(each) and all(node.source in own for node in each.walk() if isinstance(node, Column)):
            raise SparkRefuses(
                "INVALID_WHERE_CONDITION",
                "WHERE cannot contain aggregates: it is computed before them. Use HAVING, or a sub-query.",
                each.at,
            )


def check_join(join: Join) -> None:
    """Refuse an ON that is no condition, and a USING beside LATERAL."""
    if join.shared and getattr(join.right, "lateral", False):
        raise SparkRefuses(
            "UNSUPPORTED_FEATURE.LATERAL_JOIN_USING", "JOIN LATERAL … USING: write ON or WHERE.", join.at
        )
    if join.on is not None and _is_other(join.on):
        raise SparkRefuses(
            "JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE",
            f"ON needs a condition, as in a.id = b.id, and not a value of the type {join.on.type}.",
            join.on.at,
        )


def check_filter(call: Call) -> None:
    """Refuse a FILTER that is no condition."""
    if call.filter is not None and _is_other(call.filter):
        raise SparkRefuses(
            "INVALID_AGGREGATE_FILTER.NOT_BOOLEAN",
            f"FILTER needs a condition, and not a value of the type {call.filter.type}.",
            call.filter.at,
        )


def _is_other(condition: Expression) -> bool:
    """Whether a condition is certainly not of the type BOOLEAN."""
    return condition.type is not None and condition.type != BOOLEAN
