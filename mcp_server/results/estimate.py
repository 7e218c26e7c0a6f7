"""What a query would cost, for those who decide before it runs: a text, a structure, and the budget that may refuse it.

Sizes are those of whole files after pruning. Engines read only the columns they need of them, so a query reads less
than is said here; it never needs a file that is not counted (docs/estimates.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from lakehouse.errors import ResourceLimit
from mcp_server.models import CheckedQuery, Estimate, Filter, Scan, ScanEstimate, TableInfo
from mcp_server.results.ai import AiPlan, count_noun

_SHOWN_VALUES = 3
_SHOWN_FILTERS = 4
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


_WHOLE_TABLES = (
    "This engine tells only how large whole tables are, so a condition does not count: read a smaller table or view, "
    "or ask whoever runs the server for a larger budget."
)


class TableCost(BaseModel):
    """One reading of a table: what is left after pruning, and what there is. `rows` is null where it is not known."""

    table: str
    version: int | None
    files: int
    files_total: int
    bytes: int
    bytes_total: int
    rows: int | None


class DryRun(BaseModel):
    """What a statement would do; nothing of it has run. `refused` says why it would not be run, by the scan budget.

    `upper_bound` is true where the engine knows whole tables only, and pruning is not in the numbers.
    """

    status: Literal["dry_run"]
    engine: str
    sql: str
    rewrites: list[str]
    tables: list[TableCost]
    files: int
    bytes: int
    upper_bound: bool
    row_limit: int
    refused: str | None
    warnings: list[str]
    advice: list[str]
    ai: AiPlan | None


def dry_run(
    query: CheckedQuery, estimate: Estimate, *, engine: str, refused: str | None = None, ai: AiPlan | None = None
) -> tuple[str, DryRun]:
    """The text for a model and the structure for a program. `refused` is the text of what `check_budget` raised."""
    found = DryRun(
        status="dry_run",
        engine=engine,
        sql=query.sql,
        rewrites=list(query.rewrites),
        tables=[TableCost(**vars(scan)) for scan in estimate.scans],
        files=estimate.files,
        bytes=estimate.bytes,
        upper_bound=not estimate.exact,
        row_limit=query.limit.rows,
        refused=refused,
        warnings=list(query.caveats),
        advice=list(query.advice),
        ai=ai,
    )
    return _render_dry_run(query, estimate, found), found


def check_budget(
    query: CheckedQuery, estimate: Estimate, tables: Iterable[TableInfo], max_scan_mb: float | None
) -> None:
    """Raises ResourceLimit, with the code `scan_budget`, where a query would read more than `max_scan_mb` MiB."""
    budget = int((max_scan_mb or 0) * 2**20)
    if max_scan_mb is None or estimate.bytes <= budget:
        return
    largest = max(estimate.scans, key=lambda scan: scan.bytes)
    info = next((table for table in tables if table.name == largest.table), None)
    room = budget - (estimate.bytes - largest.bytes)
    raise ResourceLimit(
        f"The query would read {_format_bytes(estimate.bytes)} in {estimate.files:,} files, and one query may read "
        f"{_format_bytes(budget)} (IMDB_MAX_SCAN_MB). {largest.table} takes {_format_bytes(largest.bytes)} of it. "
        + (_suggest_condition(query, largest, info, room) if estimate.exact else _WHOLE_TABLES),
        code="scan_budget",
    )


def _suggest_condition(query: CheckedQuery, largest: ScanEstimate, info: TableInfo | None, room: int) -> str:
    """Which condition would bring a query below its budget, as far as the layout of the largest table tells."""
    filtered = {each.column for scan in query.scans if scan.table == largest.table for each in scan.filters}
    ordered = list(info.clustered_by) if info is not None else []
    fitting = room * largest.files // largest.bytes if largest.bytes else 0
    if fitting < 1 or not ordered:
        return (
            "No condition on one column is known to bring it below: read a smaller table or view, or ask whoever runs "
            "the server for a larger budget."
        )
    column = next((name for name in ordered if name not in filtered), ordered[0])
    what = "a narrower condition on" if column in filtered else "a condition on"
    return (
        f"Its files are ordered by {', '.join(ordered)}: {what} {column}, such as = or BETWEEN, that leaves at most "
        f"{fitting:,} of its {largest.files_total:,} files brings the query below."
    )


def _render_dry_run(query: CheckedQuery, estimate: Estimate, found: DryRun) -> str:
    verdict = "would be refused" if found.refused else "allowed"
    head = f"dry run, {verdict}, nothing was run; engine {found.engine}, at most {found.row_limit:,} rows"
    rewritten = f" (rewritten: {', '.join(found.rewrites)})" if found.rewrites else ""
    lines = [head, *([found.refused] if found.refused else []), _describe_total(query, estimate)]
    filters = _describe_filters(query, estimate)
    lines += [f"- {_describe_scan(scan)}{shown}" for scan, shown in zip(estimate.scans, filters, strict=True)]
    lines += [found.ai.text] if found.ai else []
    lines.append(f"Runs{rewritten}: {found.sql}")
    lines += [f"Warning: {each}" for each in found.warnings]
    lines += [f"Better: {each}" for each in found.advice]
    return "\n".join(lines)


def _describe_total(query: CheckedQuery, estimate: Estimate) -> str:
    counted = {scan.table.lower() for scan in estimate.scans}
    unknown = sorted(table for table in query.tables if table.lower() not in counted)
    beside = f" Not counted, because the engine does not tell their size: {', '.join(unknown)}." if unknown else ""
    if not estimate.scans:
        return beside.strip() or "Reads no table."
    bound = "" if estimate.exact else ", an upper bound: whole tables, because the engine does not tell more"
    return f"Reads at most {_format_bytes(estimate.bytes)} in {count_noun(estimate.files, 'file')}{bound}.{beside}"


def _describe_scan(scan: ScanEstimate) -> str:
    version = "" if scan.version is None else f" version {scan.version}"
    files = f"{scan.files:,} of {count_noun(scan.files_total, 'file')}"
    size = f"{_format_bytes(scan.bytes)} of {_format_bytes(scan.bytes_total)}"
    rows = "rows not known" if scan.rows is None else f"at most {count_noun(scan.rows, 'row')}"
    return f"{scan.table}{version}: {files}, {size}, {rows}"


def _describe_filters(query: CheckedQuery, estimate: Estimate) -> list[str]:
    """What each reading was pruned by, where the engine's readings are those of the guard."""
    same = [scan.table for scan in query.scans] == [scan.table for scan in estimate.scans]
    if not same or not estimate.exact:
        return [""] * len(estimate.scans)
    return [_describe_scan_filters(scan) for scan in query.scans]


def _describe_scan_filters(scan: Scan) -> str:
    if not scan.filters:
        return ", no condition"
    more = f" and {len(scan.filters) - _SHOWN_FILTERS} more" if len(scan.filters) > _SHOWN_FILTERS else ""
    return ", by " + " and ".join(_describe_filter(each) for each in scan.filters[:_SHOWN_FILTERS]) + more


def _describe_filter(each: Filter) -> str:
    values = [repr(value) if isinstance(value, str) else str(value) for value in each.values]
    if each.op != "in":
        return " ".join([each.column, each.op, *values])
    more = ", …" if len(values) > _SHOWN_VALUES else ""
    return f"{each.column} in ({', '.join(values[:_SHOWN_VALUES])}{more})"


def _format_bytes(number: int) -> str:
    """Bytes as people read them: `3.1 MiB`."""
    size, unit = float(number), "bytes"
    for larger in _UNITS:
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:,.1f} {unit}"
