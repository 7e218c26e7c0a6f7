"""Rows of a table that are sorted in Arrow: few of them in memory, many in ranges that lie on the disk."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from etl.row_sorter import RowSorter

SCHEMA = pa.schema([("name", pa.string()), ("id", pa.string()), ("place", pa.int32()), ("list", pa.list_(pa.string()))])
BY = ("name", "id", "place")


def make_rows(names: Sequence[str | None], count: int, seed: int = 1) -> list[tuple[Any, ...]]:
    chance = random.Random(seed)
    return [
        (
            chance.choice(names),
            f"nm{chance.randrange(1 << 27):07}",
            chance.choice([None, -2, 0, 7, 1 << 30]),
            chance.choice([None, [], ["x", None], [str(number)]]),
        )
        for number in range(count)
    ]


def to_table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def order_of(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """What Spark orders by: nulls first, texts by their bytes."""
    return tuple((value is not None, value.encode() if isinstance(value, str) else value or 0) for value in row[:3])


def sort_all(sorter: RowSorter, most_rows: int | None = None) -> Iterator[tuple[Any, ...]]:
    for part in sorter.list_parts():
        for rows in sorter.read_part(part):
            assert most_rows is None or rows.num_rows <= most_rows
            yield from (tuple(row.values()) for row in rows.to_pylist())


def check_order(found: list[tuple[Any, ...]], rows: list[tuple[Any, ...]]) -> None:
    assert [order_of(row) for row in found] == sorted(map(order_of, rows))
    assert sorted(map(repr, found)) == sorted(map(repr, rows))


NAMES: dict[str, list[str | None]] = {
    "ordinary names": ["Ann Lee", "Bo", "Çelik", "Ólafur Darri", "Zoë", "李小龍", "محمد"],
    "names that share their first letters": [f"Alexander the {number}th of a long line" for number in range(40)],
    "no name at all": [None],
    "one name alone": ["Michael Smith"],
    "nulls and empty texts": [None, "", "\x01", "a"],
    "letters beyond the 16-bit plane": ["\U0001f3ac film", "\uffff", "\ue000", "z"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_rows_that_come_in_pieces_are_sorted_with_little_of_them_in_memory(
    names: list[str | None], tmp_path: Path
) -> None:
    rows = make_rows(names, 3_000)
    with RowSorter(SCHEMA, BY, tmp_path, 3_000, sorted_rows=100) as sorter:
        for first in range(0, len(rows), 70):
            sorter.add(to_table(rows[first : first + 70]))
        found = list(sort_all(sorter, most_rows=200))
    check_order(found, rows)
    assert not list(tmp_path.iterdir())


def test_what_comes_first_need_not_tell_what_follows(tmp_path: Path) -> None:
    early, late = make_rows(["Aaron"], 200), make_rows([f"Zed {number}" for number in range(90)], 3_000)
    with RowSorter(SCHEMA, BY, tmp_path, 10, sorted_rows=100) as sorter:
        for rows in (early, late):
            sorter.add(to_table(rows))
        check_order(list(sort_all(sorter)), early + late)


def test_rows_that_do_not_differ_in_their_order_are_all_kept(tmp_path: Path) -> None:
    rows = [("Same", "nm1", 1, [str(number)]) for number in range(1_000)]
    with RowSorter(SCHEMA, BY, tmp_path, 1_000, sorted_rows=100) as sorter:
        sorter.add(to_table(rows))
        check_order(list(sort_all(sorter)), rows)


def test_few_rows_need_no_disk(tmp_path: Path) -> None:
    rows = make_rows(NAMES["ordinary names"], 50)
    with RowSorter(SCHEMA, BY, tmp_path / "absent", 50, sorted_rows=100) as sorter:
        sorter.add(to_table(rows))
        check_order(list(sort_all(sorter)), rows)


def test_no_rows_are_no_parts(tmp_path: Path) -> None:
    with RowSorter(SCHEMA, BY, tmp_path, 0, sorted_rows=100) as sorter:
        assert sorter.list_parts() == []


def add_and_fail(sorter: RowSorter, rows: list[tuple[Any, ...]]) -> None:
    with sorter.all_or_nothing():
        for first in range(0, len(rows), 60):
            sorter.add(to_table(rows[first : first + 60]))
        raise MemoryError


@pytest.mark.parametrize("before", [0, 30, 250])
def test_a_slice_that_failed_half_way_leaves_no_row(before: int, tmp_path: Path) -> None:
    kept, again = make_rows(["Kept", "Ann"], before), make_rows(["Bo", "Zoë"], 350, seed=2)
    with RowSorter(SCHEMA, BY, tmp_path, 600, sorted_rows=100) as sorter:
        with sorter.all_or_nothing():
            sorter.add(to_table(kept))
        with pytest.raises(MemoryError):
            add_and_fail(sorter, again[:300])
        assert sorter.rows == before
        with sorter.all_or_nothing():
            sorter.add(to_table(again))
        assert sorter.rows == before + 350
        check_order(list(sort_all(sorter)), kept + again)
