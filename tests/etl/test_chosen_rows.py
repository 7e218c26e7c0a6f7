"""What an update reads of a table without an engine: chosen rows, lines that rows are, multisets of rows."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import WriterProperties, write_deltalake

from etl.datasets import DATASETS, Dataset, Field, FieldKind
from etl.fingerprints import KEY_BYTES
from etl.row_filters import EitherFilter, IdFilter, RangeFilter, RowFilter
from etl.row_lines import write_lines
from etl.row_sets import subtract_rows
from etl.stored_rows import StoredTable, TableChange, to_arrow_schema
from etl.table_files import TableFiles
from lakehouse.manifest import Column
from lakehouse.storage import Lake
from tests.etl.live_rows import published

COLUMNS = (
    Column(name="id", type="string", comment=""),
    Column(name="kind", type="string", comment=""),
    Column(name="crew", type="array<string>", comment=""),
    Column(name="number", type="int", comment=""),
)


@pytest.fixture
def stored(tmp_path: Path) -> StoredTable:
    """A table in files whose ranges of ids lie apart, overlap, and come in no order, with row groups of 50 rows."""
    dice = random.Random(3)
    numbers = [range(200), range(300, 450), range(100, 400, 7), dice.sample(range(1000), 120)]
    for place, each in enumerate(numbers):
        rows = {
            "id": [f"tt{number:07}" for number in each],
            "kind": [dice.choice(["movie", "short", None]) for _ in each],
            "crew": [dice.choice([None, [], [f"nm{number % 9}", None], [f"nm{number % 50}"]]) for number in each],
            "number": list(each),
        }
        write_deltalake(
            tmp_path / "table",
            pa.table(rows, schema=to_arrow_schema(COLUMNS)),
            mode="append",
            writer_properties=WriterProperties(max_row_group_size=50, data_page_row_count_limit=10),
        )
        assert place or pq.read_metadata(next((tmp_path / "table").glob("*.parquet"))).num_row_groups == 4
    files = TableFiles(Lake.parse(str(tmp_path)), "table")
    first = StoredTable(files, len(numbers) - 1, COLUMNS)
    gone = first.locate_rows([], IdFilter({"id": {f"tt{number:07}" for number in range(0, 1000, 3)}}))
    first.write_change(TableChange(gone.locate_all()), ())
    return StoredTable(files, len(numbers), COLUMNS)


def _in_ranges(*ranges: tuple[str, str]) -> RangeFilter:
    return RangeFilter("id", np.array(ranges, f"S{KEY_BYTES}").ravel())


FILTERS: dict[str, tuple[RowFilter, Any]] = {
    "ids": (IdFilter({"id": {"tt0000010", "tt0000340", "tt0000341"}}), lambda row: row["number"] in (10, 340, 341)),
    "ids that no file has": (IdFilter({"id": {"tt0009999", ""}}), lambda row: False),
    "nothing": (IdFilter({"id": set()}), lambda row: False),
    "ids in lists": (IdFilter({"crew": {"nm7"}}), lambda row: "nm7" in (row["crew"] or [])),
    "a column with nulls": (IdFilter({"kind": {"movie"}}), lambda row: row["kind"] == "movie"),
    "ranges": (
        _in_ranges(("", "tt0000004"), ("tt0000110", "tt0000140"), ("tt0000390", "tt00004")),
        lambda row: row["number"] < 4 or 110 <= row["number"] < 140 or 390 <= row["number"] < 400,
    ),
    "a range to the end": (
        RangeFilter("id", np.array([b"tt0000440", b"\xff" * KEY_BYTES])),
        lambda row: row["number"] >= 440,
    ),
    "either": (
        EitherFilter([_in_ranges(("tt0000110", "tt0000140")), IdFilter({"crew": {"nm7"}, "id": {"tt0000400"}})]),
        lambda row: 110 <= row["number"] < 140 or "nm7" in (row["crew"] or []) or row["number"] == 400,
    ),
}


@pytest.mark.parametrize("case", FILTERS)
def test_chosen_rows_are_those_of_all_rows_that_fit_and_come_with_their_places(case: str, stored: StoredTable) -> None:
    chosen, fits = FILTERS[case]
    everything = stored.read_rows(stored.schema.names).to_pylist()
    assert all(row["number"] % 3 for row in everything)
    assert len(everything) > 300

    found = stored.locate_rows(["number", "crew", "id", "kind"], chosen)

    assert found.rows.column_names == ["number", "crew", "id", "kind"]
    wanted = [row for row in everything if fits(row)]
    assert sorted(map(repr, found.rows.select(stored.schema.names).to_pylist())) == sorted(map(repr, wanted))
    stored.write_change(TableChange(found.locate_all()), ())
    left = StoredTable(stored.files, stored.snapshot.version + bool(wanted), COLUMNS).read_rows(["number"])
    assert sorted(left["number"].to_pylist()) == sorted(row["number"] for row in everything if not fits(row))


def test_row_groups_that_statistics_exclude_are_not_read(stored: StoredTable) -> None:
    wanted = IdFilter({"id": {"tt0000310"}})
    spans = [{"id": (f"tt{low:07}", f"tt{low + 49:07}")} for low in range(0, 400, 50)]
    assert [wanted.may_choose(each) for each in spans] == [low == 300 for low in range(0, 400, 50)]
    assert wanted.may_choose({})
    ranges = _in_ranges(("tt0000049", "tt0000050"), ("tt0000310", "tt0000311"))
    assert [ranges.may_choose(each) for each in spans] == [low in (0, 300) for low in range(0, 400, 50)]


def test_unchanged_lines_are_recognised_by_the_rows_that_they_are(embedded_sample_lake: Path, sample: Path) -> None:
    tables = published(embedded_sample_lake).tables
    for dataset in DATASETS:
        entry = tables[dataset.table]
        stored = StoredTable(
            TableFiles(Lake.parse(str(embedded_sample_lake)), entry.path), entry.version, entry.columns
        )
        written = write_lines(stored.read_rows(stored.schema.names), dataset, b"\n").to_pylist()
        lines = gzip.decompress((sample / f"{dataset.file}.tsv.gz").read_bytes()).splitlines(keepends=True)[1:]
        plain = [line for line in lines if b"\\" not in line.replace(rb"\N", b"")]
        assert Counter(line for line in written if line is not None) == Counter(plain), dataset.file


LINES: dict[FieldKind, list[tuple[object, str | None]]] = {
    FieldKind.TEXT: [("a", "a"), ("", None), (None, r"\N"), (' "x" ', ' "x" ')],
    FieldKind.INTEGER: [(7, "7"), (-12, "-12"), (None, r"\N")],
    FieldKind.DECIMAL: [(5.0, "5.0"), (9.9, "9.9"), (None, r"\N"), (1e20, None)],
    FieldKind.FLAG: [(True, "1"), (False, "0"), (None, r"\N")],
    FieldKind.COMMA_LIST: [
        (["a", "b"], "a,b"), (["a"], "a"), (None, r"\N"), ([], None), ([""], None), (["a", None], None),
    ],
    FieldKind.CONTROL_B_LIST: [(["a b", "c"], "a b\x02c"), (None, r"\N")],
    FieldKind.JSON_LIST: [
        (["a", "b"], '["a","b"]'), ([], "[]"), ([""], '[""]'), (["é"], '["é"]'), (None, r"\N"), (['say "x"'], None),
        (["a\\b"], None), (["a\nb"], None), (["a", None], None),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", LINES)
def test_a_row_is_written_as_a_line_only_where_that_line_surely_makes_it(kind: FieldKind) -> None:
    types = {"int": pa.int32(), "double": pa.float64(), "boolean": pa.bool_(), "array<string>": pa.list_(pa.string())}
    values = pa.array([value for value, _ in LINES[kind]], types.get(kind.spark_type, pa.string()))
    dataset = Dataset("f", "t", "", (Field("id", FieldKind.TEXT, ""), Field("value", kind, "")), ("id",), ())
    rows = pa.table({"id": ["tt1"] * len(values), "value": values})
    wanted = [None if text is None else f"tt1\t{text}\r\n".encode() for _, text in LINES[kind]]
    assert write_lines(rows, dataset, b"\r\n").to_pylist() == wanted


@pytest.mark.parametrize("at_once", [100, 4, 1])
def test_equal_rows_take_each_other_away_as_often_as_they_are_there(at_once: int) -> None:
    these, others = pa.array(["b", None, "a", "a", "cc", "a"]), pa.array(["a", "dd", "b", "a", None, "b"])
    left, right = subtract_rows(these, others, at_once)
    assert left.tolist() == [1, 4, 5]
    assert right.tolist() == [1, 4, 5]
    nothing = pa.array([], pa.string())
    assert [each.tolist() for each in subtract_rows(nothing, others)] == [[], list(range(6))]
    assert [each.tolist() for each in subtract_rows(nothing, nothing)] == [[], []]
