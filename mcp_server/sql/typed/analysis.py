"""What Spark's analyser refuses of clauses: groups, orders, windows, generators, names of WITH.

`CheckAnalysis.scala`, `ResolveReferences`, `WindowFrame` checks and `ExtractGenerator` of Spark 4.2 say what; the names of
conditions are theirs. Types of arguments are the business of `typing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mcp_server.sql.typed import functions
from mcp_server.sql.typed.equality import are_equal
from mcp_server.sql.typed.nodes import (
    Call,
    Column,
    Constant,
    Exists,
    Expression,
    Frame,
    InQuery,
    IntervalLiteral,
    ItemUse,
    Node,
    Ordinal,
    ScalarQuery,
    SortKey,
    Star,
    Unary,
    Window,
)
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import (
    Grouping,
    GroupingSets,
    Item,
    Join,
    Keys,
    Pivot,
    Query,
    Relation,
    Select,
    SetOperation,
)
from mcp_server.sql.typed.types import BIGINT, DATE, VARIANT, Array, Interval, Map, Struct, Type

_GROUPING: Final = frozenset({"grouping", "grouping_id", "grouping__id"})
_ORDERED: Final = frozenset({"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"})
"""Window functions that need an order (`AggregateWindowFunction`, `FrameLessOffsetWindowFunction`)."""


def check_query(query: Query) -> None:
    """Refuse what Spark's analyser refuses. Errors: SparkRefuses."""
    for node in query.walk():
        if isinstance(node, Query):
            _check_with(node)
            _check_order(node)
            if isinstance(node.body, SetOperation):
                _check_width(node.body)
        elif isinstance(node, Select):
            _Groups(node).check()
            _check_generators(node)
            _check_where(node)
        elif isinstance(node, Call):
            _check_call(node)
        elif isinstance(node, Window):
            _check_frame(node)
        elif isinstance(node, Pivot):
            _check_pivot(node)


def _check_with(query: Query) -> None:
    seen = set[str]()
    for cte in query.ctes:
        if cte.name.lower() in seen:
            raise SparkRefuses("DUPLICATED_CTE_NAMES", f"WITH names {cte.name} twice: rename one.", cte.at)
        seen.add(cte.name.lower())


def _check_width(operation: SetOperation) -> None:
    left, right = operation.left.outputs, operation.right.outputs
    if left is None or right is None or operation.by_name or len(left) == len(right):
        return
    raise SparkRefuses(
        "NUM_COLUMNS_MISMATCH",
        f"{operation.kind.upper()} of {len(left)} columns and {len(right)}: both sides need as many.",
        operation.at,
    )


# orders


def _check_order(query: Query) -> None:
    select = query.body if isinstance(query.body, Select) else None
    more = 0
    width = None if query.outputs is None else len(query.outputs)
    for key in (*query.order, *query.sort):
        place = _place(key.operand)
        if place is not None and width is not None and not 1 <= place <= width + more:
            raise SparkRefuses("ORDER_BY_POS_OUT_OF_RANGE", f"ORDER BY {place}: the list has {width} columns.", key.at)
        if not isinstance(key.operand, (ItemUse, Ordinal)) and select is not None:
            more += any(isinstance(each, Column) for each in _walk_here(key.operand))
        _check_key(key)
        if select is not None:
            _check_late(key, select)


def _place(operand: Expression) -> int | None:
    """Return the whole number that a key is; Spark takes -1 for a place, too."""
    if isinstance(operand, Ordinal):
        return operand.index
    if isinstance(operand, Unary) and operand.operator == "-" and isinstance(operand.operand, (Constant, Ordinal)):
        inner = operand.operand.index if isinstance(operand.operand, Ordinal) else operand.operand.value
        return -inner if type(inner) is int else None
    if isinstance(operand, Constant) and type(operand.value) is int and operand.value < 0:
        return operand.value
    return None


def _check_key(key: SortKey) -> None:
    kind = key.operand.type
    if not _is_orderable(kind):
        raise SparkRefuses(
            "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE", f"ORDER BY: values of the type {kind} have no order.", key.at
        )
    for each in _walk_here(key.operand):
        if isinstance(each, (Exists, InQuery)):
            raise SparkRefuses(
                "UNSUPPORTED_SUBQUERY_EXPRESSION_CATEGORY.UNSUPPORTED_IN_EXISTS_SUBQUERY",
                "ORDER BY cannot ask IN (SELECT …) or EXISTS: select it under a name, and order by that.",
                key.at,
            )


def _is_orderable(kind: Type | None) -> bool:
    match kind:
        case Array():
            return _is_orderable(kind.element)
        case Struct():
            return all(_is_orderable(each) for _, each in kind.fields)
        case Map():
            return False
        case Interval():
            return kind.start is not None
    return kind != VARIANT


def _check_late(key: SortKey, select: Select) -> None:
    """Refuse what an order of a SELECT cannot ask."""
    generator = next((each for each in _walk_here(key.operand) if _is_generator(each)), None)
    if generator is not None:
        raise _outside(generator)
    own = _own_ids(select.base)
    correlated = next(
        (each for each in _walk_here(key.operand) if isinstance(each, ScalarQuery) and _reads(each, own)), None
    )
    if correlated is not None:
        raise SparkRefuses(
            "UNSUPPORTED_SUBQUERY_EXPRESSION_CATEGORY.UNSUPPORTED_CORRELATED_SCALAR_SUBQUERY",
            "ORDER BY cannot ask a sub-query that reads the row: select it under a name, and order by that.",
            correlated.at,
        )
    if any(_is_window(each) for item in select.items for each in _walk_here(item)) and _Groups(select).is_grouped:
        aggregate = next((each for each in _walk_outside(key.operand) if _is_aggregate(each)), None)
        if aggregate is not None:
            raise SparkRefuses(
                "UNSUPPORTED_EXPR_FOR_OPERATOR",
                "ORDER BY an aggregate of a SELECT with windows: select it under a name, and order by that.",
                aggregate.at,
            )


# groups


class _Groups:
    """The groups of one SELECT."""

    def __init__(self, select: Select) -> None:
        self.select = select
        self.own = _own_ids(select.base)
        self.merged = {
            (name.lower()) for each in _relations(select.base) if isinstance(each, Join) for name in each.shared
        }
        self.keys: list[Expression] = []

    @property
    def is_grouped(self) -> bool:
        """Whether the SELECT gives a row for a group."""
        select = self.select
        if select.group is not None or select.having is not None:
            return True
        return any(_is_aggregate(each) for item in select.items for each in _walk_here(item))

    def check(self) -> None:
        """Refuse keys that are no groups, and what is neither a group nor an aggregate."""
        if not self.is_grouped:
            return
        select = self.select
        made = [item.operand for item in select.items if _is_generator(item.operand)]
        if len(made) > 1:
            raise SparkRefuses(
                "UNSUPPORTED_GENERATOR.MULTI_GENERATOR",
                "A SELECT with groups has one function of rows at most: nest the others.",
                made[1].at,
            )
        if select.group is not None:
            self._check_keys(select.group)
        sets = select.group is not None and any(isinstance(key, GroupingSets) for key in select.group.keys)
        for part in (*select.items, select.having):
            for each in _walk_here(part) if part is not None else ():
                if isinstance(each, Call) and each.name in _GROUPING and not sets:
                    raise SparkRefuses(
                        "UNSUPPORTED_GROUPING_EXPRESSION",
                        f"{each.name}() needs ROLLUP, CUBE or GROUPING SETS.",
                        each.at,
                    )
        if select.group is not None and select.group.all:
            return
        for item in select.items:
            if not isinstance(item.operand, Star):
                self._check_part(item.operand)

    def _check_keys(self, group: Grouping) -> None:
        for key in (*_keys(group.keys), *group.given):
            self._check_ordinal(key)
            operand = self._meaning(key)
            for each in _walk_here(operand):
                if _is_aggregate(each):
                    condition = "GROUP_BY_POS_AGGREGATE" if _place(key) is not None else "GROUP_BY_AGGREGATE"
                    raise SparkRefuses(condition, "GROUP BY cannot name an aggregate.", key.at)
                if _is_generator(each) and isinstance(key, ItemUse):
                    raise SparkRefuses(
                        "UNRESOLVED_COLUMN.WITH_SUGGESTION", f"GROUP BY: there is no column {key.name}.", key.at
                    )
            self.keys.append(operand)
        for item in self.select.items if group.all else ():
            if not any(map(_is_aggregate, _walk_here(item))):
                self._check_lateral(item)
        for sets in group.keys:
            if isinstance(sets, GroupingSets) and sets.kind != "sets" and _has_empty(sets):
                raise SparkRefuses(
                    "_LEGACY_ERROR_TEMP_0051",
                    f"Empty set in {sets.kind.upper()} grouping sets is not supported.",
                    sets.at,
                )

    def _check_ordinal(self, key: Expression) -> None:
        place, items = _place(key), self.select.items
        if place is None:
            if isinstance(key, ItemUse):
                self._check_lateral(items[key.index])
            return
        if any(isinstance(item.operand, Star) for item in items):
            raise SparkRefuses("STAR_GROUP_BY_POS", "GROUP BY numbers beside *: write the columns.", key.at)
        if not 1 <= place <= len(items):
            raise SparkRefuses(
                "GROUP_BY_POS_OUT_OF_RANGE", f"GROUP BY {place}: the list has {len(items)} columns.", key.at
            )

    def _check_lateral(self, item: Item) -> None:
        if any(isinstance(each, ItemUse) for each in _walk_here(item.operand)):
            raise SparkRefuses(
                "UNSUPPORTED_FEATURE.LATERAL_COLUMN_ALIAS_IN_GROUP_BY",
                "GROUP BY cannot name an item that names another item: write its expression.",
                item.at,
            )

    def _meaning(self, key: Expression) -> Expression:
        place = _place(key)
        items = self.select.items
        if place is not None and 1 <= place <= len(items):
            return items[place - 1].operand
        if isinstance(key, ItemUse) and key.index < len(items):
            return items[key.index].operand
        return key

    def _check_part(self, node: Node) -> None:
        """Refuse a column that is neither a group nor within an aggregate. An unknown key may be any."""
        if any(isinstance(key, Column) and key.source is None for key in self.keys):
            return
        if isinstance(node, Expression) and any(are_equal(node, key) for key in self.keys):
            return
        if _is_aggregate(node) and isinstance(node, Call):
            inner = next((each for part in node.children for each in _walk_here(part) if _is_aggregate(each)), None)
            if inner is not None:
                raise SparkRefuses(
                    "NESTED_AGGREGATE_FUNCTION", "An aggregate within an aggregate: nest the SELECTs.", inner.at
                )
            return
        if isinstance(node, Column) and node.source in self.own and node.name.lower() not in self.merged:
            name = ".".join([*node.parts, node.name])
            if self.select.group is None:
                raise SparkRefuses(
                    "MISSING_GROUP_BY", f"{name} stands beside aggregates: add GROUP BY {name}.", node.at
                )
            raise SparkRefuses(
                "MISSING_AGGREGATION",
                f"{name} is neither in GROUP BY nor in an aggregate: add it, or take any_value({name}).",
                node.at,
            )
        for child in node.children:
            if not isinstance(child, Query):
                self._check_part(child)


def _keys(keys: Sequence[Node]) -> Iterator[Expression]:
    for key in keys:
        if isinstance(key, (GroupingSets, Keys)):
            yield from _keys(key.children)
        elif isinstance(key, Expression):
            yield key


def _has_empty(sets: GroupingSets) -> bool:
    return any(isinstance(each, Keys) and not each.operands for each in sets.sets)


def _check_where(select: Select) -> None:
    for each in _walk_here(select.where) if select.where is not None else ():
        if _is_generator(each):
            raise _outside(each)


# windows and calls


def _check_call(call: Call) -> None:
    window = call.window
    if window is not None and call.name in _ORDERED and not window.order and window.base is None:
        raise SparkRefuses(
            "WINDOW_FUNCTION_FRAME_NOT_ORDERED", f"{call.name} needs an ORDER BY in its window.", call.at
        )
    first = call.arguments[0] if len(call.arguments) == 1 else None
    if call.name == "count" and isinstance(first, Star) and first.parts and not call.distinct:
        raise SparkRefuses(
            "INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT",
            "count(t.*) is not allowed: write count(*), or count the columns by their names.",
            call.at,
        )


def _check_frame(window: Window) -> None:
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


def _check_pivot(pivot: Pivot) -> None:
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


def _check_generators(select: Select) -> None:
    for item in select.items:
        top = item.operand
        for each in _walk_here(item):
            if _is_generator(each) and each is not top:
                raise _nested(each)
        if len(item.aliases) > 1 and not _is_generator(top):
            raise SparkRefuses("MULTI_ALIAS_WITHOUT_GENERATOR", "Several aliases need a function of rows.", item.at)
    for relation in _relations(select.base):
        call = getattr(relation, "call", None)
        if isinstance(call, Call):
            inner = next((each for part in call.arguments for each in _walk_here(part) if _is_generator(each)), None)
            if inner is not None:
                raise _nested(inner)


def _nested(node: Node) -> SparkRefuses:
    return SparkRefuses(
        "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
        "A function of rows within an expression: put it into a sub-query, under a name.",
        node.at,
    )


def _outside(node: Node) -> SparkRefuses:
    return SparkRefuses(
        "UNSUPPORTED_GENERATOR.OUTSIDE_SELECT", "A function of rows stands in SELECT or FROM alone.", node.at
    )


def _is_generator(node: Node) -> bool:
    return isinstance(node, Call) and functions.is_generator(node.name)


def _is_aggregate(node: Node) -> bool:
    return (
        isinstance(node, Call) and node.window is None and (functions.is_aggregate(node.name) or node.name in _GROUPING)
    )


def _is_window(node: Node) -> bool:
    return isinstance(node, Call) and node.window is not None


def _walk_here(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, without sub-queries."""
    yield node
    for child in node.children:
        if not isinstance(child, Query):
            yield from _walk_here(child)


def _walk_outside(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, without names of items, whose aggregates are computed already."""
    return (each for each in _walk_here(node) if not isinstance(each, ItemUse))


def _relations(base: Relation | None) -> Iterator[Relation]:
    if base is None:
        return
    yield base
    for child in base.children:
        if isinstance(child, Relation):
            yield from _relations(child)


def _own_ids(base: Relation | None) -> frozenset[int]:
    return frozenset(each.id for each in _relations(base))


def _reads(node: Node, ids: frozenset[int]) -> bool:
    return any(isinstance(each, Column) and each.source in ids for each in node.walk())
