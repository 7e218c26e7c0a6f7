"""What Spark's analyser refuses of clauses: groups, orders, names of WITH, and what `analysis_calls` says.

`CheckAnalysis.scala`, `ResolveReferences` and `ExtractGenerator` of Spark 4.2 say what; the names of conditions are
theirs. Types of arguments are the business of `typing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.sql.typed.analysis_calls import (
    check_call,
    check_frame,
    check_generators,
    check_pivot,
    check_stars,
    check_whole,
)
from mcp_server.sql.typed.analysis_conditions import check_conditions, check_filter, check_join
from mcp_server.sql.typed.analysis_parts import (
    GROUPING,
    is_aggregate,
    is_generator,
    is_window,
    iter_relations,
    own_ids,
    reads,
    refuse_outside,
    walk_here,
    walk_outside,
)
from mcp_server.sql.typed.equality import are_equal
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Call,
    Column,
    Constant,
    Expression,
    ItemUse,
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
    Select,
    SetOperation,
)
from mcp_server.sql.typed.types import VARIANT, Array, Interval, Map, Struct, Type


def check_query(query: Query) -> None:
    """Refuse what Spark's analyser refuses. Errors: SparkRefuses."""
    for node in query.walk():
        if isinstance(node, Query):
            _check_with(node)
            check_order(node)
            if isinstance(node.body, SetOperation):
                _check_width(node.body)
        elif isinstance(node, Select):
            _Groups(node).check()
            check_generators(node)
            check_stars(node)
            check_whole(node)
            _check_where(node)
            check_conditions(node)
        elif isinstance(node, Call):
            check_call(node)
            check_filter(node)
        elif isinstance(node, Window):
            check_frame(node)
        elif isinstance(node, Pivot):
            check_pivot(node)
        elif isinstance(node, Join):
            check_join(node)


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


def check_order(query: Query) -> None:
    select = query.body if isinstance(query.body, Select) else None
    more = 0
    width = None if query.outputs is None else len(query.outputs)
    for key in (*query.order, *query.sort):
        place = _place(key.operand)
        if place is not None and width is not None and not 1 <= place <= width + more:
            raise SparkRefuses("ORDER_BY_POS_OUT_OF_RANGE", f"ORDER BY {place}: the list has {width} columns.", key.at)
        if not isinstance(key.operand, (ItemUse, Ordinal)) and select is not None:
            more += any(isinstance(each, Column) for each in walk_here(key.operand))
        _check_key(key)
        if select is not None:
            check_late(key, select)


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


def check_late(key: SortKey, select: Select) -> None:
    """Refuse what an order of a SELECT cannot ask."""
    generator = next((each for each in walk_here(key.operand) if is_generator(each)), None)
    if generator is not None:
        raise refuse_outside(generator)
    own = own_ids(select.base)
    correlated = next(
        (each for each in walk_here(key.operand) if isinstance(each, ScalarQuery) and reads(each, own)), None
    )
    if correlated is not None:
        raise SparkRefuses(
            "UNSUPPORTED_SUBQUERY_EXPRESSION_CATEGORY.UNSUPPORTED_CORRELATED_SCALAR_SUBQUERY",
            "ORDER BY cannot ask a sub-query that reads the row: select it under a name, and order by that.",
            correlated.at,
        )
    if any(is_window(each) for item in select.items for each in walk_here(item)) and _Groups(select).is_grouped:
        aggregate = next((each for each in walk_outside(key.operand) if is_aggregate(each)), None)
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
        self.own = own_ids(select.base)
        self.merged = {
            (name.lower()) for each in iter_relations(select.base) if isinstance(each, Join) for name in each.shared
        }
        self.keys: list[Expression] = []

    @property
    def is_grouped(self) -> bool:
        """Whether the SELECT gives a row for a group."""
        select = self.select
        if select.group is not None or select.having is not None:
            return True
        return any(is_aggregate(each) for item in select.items for each in walk_here(item))

    def check(self) -> None:
        """Refuse keys that are no groups, and what is neither a group nor an aggregate."""
        if not self.is_grouped:
            return
        select = self.select
        made = [item.operand for item in select.items if is_generator(item.operand)]
        if len(made) > 1:
            raise SparkRefuses(
                "UNSUPPORTED_GENERATOR.MULTI_GENERATOR",
                "A SELECT with groups has one function of rows at most: nest the others.",
                made[1].at,
            )
        if select.group is not None:
            self._check_keys(select.group)
        self._check_grouping()
        if select.group is not None and select.group.all:
            return
        for item in select.items:
            if not isinstance(item.operand, Star):
                self._check_part(item.operand)
            elif select.group is None and item.operand.base is None:
                raise SparkRefuses(
                    "MISSING_GROUP_BY",
                    "* stands beside an aggregate: name in GROUP BY what is not aggregated.",
                    item.at,
                )

    def _check_grouping(self) -> None:
        """Refuse grouping() where no sets are."""
        select = self.select
        sets = select.group is not None and any(isinstance(key, GroupingSets) for key in select.group.keys)
        for part in (*select.items, select.having):
            for each in walk_here(part) if part is not None else ():
                if isinstance(each, Call) and each.name in GROUPING and not sets:
                    raise SparkRefuses(
                        "UNSUPPORTED_GROUPING_EXPRESSION",
                        f"{each.name}() needs ROLLUP, CUBE or GROUPING SETS.",
                        each.at,
                    )

    def _check_keys(self, group: Grouping) -> None:
        for key in (*_keys(group.keys), *group.given):
            self._check_ordinal(key)
            operand = self._meaning(key)
            for each in walk_here(operand):
                if is_aggregate(each):
                    condition = "GROUP_BY_POS_AGGREGATE" if _place(key) is not None else "GROUP_BY_AGGREGATE"
                    raise SparkRefuses(condition, "GROUP BY cannot name an aggregate.", key.at)
                if is_generator(each) and isinstance(key, ItemUse):
                    raise SparkRefuses(
                        "UNRESOLVED_COLUMN.WITH_SUGGESTION", f"GROUP BY: there is no column {key.name}.", key.at
                    )
            self.keys.append(operand)
        for item in self.select.items if group.all else ():
            if not any(map(is_aggregate, walk_here(item))):
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
        if any(isinstance(each, ItemUse) for each in walk_here(item.operand)):
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
        if is_aggregate(node) and isinstance(node, Call):
            inner = next((each for part in node.children for each in walk_here(part) if is_aggregate(each)), None)
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
    for each in walk_here(select.where) if select.where is not None else ():
        if is_generator(each):
            raise refuse_outside(each)
