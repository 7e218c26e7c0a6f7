"""What Spark's analyser refuses about sub-queries: `CheckAnalysis.checkSubqueryExpression` of Spark 4.2.

Outer columns may stand in filters, projections, and inner joins; not in groups, aggregates, windows, ORDER BY, nor on
the side of an outer join that is filled with NULL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mcp_server.sql.functions import functions
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Call,
    Column,
    Exists,
    InQuery,
    ItemUse,
    Lambda,
    Ordinal,
    ScalarQuery,
    SortKey,
)
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Derived, InlineTable, Join, Query, Relation, Select, SetOperation

_CATEGORY: Final = "UNSUPPORTED_SUBQUERY_EXPRESSION_CATEGORY"
_UNFIXED: Final = frozenset({"rand", "random", "randn", "uuid", "shuffle", "monotonically_increasing_id", "uniform"})
_FILLED: Final = {
    "left": ("right",),
    "right": ("left",),
    "semi": ("right",),
    "anti": ("right",),
    "full": ("left", "right"),
}
"""The sides of joins that may not read the row around the sub-query."""


def check_subqueries(query: Query) -> None:
    """Raise SparkRefuses where Spark refuses a sub-query of a resolved statement."""
    for node in query.walk():
        if isinstance(node, Query):
            _check_order(node)
        elif isinstance(node, Select):
            _check_groups(node)
        elif isinstance(node, Join):
            _check_join(node)
        elif isinstance(node, InQuery | Exists | ScalarQuery):
            _check_columns(node)
            _check_correlated(node.query)
        elif isinstance(node, Call) and any(isinstance(each, Lambda) for each in node.arguments):
            _check_function(node)


def _refuse(category: str, message: str, at: int | None) -> SparkRefuses:
    return SparkRefuses(f"{_CATEGORY}.{category}", message, at)


def _scope(node: Node | None) -> Iterator[Node]:
    """Yield a node and all below it, without what stands within queries."""
    stack = [node] if node is not None else []
    while stack:
        each = stack.pop()
        yield each
        if not isinstance(each, Query):
            stack += each.children


def _ids(node: Node | None) -> frozenset[int]:
    if node is None:
        return frozenset()
    return frozenset(each.id for each in node.walk() if isinstance(each, Relation))


def _free(node: Node | None, own: frozenset[int]) -> list[Column]:
    """The columns that belong to none of some relations."""
    columns = [each for each in (node.walk() if node is not None else ()) if isinstance(each, Column)]
    return [each for each in columns if each.source is not None and each.source not in own]


def _check_columns(node: InQuery | Exists | ScalarQuery) -> None:
    outputs = node.query.outputs
    if outputs is None:
        return
    if isinstance(node, InQuery) and len(node.operands) != len(outputs):
        raise SparkRefuses(
            "DATATYPE_MISMATCH.IN_SUBQUERY_LENGTH_MISMATCH",
            f"The left side of IN has {len(node.operands)} columns and the sub-query {len(outputs)}.",
            node.at,
        )
    if isinstance(node, ScalarQuery) and len(outputs) != 1:
        raise SparkRefuses(
            "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
            f"A sub-query that is a value has one column; this one has {len(outputs)}.",
            node.at,
        )


def _check_function(node: Call) -> None:
    for each in _scope(node):
        if isinstance(each, InQuery | Exists | ScalarQuery):
            raise _refuse(
                "HIGHER_ORDER_FUNCTION", f"{node.name} with a lambda takes no sub-query. Join with it first.", each.at
            )


def _check_order(query: Query) -> None:
    """ORDER BY may hold sub-queries that read no row, or are values of the SELECT list."""
    select = query.body if isinstance(query.body, Select) else None
    for key in query.order:
        for each in _scope(key):
            if isinstance(each, ScalarQuery) and _free(each.query, _ids(each.query)):
                raise _refuse(
                    "UNSUPPORTED_CORRELATED_SCALAR_SUBQUERY",
                    "ORDER BY takes no sub-query that reads the row. Put it into the SELECT list and name it.",
                    each.at,
                )
            if isinstance(each, InQuery | Exists) and not (select is not None and _is_listed(key, select)):
                raise _refuse(
                    "UNSUPPORTED_IN_EXISTS_SUBQUERY",
                    "ORDER BY takes no IN or EXISTS with a sub-query. Put it into the SELECT list and name it.",
                    each.at,
                )


def _check_groups(select: Select) -> None:
    """A value that reads the row is a group, or within an aggregate, where a SELECT makes groups."""
    if select.group is None or select.group.all:
        return
    keys = [_key(each, select) for each in select.group.keys]
    for item in select.items:
        for each in _outside_aggregates(item.operand):
            if not isinstance(each, ScalarQuery) or not _free(each.query, _ids(each.query)):
                continue
            if not any(_looks(each) == _looks(key) or _looks(item.operand) == _looks(key) for key in keys):
                raise SparkRefuses(
                    "SCALAR_SUBQUERY_IS_IN_GROUP_BY_OR_AGGREGATE_FUNCTION",
                    "A sub-query that reads the row stands beside groups: add it to GROUP BY, or use first().",
                    each.at,
                )


def _key(key: Node, select: Select) -> Node:
    if isinstance(key, Ordinal) and 0 < key.index <= len(select.items):
        return select.items[key.index - 1].operand
    return select.items[key.index].operand if isinstance(key, ItemUse) else key


def _outside_aggregates(node: Node) -> Iterator[Node]:
    if _is_aggregate(node):
        return
    yield node
    if not isinstance(node, Query):
        for each in node.children:
            yield from _outside_aggregates(each)


def _is_listed(key: SortKey, select: Select) -> bool:
    """Whether a sort key is as wide as a group or an item, which it then stands for."""
    listed: list[Node] = [each.operand for each in select.items]
    listed += select.group.keys if select.group is not None else ()
    return any(_looks(key.operand) == _looks(each) for each in listed)


def _looks(node: Node) -> tuple[str, ...]:
    """What a node looks like: enough to tell whether ORDER BY repeats a group."""
    return tuple(
        getattr(each, "name", "").lower() if isinstance(each, Column | Call | ItemUse) else type(each).__name__
        for each in node.walk()
        if not isinstance(each, Relation)
    )


def _check_join(join: Join) -> None:
    left, right = _ids(join.left), _ids(join.right)
    for each in _scope(join.on):
        if isinstance(each, ScalarQuery) and _free(each.query, _ids(each.query)):
            raise _refuse(
                "UNSUPPORTED_CORRELATED_SCALAR_SUBQUERY",
                "ON takes no sub-query that reads the row, as a value. Put the condition into WHERE.",
                each.at,
            )
        if isinstance(each, InQuery | Exists):
            read = {column.source for column in _free(each, _ids(each.query))}
            if read & left and read & right:
                raise _refuse(
                    "UNSUPPORTED_CORRELATED_EXPRESSION_IN_JOIN_CONDITION",
                    "A sub-query in ON may read one side of the join. Put the condition into WHERE.",
                    each.at,
                )
    if not getattr(join.right, "lateral", False):
        return
    if join.using:
        raise SparkRefuses("UNSUPPORTED_FEATURE.LATERAL_JOIN_USING", "LATERAL takes ON, not USING.", join.at)
    if join.natural:
        raise SparkRefuses("INCOMPATIBLE_JOIN_TYPES", "NATURAL and LATERAL exclude each other: write ON.", join.at)
    if join.kind not in {"inner", "cross", "left"}:
        raise SparkRefuses("INVALID_LATERAL_JOIN_TYPE", "LATERAL is for inner and left joins.", join.at)
    if isinstance(join.right, Derived):
        _check_lateral(join, join.right)


def _check_lateral(join: Join, right: Derived) -> None:
    if join.on is not None and not _is_fixed(join.on):
        raise _refuse(
            "LATERAL_JOIN_CONDITION_NON_DETERMINISTIC",
            "The condition of a LATERAL join must give the same each time.",
            join.at,
        )
    if not _is_fixed(right.query) and not _is_one_row(join.left):
        raise _refuse(
            "NON_DETERMINISTIC_LATERAL_SUBQUERIES", "A LATERAL sub-query must give the same each time.", right.at
        )
    _check_correlated(right.query)


def _is_fixed(node: Node) -> bool:
    return not any(isinstance(each, Call) and each.name in _UNFIXED for each in node.walk())


def _is_one_row(relation: Relation) -> bool:
    if isinstance(relation, InlineTable):
        return len(relation.rows) == 1
    body = relation.query.body if isinstance(relation, Derived) else None
    if not isinstance(body, Select):
        return False
    grouped = any(_is_aggregate(each) for item in body.items for each in _scope(item))
    return body.base is None or (grouped and body.group is None)


def _check_correlated(query: Query) -> None:
    own = _ids(query)
    if _free(query, own):
        _check_query(query, own)


def _check_query(query: Query, own: frozenset[int]) -> None:
    for key in query.order:
        _check_part(key, own, "ORDER BY")
    for limit in (query.limit, query.offset):
        if _free(limit, own):
            raise SparkRefuses(
                "INVALID_LIMIT_LIKE_EXPRESSION.IS_UNFOLDABLE", "LIMIT takes a constant.", limit.at if limit else None
            )
    body = query.body
    if isinstance(body, Query):
        _check_query(body, own)
    elif isinstance(body, SetOperation):
        _check_query(body.left, own)
        _check_query(body.right, own)
    elif isinstance(body, Select):
        _check_select(body, own)


def _check_select(select: Select, own: frozenset[int]) -> None:
    parts = [*select.items, select.having, select.qualify]
    nodes = [each for part in parts for each in _scope(part)]
    aggregates = [each for each in nodes if _is_aggregate(each)]
    for each in aggregates:
        columns = [column for column in each.walk() if isinstance(column, Column) and column.source is not None]
        if any(column.source in own for column in columns) and any(column.source not in own for column in columns):
            raise _refuse(
                "AGGREGATE_FUNCTION_MIXED_OUTER_LOCAL_REFERENCES",
                "An aggregate of a sub-query may not mix its own columns with those of the row around it.",
                each.at,
            )
    in_items = any(_is_aggregate(each) for item in select.items for each in _scope(item))
    if select.group is not None or select.having is not None or in_items:
        for item in select.items:
            _check_part(item, own, "an aggregate")
        _check_part(select.group, own, "GROUP BY")
    for each in nodes:
        if isinstance(each, Call) and each.window is not None:
            keys = (*each.arguments, *each.window.partition, *(key.operand for key in each.window.order))
            for key in keys:  # what is more than a column is computed before the window
                if isinstance(key, Column):
                    _check_part(key, own, "a window function")
    _check_relation(select.base, own)


def _check_part(part: Node | None, own: frozenset[int], where: str) -> None:
    free = _free_here(part, own)
    if free:
        raise _refuse(
            "CORRELATED_REFERENCE",
            f"A sub-query may not read {free[0].name} of the row around it in {where}. Use it in WHERE.",
            free[0].at,
        )


def _free_here(part: Node | None, own: frozenset[int]) -> list[Column]:
    return [
        each for each in _scope(part) if isinstance(each, Column) and each.source is not None and each.source not in own
    ]


def _check_relation(relation: Relation | None, own: frozenset[int]) -> None:
    if isinstance(relation, Join):
        sides: Iterable[str] = _FILLED.get(relation.kind, ())
        for side in sides:
            free = _free(getattr(relation, side), own)
            if free:
                raise _refuse(
                    "ACCESSING_OUTER_QUERY_COLUMN_IS_NOT_ALLOWED",
                    f"The {side} side of this join may not read {free[0].name} of the row around the sub-query.",
                    free[0].at,
                )
        _check_relation(relation.left, own)
        _check_relation(relation.right, own)
    elif isinstance(relation, Derived):
        _check_query(relation.query, own)


def _is_aggregate(node: Node) -> bool:
    return (
        isinstance(node, Call)
        and node.window is None
        and functions().classes.get(node.name) in {"aggregate", "collecting"}
    )
