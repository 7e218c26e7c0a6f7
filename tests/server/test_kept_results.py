"""Kept rows: whose they are, how long they stay, and how much memory they take."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from mcp_server.kept_results import MOST_KEPT, KeptResults, UnknownResultError
from mcp_server.models import ResultSet
from mcp_server.results.cutting import take_rows

MIB = 1 << 20
RANDOM = random.Random(7)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def result(rows: int, missing: dict[tuple[int, int], int] | None = None) -> ResultSet:
    """Rows of a kibibyte each that no compression makes smaller."""
    table = pa.table({"n": range(rows), "blob": pa.array([RANDOM.randbytes(1024) for _ in range(rows)], pa.binary())})
    return ResultSet(table, ("bigint", "binary"), missing=missing or {})


def test_rows_are_read_back_in_pages_with_what_their_cells_have_lost() -> None:
    kept = KeptResults(64 * MIB, 60)
    given = result(10, missing={(3, 1): 5, (7, 1): 9})
    kept.keep("q1", "ann", given, 917)
    page = kept.read("q1", "ann", 2, 3)
    assert page.table.equals(given.table.slice(2, 3))
    assert (page.names, page.types) == (("n", "blob"), ("bigint", "binary"))
    assert (page.offset, page.kept, page.total, page.is_whole) == (2, 10, 917, False)
    assert page.result.missing == {(1, 1): 5}
    assert kept.read("q1", "ann", 99, 3).table.num_rows == 0
    assert kept.read("q1", "ann").table.equals(given.table)


def test_another_callers_result_is_as_unknown_as_one_that_never_was_or_has_expired() -> None:
    clock = Clock()
    kept = KeptResults(64 * MIB, 60, clock)
    kept.keep("q1", "ann", result(1), 1)
    with pytest.raises(UnknownResultError) as theirs:
        kept.read("q1", "bob")
    with pytest.raises(UnknownResultError) as never:
        kept.read("q2", "ann")
    clock.now = 60
    with pytest.raises(UnknownResultError) as expired:
        kept.read("q1", "ann")
    assert str(theirs.value) == str(expired.value) == str(never.value).replace("q2", "q1")
    assert theirs.value.code == "unknown_result"


def test_a_caller_keeps_only_the_newest_of_many_results() -> None:
    kept = KeptResults(64 * MIB, 60)
    for number in range(MOST_KEPT + 1):
        kept.keep(f"q{number}", "ann", result(1), 1)
    with pytest.raises(UnknownResultError):
        kept.read("q0", "ann")
    assert kept.read("q1", "ann").kept == 1


def test_of_a_large_result_the_first_rows_are_kept() -> None:
    kept = KeptResults(8 * MIB, 60)
    kept.keep("q1", "ann", result(3_000), 3_000)
    found = kept.read("q1", "ann")
    assert 900 < found.kept < 1_024
    assert not found.is_whole
    assert found.table["n"].to_pylist() == list(range(found.kept))


def test_who_holds_most_makes_room_for_others() -> None:
    kept = KeptResults(8 * MIB, 60)
    kept.keep("small", "bob", result(500), 500)
    for number in range(12):
        kept.keep(f"q{number}", "ann", result(900), 900)
    assert kept.read("small", "bob").kept == 500
    assert kept.read("q11", "ann").kept == 900
    with pytest.raises(UnknownResultError):
        kept.read("q0", "ann")


def test_nothing_is_left_after_the_end() -> None:
    kept = KeptResults(8 * MIB, 60)
    kept.keep("q1", "ann", result(1), 1)
    kept.close()
    with pytest.raises(UnknownResultError):
        kept.read("q1", "ann")


NULLS = pa.array([[None] * 1_000_000] * 3, pa.list_(pa.null()))


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (NULLS, 0),  # no bytes, and a million objects once they are read
        (pa.array([[True] * 400_000] * 10), 2),
        (pa.array([[(i, None) for i in range(1_000)]] * 200, pa.map_(pa.int64(), pa.bool_())), 97),
        (pa.array([{"a": [1] * 1_000}] * 200), 100),
        (pa.array([], pa.string()), 0),
    ],
)
def test_rows_are_weighed_by_what_they_become(column: Any, rows: int) -> None:
    taken = take_rows(pa.table({"c": column}), 1_000_000)
    assert abs(taken.num_rows - rows) <= rows // 8
    assert taken.equals(pa.table({"c": column}).slice(0, taken.num_rows))
