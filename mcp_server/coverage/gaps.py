"""Which gaps of the lake a statement rests on.

A gap is a column with many nulls by which the statement decides, a declared join that loses rows, or a measure of
the lake's context, each below `LEAST_SHARE`. What a statement says nothing of is not warned of: a title that is named
by its key is there or is not, and a null that is shown is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from lakehouse.coverage import JoinCoverage, MeasureCoverage, Share
from mcp_server.coverage.reading import KnownCoverage
from mcp_server.coverage.wording import describe_columns, describe_join, describe_measure, sum_shares
from mcp_server.models import CheckedQuery, Filter, Scan, TableInfo

LOW_COVERAGE: Final = "low_coverage"
"""The code of these warnings."""
LEAST_SHARE: Final = 0.8
_MOST: Final = 2
_MOST_COLUMNS: Final = 3
_WEIGHTY: Final = 0.05
_PART: Final = re.compile(r"(?is)(?:SELECT|,)\s((?:(?!SELECT|,).){1,200}?)\sAS\s+part\b")
"""The expression that is named `part`, from the nearest SELECT or comma before it."""
_EQUALS: Final = frozenset({"=", "in"})
_SUMMARIES: Final = frozenset(
    {"avg", "corr", "max", "mean", "median", "min", "mode", "percentile", "percentile_approx", "stddev", "variance"}
)
_COUNTS: Final = frozenset({"approx_count_distinct", "count", "count_if", "sum"})


def find_gaps(
    query: CheckedQuery, tables: Iterable[TableInfo], known: KnownCoverage, *, found_nothing: bool
) -> tuple[str, ...]:
    """Return sentences on the gaps that an answer rests on, worst first; none for most statements.

    `found_nothing` says that the answer is empty: then what is named by its key may be missing as well.
    """
    if known.counted is None or not query.scans:
        return ()
    read = _Reading(query, {table.name.lower(): table for table in tables}, known, found_nothing)
    found = [*read.find_measures(), *read.find_joins(), *read.find_columns()][:_MOST]
    if not found:
        return ()
    first, *others = found
    return (f"{first}: {_conclude(query, found_nothing=found_nothing)}.", *(f"{each}." for each in others))


def _conclude(query: CheckedQuery, *, found_nothing: bool) -> str:
    if found_nothing:
        return "finding none does not mean that there is none"
    if query.functions & _SUMMARIES:
        return "the answer is of those alone"
    return "counts are lower bounds" if query.functions & _COUNTS else "rows may be missing"


class _Reading:
    """One statement, beside what is known of the lake."""

    def __init__(
        self, query: CheckedQuery, tables: Mapping[str, TableInfo], known: KnownCoverage, found_nothing: bool
    ) -> None:
        self._query = query
        self._tables = tables
        self._context = known.context
        self._counted = known.counted
        self._found_nothing = found_nothing
        self._measured: set[tuple[str, str]] = set()
        named = {each.column.lower() for scan in query.scans for each in scan.filters if each.op in _EQUALS}
        labels = {each.id.lower() for each in self._context.declarations.entity if each.column.lower() in named}
        self._named = named | labels

    def find_measures(self) -> list[str]:
        """Find the measures below the least share, in the parts that the statement's conditions reach."""
        found: list[tuple[float, str]] = []
        for measure in self._counted.measures if self._counted else ():
            scans = [scan for scan in self._scans(measure.table) if self._reads_any(scan, measure.columns)]
            if not scans or self._is_pinned(measure.table):
                continue
            columns = self._find_part_columns(measure)
            parts = _reach_parts(measure.parts, self._find_periods(columns))
            if (gap := _find_gap(parts, by_part=bool(columns & self._query.usage.columns))) is not None:
                found.append((sum_shares(gap).ratio, describe_measure(measure, gap)))
                self._measured |= {(measure.table.lower(), column.lower()) for column in measure.columns}
        return [text for _, text in sorted(found)]

    def find_joins(self) -> list[str]:
        """Find the declared joins below the least share of which the statement reads both columns."""
        found: list[tuple[float, str]] = []
        for join in self._counted.joins if self._counted else ():
            share = self._find_part(join)
            if share.ratio < LEAST_SHARE and self._loses_rows(join):
                found.append((share.ratio, describe_join(join, share)))
        return [text for _, text in sorted(found)]

    def find_columns(self) -> list[str]:
        """Find the columns with many nulls by which the statement decides, a sentence for each table."""
        found: dict[str, dict[str, Share]] = {}
        for each in sorted(self._counted.columns if self._counted else (), key=lambda each: each.whole.ratio):
            at = (each.table.lower(), each.column.lower())
            if each.whole.ratio >= LEAST_SHARE or at in self._context.not_missing | self._measured:
                continue
            if at[1] not in self._query.usage.columns or self._is_pinned(each.table):
                continue
            if any(self._reads_any(scan, (each.column,)) for scan in self._scans(each.table)):
                found.setdefault(each.table, {})[each.column] = each.whole
        return [describe_columns(table, dict([*shares.items()][:_MOST_COLUMNS])) for table, shares in found.items()]

    def _find_part(self, join: JoinCoverage) -> Share:
        """Return the part of a join that the statement's conditions name, or the whole."""
        scans = self._scans(join.left.partition(".")[0])
        named = {str(value) for scan in scans for each in scan.filters if each.op == "=" for value in each.values}
        parts = [part for part in join.parts if join.of and part.part in named]
        return parts[0] if len(parts) == 1 else join.whole

    def _scans(self, table: str) -> list[Scan]:
        return [scan for scan in self._query.scans if scan.table.lower() == table.lower()]

    def _reads_any(self, scan: Scan, columns: Sequence[str]) -> bool:
        wanted = {column.lower() for column in columns}
        return scan.columns is None or any(column.lower() in wanted for column in scan.columns)

    def _loses_rows(self, join: JoinCoverage) -> bool:
        """Whether a statement joins by two columns, and rows without a partner are lost that it may be about."""
        (left, column), (right, key) = (side.split(".", 1) for side in (join.left, join.right))
        if {left.lower(), right.lower()} & self._query.usage.optional:
            return False
        lefts, rights = self._scans(left), self._scans(right)
        both = any(self._reads_any(scan, (column,)) for scan in lefts) and any(
            self._reads_any(scan, (key,)) for scan in rights
        )
        if not both or (lefts == rights and len(lefts) < 2):
            return False
        # All rows of one thing that is in the right table have it for their partner.
        return not self._is_pinned(right) and not self._is_pinned(left, whole=True)

    def _is_pinned(self, table: str, *, whole: bool = False) -> bool:
        """Whether the statement names the thing that a table is about by the first column of its key, or all of them.

        Nothing is, where nothing was found: the thing itself may be missing.
        """
        info = self._tables.get(table.lower())
        key = info.key if info is not None else ()
        wanted = {column.lower() for column in (key if whole else key[:1])}
        return bool(wanted) and wanted <= self._named and not self._found_nothing

    def _find_part_columns(self, measure: MeasureCoverage) -> frozenset[str]:
        """Find the columns that a measure's parts are made of: `startYear` of `startYear DIV 10 * 10 AS part`."""
        declared = self._context.declarations.coverage
        texts = [each.sql for each in declared if (each.table, each.about) == (measure.table, measure.about)]
        found = [
            word for text in texts for parts in _PART.findall(text) for word in re.findall(r"[a-z_]\w*", parts.lower())
        ]
        return frozenset(found)

    def _find_periods(self, columns: frozenset[str]) -> list[tuple[int, int]]:
        """Find the ranges of years that the scans are narrowed to, by columns that parts are made of."""
        periods = (
            _intersect(_read_period(each) for each in scan.filters if each.column.lower() in columns)
            for scan in self._query.scans
        )
        return [period for period in periods if period != _ALWAYS]


_ALWAYS: Final = (-(10**9), 10**9)


def _read_period(condition: Filter) -> tuple[int, int]:
    """Return the years that a condition leaves, first and last."""
    years = [value.year if isinstance(value, date) else value for value in condition.values]
    numbers = [year for year in years if isinstance(year, int) and not isinstance(year, bool)]
    if not numbers or len(numbers) < len(years):
        return _ALWAYS
    first, last = _ALWAYS
    if condition.op in {"=", "in", ">", ">="}:
        first = min(numbers) + (condition.op == ">")
    if condition.op in {"=", "in", "<", "<="}:
        last = max(numbers) - (condition.op == "<")
    return first, last


def _intersect(periods: Iterator[tuple[int, int]]) -> tuple[int, int]:
    first, last = _ALWAYS
    for each in periods:
        first, last = max(first, each[0]), min(last, each[1])
    return first, last


def _reach_parts(parts: Sequence[Share], periods: Sequence[tuple[int, int]]) -> tuple[Share, ...]:
    """Return the parts that lie in one of the periods; all of them where parts are no years or there is no period."""
    years = {part.part: int(part.part) for part in parts if re.fullmatch(r"\d{4}", part.part)}
    if not periods or not years or len(years) < sum(bool(part.part) for part in parts):
        return tuple(parts)
    width = 10 if all(year % 10 == 0 for year in years.values()) else 1
    reached = [
        part
        for part in parts
        if part.part in years
        and any(first < years[part.part] + width and last >= years[part.part] for first, last in periods)
    ]
    return tuple(sorted(reached, key=lambda part: part.part))


def _find_gap(parts: Sequence[Share], *, by_part: bool) -> Sequence[Share] | None:
    """Return the parts to warn of: all where together they are below the least share.

    Else the worst that is, of a statement that decides `by_part`: one that groups by decade shows each.
    """
    whole = sum_shares(parts)
    if not whole.rows:
        return None
    if whole.ratio < LEAST_SHARE:
        return parts
    if not by_part:
        return None
    weighty = [part for part in parts if part.part and part.rows >= whole.rows * _WEIGHTY]
    worst = min(weighty, key=lambda part: part.ratio, default=whole)
    return [worst] if worst.ratio < LEAST_SHARE else None
