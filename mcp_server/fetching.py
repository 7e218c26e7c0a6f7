"""How many rows of a statement are fetched beyond those that its answer shows, to be kept for paging and export."""

from __future__ import annotations

import re
from collections.abc import Callable

from mcp_server.models import CheckedQuery, Estimate
from mcp_server.settings import Settings
from mcp_server.sql.functions import functions

_COMPUTES_ALL = re.compile(r"\b(?:ORDER\s+BY|GROUP\s+BY|DISTINCT)\b", re.IGNORECASE)
"""A query that had to compute all of its rows before the first. Others may stop early: a join that counts all of them
may take any time and not listen to a cancel, and the engine's process would be ended for it (docs/facts.md)."""

_MAKES_LARGE_CELLS = frozenset({"times", "width", "span"})


def may_stop_early(query: CheckedQuery) -> bool:
    """Whether a query with a few rows to find may take far less time than one with all of them."""
    return len(query.scans) > 1 and not _COMPUTES_ALL.search(query.sql)


def choose_kept_rows(
    query: CheckedQuery,
    row_limit: int | None,
    settings: Settings,
    most_bytes: int,
    estimate: Callable[[CheckedQuery], Estimate],
) -> int:
    """Choose how many rows of a statement are fetched. `row_limit` is what its caller asked for, None where it did not.

    Only those of the answer where more might be dear: rows that the engine need not compute, or large ones. Else as
    many as an answer may have at most: of 200,000 titles the embedded engine gave 500 in 0.9 to 1.0 times the time of
    100, a thousand in up to 1.1 times, ten thousand, sorted, in 2.6 times. So these are for a caller who asks for them,
    by LIMIT or `row_limit`.
    """
    growth = functions().growth
    if any(growth[name][0] in _MAKES_LARGE_CELLS for name in query.functions & growth.keys()):
        return query.limit.rows
    if row_limit is not None:
        wanted = row_limit
    elif query.limit.rows > settings.usual_rows:
        wanted = settings.export_rows  # more than usual: the statement has a LIMIT, which bounds it
    else:
        wanted = query.limit.rows if may_stop_early(query) else settings.max_rows
    wanted = min(wanted, settings.export_rows)
    if wanted > query.limit.rows:
        wanted = min(wanted, _count_affordable(estimate(query), most_bytes))
    return max(wanted, query.limit.rows)


def _count_affordable(estimate: Estimate, most_bytes: int) -> int:
    """Count the rows that have `most_bytes`, by the mean size of a row in the files of each table.

    The embedded engine sends up to 8,192 rows at once: of rows of 100 kB, 500 took four times as long as 100.
    """
    if any(scan.rows is None for scan in estimate.scans):
        return 0
    row_bytes = sum(scan.bytes / scan.rows for scan in estimate.scans if scan.rows)
    return int(most_bytes / max(row_bytes, 1))
