"""Counts and sums of distinct values over large tables in stages of GROUP BY, which go to disk where memory ends.

    SELECT g, count(DISTINCT a) AS x, count(DISTINCT b, c) AS y, avg(d) AS z FROM t GROUP BY g

keeps the values of all groups in memory on Sail 0.7.2, and ends its process where there are many of either. Written as

    SELECT g, max(x) AS x, max(y) AS y, max(z) AS z FROM (
        SELECT g, count(a) AS x, NULL AS y, NULL AS z FROM (SELECT g, a FROM t GROUP BY g, a) GROUP BY g UNION ALL
        SELECT g, NULL, count(CASE WHEN b IS NOT NULL AND c IS NOT NULL THEN 1 END), NULL FROM (… GROUP BY g, b, c) …
        UNION ALL SELECT g, NULL, NULL, avg(d) FROM t GROUP BY g) GROUP BY g

each stage spills. All read the same rows, so each has the same groups, and `max` is of one value. A table is read once
for each set of distinct values, so this is for tables of which it is known that they are large.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import is_number
from mcp_server.dialects.sail.rules.kit import (
    GROUPING,
    are_same,
    has_query,
    is_aggregate,
    is_volatile,
    iter_relations,
    named,
    number,
    walk_here,
)
from mcp_server.dialects.sail.rules.query_nodes import copy_fresh
from mcp_server.dialects.sail.rules.query_parts import all_of, column_of, derive, is_null, make_query, null
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Case, Cast, Column, Constant, Expression, ItemUse, Ordinal, Star
from mcp_server.sql.typed.relations import (
    CteUse,
    Derived,
    Grouping,
    GroupingSets,
    Item,
    Keys,
    Query,
    Relation,
    Sample,
    Select,
    SetOperation,
    Table,
)
from mcp_server.sql.typed.types import BOOLEAN, DATE, STRING, TIMESTAMP, TIMESTAMP_NTZ, Type

LEAST_ROWS: Final = 2_000_000
"""Rows of a table that is large. Below, what distinct values take of memory is no danger (docs/engines/embedded.md)."""
_LAST: Final = 1_000
"""The place of what no table is sorted by."""
_MOST_BRANCHES: Final = 4
"""How often a table may be read for one statement."""
_STAGED: Final = frozenset({"count", "sum", "avg", "mean"})
"""Aggregates whose distinct values are grouped."""
_KEPT_BY_ENGINE: Final = frozenset({"count", "sum", "min", "max"})
"""Aggregates beside which Sail itself groups the values of one `count(DISTINCT x)`."""
_SAME_EACH_TIME: Final = frozenset({"count", "min", "max"})
"""Aggregates that give the same value over the same rows, in whatever order these come."""
_PLAIN: Final = frozenset({STRING, BOOLEAN, DATE, TIMESTAMP, TIMESTAMP_NTZ})


@dataclass(frozen=True)
class DistinctValues:
    """The distinct values that some aggregates are of."""

    arguments: tuple[Expression, ...]
    filter: Expression | None


def has_large_sets(parts: Iterable[Node | None], select: Select, context: Context) -> bool:
    """Whether aggregates in some parts of a SELECT are of distinct values that `stage_distinct` groups."""
    calls = [each for part in parts if part is not None for each in walk_here(part) if is_aggregate(each)]
    aggregates = [each for each in calls if isinstance(each, Call) and each.name not in GROUPING]
    if not any(map(is_staged, aggregates)) or not is_large(select, context):
        return False
    return find_values(aggregates, keyed=_is_keyed(select, aggregates)) is not None


def stage_distinct(select: Select, context: Context) -> Node | None:
    """Group the distinct values of a SELECT that has only keys and aggregates in its list."""
    keys = _list_keys(select)
    aggregates = [
        each.operand for each in select.items if isinstance(each.operand, Call) and is_aggregate(each.operand)
    ]
    if keys is None or not any(map(is_staged, aggregates)) or not is_large(select, context):
        return None
    others = [each.operand for each in select.items if each.operand not in aggregates and not _is_fixed(each.operand)]
    if any(not any(are_same(each, key) for key in keys) for each in others):
        return None
    values = find_values(aggregates, keyed=_is_keyed(select, aggregates))
    if values is None or not all(_is_plain(each.type) for each in (*aggregates, *keys)):
        return None
    branches: list[DistinctValues | None] = [*values, *([None] if not all(map(is_staged, aggregates)) else [])]
    if len(branches) > _MOST_BRANCHES or (len(branches) > 1 and not is_repeatable(select, context)):
        return None
    return _Stages(select, keys, aggregates, context).write(branches)


class _Stages:
    """Writes the stages of one SELECT: `keys` and `aggregates` are what its items are of."""

    def __init__(self, select: Select, keys: list[Expression], aggregates: Sequence[Call], context: Context) -> None:
        self._select = select
        self._keys = keys
        self._aggregates = aggregates
        self._context = context
        self._key_names = [context.fresh("__k") for _ in keys]
        self._names = [context.fresh("__n") for _ in aggregates]

    def write(self, branches: Sequence[DistinctValues | None]) -> Select:
        if len(branches) == 1 and branches[0] is not None:
            rows = self._group_values(branches[0])
            group = self._group(rows)
            return Select(items=tuple(self._show(each, rows, branches[0]) for each in self._select.items), base=rows,
                          group=group)  # fmt: skip
        queries = [self._write_branch(each) for each in branches]
        union = queries[0]
        for query in queries[1:]:
            other = copy_fresh(query, self._context)
            union = Query(body=SetOperation("union", union, other, all=True), outputs=union.outputs)
        rows = derive(union, self._context.fresh("__q"), self._context)
        return Select(
            items=tuple(self._merge(each, rows) for each in self._select.items), base=rows, group=self._group(rows)
        )

    def _write_branch(self, values: DistinctValues | None) -> Query:
        """Return all keys and aggregates, with nulls for those that are of other values."""
        if values is None:
            base, where, group = self._select.base, self._select.where, self._select.group
            keys, found = self._keys, [each if not is_staged(each) else null(each.type) for each in self._aggregates]
        else:
            rows = self._group_values(values)
            base, where, group = rows, None, self._group(rows)
            keys = [column_of(rows, name, key.type) for name, key in zip(self._key_names, self._keys, strict=True)]
            found = [self._aggregate(each, rows, values) or null(each.type) for each in self._aggregates]
        items = [
            named(each, name) for each, name in zip((*keys, *found), (*self._key_names, *self._names), strict=True)
        ]
        query = make_query(tuple(items), base, where)
        body = query.body
        return query.replace(body=body.replace(group=group)) if isinstance(body, Select) else query

    def _group_values(self, values: DistinctValues) -> Derived:
        """Return the keys and values, each of them once."""
        kept = [_keep(each, values.filter) for each in values.arguments]
        items = [named(key, name) for key, name in zip(self._keys, self._key_names, strict=True)]
        items += [named(value, name) for value, name in zip(kept, self._list_values(values), strict=True)]
        query = make_query(tuple(items), self._select.base, self._select.where)
        body = query.body
        # Keys as a table is sorted, and values before keys: rows that come in order are cheap to sort on their way to
        # disk, and a key of few values that comes first makes them dear (docs/facts.md).
        distinct: list[Expression] = []
        for each in sort_as_stored((*kept, *self._keys), self._select):
            if not any(are_same(each, known) for known in distinct):
                distinct.append(each)
        grouped = body.replace(group=Grouping(keys=tuple(distinct))) if isinstance(body, Select) else body
        return derive(query.replace(body=grouped), self._context.fresh("__q"), self._context)

    def _list_values(self, values: DistinctValues) -> list[str]:
        return [f"{self._context.parameter('__v', 0)}{at}" for at in range(len(values.arguments))]

    def _aggregate(self, call: Call, rows: Relation, values: DistinctValues) -> Call | None:
        """Return an aggregate over the values, each of which comes once; None where it is of others."""
        if not is_staged(call) or not _is_of(call, values):
            return None
        columns = [
            column_of(rows, name, each.type)
            for name, each in zip(self._list_values(values), call.arguments, strict=True)
        ]
        argument: Expression = columns[0]
        if len(columns) > 1:
            known = all_of(is_null(each, negated=True) for each in columns)
            argument = Case(operand=None, conditions=(known,), results=(number(1),), type=number(1).type)  # type: ignore[arg-type]
        return call.replace(arguments=(argument,), distinct=False, filter=None)

    def _group(self, rows: Relation) -> Grouping | None:
        keys = tuple(column_of(rows, name, key.type) for name, key in zip(self._key_names, self._keys, strict=True))
        return Grouping(keys=keys) if keys else None

    def _show(self, shown: Item, rows: Relation, values: DistinctValues) -> Item:
        if shown.operand in self._aggregates and isinstance(shown.operand, Call):
            found = self._aggregate(shown.operand, rows, values)
            return shown.replace(operand=found)
        return shown.replace(operand=self._key(shown.operand, rows))

    def _merge(self, shown: Item, rows: Relation) -> Item:
        for call, name in zip(self._aggregates, self._names, strict=True):
            if call is shown.operand:
                column = column_of(rows, name, call.type)
                return shown.replace(operand=Call(name="max", arguments=(column,), type=call.type))
        return shown.replace(operand=self._key(shown.operand, rows))

    def _key(self, operand: Expression, rows: Relation) -> Expression:
        if _is_fixed(operand):
            return operand
        at = next(at for at, key in enumerate(self._keys) if are_same(key, operand))
        return column_of(rows, self._key_names[at], operand.type)


def has_sets(select: Select) -> bool:
    """Whether a SELECT is grouped by ROLLUP, CUBE or GROUPING SETS."""
    return select.group is not None and any(isinstance(key, GroupingSets) for key in select.group.keys)


def sort_as_stored(values: Sequence[Expression], select: Select) -> list[Expression]:
    """Return values in the order by which the tables of a FROM are sorted; those that are no such column come last."""
    tables = _list_sorted_tables(select)
    places = {(table.id, name.lower()): at for table in tables for at, name in enumerate(table.info.clustered_by)}

    def find_place(value: Expression) -> int:
        return places.get((value.source or 0, value.name.lower()), _LAST) if isinstance(value, Column) else _LAST

    return sorted(values, key=find_place)


def _list_sorted_tables(select: Select) -> list[Table]:
    leaves = iter_relations(select.base) if select.base is not None else ()
    return [each for each in leaves if isinstance(each, Table) and each.info.clustered_by]


def _is_keyed(select: Select, aggregates: Sequence[Call]) -> bool:
    """Whether a SELECT has keys beside which Sail itself groups distinct values well.

    It puts the keys first: where a table is sorted by the values, these first took 5.1 s of processor time for 8.6.
    """
    if select.group is None:
        return False
    if has_sets(select):
        return True
    leads = {(each.id, each.info.clustered_by[0].lower()) for each in _list_sorted_tables(select)}
    of_sorted = any(
        isinstance(value, Column) and (value.source, value.name.lower()) in leads
        for call in aggregates
        for value in call.arguments
    )
    return not (of_sorted and all(map(is_staged, aggregates)))


def _is_fixed(operand: Expression) -> bool:
    """Whether an item is a constant: the key of another set of keys (`distinct_sets`)."""
    return isinstance(operand, Constant) or (isinstance(operand, Cast) and isinstance(operand.operand, Constant))


def _keep(value: Expression, condition: Expression | None) -> Expression:
    """Return a value, null where a FILTER leaves it out: no aggregate of distinct values minds a null."""
    return (
        value if condition is None else Case(operand=None, conditions=(condition,), results=(value,), type=value.type)
    )


def is_staged(call: Call) -> bool:
    """Whether the distinct values of an aggregate are grouped."""
    return call.distinct and call.name in _STAGED


def _is_of(call: Call, values: DistinctValues) -> bool:
    same = len(call.arguments) == len(values.arguments) and all(map(are_same, call.arguments, values.arguments))
    return same and are_same(call.filter, values.filter)


def find_values(aggregates: Sequence[Call], *, keyed: bool) -> list[DistinctValues] | None:
    """Return the sets of distinct values, None where Sail groups them itself or some cannot be grouped."""
    staged = [each for each in aggregates if is_staged(each)]
    found: list[DistinctValues] = []
    for call in staged:
        if not call.arguments or not all(map(is_groupable, call.arguments)):
            return None
        if not any(_is_of(call, known) for known in found):
            found.append(DistinctValues(call.arguments, call.filter))
    others = {each.name for each in aggregates if not is_staged(each)}
    is_simple = keyed and len(found) == 1 and len(found[0].arguments) == 1 and found[0].filter is None
    if is_simple and others <= _KEPT_BY_ENGINE and all(each.name == "count" for each in staged):
        return None
    return found


def is_groupable(value: Expression) -> bool:
    """Whether a value can be a key: a constant would be the number of an item."""
    known = not isinstance(value, Star) and _is_plain(value.type) and not has_query(value)
    return known and any(isinstance(each, Column) for each in value.walk())


def _is_plain(kind: Type | None) -> bool:
    return kind in _PLAIN or is_number(kind)


def _list_keys(select: Select) -> list[Expression] | None:
    """Return the keys of a SELECT, None where it is more than groups of plain keys."""
    more = (select.having, select.qualify, select.windows, select.distinct)
    if any(more) or select.base is None or any(len(each.aliases) != 1 for each in select.items):
        return None
    if select.group is None:
        return []
    if select.group.all or select.group.given or not select.group.keys:
        return None
    keys: list[Expression] = []
    for key in select.group.keys:
        if isinstance(key, GroupingSets | Keys | Ordinal | ItemUse) or not is_groupable(key):
            return None
        keys.append(key)
    return keys


def is_large(select: Select | Query, context: Context) -> bool:
    """Whether a query reads a large table, and nothing of a row around it: that could not be read two levels below."""
    nodes = list(_walk(select, context))
    own = {each.id for each in nodes if isinstance(each, Relation)}
    return any(isinstance(each, Table) and (each.info.rows or 0) >= LEAST_ROWS for each in nodes) and not any(
        isinstance(each, Column) and each.source not in own for each in nodes
    )


def is_repeatable(select: Select, context: Context) -> bool:
    """Whether a SELECT reads the same rows each time."""
    nodes = list(_walk(select, context))
    aggregates = (each for each in _walk(select.base, context) if isinstance(each, Call) and is_aggregate(each))
    return not (
        any(is_volatile(each) or isinstance(each, Sample) for each in nodes)
        or any(isinstance(each, Query) and (each.limit or each.offset) for each in nodes)
        or any(isinstance(each, Call) and each.window is not None for each in nodes)
        or any(each.name not in _SAME_EACH_TIME for each in aggregates)
    )


def _walk(node: Node | None, context: Context) -> Iterator[Node]:
    """Yield all nodes below one, and those of the queries of WITH that it reads."""
    todo, seen = [node] if node is not None else [], set[int]()
    while todo:
        for each in todo.pop().walk():
            yield each
            if isinstance(each, CteUse) and each.cte in context.ctes and each.cte not in seen:
                seen.add(each.cte)
                todo.append(context.ctes[each.cte])
