"""Whether a result is the gold statement's. Pure: tables in, a verdict out.

Names and the order of columns do not count; columns beyond the gold ones are allowed and counted. Every gold column
has to be there, all of them in the same rows, each row as often as in the gold result (a multiset, not a set). The
order of rows counts where `Gold.order` is given: rows that are equal in its columns are a tie, in which any order will
do. Where the gold statement cuts a tie at its LIMIT, any rows of that tie will do (`Gold.spare`).

Numbers are equal by value, whatever their types. A gold column of doubles or decimals allows one part in a million,
and where all its values end within one to six decimals, whatever rounds to them. Text is equal letter by letter; a
timestamp at midnight is its date; NULL equals NULL alone; arrays are equal item by item.
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
"""None, int, float, text, or tuples of these; whole numbers are int, so that 5.0 is 5."""

Row = tuple[Cell, ...]
Verdict = Literal["match", "order", "rows", "columns", "values"]

_RELATIVE = 1e-6
_MOST_DECIMALS = 6
_MOST_PAIRED = 300
"""Rows that differ in nothing but inexact numbers and are paired in any way; more of them are paired in order only."""
_MOST_TRIED = 1_000
"""Ways to pair the columns that are tried."""
_INEXACT = re.compile(r"(double|float|decimal)\b")
_NUMBER = re.compile(r"(double|float|decimal|bigint|long|int|smallint|tinyint)\b")
_MIDNIGHT = re.compile(r"T00:00:00(\.0+)?(\+00:00)?$")


@dataclass(frozen=True)
class Table:
    """A result as the server gave it: Spark's types, and rows of JSON cells."""

    types: tuple[str, ...]
    rows: tuple[Row, ...]
    truncated: bool = False


@dataclass(frozen=True)
class Gold:
    """What is right. `order` are the columns that it is ordered by: None where order does not count, none of them where
    the rows have to come as they do here. `spare` are rows that tie with the last one and were cut by a LIMIT.
    """

    table: Table
    order: tuple[int, ...] | None = None
    spare: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """`order` is a result whose rows are right and whose order is not. `reason` is a sentence for a person."""

    verdict: Verdict
    reason: str
    extra_columns: int = 0

    @property
    def rows_match(self) -> bool:
        """Whether it is right, order aside."""
        return self.verdict in {"match", "order"}


def compare(gold: Gold, found: Table) -> Comparison:
    """Compare a result with the gold one."""
    width, extra = len(gold.table.types), len(found.types) - len(gold.table.types)
    cut = " The result was cut by the server's limits." if found.truncated else ""
    if extra < 0:
        return Comparison("columns", f"{width} columns were expected, {len(found.types)} came.")
    if len(found.rows) != len(gold.table.rows):
        return Comparison("rows", f"{len(gold.table.rows)} rows were expected, {len(found.rows)} came.{cut}", extra)
    return replace(_Comparing(gold, found).verdict(), extra_columns=extra)


class _Comparing:
    """Two results of the same number of rows."""

    def __init__(self, gold: Gold, found: Table) -> None:
        cells = _cells(gold.table.types, (*gold.table.rows, *gold.spare))
        self._fixed, self._spare = cells[: len(gold.table.rows)], cells[len(gold.table.rows) :]
        self._order = gold.order
        self._tolerances = tuple(_tolerance(kind, [row[i] for row in cells]) for i, kind in enumerate(gold.table.types))
        self._groups = _tied(self._fixed, gold.order)
        self._found = list(zip(*_cells(found.types, found.rows), strict=True)) or [()] * len(found.types)

    def verdict(self) -> Comparison:
        candidates = [self._candidates(i) for i in range(len(self._tolerances))]
        if missing := sum(not each for each in candidates):
            text = f"{missing} of {len(candidates)} columns of the expected result are not in this one."
            return Comparison("values", text)
        in_other_order = False
        for number, columns in enumerate(self._pairings(candidates, ())):
            rows = list(zip(*(self._found[i] for i in columns), strict=True))
            if self._in_order(rows):
                return Comparison("match", "")
            in_other_order = True
            if number == _MOST_TRIED:
                break
        if in_other_order:
            return Comparison("order", "The rows are right, their order is not.")
        return Comparison("values", "Every expected column has its values, but not in the same rows.")

    def _candidates(self, gold: int) -> list[int]:
        """The columns of the result that could be a gold one; of several that are the same, the first few."""
        fitting = [i for i, column in enumerate(self._found) if self._same((gold,), [(cell,) for cell in column])]
        seen: Counter[Row] = Counter()
        kept = []
        for i in fitting:
            seen[self._found[i]] += 1
            if seen[self._found[i]] <= len(self._tolerances):
                kept.append(i)
        return kept

    def _pairings(self, candidates: Sequence[Sequence[int]], chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Every way to find all gold columns in the result, in the same rows."""
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
            if self._same(range(len(columns)), rows):
                yield from self._pairings(candidates, columns)

    def _same(self, columns: Sequence[int], rows: Sequence[Row]) -> bool:
        """Whether rows are the gold ones, looked at in some gold columns only; a tie at the end may be cut anyhow."""
        fixed, spare = self._part(self._fixed, columns), self._part(self._spare, columns)
        tolerances = [self._tolerances[i] for i in columns]
        if not spare:
            return _covered(rows, fixed, tolerances)
        last = len(self._groups[-1])
        sure = fixed[: len(fixed) - last]
        # Each found row has a partner, and so has each row that has to be there: then one pairing does both.
        return _covered(rows, [*fixed, *spare], tolerances) and _covered(sure, rows, tolerances)

    def _in_order(self, rows: Sequence[Row]) -> bool:
        if self._order is None:
            return True
        start = 0
        for group in self._groups:
            part = rows[start : start + len(group)]
            start += len(group)
            pool = [*group, *self._spare] if start == len(rows) else group
            if not _covered(part, pool, self._tolerances):
                return False
        return True

    @staticmethod
    def _part(rows: Sequence[Row], columns: Sequence[int]) -> list[Row]:
        return [tuple(row[i] for i in columns) for row in rows]


def _tied(rows: Sequence[Row], order: tuple[int, ...] | None) -> list[list[Row]]:
    """Rows that follow each other and are equal in the columns of the order; each alone where there are none."""
    groups: list[list[Row]] = []
    for row in rows:
        if groups and order and all(groups[-1][-1][i] == row[i] for i in order):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _covered(rows: Sequence[Row], pool: Sequence[Row], tolerances: Sequence[float | None]) -> bool:
    """Whether every row has a partner of its own in the pool."""
    exact = [i for i, tolerance in enumerate(tolerances) if tolerance is None]
    inexact = [(i, tolerance) for i, tolerance in enumerate(tolerances) if tolerance is not None]
    found, there = _grouped(rows, exact), _grouped(pool, exact)
    return all(key in there and _paired(found[key], there[key], inexact) for key in found)


def _grouped(rows: Sequence[Row], columns: Sequence[int]) -> dict[Row, list[Row]]:
    groups: defaultdict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[i] for i in columns)].append(row)
    return groups


def _paired(rows: list[Row], pool: list[Row], inexact: Sequence[tuple[int, float]]) -> bool:
    """Whether rows that are equal in all else find partners of their own by their inexact numbers."""
    if len(rows) > len(pool):
        return False
    if not inexact:
        return True

    def near(row: Row, other: Row) -> bool:
        return all(_near(row[i], other[i], tolerance) for i, tolerance in inexact)

    def rank(row: Row) -> list[tuple[int, Any]]:
        return [_rank(row[i]) for i, _ in inexact]

    rows, pool = sorted(rows, key=rank), sorted(pool, key=rank)
    if len(rows) == len(pool) and all(near(row, other) for row, other in zip(rows, pool, strict=True)):
        return True
    if len(pool) > _MOST_PAIRED:
        return False
    return _matched([[j for j, other in enumerate(pool) if near(row, other)] for row in rows])


def _matched(partners: Sequence[Sequence[int]]) -> bool:
    """Whether each can have a partner of its own (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for partner in partners[row]:
            if partner not in seen:
                seen.add(partner)
                if partner not in taken or place(taken[partner], seen):
                    taken[partner] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(partners)))


def _near(found: Cell, gold: Cell, tolerance: float) -> bool:
    if found == gold:
        return True
    if not isinstance(found, int | float) or not isinstance(gold, int | float):
        return False
    return abs(found - gold) <= max(tolerance, _RELATIVE * abs(gold))


def _rank(cell: Cell) -> tuple[int, Any]:
    match cell:
        case None:
            return 0, 0
        case int() | float():
            return 1, cell
    return 2, str(cell)


def _tolerance(kind: str, cells: Sequence[Cell]) -> float | None:
    """How far a number may be from a gold one at least: half a unit of the last decimal. None for what is exact."""
    if _INEXACT.match(kind) is None:
        return None
    numbers = [cell for cell in cells if isinstance(cell, float) and math.isfinite(cell)]
    decimals = max((-int(Decimal(repr(number)).as_tuple().exponent) for number in numbers), default=0)
    return 0.5 * 10**-decimals * (1 + 1e-9) if 1 <= decimals <= _MOST_DECIMALS else 0.0


def _cells(types: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    return [tuple(_cell(kind, cell) for kind, cell in zip(types, row, strict=True)) for row in rows]


def _cell(kind: str, cell: Cell) -> Cell:  # noqa: PLR0911  (one line for each kind of value)
    """A cell in the one form in which equal ones are equal."""
    match cell:
        case str() if _NUMBER.match(kind):
            return _number(cell)
        case str() if kind.startswith("timestamp"):
            return _MIDNIGHT.sub("", cell)
        case float() if cell.is_integer():
            return int(cell)
        case bool():
            return ("boolean", cell)
        case list():
            return tuple(_cell("", item) for item in cell)
        case dict():
            return tuple(sorted((name, _cell("", value)) for name, value in cell.items()))
    return cell


def _number(text: str) -> Cell:
    """Decimals, large integers, NaN and the infinities come as text."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite():
        return text
    return int(number) if number == number.to_integral_value() else float(number)
