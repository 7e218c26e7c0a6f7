"""Results that are far larger than any answer: cut in Arrow, and what is shown of them is the same as of the whole."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.errors import QueryCancelled, ResourceLimit
from mcp_server.models import ResultSet, RowLimit
from mcp_server.results import Answer, Caps, Origin, shape
from mcp_server.results.cutting import Cutter, cut, to_stream

CAPS = Caps(payload_bytes=60_000, cell_chars=2_000)
LIMIT = RowLimit(500)


def ends(lists: int, length: int) -> Any:
    return pa.array(np.arange(lists + 1, dtype=np.int32) * length)


def lists_of(values: Any, lists: int) -> Any:
    return pa.ListArray.from_arrays(ends(lists, len(values) // lists), values)


def numbers(count: int) -> Any:
    return pa.array(np.arange(count))


LARGE: dict[str, Callable[[], Any]] = {
    "lists of booleans": lambda: lists_of(pa.array(np.zeros(20_000_000, bool)), 20),
    "lists of numbers": lambda: lists_of(numbers(500_000), 5),
    "lists of lists": lambda: lists_of(lists_of(numbers(500_000), 100_000), 5),
    "lists of empty lists": lambda: lists_of(pa.ListArray.from_arrays(ends(500_000, 0), numbers(0)), 2),
    "maps": lambda: pa.MapArray.from_arrays(ends(5, 50_000), pa.array(map(str, range(250_000))), numbers(250_000)),
    "lists of structs": lambda: lists_of(pa.StructArray.from_arrays([numbers(200_000)] * 2, names=["a", "b"]), 4),
    "long texts": lambda: pa.array(["é🎬x" * 30_000] * 50),
    "long texts in lists": lambda: pa.array([["z" * 1_000_000, "y"], None, []] * 4),
    "binaries": lambda: pa.array([b"\xff\x00" * 100_000] * 20),
    "nulls between": lambda: pa.array(
        [None, [{"m": [("a", [1, None] * 50_000)], "t": "x" * 5_000}, None], []] * 4,
        pa.list_(pa.struct([("m", pa.map_(pa.string(), pa.list_(pa.int64()))), ("t", pa.string())])),
    ),
    "many rows": lambda: numbers(400_000),
}


def shaped(result: ResultSet, tick: Callable[[], None] = lambda: None) -> Answer:
    return shape(result, RowLimit(1_000_000), CAPS, Origin("q1", "embedded", 7), tick)


def result_of(column: Any) -> ResultSet:
    table = pa.table({"n": numbers(len(column)), "c": column})
    return ResultSet(table, ("bigint", str(column.type)))


def uncounted(cell: Any) -> Any:
    """How much at least is missing of a list depends on how much was looked at; how much is shown does not."""
    return re.sub(r"more than \d+ chars\]$", "more chars]", cell) if isinstance(cell, str) else cell


@pytest.mark.parametrize("name", list(LARGE))
def test_what_is_shown_of_a_cut_result_is_what_is_shown_of_the_whole(name: str) -> None:
    whole = result_of(LARGE[name]())
    small = cut(whole, CAPS, lambda: None)

    of_whole, of_small = shaped(whole), shaped(small)

    assert small.table.nbytes < 2_000_000 <= 2 * whole.table.nbytes
    assert [[*map(uncounted, row)] for row in of_small.rows] == [[*map(uncounted, row)] for row in of_whole.rows]
    assert (of_small.truncated, of_small.warnings) == (of_whole.truncated, of_whole.warnings)
    assert of_small.rows
    json.dumps(of_small.rows, allow_nan=False).encode("utf-8")


def test_a_cell_says_no_more_than_is_true_of_what_it_lacks() -> None:
    long = [list(range(n)) for n in (600, 3_000, 300_000)]
    rows = shaped(cut(result_of(pa.array(long)), CAPS, lambda: None)).rows
    for cell, values in zip((row[1] for row in rows), long, strict=True):
        text = json.dumps(values, separators=(",", ":"))
        found = re.fullmatch(r"(.{2000})…\[\+(more than )?(\d+) chars\]", cell)
        assert found is not None
        assert text.startswith(found[1])
        lacking = len(text) - 2_000
        assert int(found[3]) < lacking if found[2] else int(found[3]) == lacking


def test_batches_are_cut_as_they_come_and_all_their_rows_counted() -> None:
    whole = pa.table({"n": numbers(120), "c": pa.array(["é" * 50_000] * 120)})
    cutter = Cutter(CAPS, lambda: None)
    for first in range(0, 120, 10):
        cutter.add(whole.slice(first, 10))
    found = replace(cutter.result(), types=("bigint", "string"))

    assert found.table.nbytes < 1_500_000
    assert (found.found, shaped(found).rows) == (120, shaped(ResultSet(whole, found.types)).rows)


def test_without_caps_batches_are_kept_whole() -> None:
    batch = pa.table({"c": pa.array(["é" * 50_000] * 60)})
    cutter = Cutter(None, lambda: None)
    cutter.add(batch)
    cutter.add(batch)
    assert cutter.result().table.equals(pa.concat_tables([batch, batch]))


def test_a_cancelled_statement_stops_between_two_rows() -> None:
    looked = 0

    def tick() -> None:
        nonlocal looked
        looked += 1
        if looked > 3:
            raise QueryCancelled("The query was cancelled.")

    with pytest.raises(QueryCancelled):
        shaped(result_of(LARGE["lists of booleans"]()), tick)
    assert looked == 4


@pytest.mark.parametrize("name", ["lists of booleans", "lists of empty lists", "long texts", "many rows"])
def test_no_more_becomes_python_objects_than_is_shown(name: str) -> None:
    result = result_of(LARGE[name]())
    shaped(result_of(numbers(3)))  # what is imported late
    tracemalloc.start()
    try:
        shaped(result)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


def wide(rows: int, fields: int, values: Any) -> Any:
    """Rows of a struct of many fields."""
    return pa.StructArray.from_arrays([values(rows)] * fields, names=[f"a{i}" for i in range(fields)])


@pytest.mark.parametrize("values", [pa.nulls, lambda rows: pa.array([True] * rows)], ids=["nulls", "booleans"])
@pytest.mark.parametrize("as_columns", [False, True], ids=["a struct", "columns"])
def test_of_many_fields_without_bytes_no_more_are_read_than_are_shown(values: Any, as_columns: bool) -> None:
    struct = wide(500, 2_500, values)
    table = pa.Table.from_struct_array(struct) if as_columns else pa.table({"s": struct})
    result = ResultSet(table, ("boolean",) * table.num_columns)
    shaped(result_of(numbers(3)))  # what is imported late
    tracemalloc.start()
    try:
        assert shaped(result).rows
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_what_is_left_of_a_struct_of_many_fields_travels_as_one_batch() -> None:
    whole = ResultSet(pa.table({"s": wide(200, 2_500, numbers)}), ("struct<…>",))
    small = cut(whole, CAPS, lambda: None)
    with pa.ipc.open_stream(to_stream(small.table)) as stream:
        assert [batch.num_rows for batch in stream] == [len(shaped(whole).rows)]


def test_batches_that_need_no_cut_travel_as_one() -> None:
    row = pa.table({"s": wide(1, 2_500, pa.nulls)})
    with pa.ipc.open_stream(to_stream(pa.concat_tables([row] * 50))) as stream:
        assert [batch.num_rows for batch in stream] == [50]


def test_rows_beside_which_their_names_and_types_leave_no_room_are_not_sent() -> None:
    half = ResultSet(pa.table({"a" * 30_000: ["é" * 2_000] * 500}), ("string",))
    assert cut(half, CAPS, lambda: None).table.num_rows == len(shaped(half).rows)
    with pytest.raises(ResourceLimit, match="names and types alone take"):
        cut(ResultSet(pa.table({"a": numbers(1)}), ("struct<" + "a:int," * 10_000 + ">",)), CAPS, lambda: None)


def test_long_names_make_the_text_no_longer_than_the_rows_may_be() -> None:
    names = [f"{'a' * 240}{i}" for i in range(120)]
    answer = shaped(ResultSet(pa.table({name: numbers(500) for name in names}), ("bigint",) * 120))
    assert len(answer.text) < CAPS.payload_bytes
    assert sum(map(len, shaped(ResultSet(pa.table({"a" * 50_000: ["x" * 3_000]}), ("string",))).warnings)) < 1_000


def test_a_row_of_many_lists_is_read_no_further_than_it_fits() -> None:
    looked = 0

    def tick() -> None:
        nonlocal looked
        looked += 1

    column = lists_of(pa.array(np.zeros(3_000_000, bool)), 3)
    table = pa.table({f"c{i}": column for i in range(300)})
    answer = shaped(ResultSet(table, ("array<boolean>",) * 300), tick)

    assert (answer.rows, answer.truncated) == ((), True)
    assert looked < 40
