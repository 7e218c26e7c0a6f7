"""Counts of distinct values over ROLLUP, CUBE and GROUPING SETS of large tables, each set as a SELECT of its own.

    SELECT g, count(DISTINCT a, b) AS n FROM t GROUP BY GROUPING SETS ((g), ())

becomes

    SELECT q.g, q.n FROM (
        SELECT g, count(DISTINCT a, b) AS n FROM t GROUP BY g UNION ALL
        SELECT NULL, count(DISTINCT a, b) FROM t) q

Sail 0.7.2 keeps the values of all sets in memory, of 7 million rows 4.9 to 13.5 GiB. Those of one set `stage_distinct`
groups, which goes to disk. A table is read once for each set, so this is for large tables. Values of one column alone
stay: over four sets they failed so under 2 GiB, where Sail itself answers (docs/bench.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.distinct_counts import (
    find_values,
    has_sets,
    is_groupable,
    is_large,
    is_repeatable,
    is_staged,
)
from mcp_server.dialects.sail.rules.groups import Set, list_sets
from mcp_server.dialects.sail.rules.kit import GROUPING, are_same, count_rows, is_aggregate, named, number
from mcp_server.dialects.sail.rules.make import cast_to
from mcp_server.dialects.sail.rules.query_nodes import copy_fresh
from mcp_server.dialects.sail.rules.query_parts import column_of, derive, make_query, null
from mcp_server.sql.typed.nodes import Call, Expression, ItemUse, Ordinal
from mcp_server.sql.typed.relations import Grouping, GroupingSets, Keys, Query, Select, SetOperation

_MOST_BRANCHES: Final = 7
"""How many groupings may run at once: eight over 7 million rows ended the process under 2 GiB, five and six did not."""


def unite_sets(select: Select, context: Context) -> Select | None:
    """Write a SELECT over several sets of keys as a UNION ALL of them, where it counts distinct values."""
    sets = _list_own_sets(select)
    if sets is None or not _is_for_stages(select, sets, context):
        return None
    keys = _list_distinct(sets)
    queries = [_write_set(select, one, keys) for one in sets]
    union = queries[0]
    for query in queries[1:]:
        union = Query(body=SetOperation("union", union, copy_fresh(query, context), all=True), outputs=union.outputs)
    rows = derive(union, context.fresh("__q"), context)
    return Select(
        items=tuple(
            each.replace(operand=column_of(rows, name, each.operand.type))
            for each, name in zip(select.items, _name_columns(select), strict=True)
        ),
        base=rows,
    )


def _list_own_sets(select: Select) -> list[Set] | None:
    """Return the sets of a SELECT, None where it is more than sets of plain keys, keys and aggregates."""
    group = select.group
    if group is None or not has_sets(select):
        return None
    if any((select.having, select.qualify, select.windows, select.distinct, group.all, group.given)):
        return None
    sets = _multiply_sets(group)
    if sets is None or any(len(each.aliases) != 1 for each in select.items):
        return None
    keys = _list_distinct(sets)
    others = (each.operand for each in select.items if not is_aggregate(each.operand))
    is_known = all(any(are_same(each, key) for key in keys) for each in others)
    return sets if is_known and all(map(is_groupable, keys)) else None


def _is_for_stages(select: Select, sets: Sequence[Set], context: Context) -> bool:
    """Whether distinct values of large tables are counted that Sail keeps in memory, in not too many groupings."""
    calls = [each.operand for each in select.items if isinstance(each.operand, Call) and is_aggregate(each.operand)]
    counted = [each for each in calls if each.name not in GROUPING and not _asks_for_rows(each)]
    values = find_values(counted, keyed=True)
    if not values or not is_large(select, context) or not is_repeatable(select, context):
        return False
    has_others = not all(map(is_staged, counted))
    groupings = len(sets) * (len(values) + has_others) + (() in sets and not has_others)
    return groupings <= _MOST_BRANCHES


def _write_set(select: Select, keys: Set, all_keys: Sequence[Expression]) -> Query:
    """Return the groups of one set, with nulls for the keys of others."""
    items = tuple(
        named(_in_set(each.operand, keys, all_keys), name)
        for each, name in zip(select.items, _name_columns(select), strict=True)
    )
    distinct = tuple(_list_distinct([keys]))
    group = Grouping(keys=distinct) if distinct else None
    query = make_query(items, select.base, select.where)
    return query.replace(body=select.replace(items=items, group=group))


def _in_set(operand: Expression, keys: Set, all_keys: Sequence[Expression]) -> Expression:
    """Return what an item of the list is in the groups of one set."""
    if isinstance(operand, Call) and operand.name in GROUPING:
        asked = operand.arguments or tuple(all_keys)
        bits = 0
        for each in asked:
            bits = bits * 2 + (not any(are_same(each, key) for key in keys))
        return cast_to(number(bits), operand.type)
    if isinstance(operand, Call) and _asks_for_rows(operand) and keys:
        return cast_to(number(1), operand.type)
    is_other = any(are_same(operand, key) for key in all_keys) and not any(are_same(operand, key) for key in keys)
    return null(operand.type) if is_other else operand


def _asks_for_rows(call: Call) -> bool:
    """Whether a call is the `count(1)` by which a rule asks whether there is a row: a group of keys has some."""
    return call.at is None and are_same(call, count_rows())


def _name_columns(select: Select) -> list[str]:
    return [each.aliases[0] for each in select.items]


def _multiply_sets(group: Grouping) -> list[Set] | None:
    """Return the sets of a GROUP BY, None where a key is a number or a name of the list."""
    parts: list[list[Set]] = []
    for key in group.keys:
        if isinstance(key, Ordinal | ItemUse):
            return None
        parts.append(list_sets(key) if isinstance(key, GroupingSets | Keys) else [(key,)])
    return [tuple(key for part in chosen for key in part) for chosen in product(*parts)]


def _list_distinct(sets: Sequence[Set]) -> list[Expression]:
    found: list[Expression] = []
    for key in (key for one in sets for key in one):
        if not any(are_same(key, known) for known in found):
            found.append(key)
    return found
