"""Shapes what an engine answered into what a caller receives: JSON-safe, within the caps, each cut said.

Three caps: rows (the engine was asked for one row more than the limit, which proves that there are
more), the size of the answer as JSON, and the length of a single cell. All are applied in Arrow, before a value becomes
a Python object: `cutting` where the engine is, `fitting` here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakehouse.escaping import MOST_QUOTED_CHARS, cut_text
from mcp_server.models import Caps, ResultSet, RowLimit
from mcp_server.results.cells import SAFE_INTEGER, Json, Rows, shorten
from mcp_server.results.fitting import Fitting, LazyRows, Tick, fit, read_rows
from mcp_server.results.text import table_text

if TYPE_CHECKING:
    from mcp_server.results.ai import AiUse

__all__ = ["Answer", "Caps", "Json", "Origin", "Rows", "Tick", "answer", "plan_caps", "shape", "shape_plan"]

_SHOWN_NAMES = 5
_CHARACTER_BYTES = 6
"""The most bytes that a character takes as JSON."""
_MARK_CHARS = 50
"""Room for the names of a plan's answer and for the mark of what is missing."""


@dataclass(frozen=True)
class Origin:
    """Where an answer comes from: the query's id, the engine that ran it, and the time that all of it took."""

    query_id: str
    engine: str
    elapsed_ms: int


@dataclass(frozen=True)
class Answer:
    """A finished statement: JSON-safe rows in column order, what was cut from them, and what AI functions did.

    `total_rows` is how many rows the statement has, None where nobody counted them; `codes` are those of the warnings
    that have one.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    truncated: bool
    payload_bytes: int
    origin: Origin
    warnings: tuple[str, ...]
    ai: AiUse | None = None
    total_rows: int | None = None
    codes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it for a reader who sees only text."""
        state = "truncated" if self.truncated else "all rows"
        of = f" of {self.total_rows:,}" if self.truncated and self.total_rows is not None else ""
        rows = "1 row" if len(self.rows) == 1 and not of else f"{len(self.rows)}{of} rows"
        origin = self.origin
        head = f"done, {rows}, {state}, {origin.elapsed_ms} ms on {origin.engine}, query {origin.query_id}"
        notes = [*([self.ai.text] if self.ai else []), *(f"Warning: {warning}" for warning in self.warnings)]
        return "\n".join([head, *notes, self.table_text])

    @property
    def says_nothing(self) -> bool:
        """Whether nothing was found: no rows, or a single one of nulls and zeros, as of an aggregate over none."""
        return not self.rows or (len(self.rows) == 1 and all(value in (None, 0) for value in self.rows[0]))

    @property
    def whole_numbers(self) -> frozenset[int]:
        """The whole numbers among its cells."""
        return frozenset(value for row in self.rows for value in row if isinstance(value, int))

    @property
    def table_text(self) -> str:
        """Only the columns and rows."""
        return table_text(self.names, self.types, self.rows)

    def records(self) -> list[dict[str, Json]]:
        """The rows as objects; for statements of the server's own, whose column names it knows to differ."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


def shape(
    result: ResultSet,
    limit: RowLimit,
    caps: Caps,
    origin: Origin,
    tick: Tick = lambda: None,
    total: int | None = None,
    most: int | None = None,
) -> Answer:
    """Turn an engine's result into an answer. `total` is the number of its rows, where somebody counted them.

    `most` is how many rows an answer may have at all.

    Raises ResourceLimit where the column names alone are too large.
    """
    names = tuple(str(name) for name in result.table.column_names)
    warnings = list(result.warnings)
    if truncated := result.found > limit.rows:
        there = "rows; there are more" if total is None else f"of {total:,} rows"
        capped = ", the most that an answer has" if limit.rows == most else ""
        warnings.append(
            f"Cut after {limit.rows} {there}{capped}. Aggregate or filter, or page: a unique ORDER BY and "
            f"LIMIT {limit.rows} OFFSET {limit.rows}."
        )
    else:
        total = result.found
    found = LazyRows(names, result.types, read_rows(result, limit.rows, caps, tick), min(result.found, limit.rows))
    shaped = _build_answer(found, caps, origin, truncated=truncated, warnings=warnings)
    return replace(shaped, total_rows=total, codes=("rows_cut",) if shaped.truncated else ())


def plan_caps(caps: Caps) -> Caps:
    """The caps on a plan as an engine gives it: one cell, of which an answer may show as much as fits."""
    return Caps(_CHARACTER_BYTES * caps.payload_bytes, caps.payload_bytes // 2)


def shape_plan(plan: ResultSet, caps: Caps, origin: Origin) -> Answer:
    """Turn an engine's plan of a statement into an answer, which holds as much of it as fits."""
    fitting = Fitting((), 0, frozenset())
    for most in (caps.payload_bytes // 2, caps.payload_bytes // _CHARACTER_BYTES - _MARK_CHARS):
        if not fitting.rows:  # non-ASCII characters take more bytes than the first attempt allows for
            rows = read_rows(plan, 1, replace(caps, cell_chars=most), lambda: None)
            fitting = fit(LazyRows(("plan",), plan.types, rows, 1), caps)
    note = (
        "The plan is longer than an answer may be: `…[+n chars]` says how much of it is missing. "
        "EXPLAIN a part of the statement, or without EXTENDED, CODEGEN or COST."
    )
    return Answer(("plan",), plan.types, fitting.rows, False, fitting.size, origin, (note,) if fitting.cut else ())


def answer(rows: Rows, caps: Caps, origin: Origin) -> Answer:
    """Put JSON-safe rows under the caps on a cell and on the whole."""
    cells = ([shorten(value, caps.cell_limit) for value in row] for row in rows.rows)
    return _build_answer(LazyRows(rows.names, rows.types, cells, len(rows.rows)), caps, origin)


def _build_answer(
    found: LazyRows, caps: Caps, origin: Origin, *, truncated: bool = False, warnings: Sequence[str] = ()
) -> Answer:
    names, types = found.names, found.types
    fitting = fit(found, caps)
    notes = [*warnings, *_warn_of_text_numbers(names, types, fitting.rows)]
    if fitting.cut:
        notes.append(
            f"Cells longer than {caps.cell_chars:,} characters were cut in "
            f"{_join_names([names[i] for i in sorted(fitting.cut)])}: "
            "`…[+n chars]` says how much is missing, of a long list at least how much. "
            "Use substring(column, start, length), slice(array, start, length) or explode(array) to read the rest."
        )
    if len(fitting.rows) < found.count:
        truncated = True
        notes.append(
            f"Only the first {len(fitting.rows)} of {found.count} rows fit into {caps.payload_bytes:,} bytes. "
            "Select fewer columns, aggregate, or ask for the rest with ORDER BY and OFFSET."
        )
    return Answer(names, types, fitting.rows, truncated, fitting.size, origin, tuple(notes))


def _warn_of_text_numbers(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Json]]) -> list[str]:
    """Say which number columns hold strings, and why: a reader would trip over `"NaN"` among numbers."""
    columns = [{isinstance(row[i], str) for row in rows} for i in range(len(names))]
    with_text = [(name, kind) for name, kind, kinds in zip(names, types, columns, strict=True) if True in kinds]
    notes = []
    if floats := [name for name, kind in with_text if kind in _FLOATS]:
        notes.append(f"NaN or infinite values in {_join_names(floats)} are given as text; JSON has no number for them.")
    if whole := [name for name, kind in with_text if kind in _INTEGERS]:
        notes.append(f"Integers beyond {SAFE_INTEGER:,} in {_join_names(whole)} are given as text to stay exact.")
    return notes


_FLOATS = frozenset({"double", "float"})
_INTEGERS = frozenset({"bigint", "long"})


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(cut_text(name, MOST_QUOTED_CHARS) for name in names[:_SHOWN_NAMES]) + more
