"""How many rows of a result fit into an answer: read one by one, until no more do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ResourceLimit
from mcp_server.models import Caps, ResultSet
from mcp_server.results.cells import Cell, Json, read_column, to_json

if TYPE_CHECKING:
    import pyarrow as pa

Tick = Callable[[], None]
"""Called for each cell of a list and each row. Raises where the statement was cancelled or its time is over."""

_PART_ROWS, _PART_BYTES, _PART_CELLS = 256, 1 << 20, 1 << 14
"""How much of a result is read at a time. Cells are counted too: a thousand columns of booleans have few bytes."""


@dataclass(frozen=True)
class LazyRows:
    """Rows to be answered with, `count` of them, each made when it is read, cell by cell."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: Iterable[Iterable[Cell]]
    count: int


@dataclass(frozen=True)
class Fitting:
    """The rows that fit, their size as JSON, and the columns of which cells are cut."""

    rows: tuple[tuple[Json, ...], ...]
    size: int
    cut: frozenset[int]


def fit(found: LazyRows, caps: Caps) -> Fitting:
    """Read as many rows as an answer may hold. Raises ResourceLimit where the column names alone are too large."""
    head = measure_head(found.names, found.types, caps)
    rows: list[tuple[Json, ...]] = []
    cut: set[int] = set()
    left = caps.payload_bytes - head
    for cells in found.rows:
        row = _read_fitting_row(cells, left)
        size = left + 1 if row is None else _measure_row([cell.value for cell in row])
        if row is None or size > left:
            break
        left -= size
        rows.append(tuple(cell.value for cell in row))
        cut.update(column for column, cell in enumerate(row) if cell.is_cut)
    return Fitting(tuple(rows), caps.payload_bytes - head - left, frozenset(cut))


def measure_head(names: Sequence[str], types: Sequence[str], caps: Caps) -> int:
    """Return the bytes of the columns' names and types. Raises ResourceLimit where no row would fit beside them."""
    head = _measure_row([*names, *types])
    if head > caps.payload_bytes:
        raise ResourceLimit(
            f"The {len(names)} columns' names and types alone take {head:,} bytes; an answer may take "
            f"{caps.payload_bytes:,}. Select fewer columns, or fewer fields of a struct."
        )
    return head


def read_rows(result: ResultSet, most: int, caps: Caps, tick: Tick) -> Iterator[Iterator[Cell]]:
    """Yield the first rows of a result, cell by cell and lazily."""
    at = 0
    for batch in result.table.slice(0, most).to_batches():
        for part in _split_batch(batch):
            columns = [
                read_column(column, caps.cell_limit, _count_lost_chars(result, at, part.num_rows, number))
                for number, column in enumerate(part.columns)
            ]
            for _ in range(part.num_rows):
                tick()
                yield _read_row(columns, tick)
            at += part.num_rows


def _read_row(columns: Sequence[Iterator[Cell]], tick: Tick) -> Iterator[Cell]:
    for column in columns:
        cell = next(column)
        if cell.is_cut:
            tick()
        yield cell


def _count_lost_chars(result: ResultSet, first: int, rows: int, column: int) -> dict[int, int]:
    """The characters that cells of some rows of a column have lost, by the number of the row among them."""
    if not result.missing:
        return {}
    places = ((row, (first + row, column)) for row in range(rows))
    return {row: result.missing[place] for row, place in places if place in result.missing}


def _split_batch(batch: pa.RecordBatch) -> Iterator[Any]:
    """A batch in parts that are small enough to be read at once; a row is never divided."""
    at, rows = 0, max(1, min(_PART_ROWS, _PART_CELLS // max(1, batch.num_columns)))
    while at < batch.num_rows:
        part = batch.slice(at, rows)
        if part.num_rows > 1 and part.nbytes > _PART_BYTES:
            rows = max(1, part.num_rows // 2)
            continue
        yield part
        at += part.num_rows


def _read_fitting_row(cells: Iterable[Cell], most: int) -> list[Cell] | None:
    """The cells of a row, None where they are longer than `most` in all: then not even all of them are read."""
    row: list[Cell] = []
    for cell in cells:
        most -= len(cell.value) if isinstance(cell.value, str) else 1
        if most < 0:
            return None
        row.append(cell)
    return row


def _measure_row(row: Sequence[Json]) -> int:
    return len(to_json(row).encode("utf-8", "replace")) + 1
