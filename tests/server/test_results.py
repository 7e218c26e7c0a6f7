"""Results: every cell safe and exact, every cap said, and text of few tokens."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.errors import ResourceLimit
from mcp_server.models import ResultSet, RowLimit
from mcp_server.results import Answer, Caps, Origin, shape

CAPS = Caps(payload_bytes=60_000, cell_chars=2_000)


def shaped(table: pa.Table, types: tuple[str, ...] | None = None, limit: int = 500, caps: Caps = CAPS) -> Answer:
    kinds = types or tuple(str(kind) for kind in table.schema.types)
    return shape(ResultSet(table, kinds), RowLimit(limit), caps, Origin("q1", "embedded", 7))


def cells(values: Any, kind: pa.DataType | None = None, sql_type: str = "x") -> list[Any]:
    answer = shaped(pa.table({"c": pa.array(values, kind)}), (sql_type,))
    # What a strict JSON writer takes, any JSON reader can read.
    json.dumps(answer.rows, allow_nan=False).encode("utf-8")
    return [row[0] for row in answer.rows]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1.5, math.nan, math.inf, -math.inf], pa.float64(), [1.5, "NaN", "Infinity", "-Infinity"]),
        ([7.8, None], pa.float32(), [7.8, None]),
        ([2**53, 2**53 + 1, -(2**60)], pa.int64(), [2**53, str(2**53 + 1), str(-(2**60))]),
        ([Decimal("1.50"), Decimal("12345678901234567890.10")], None, ["1.50", "12345678901234567890.10"]),
        ([date(2020, 2, 29), None], pa.date32(), ["2020-02-29", None]),
        ([datetime(2020, 1, 2, 3, tzinfo=UTC)], pa.timestamp("us", "UTC"), ["2020-01-02T03:00:00+00:00"]),
        ([datetime(2020, 1, 2, 3)], pa.timestamp("us"), ["2020-01-02T03:00:00"]),  # noqa: DTZ001
        ([2**60], pa.timestamp("us", "UTC"), ["+38504-08-17T21:30:06.846976+00:00"]),
        ([4_000_000, None], pa.date32(), ["+12921-08-18", None]),
        ([b"\xff\x00"], pa.binary(), ["/wA="]),
        ([["a", None], [], None], pa.list_(pa.string()), [["a", None], [], None]),
        ([[("k", 2**60)], [], None], pa.map_(pa.string(), pa.int64()), [{"k": str(2**60)}, {}, None]),
        ([[(1, math.nan)], []], pa.map_(pa.int32(), pa.float64()), [[[1, "NaN"]], []]),
        ([{"x": {"y": [math.nan]}}, None], None, [{"x": {"y": ["NaN"]}}, None]),
        ([True, None], pa.bool_(), [True, None]),
        (["", "plain"], pa.string(), ["", "plain"]),
        ([None], pa.null(), [None]),
    ],
)
def test_a_cell_is_safe_for_json_and_exact(values: Any, kind: Any, expected: list[Any]) -> None:
    assert cells(values, kind) == expected


def test_a_struct_of_thousands_of_fields_is_read_in_no_time_and_each_field_has_a_name_of_its_own() -> None:
    names = [f"a{number}" for number in range(4_000)]
    table = pa.table({"c": pa.StructArray.from_arrays([pa.nulls(50)] * len(names), names=names)})
    began = time.process_time()
    assert shaped(table, ("struct",)).truncated
    assert time.process_time() - began < 20  # with a look at all names before for each, 100
    twice = pa.StructArray.from_arrays([pa.array([1])] * 5, names=["x", "x", "x_2", "x", "y"])
    assert cells(twice, twice.type) == [{"x": 1, "x_2": 1, "x_2_2": 1, "x_3": 1, "y": 1}]


def test_text_that_is_not_utf8_is_replaced_and_not_fatal() -> None:
    raw = pa.array([b"ok\xff", b"\xed\xa0\x80", b"fine"])
    broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    assert [row[0] for row in shaped(pa.table({"c": broken})).rows] == ["ok\ufffd", "\ufffd\ufffd\ufffd", "fine"]


def test_a_struct_with_two_fields_of_one_name_keeps_both() -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert shaped(pa.table({"c": twice})).rows == (({"x": 1, "x_2": 2},),)


def test_two_columns_of_one_name_are_both_answered() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["n", "n"])
    assert (shaped(table).names, shaped(table).rows) == (("n", "n"), ((1, 2),))


def test_numbers_given_as_text_are_said() -> None:
    table = pa.table({"f": [math.nan], "i": [2**60]})
    warnings = " ".join(shaped(table, ("double", "bigint")).warnings)
    assert "NaN" in warnings
    assert "beyond" in warnings


def test_one_row_more_than_the_limit_proves_truncation() -> None:
    assert shaped(pa.table({"n": [1, 2, 3]}), limit=3).truncated is False
    cut = shaped(pa.table({"n": [1, 2, 3, 4]}), limit=3)
    assert (cut.truncated, len(cut.rows)) == (True, 3)
    assert "Cut after 3 rows" in cut.warnings[0]
    assert (cut.codes, cut.total_rows) == (("rows_cut",), None)


def test_a_long_cell_is_cut_and_says_by_how_much() -> None:
    answer = shaped(pa.table({"t": ["x" * 3_000], "l": [["y" * 3_000]]}))
    assert answer.rows[0][0] == "x" * 2_000 + "…[+1000 chars]"
    assert answer.rows[0][1].endswith("…[+1004 chars]")
    assert "substring" in answer.warnings[0]
    assert answer.truncated is False


def test_rows_beyond_the_payload_are_dropped_from_the_end_and_said() -> None:
    answer = shaped(pa.table({"n": list(range(400)), "t": ["z" * 500] * 400}))
    assert answer.truncated is True
    assert [row[0] for row in answer.rows] == list(range(len(answer.rows)))
    assert 50 < len(answer.rows) < 400
    assert len(json.dumps(answer.rows).encode()) < 62_000
    assert f"first {len(answer.rows)} of 400 rows" in answer.warnings[-1]


def test_a_row_too_large_for_any_answer_leaves_none_and_says_so() -> None:
    table = pa.table({f"c{i}": ["w" * 1_900] for i in range(60)})
    answer = shaped(table)
    assert (answer.rows, answer.truncated) == ((), True)
    assert "Select fewer columns" in answer.warnings[-1]


def test_column_names_beyond_the_payload_are_an_error_that_teaches() -> None:
    table = pa.table({f"a_rather_long_name_of_a_column_{i}": [1] for i in range(3_000)})
    with pytest.raises(ResourceLimit, match="Select fewer columns"):
        shaped(table)


def rows_of(text: str) -> list[str]:
    return text.splitlines()[1:]


def test_every_row_of_the_text_has_all_its_cells() -> None:
    table = pa.table({"id": list(range(10)), "kind": ["movie"] * 10, "end": pa.array([None] * 10, pa.int32())})
    head, *rows = rows_of(shaped(table, ("int", "string", "int")).text)
    assert head == "id:int\tkind:string\tend:int"
    assert rows == [f"{i}\tmovie\t" for i in range(10)]


def test_an_empty_cell_means_null_and_nothing_else() -> None:
    table = pa.table({"id": list(range(10)), "kind": ["movie"] * 9 + [None]})
    _head, *rows = rows_of(shaped(table, ("int", "string")).text)
    assert rows == [f"{i}\tmovie" for i in range(9)] + ["9\t"]


def test_the_text_tells_null_from_empty_and_keeps_every_row_on_its_line() -> None:
    values = [None, "", "a\tb", "two\nlines", '"quoted"', " padded", "a,b"]
    table = pa.table({"n": list(range(7)), "t": values, "l": [None if v is None else [v] for v in values]})
    lines = rows_of(shaped(table, ("int", "string", "array<string>")).text)[1:]
    assert lines == [
        "0\t\t",
        '1\t""\t[""]',
        '2\t"a\\tb"\t["a\\tb"]',
        '3\t"two\\nlines"\t["two\\nlines"]',
        '4\t"\\"quoted\\""\t["\\"quoted\\""]',
        '5\t" padded"\t[" padded"]',
        '6\ta,b\t["a,b"]',
    ]


def test_the_text_stands_alone() -> None:
    text = shaped(pa.table({"n": [1, 2, 3]}), ("int",), limit=2).text
    assert text.startswith(
        "done, 2 rows, truncated, 7 ms on embedded, query q1\nWarning: Cut after 2 rows; there are more."
    )
    assert text.endswith("n:int\n1\n2")
