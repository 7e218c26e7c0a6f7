"""Shapes what an engine answered into what a caller receives: JSON-safe, within the caps, each cut said.

Three caps: rows (the engine was asked for one row more than the limit, which proves that there are
more), the size of the answer as JSON, and the length of a single cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import ResourceLimit
from mcp_server.models import ResultSet, RowLimit
from mcp_server.results.cells import SAFE_INTEGER, Json, Rows, column_cells
from mcp_server.results.text import table_text

if TYPE_CHECKING:
    from mcp_server.results.ai import AiUse

__all__ = ["Answer", "Caps", "Json", "Origin", "Rows", "answer", "shape"]

_SHOWN_NAMES = 5


@dataclass(frozen=True)
class Caps:
    """How large an answer may be: `payload_bytes` of rows as JSON, `cell_chars` characters in one cell."""

    payload_bytes: int
    cell_chars: int


@dataclass(frozen=True)
class Origin:
    """Where an answer comes from: the query's id, the engine that ran it, and the time that all of it took."""

    query_id: str
    engine: str
    elapsed_ms: int


@dataclass(frozen=True)
class Answer:
    """A finished statement: JSON-safe rows in column order, what was cut from them, and what AI functions did."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    truncated: bool
    payload_bytes: int
    origin: Origin
    warnings: tuple[str, ...]
    ai: AiUse | None = None

    @property
    def text(self) -> str:
        """All of it for a reader who sees only text."""
        state = "truncated: there are more rows" if self.truncated else "complete"
        rows = "1 row" if len(self.rows) == 1 else f"{len(self.rows)} rows"
        origin = self.origin
        head = f"done, {rows}, {state}, {origin.elapsed_ms} ms on {origin.engine}, query {origin.query_id}"
        notes = [*([self.ai.text] if self.ai else []), *(f"Warning: {warning}" for warning in self.warnings)]
        return "\n".join([head, *notes, self.table_text])

    @property
    def table_text(self) -> str:
        """Only the columns and rows."""
        return table_text(self.names, self.types, self.rows)

    def records(self) -> list[dict[str, Json]]:
        """The rows as objects; for statements of the server's own, whose column names it knows to differ."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


def shape(result: ResultSet, limit: RowLimit, caps: Caps, origin: Origin) -> Answer:
    """Turn an engine's result into an answer. Raises ResourceLimit where the column names alone are too large."""
    table = result.table.slice(0, limit.rows)
    warnings = list(result.warnings)
    if truncated := result.table.num_rows > limit.rows:
        warnings.append(
            f"Cut at the row limit of {limit.rows}; there are more rows. "
            "Aggregate, filter, or page with ORDER BY and OFFSET."
        )
    columns = [column_cells(column) for column in table.columns]
    names = tuple(str(name) for name in result.table.column_names)
    warnings += _unsafe_warnings(names, result.types, columns)
    rows = zip(*columns, strict=True) if columns else ()
    return answer(Rows(names, result.types, tuple(rows)), caps, origin, truncated=truncated, warnings=warnings)


def answer(found: Rows, caps: Caps, origin: Origin, *, truncated: bool = False, warnings: Sequence[str] = ()) -> Answer:
    """Put JSON-safe rows under the caps on a cell and on the whole."""
    names, types, rows = found.names, found.types, found.rows
    notes = list(warnings)
    head = _size([*names, *types])
    if head > caps.payload_bytes:
        raise ResourceLimit(
            f"The {len(names)} columns' names and types alone take {head:,} bytes; an answer may take "
            f"{caps.payload_bytes:,}. Select fewer columns, or fewer fields of a struct."
        )
    shortened = [tuple(_short(cell, caps.cell_chars) for cell in row) for row in rows]
    cut = {i for row, whole in zip(shortened, rows, strict=True) for i in range(len(row)) if row[i] is not whole[i]}
    if cut:
        notes.append(
            f"Cells longer than {caps.cell_chars:,} characters were cut in {_listed([names[i] for i in sorted(cut)])}: "
            "`…[+n chars]` says how much is missing. Use substring(column, start, length), slice(array, start, length) "
            "or explode(array) to read the rest."
        )
    fitting, used = _fit(shortened, caps.payload_bytes - head)
    if len(fitting) < len(rows):
        truncated = True
        notes.append(
            f"Only the first {len(fitting)} of {len(rows)} rows fit into {caps.payload_bytes:,} bytes. "
            "Select fewer columns, aggregate, or ask for the rest with ORDER BY and OFFSET."
        )
    return Answer(names, types, tuple(fitting), truncated, used, origin, tuple(notes))


def _short(cell: Json, most: int) -> Json:
    """The same object where it is short enough, else the beginning of its text and how much is missing."""
    if not isinstance(cell, str | list | dict):
        return cell
    text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, separators=(",", ":"))
    return cell if len(text) <= most else f"{text[:most]}…[+{len(text) - most} chars]"


def _fit(rows: Sequence[tuple[Json, ...]], budget: int) -> tuple[Sequence[tuple[Json, ...]], int]:
    used = 0
    for number, row in enumerate(rows):
        size = _size(row)
        if used + size > budget:
            return rows[:number], used
        used += size
    return rows, used


def _size(row: Sequence[Json]) -> int:
    return len(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")) + 1


def _unsafe_warnings(names: Sequence[str], types: Sequence[str], columns: Sequence[Sequence[Json]]) -> list[str]:
    """Say which number columns hold strings, and why: a reader would trip over `"NaN"` among numbers."""
    notes = []
    floats = [n for n, t, cells in zip(names, types, columns, strict=True) if t in _FLOATS and _any_text(cells)]
    if floats:
        notes.append(f"NaN or infinite values in {_listed(floats)} are given as text; JSON has no number for them.")
    whole = [n for n, t, cells in zip(names, types, columns, strict=True) if t in _INTEGERS and _any_text(cells)]
    if whole:
        notes.append(f"Integers beyond {SAFE_INTEGER:,} in {_listed(whole)} are given as text to stay exact.")
    return notes


_FLOATS = frozenset({"double", "float"})
_INTEGERS = frozenset({"bigint", "long"})


def _any_text(cells: Sequence[Json]) -> bool:
    return any(isinstance(cell, str) for cell in cells)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
