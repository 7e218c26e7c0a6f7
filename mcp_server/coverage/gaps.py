"""Which gaps of the lake a statement rests on.

A gap is a column with many nulls by which the statement decides, a declared join that loses rows, or a measure of
the lake's context, each below `LEAST_SHARE`. What a statement says nothing of is not warned of: a title that is named
by its key is there or is not, and a null that is shown is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lakehouse.context import Measure
from lakehouse.coverage import JoinCoverage, MeasureCoverage, Share
from mcp_server.coverage.measures import CoveredStatement, concerns, find_declared, find_part_columns
from mcp_server.coverage.reach import LEAST_SHARE, find_low_parts, find_periods, has_start, reach_parts
from mcp_server.coverage.reading import KnownCoverage
from mcp_server.coverage.wording import (
    describe_columns,
    describe_join,
    describe_measure,
    describe_one,
    describe_open_year,
    sum_shares,
)
from mcp_server.models import CheckedQuery, TableInfo

LOW_COVERAGE: Final = "low_coverage"
OPEN_YEAR: Final = "open_year"
"""The codes of these warnings."""
_MOST: Final = 2
_MOST_COLUMNS: Final = 3
_YEARS_AHEAD: Final = 10
_AVERAGES: Final = frozenset(
    {"avg", "corr", "mean", "median", "mode", "percentile", "percentile_approx", "stddev", "variance"}
)
_EXTREMES: Final = frozenset({"max", "min"})
_COUNTS: Final = frozenset({"approx_count_distinct", "count", "count_if", "sum"})

LookUp = Callable[[str, Mapping[str, object]], tuple[int, int] | None]
"""Runs a statement with `:name` markers that gives `rows` and `known`; None where that takes too long."""


@dataclass(frozen=True)
class AnswerFacts:
    """What a statement found: `nothing`, or rows with these whole numbers in them; None where rows were cut."""

    nothing: bool
    numbers: frozenset[int] | None = None


@dataclass(frozen=True)
class Warned:
    """A sentence for the reader of an answer, and its code."""

    text: str
    code: str


@dataclass(frozen=True)
class _Gap:
    """What is missing of a table, in a sentence without its end. One of a lower `rank` says more than others.

    `is_all` says that nothing follows for the answer but what is said; `of_nulls` that it is of nulls in a column.
    """

    table: str
    text: str
    ratio: float
    rank: int = 0
    is_all: bool = False
    of_nulls: bool = False


def find_gaps(
    query: CheckedQuery, tables: Iterable[TableInfo], known: KnownCoverage, found: AnswerFacts, look_up: LookUp
) -> tuple[Warned, ...]:
    """Return what to say of the gaps that an answer rests on, worst first; nothing for most statements."""
    if known.counted is None or not query.scans:
        return ()
    reading = CoveredStatement(query, {table.name.lower(): table for table in tables}, known, found.nothing)
    gaps = _Gaps(reading, look_up).find_all()[:_MOST]
    ends = ("" if each.is_all or each is not gaps[0] else f": {_conclude(reading, each)}" for each in gaps)
    said = [Warned(f"{gap.text}{end}.", LOW_COVERAGE) for gap, end in zip(gaps, ends, strict=True)]
    return (*said, *_find_open_year(reading, found))


def _conclude(reading: CoveredStatement, gap: _Gap) -> str:
    """Say what follows for the answer."""
    query = reading.query
    if reading.found_nothing:
        return "finding none does not mean that there is none"
    counts = bool(query.functions & _COUNTS)
    if gap.table.lower() in query.usage.absent:
        return f"no match may only mean unknown here{'; counts of those are upper bounds' if counts else ''}"
    # A thing that is named has all of itself, and not all of what it took part in.
    key = reading.find_key(gap.table)[:1]
    others = (each for each in reading.entities if each.id not in key)
    kinds = [each.kind for each in others if reading.reads(gap.table, (each.id, each.column))]
    if kinds:
        return f"what is listed for this {kinds[0]} may have gaps"
    if query.functions & (_AVERAGES | _EXTREMES if gap.of_nulls else _AVERAGES):
        return "the answer is of those alone"
    if gap.table.lower() in query.usage.optional:
        return "the others have null"
    return "counts are lower bounds" if counts else "rows may be missing"


def _find_open_year(reading: CoveredStatement, found: AnswerFacts) -> tuple[Warned, ...]:
    """Say that the last year of the source is not over, of an answer that counts it."""
    counted, query = reading.known.counted, reading.query
    day = counted.snapshot if counted is not None else None
    counts = query.functions & (_COUNTS | _AVERAGES)
    if day is None or found.nothing or reading.entities or not counts or (day.month, day.day) == (12, 31):
        return ()
    places = (name.split(".", 1) for name in reading.known.context.declarations.years)
    columns = frozenset(column.lower() for table, column in places if reading.reads(table, (column,)))
    periods = find_periods(query.scans, columns)
    if any(last < day.year for _, last in periods):
        return ()
    if columns & query.usage.grouped:
        shown = found.numbers is None or _shows_year(found.numbers, day.year)
    else:
        shown = any(map(has_start, periods))
    return (Warned(describe_open_year(day), OPEN_YEAR),) if columns and shown else ()


def _shows_year(numbers: frozenset[int], year: int) -> bool:
    """Whether an answer has a row for a year or a later one, or for its decade and not for the years around that."""
    decade = year // 10 * 10
    years = numbers & {*range(decade - 1, year + _YEARS_AHEAD)}
    return max(years, default=0) >= year or years == {decade}


class _Gaps:
    """The gaps of one statement."""

    def __init__(self, reading: CoveredStatement, look_up: LookUp) -> None:
        self._reading = reading
        self._query = reading.query
        self._known = reading.known
        self._counted = reading.known.counted
        self._look_up = look_up
        self._measured: set[tuple[str, str]] = set()

    def find_all(self) -> list[_Gap]:
        """Find the gaps: measures, then joins, then columns."""
        measures = self._find_measures()
        told = {gap.table.lower() for gap in measures}
        return [*measures, *(gap for gap in self._find_joins() if gap.table.lower() not in told), *self._find_columns()]

    def _find_measures(self) -> list[_Gap]:
        """Find the measures below the least share, in the parts that the statement's conditions reach; one of a table.

        What is counted for the very thing that a statement names comes first, then what is counted for its conditions.
        """
        found: list[_Gap] = []
        for measure in self._counted.measures if self._counted else ():
            declared = find_declared(self._known, measure)
            if concerns(declared, self._reading) and (gap := self._measure(measure, declared)) is not None:
                found.append(gap)
                self._measured |= {(measure.table.lower(), column.lower()) for column in measure.columns}
        absent = self._query.usage.absent
        found.sort(key=lambda gap: (gap.table.lower() not in absent, gap.rank, gap.ratio))
        return [*{gap.table: gap for gap in reversed(found)}.values()][::-1]

    def _measure(self, measure: MeasureCoverage, declared: Measure) -> _Gap | None:
        if declared.one and (one := self._measure_one(measure.table, declared.one)) is not None and one.rows:
            if one.known < one.rows:
                text = describe_one(measure.table, one, declared.of_one)
                return _Gap(measure.table, text, one.ratio, is_all=True)
            return None
        columns = find_part_columns(declared)
        parts = reach_parts(measure.parts, find_periods(self._query.scans, columns))
        low = find_low_parts(parts, by_part=bool(columns & self._query.usage.grouped))
        if low is None:
            return None
        rank = 1 if declared.needs or declared.beside else 2
        if not self._reading.reads(measure.table, measure.columns):
            rank = 3  # the statement asks only whether there is a row
        return _Gap(measure.table, describe_measure(measure, low), sum_shares(low).ratio, rank)

    def _measure_one(self, table: str, sql: str) -> Share | None:
        """Count what is known of the thing that a statement names by its key; None where it does not, or nobody can."""
        key = self._reading.find_key(table)
        value = self._reading.find_value(key[0]) if key else None
        counts = self._look_up(sql, {"key": value}) if isinstance(value, (int, str)) else None
        return None if counts is None else Share(rows=counts[0], known=counts[1])

    def _find_joins(self) -> list[_Gap]:
        """Find the declared joins below the least share of which the statement reads both columns."""
        found: list[_Gap] = []
        for join in self._counted.joins if self._counted else ():
            share = self._find_part(join)
            if share.ratio < LEAST_SHARE and self._loses_rows(join):
                found.append(_Gap(join.right.partition(".")[0], describe_join(join, share), share.ratio))
        return sorted(found, key=lambda gap: gap.ratio)

    def _find_columns(self) -> list[_Gap]:
        """Find the columns with many nulls by which the statement decides, a sentence for each table."""
        found: dict[str, dict[str, Share]] = {}
        for each in sorted(self._counted.columns if self._counted else (), key=lambda each: each.whole.ratio):
            at = (each.table.lower(), each.column.lower())
            if each.whole.ratio >= LEAST_SHARE or at in self._known.context.not_missing | self._measured:
                continue
            if at[1] not in self._query.usage.columns or self._reading.is_pinned(each.table):
                continue
            if self._reading.reads(each.table, (each.column,)):
                found.setdefault(each.table, {})[each.column] = each.whole
        return [
            _Gap(table, describe_columns(table, dict([*shares.items()][:_MOST_COLUMNS])), 1.0, of_nulls=True)
            for table, shares in found.items()
        ]

    def _find_part(self, join: JoinCoverage) -> Share:
        """Return the part of a join that the statement's conditions name, or the whole."""
        scans = self._reading.list_scans(join.left.partition(".")[0])
        named = {str(value) for scan in scans for each in scan.filters if each.op == "=" for value in each.values}
        parts = [part for part in join.parts if join.of and part.part in named]
        return parts[0] if len(parts) == 1 else join.whole

    def _loses_rows(self, join: JoinCoverage) -> bool:
        """Whether a statement joins by two columns, and rows without a partner are lost that it may be about."""
        (left, column), (right, key) = (side.split(".", 1) for side in (join.left, join.right))
        usage = self._query.usage
        if {left.lower(), right.lower()} & usage.optional and right.lower() not in usage.absent:
            return False
        lefts, rights = self._reading.list_scans(left), self._reading.list_scans(right)
        both = self._reading.reads(left, (column,)) and self._reading.reads(right, (key,))
        if not both or (lefts == rights and len(lefts) < 2) or self._reading.joins_otherwise(join.left, join.right):
            return False
        # All rows of one thing that is in the right table have it for their partner.
        return not self._reading.is_pinned(right) and not self._reading.is_pinned(left, whole=True)
