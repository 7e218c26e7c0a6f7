"""Cuts a result down to what an answer can show of it, in Arrow: where the engine is, before it is sent on.

A list of a hundred million values becomes one of a few thousand, of which the answer then shows the first.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from mcp_server.models import Caps, ResultSet
from mcp_server.results.cells import LOOKED_AT, count_text_chars
from mcp_server.results.fitting import LazyRows, Tick, fit, measure_head, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

_SMALL_BYTES = 1 << 20
"""A result of which this is all is not worth the time."""


def cut(result: ResultSet, caps: Caps, tick: Tick) -> ResultSet:
    """Cut a result to the rows, and the parts of their cells, that can be part of an answer.

    Rows that are to be kept stay as well, whole, where all that are shown are among them.

    Raises ResourceLimit where the names and types of the columns leave no room for a row: of 65,000 fields the schema
    alone takes more memory than all that an answer shows.
    """
    import pyarrow as pa

    table, names = result.table, tuple(str(name) for name in result.table.column_names)
    measure_head(names, result.types, caps)
    if table.nbytes <= max(_SMALL_BYTES, caps.payload_bytes):
        return result
    whole = take_rows(table, caps.kept_bytes)
    if whole.num_rows == table.num_rows:
        return result
    rows = read_rows(result, table.num_rows, caps, tick)
    fitting = len(fit(LazyRows(names, result.types, rows, table.num_rows), caps).rows)
    if fitting <= whole.num_rows:
        missing = {place: chars for place, chars in result.missing.items() if place[0] < whole.num_rows}
        return replace(result, table=_copy_table(whole), rows=result.found, missing=missing)
    missing = {place: chars for place, chars in result.missing.items() if place[0] < fitting}
    columns = []
    for number, column in enumerate(table.slice(0, fitting).columns):
        shortened, lost = _cut_column(column, caps.cell_limit)
        columns.append(shortened)
        missing |= {(row, number): chars for row, chars in lost.items()}
    small = pa.Table.from_arrays(columns, schema=table.schema)
    return replace(result, table=_copy_table(small), rows=result.found, missing=missing)


class Cutter:
    """Cuts a result that comes in batches, so that no more of it is held than can be part of an answer.

    Without `caps` all of it is kept.
    """

    def __init__(self, caps: Caps | None, tick: Tick) -> None:
        self._caps, self._tick = caps, tick
        self._kept: ResultSet | None = None

    def add(self, batch: pa.Table) -> None:
        """Take in the rows that come next."""
        import pyarrow as pa

        kept = self._kept
        if kept is None:
            self._kept = self._cut_kept(ResultSet(batch, ()))
        elif kept.found > kept.table.num_rows:  # what comes now stands behind rows that do not fit
            self._kept = replace(kept, rows=kept.found + batch.num_rows)
        else:
            more = replace(kept, table=pa.concat_tables([kept.table, batch]), rows=kept.found + batch.num_rows)
            self._kept = self._cut_kept(more)

    def _cut_kept(self, result: ResultSet) -> ResultSet:
        return result if self._caps is None else cut(result, self._caps, self._tick)

    def result(self) -> ResultSet:
        """What is kept of all batches, without the types of its columns. Raises LookupError where there was none."""
        if self._kept is None:
            raise LookupError("no batch")
        return self._kept


def _cut_column(column: Any, most: int) -> tuple[Any, dict[int, int]]:
    """A column with every cell cut to what is looked at of it, and how many characters cells have lost, by row.

    What a list, map or struct has lost is not counted: it is 0.
    """
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = column.type
    if not kinds.is_nested(kind) and not _is_bytes(kind):
        return column, {}
    lost: dict[int, int] = {}
    cells = []
    for row, single in enumerate(chunk.slice(at, 1) for chunk in column.chunks for at in range(len(chunk))):
        cutting = _Cutting(most * LOOKED_AT)
        cells.append(cutting.cut_array(single))
        if not cutting.is_whole:
            lost[row] = count_text_chars(single[0]) - count_text_chars(cells[-1][0]) if _is_bytes(kind) else 0
    return pa.concat_arrays(cells) if cells else pa.array([], kind), lost


class _Cutting:
    """Cuts an array, and every array within it, to its first values: so many that the rest of its JSON is not shown.

    Every value takes a character at least, so what is left out stands behind `most` characters. Where it `is_whole`,
    nothing was left out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.is_whole = True

    def cut_array(self, array: Any) -> Any:
        """Cut an array to its first values."""
        import pyarrow.types as kinds

        kind = array.type
        if kinds.is_struct(kind):
            return self._cut_structs(self._take_first(array, self._most // max(1, kind.num_fields) + 1))
        array = self._take_first(array, self._most)
        if kinds.is_map(kind) or kinds.is_list(kind) or kinds.is_large_list(kind):
            return self._cut_lists(array)
        return self._cut_texts(array) if _is_bytes(kind) else array

    def _take_first(self, array: Any, most: int) -> Any:
        self.is_whole &= len(array) <= most
        return array.slice(0, most)

    def _cut_structs(self, array: Any) -> Any:
        import pyarrow as pa

        kind = array.type
        if not kind.num_fields:
            return array
        children = [self.cut_array(child) for child in array.flatten()]
        rows = min(len(child) for child in children)
        fields = [kind.field(number) for number in range(kind.num_fields)]
        mask = array.slice(0, rows).is_null()
        return pa.StructArray.from_arrays([child.slice(0, rows) for child in children], fields=fields, mask=mask)

    def _cut_lists(self, array: Any) -> Any:
        import pyarrow as pa
        import pyarrow.types as kinds

        kind = array.type
        lengths: list[int | None] = []
        parts = []
        left = self._most
        for scalar in array:
            part = self._take_first(scalar.values, left) if scalar.is_valid else None
            lengths.append(None if part is None else len(part))
            if part is not None:
                parts.append(part)
                left -= len(part)
        inner = pa.struct([kind.key_field, kind.item_field]) if kinds.is_map(kind) else kind.value_type
        values = self.cut_array(pa.concat_arrays(parts) if parts else pa.array([], inner))
        ends = [min(end, len(values)) for end in accumulate((length or 0 for length in lengths), initial=0)]
        # A null where a list begins says that there is none.
        starts = [None if length is None else start for length, start in zip(lengths, ends, strict=False)]
        offsets = pa.array([*starts, ends[-1]], pa.int64() if kinds.is_large_list(kind) else pa.int32())
        if kinds.is_map(kind):
            keys, items = values.flatten()
            return pa.MapArray.from_arrays(offsets, keys, items, type=kind)
        made = pa.LargeListArray if kinds.is_large_list(kind) else pa.ListArray
        return made.from_arrays(offsets, values, type=kind)

    def _cut_texts(self, array: Any) -> Any:
        """At most four bytes for each character, which is the most that one takes; the last may end within one."""
        texts: list[bytes | None] = []
        most = left = 4 * self._most
        for scalar in array:
            if left < 0:
                self.is_whole = False
                break
            raw = scalar.as_buffer() if scalar.is_valid else None
            self.is_whole &= raw is None or len(raw) <= most
            texts.append(None if raw is None else raw.slice(0, min(len(raw), most)).to_pybytes())
            left -= len(texts[-1] or b"")
        return _cast_bytes(texts, array.type)


def _cast_bytes(values: list[bytes | None], kind: Any) -> Any:
    """An array of texts or binaries; a text may end within a character."""
    import pyarrow as pa
    import pyarrow.compute as pc

    raw = pa.array(values, pa.large_binary())
    return pc.cast(raw, options=pc.CastOptions(kind, allow_invalid_utf8=True))


def _is_bytes(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(
        kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind)
    )


def _copy_table(table: pa.Table) -> pa.Table:
    """Copy a table into memory of its own: a slice keeps alive all that it was cut from."""
    import pyarrow as pa

    return pa.ipc.open_stream(to_stream(table)).read_all()


def plan_of(text: str) -> ResultSet:
    """A plan as the result that an engine gives for EXPLAIN."""
    import pyarrow as pa

    return ResultSet(pa.table({"plan": pa.array([text], pa.large_string())}), ("string",))


def take_rows(table: pa.Table, most: int) -> pa.Table:
    """The first rows of a table, as many as have `most` bytes; a value within a cell counts for one at least."""
    if _measure_weight(table) <= most:
        return table
    counts = range(1, table.num_rows)
    return table.slice(0, bisect_right(counts, most, key=lambda rows: _measure_weight(table.slice(0, rows))))


def _measure_weight(table: pa.Table) -> int:
    return int(table.nbytes) + sum(_count_values(chunk) for column in table.columns for chunk in column.chunks)


def _count_values(array: Any) -> int:
    """The values of an array and of all arrays within it. Nulls take no bytes, and are objects once they are read."""
    import pyarrow.types as kinds

    kind = array.type
    if kinds.is_struct(kind):
        return len(array) + sum(_count_values(child) for child in array.flatten())
    if kinds.is_map(kind):
        begin, end = array.offsets[0].as_py(), array.offsets[-1].as_py()  # keys and items are those of a slice's source
        return len(array) + sum(_count_values(child.slice(begin, end - begin)) for child in (array.keys, array.items))
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return len(array) + _count_values(array.flatten())
    return len(array)


def to_stream(table: pa.Table, compression: str | None = None) -> Any:
    """A table in Arrow's stream format, in as few batches as possible; `compression` is `lz4` or `zstd`.

    A reader holds some 500 bytes for each field of each batch: 15 rows of a struct of 2,500 fields took 30 MiB
    as a batch each, and 2 MiB as one.
    """
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table.combine_chunks())
    return sink.getvalue()
