"""Names the parts of a statement that keep all they read in memory, and forms that need less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lakehouse.errors import Refused, ResourceLimit
from mcp_server.guard.rules import reread_query
from mcp_server.models import CheckedQuery
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call
from mcp_server.sql.typed.read import find_typed
from mcp_server.sql.typed.relations import GroupingSets, Join, SetOperation
from mcp_server.sql.typed.types import Struct

_COLLECTING: Final = frozenset({"array_agg", "collect_list", "collect_set", "listagg", "string_agg"})
_QUANTILES: Final = frozenset(
    {"approx_percentile", "median", "percentile", "percentile_approx", "percentile_cont", "percentile_disc"}
)

_PICKING: Final = frozenset({"max", "max_by", "min", "min_by"})


def _calls(names: frozenset[str]) -> Callable[[Node], bool]:
    return lambda node: isinstance(node, Call) and node.name in names


def _counts_distinct(node: Node) -> bool:
    return isinstance(node, Call) and node.distinct


def _picks_structs(node: Node) -> bool:
    picks = isinstance(node, Call) and node.name in _PICKING and node.arguments
    return bool(picks) and isinstance(node.arguments[-1].type, Struct)  # type: ignore[attr-defined]


def _combines_rows(kind: str) -> Callable[[Node], bool]:
    return lambda node: isinstance(node, SetOperation) and node.kind == kind


def _ranks_everything(node: Node) -> bool:
    return isinstance(node, Call) and node.window is not None and not node.window.partition and node.window.base is None


_HUNGRY: Final[tuple[tuple[Callable[[Node], bool], str], ...]] = (
    (
        _calls(_COLLECTING),
        "Lists of values are kept in memory: count them, or collect the few that row_number() leaves.",
    ),
    (
        _counts_distinct,
        "Distinct values may be kept in memory: count the rows of a SELECT DISTINCT in a sub-query, one for each.",
    ),
    (
        _picks_structs,
        "The largest struct of a group is kept in memory: keep row_number() = 1, OVER (PARTITION BY … ORDER BY …).",
    ),
    (
        _calls(_QUANTILES),
        "Quantiles keep all values in memory: group them into ranges first, as with floor(x / 10), or filter.",
    ),
    (
        lambda node: isinstance(node, GroupingSets),
        "Sets of keys are grouped at once: write ROLLUP, CUBE and GROUPING SETS as statements of one GROUP BY each.",
    ),
    (
        _combines_rows("except"),
        "EXCEPT keeps a side in memory: number the sides in a UNION ALL, and group its rows HAVING max(side) = 1.",
    ),
    (
        _combines_rows("intersect"),
        "INTERSECT keeps a side in memory: number the sides in a UNION ALL, and group HAVING min(side) < max(side).",
    ),
    (_ranks_everything, "A window over all rows keeps them in memory: give it a PARTITION BY."),
    (
        lambda node: isinstance(node, Join),
        "A join keeps one of its sides in memory: filter, or group by its key, in a sub-query before it.",
    ),
)
"""What a statement may have, and what to write instead."""


def explain_memory(error: ResourceLimit, query: CheckedQuery, catalog: Catalog) -> ResourceLimit:
    """Return the error of a query that needed too much memory, with what in it does and forms that need less."""
    try:
        found = find_typed(reread_query(query.sent, catalog), catalog)
    except Refused:  # its AI functions were removed before it was a query
        return error
    nodes = list(found.walk()) if found is not None else []
    said = [sentence for is_hungry, sentence in _HUNGRY if any(map(is_hungry, nodes))]
    return ResourceLimit(" ".join((str(error), *said)), code=error.code, lacking=error.lacking)
