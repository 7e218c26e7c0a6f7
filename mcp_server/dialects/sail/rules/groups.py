"""ROLLUP, CUBE and GROUPING SETS as the sets that they stand for, and without a row where there is none to group.

Measured on Sail 0.7.2: sets within sets, `ROLLUP ((a, b), c)` and numbers in sets are not read; the set of no keys
gives a row over no rows, where Spark's gives none.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import are_same, both, compare, count_rows, number
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Expression
from mcp_server.sql.typed.relations import GroupingSets, Keys, Select
from mcp_server.sql.typed.types import BIGINT

MAX_SETS: Final = 256
"""Sets of one CUBE that are written out. The guard allows no more (`MAX_GROUPINGS` of its limits)."""

Set = tuple[Expression, ...]


def spell_sets(select: Select, context: Context) -> Node | None:
    """Write out the sets that Sail does not read, and leave out the groups of no rows."""
    del context
    if select.group is None or not any(isinstance(key, GroupingSets) for key in select.group.keys):
        return None
    keys = tuple(_plain(key) if isinstance(key, GroupingSets) else key for key in select.group.keys)
    total = all(isinstance(key, GroupingSets) and () in list_sets(key) for key in select.group.keys)
    some = compare(count_rows(), ">", number(0)) if total else None
    spelled = [
        each for key in select.group.keys if isinstance(key, GroupingSets) for one in list_sets(key) for each in one
    ]
    given = tuple(each for each in select.group.given if not any(are_same(each, one) for one in spelled))
    return select.replace(group=select.group.replace(keys=keys, given=given), having=both(select.having, some))


def name_grouping_id(call: Call, context: Context) -> Node | None:
    """Write grouping__id, Hive's word for grouping_id()."""
    del context
    return Call("grouping_id", type=call.type or BIGINT) if call.name == "grouping__id" else None


def _plain(sets: GroupingSets) -> GroupingSets:
    """Return the sets in a form that Sail reads: single keys in ROLLUP and CUBE, keys in brackets in GROUPING SETS."""
    single = all(isinstance(each, Keys) and len(each.operands) == 1 for each in sets.sets)
    if sets.kind != "sets" and single:
        return sets
    if sets.kind == "sets" and all(isinstance(each, Keys) for each in sets.sets):
        return sets
    return sets.replace(kind="sets", sets=tuple(Keys(each) for each in list_sets(sets)))


def list_sets(sets: GroupingSets | Keys) -> list[Set]:
    """Return the sets that ROLLUP, CUBE or GROUPING SETS stand for."""
    if isinstance(sets, Keys):
        return [sets.operands]
    if sets.kind == "sets":
        return [each for inner in sets.sets for each in list_sets(inner)]
    parts = [each for inner in sets.sets for each in list_sets(inner)]
    if sets.kind == "rollup":
        kept = [parts[:length] for length in range(len(parts), -1, -1)]
    else:
        sizes = range(len(parts), -1, -1) if 2 ** len(parts) <= MAX_SETS else range(1)
        kept = [list(chosen) for size in sizes for chosen in combinations(parts, size)]
    return [tuple(key for part in chosen for key in part) for chosen in kept]
