"""Which parts of a measure a statement reaches, by the years that its conditions leave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from lakehouse.coverage import Share
from mcp_server.coverage.wording import sum_shares
from mcp_server.models import Filter, Scan

LEAST_SHARE: Final = 0.8
_WEIGHTY: Final = 0.05
_FIRST, _LAST = -(10**9), 10**9

_YEAR = re.compile(r"\d{4}")

Period = tuple[int, int]
"""Years, first and last."""


def find_periods(scans: Iterable[Scan], columns: frozenset[str]) -> list[Period]:
    """Find the ranges of years that scans are narrowed to by some columns, in lower case."""
    periods = (
        _intersect(_read_period(each) for each in scan.filters if each.column.lower() in columns) for scan in scans
    )
    return [period for period in periods if period != (_FIRST, _LAST)]


def has_start(period: Period) -> bool:
    """Whether a period begins with a year."""
    return period[0] > _FIRST


def reach_parts(parts: Sequence[Share], periods: Sequence[Period]) -> tuple[Share, ...]:
    """Return the parts that lie in one of the periods; all of them where parts are no years or there is no period."""
    years = {part.part: int(part.part) for part in parts if _YEAR.fullmatch(part.part)}
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


def find_low_parts(parts: Sequence[Share], *, by_part: bool) -> Sequence[Share] | None:
    """Return the parts to warn of: all where together they are below the least share.

    Else the worst that is, of a statement that groups `by_part`, and so shows each.
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


def _read_period(condition: Filter) -> Period:
    """Return the years that a condition leaves."""
    years = [value.year if isinstance(value, date) else value for value in condition.values]
    numbers = [year for year in years if isinstance(year, int) and not isinstance(year, bool)]
    first, last = _FIRST, _LAST
    if not numbers or len(numbers) < len(years):
        return first, last
    if condition.op in {"=", "in", ">", ">="}:
        first = min(numbers) + (condition.op == ">")
    if condition.op in {"=", "in", "<", "<="}:
        last = max(numbers) - (condition.op == "<")
    return first, last


def _intersect(periods: Iterable[Period]) -> Period:
    first, last = _FIRST, _LAST
    for each in periods:
        first, last = max(first, each[0]), min(last, each[1])
    return first, last
