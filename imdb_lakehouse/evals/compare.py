"""Compares a result with the gold result. Pure: tables in, a verdict out.

Names and order of columns are ignored; extra columns are allowed and counted. Every gold column must be present, all in
the same rows, as a multiset. The order of rows counts if `Gold.order` is set; rows equal in its columns are a tie and
may come in any order. If the gold statement's LIMIT cuts a tie, any rows of that tie match (`Gold.spare`).

Numbers are compared by value, whatever their types. A gold column of doubles or decimals allows a relative error of one
in a million; if all its values have one to six decimals, also any value that rounds to them. Text is compared exactly;
a timestamp at midnight equals its date; NULL equals only NULL; arrays are compared item by item.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

Cell = Any
"""None, int, float, text, or tuples of these; whole numbers are int, so 5.0 equals 5."""

Row = tuple[Cell, ...]
Verdict = Literal["match", "order", "rows", "columns", "values"]

_RELATIVE = 1e-6
_MAX_DECIMALS = 6
_MAX_PAIRED = 300
"""Rows that differ only in inexact numbers and are matched in any order; more rows are matched in sorted order only."""
_MAX_TRIED = 1_000
"""Pairings of columns that are tried."""
_INEXACT = re.compile(r"(double|float|decimal)\b")
_NUMBER = re.compile(r"(double|float|decimal|bigint|long|int|smallint|tinyint)\b")
_MIDNIGHT = re.compile(r"T00:00:00(\.0+)?(\+00:00)?$")


@dataclass(frozen=True)
class ResultTable:
    """A result of the server: Spark types and rows of JSON cells."""

    types: tuple[str, ...]
    rows: tuple[Row, ...]
    truncated: bool = False


@dataclass(frozen=True)
class Gold:
    """The expected result. `order` are the columns it is ordered by: None if the order is ignored, empty if the rows
    must come in exactly this order. `spare` are rows that tie with the last one and were cut by a LIMIT.
    """

    table: ResultTable
    order: tuple[int, ...] | None = None
    spare: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A verdict; `order` means that only the order of the rows is wrong. `reason` is a sentence for a person."""

    verdict: Verdict
    reason: str
    extra_columns: int = 0

    @property
    def rows_match(self) -> bool:
        """Whether the rows match, ignoring their order."""
        return self.verdict in {"match", "order"}


def compare_results(gold: Gold, found: ResultTable) -> Comparison:
    """Compare a result with the gold one."""
    width, extra = len(gold.table.types), len(found.types) - len(gold.table.types)
    cut = " The result was cut by the server's limits." if found.truncated else ""
    if extra < 0:
        return Comparison("columns", f"{width} columns were expected, {len(found.types)} came.")
    if len(found.rows) != len(gold.table.rows):
        return Comparison("rows", f"{len(gold.table.rows)} rows were expected, {len(found.rows)} came.{cut}", extra)
    return replace(_Comparator(gold, found).decide_verdict(), extra_columns=extra)


class _Comparator:
    """Compares two results with the same number of rows."""

    def __init__(self, gold: Gold, found: ResultTable) -> None:
        cells = _normalize_rows(gold.table.types, (*gold.table.rows, *gold.spare))
        self._fixed, self._spare = cells[: len(gold.table.rows)], cells[len(gold.table.rows) :]
        self._order = gold.order
        self._tolerances = tuple(
            _infer_tolerance(kind, [row[i] for row in cells]) for i, kind in enumerate(gold.table.types)
        )
        self._groups = _group_ties(self._fixed, gold.order)
        self._found = list(zip(*_normalize_rows(found.types, found.rows), strict=True)) or [()] * len(found.types)

    def decide_verdict(self) -> Comparison:
        candidates = [self._find_candidates(i) for i in range(len(self._tolerances))]
        if missing := sum(not each for each in candidates):
            text = f"{missing} of {len(candidates)} columns of the expected result are not in this one."
            return Comparison("values", text)
        in_other_order = False
        for number, columns in enumerate(self._pair_columns(candidates, ())):
            rows = list(zip(*(self._found[i] for i in columns), strict=True))
            if self._is_in_order(rows):
                return Comparison("match", "")
            in_other_order = True
            if number == _MAX_TRIED:
                break
        if in_other_order:
            return Comparison("order", "The rows are right, their order is not.")
        return Comparison("values", "Every expected column has its values, but not in the same rows.")

    def _find_candidates(self, gold: int) -> list[int]:
        """Find the columns of the result that could be a gold column; of equal ones, the first few."""
        fitting = [
            i for i, column in enumerate(self._found) if self._has_same_rows((gold,), [(cell,) for cell in column])
        ]
        seen: Counter[Row] = Counter()
        kept = []
        for i in fitting:
            seen[self._found[i]] += 1
            if seen[self._found[i]] <= len(self._tolerances):
                kept.append(i)
        return kept

    def _pair_columns(self, candidates: Sequence[Sequence[int]], chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Yield every assignment of result columns to the gold columns that has the gold rows."""
        if len(chosen) == len(candidates):
            yield chosen
            return
        tried: set[Row] = set()
        for i in candidates[len(chosen)]:
            if i in chosen or self._found[i] in tried:
                continue
            tried.add(self._found[i])
            columns = (*chosen, i)
            rows = list(zip(*(self._found[j] for j in columns), strict=True))
            if self._has_same_rows(range(len(columns)), rows):
                yield from self._pair_columns(candidates, columns)

    def _has_same_rows(self, columns: Sequence[int], rows: Sequence[Row]) -> bool:
        """Return whether the rows equal the gold rows in some columns; a tie at the end may be cut anywhere."""
        fixed, spare = self._project_rows(self._fixed, columns), self._project_rows(self._spare, columns)
        tolerances = [self._tolerances[i] for i in columns]
        if not spare:
            return _can_cover(rows, fixed, tolerances)
        last = len(self._groups[-1])
        sure = fixed[: len(fixed) - last]
        # Each found row has a partner, and so has each required row: then one matching covers both.
        return _can_cover(rows, [*fixed, *spare], tolerances) and _can_cover(sure, rows, tolerances)

    def _is_in_order(self, rows: Sequence[Row]) -> bool:
        if self._order is None:
            return True
        start = 0
        for group in self._groups:
            part = rows[start : start + len(group)]
            start += len(group)
            pool = [*group, *self._spare] if start == len(rows) else group
            if not _can_cover(part, pool, self._tolerances):
                return False
        return True

    @staticmethod
    def _project_rows(rows: Sequence[Row], columns: Sequence[int]) -> list[Row]:
        return [tuple(row[i] for i in columns) for row in rows]


def _group_ties(rows: Sequence[Row], order: tuple[int, ...] | None) -> list[list[Row]]:
    """Group consecutive rows that are equal in the columns of the order; without an order each row is a group."""
    groups: list[list[Row]] = []
    for row in rows:
        if groups and order and all(groups[-1][-1][i] == row[i] for i in order):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _can_cover(rows: Sequence[Row], pool: Sequence[Row], tolerances: Sequence[float | None]) -> bool:
    """Return whether every row has a distinct partner in the pool."""
    exact = [i for i, tolerance in enumerate(tolerances) if tolerance is None]
    inexact = [(i, tolerance) for i, tolerance in enumerate(tolerances) if tolerance is not None]
    found, there = _group_rows(rows, exact), _group_rows(pool, exact)
    return all(key in there and _can_pair(found[key], there[key], inexact) for key in found)


def _group_rows(rows: Sequence[Row], columns: Sequence[int]) -> dict[Row, list[Row]]:
    groups: defaultdict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[i] for i in columns)].append(row)
    return groups


def _can_pair(rows: list[Row], pool: list[Row], inexact: Sequence[tuple[int, float]]) -> bool:
    """Return whether rows that are equal in exact columns have distinct partners by their inexact numbers."""
    if len(rows) > len(pool):
        return False
    if not inexact:
        return True

    def is_near(row: Row, other: Row) -> bool:
        return all(_is_near(row[i], other[i], tolerance) for i, tolerance in inexact)

    def rank_row(row: Row) -> list[tuple[int, Any]]:
        return [_rank_cell(row[i]) for i, _ in inexact]

    rows, pool = sorted(rows, key=rank_row), sorted(pool, key=rank_row)
    if len(rows) == len(pool) and all(is_near(row, other) for row, other in zip(rows, pool, strict=True)):
        return True
    if len(pool) > _MAX_PAIRED:
        return False
    return _has_matching([[j for j, other in enumerate(pool) if is_near(row, other)] for row in rows])


def _has_matching(partners: Sequence[Sequence[int]]) -> bool:
    """Return whether each row can have a distinct partner (augmenting paths)."""
    taken: dict[int, int] = {}

    def place_row(row: int, seen: set[int]) -> bool:
        for partner in partners[row]:
            if partner not in seen:
                seen.add(partner)
                if partner not in taken or place_row(taken[partner], seen):
                    taken[partner] = row
                    return True
        return False

    return all(place_row(row, set()) for row in range(len(partners)))


def _is_near(found: Cell, gold: Cell, tolerance: float) -> bool:
    if found == gold:
        return True
    if not isinstance(found, int | float) or not isinstance(gold, int | float):
        return False
    return abs(found - gold) <= max(tolerance, _RELATIVE * abs(gold))


def _rank_cell(cell: Cell) -> tuple[int, Any]:
    match cell:
        case None:
            return 0, 0
        case int() | float():
            return 1, cell
    return 2, str(cell)


def _infer_tolerance(kind: str, cells: Sequence[Cell]) -> float | None:
    """Infer the absolute tolerance of a column: half a unit of its last decimal. None for exact types."""
    if _INEXACT.match(kind) is None:
        return None
    numbers = [cell for cell in cells if isinstance(cell, float) and math.isfinite(cell)]
    decimals = max((-int(Decimal(repr(number)).as_tuple().exponent) for number in numbers), default=0)
    return 0.5 * 10**-decimals * (1 + 1e-9) if 1 <= decimals <= _MAX_DECIMALS else 0.0


def _normalize_rows(types: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    return [tuple(_normalize_cell(kind, cell) for kind, cell in zip(types, row, strict=True)) for row in rows]


def _normalize_cell(kind: str, cell: Cell) -> Cell:  # noqa: PLR0911  (one line for each kind of value)
    """Convert a cell to a form in which equal cells compare equal."""
    match cell:
        case str() if _NUMBER.match(kind):
            return _parse_number(cell)
        case str() if kind.startswith("timestamp"):
            return _MIDNIGHT.sub("", cell)
        case float() if cell.is_integer():
            return int(cell)
        case bool():
            return ("boolean", cell)
        case list():
            return tuple(_normalize_cell("", item) for item in cell)
        case dict():
            return tuple(sorted((name, _normalize_cell("", value)) for name, value in cell.items()))
    return cell


def _parse_number(text: str) -> Cell:
    """Parse a number that is sent as text: decimals, large integers, NaN and infinities."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite():
        return text
    return int(number) if number == number.to_integral_value() else float(number)
