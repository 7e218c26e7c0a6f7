"""The rules for clauses, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mcp_server.dialects.sail.rules import (
    aliases,
    collected_sets,
    distinct_counts,
    distinct_sets,
    generators,
    groups,
    joins,
    list_texts,
    orders,
    set_rows,
    single_values,
    spelling,
    stages,
    stars,
    stored,
    unions,
    windows,
)
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Like, Window
from mcp_server.sql.typed.relations import (
    Cte,
    FunctionTable,
    InlineTable,
    Join,
    Pivot,
    Query,
    Sample,
    Select,
    Table,
    Unpivot,
)

ClauseRule = tuple[str, type[Node], Callable[[Any, Context], Node | None]]

CLAUSE_RULES: Final[tuple[ClauseRule, ...]] = (
    ("padded columns", Query, spelling.refuse_padded_columns),
    ("void columns", Table, stored.refuse_void_columns),
    ("variants", Query, stored.refuse_hidden_variants),
    ("with", Cte, orders.note_with),
    ("with", Query, spelling.refuse_chance),
    ("recursion", Cte, spelling.count_steps),
    ("with names", Query, spelling.spell_with_names),
    ("pipes", Query, spelling.refuse_twins),
    ("stars", Select, stars.expand_stars),
    ("joins", Join, joins.spell_join),
    ("joins", Query, joins.name_sides),
    ("using", Query, joins.spell_usings),
    ("generators", Query, generators.list_generators),
    ("generators", FunctionTable, generators.derive_function),
    ("generators", Query, generators.explode_maps),
    ("having", Query, generators.filter_rows),
    ("unpivot", Unpivot, spelling.stack_columns),
    ("pivot", Pivot, spelling.derive_pivot_base),
    ("tablesample", Sample, spelling.limit_samples),
    ("distribute by", Query, spelling.leave_out_places),
    ("windows", Select, windows.name_windows),
    ("lateral aliases", Select, aliases.spell_lateral_aliases),
    ("group by", Select, aliases.spell_groups),
    ("grouping sets", Call, groups.name_grouping_id),
    ("grouping sets", Select, groups.spell_sets),
    ("lists as text", Like, list_texts.search_elements),
    ("single values", Query, single_values.compare_extremes),
    ("collected sets", Query, collected_sets.list_sets),
    ("groups in stages", Query, stages.stage_groups),
    ("sets of distinct values", Select, distinct_sets.unite_sets),
    ("distinct values", Select, distinct_counts.stage_distinct),
    ("qualify", Query, aliases.filter_windows),
    ("order by", Query, orders.leave_out_inner_order),
    ("order by all", Query, orders.order_by_all),
    ("set operations", Query, unions.widen_operands),
    ("set operations", Query, unions.number_rows),
    ("set operations of large tables", Query, set_rows.group_sides),
    ("values", InlineTable, unions.widen_rows),
    ("values", Query, unions.widen_rows),
    ("windows", Call, windows.filter_in_windows),
    ("windows", Window, windows.range_of_days),
)
"""Name, class of node and rule: each a pass over the whole tree. Those for sub-queries follow."""

LATE_RULES: Final[tuple[ClauseRule, ...]] = (("order by", Query, orders.hide_constants),)
"""Passes behind those for sub-queries, which make outer joins."""
