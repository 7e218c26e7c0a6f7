"""Distinct values that are grouped in stages: over large tables, and here over any."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lakehouse.errors import ResourceLimit
from mcp_server import checking
from mcp_server.dialects.sail.rules import distinct_counts
from mcp_server.models import CheckedQuery
from tests.conftest import ROOT
from tests.expected import Ask
from tests.guard.conftest import SETTINGS, TABLES

FILE = ROOT / "tests/data/dialect/distinct_counts.jsonl"
LINES = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
STAGED = [line["sql"] for line in LINES if line["staged"]]
KEPT = [line["sql"] for line in LINES if not line["staged"]]
"""What Sail groups itself, and what is not the same each time, or has no key."""
SIDES = [json.loads(line) for line in (FILE.parent / "set_rows.jsonl").read_text("utf-8").splitlines()]
GROUPED_SIDES = [line["sql"] for line in SIDES if line["grouped"]]
OTHER_SIDES = [line["sql"] for line in SIDES if not line["grouped"]]
"""EXCEPT and INTERSECT of floats and lists, of rows that count, and of no large table."""
_SIDES_RULE = "set operations of large tables"


@pytest.fixture
def any_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes every table for a large one."""
    monkeypatch.setattr(distinct_counts, "LEAST_ROWS", 0)
    return


def check_over(sql: str, rows: int, clustered_by: tuple[str, ...] = ()) -> CheckedQuery:
    """Check a statement over tables that have so many rows, and are sorted by some columns."""
    tables = tuple(replace(table, rows=rows, clustered_by=clustered_by) for table in TABLES)
    found = checking.check(sql, **{**SETTINGS, "catalog": checking.Catalog("imdb", tables, {}, "sail")})
    assert isinstance(found, CheckedQuery)
    return found


def rules_of(sql: str, rows: int) -> tuple[str, ...]:
    return check_over(sql, rows).rewrites


@pytest.mark.usefixtures("any_table")
@pytest.mark.parametrize("sql", [*STAGED, *GROUPED_SIDES])
def test_values_that_are_grouped_in_stages_are_counted_as_by_spark(sql: str, embedded: Ask, spark: Ask) -> None:
    found, expected = embedded(sql), spark(sql)
    assert found.columns == expected.columns
    assert found.sorted == expected.sorted
    if "ORDER BY" in sql:
        assert found.written == expected.written


@pytest.mark.parametrize("sql", STAGED)
def test_only_large_tables_are_grouped_in_stages(sql: str) -> None:
    assert "distinct values" in rules_of(sql, distinct_counts.LEAST_ROWS)
    assert "distinct values" not in rules_of(sql, distinct_counts.LEAST_ROWS - 1)


@pytest.mark.parametrize("sql", KEPT)
def test_what_must_not_be_grouped_in_stages_stays(sql: str) -> None:
    assert "distinct values" not in rules_of(sql, distinct_counts.LEAST_ROWS)


def test_what_keeps_much_of_each_group_in_memory_is_named_with_a_form_that_works() -> None:
    sql = "SELECT nconst, max_by(category, struct(r.averageRating, p.tconst)) AS c FROM principals_delta p JOIN "
    sql += "ratings_delta r ON r.tconst = p.tconst GROUP BY nconst"
    catalog = checking.Catalog("imdb", TABLES, {}, "sail")
    query = checking.check(sql, **{**SETTINGS, "catalog": catalog})
    assert isinstance(query, CheckedQuery)

    said = str(checking.explain_limit(ResourceLimit("Too much.", lacking=True), query, catalog))

    assert "row_number()" in said
    assert "A join keeps one of its sides in memory" in said


@pytest.mark.parametrize(
    ("sql", "form"),
    [
        ("SELECT averageRating FROM ratings_delta EXCEPT SELECT 1.5D", "HAVING max(side) = 1"),
        ("SELECT category, count(*) FROM principals_delta GROUP BY ROLLUP (category)", "one GROUP BY each"),
    ],
)
def test_sets_that_are_kept_in_memory_are_named_with_a_form_that_works(sql: str, form: str) -> None:
    catalog = checking.Catalog("imdb", TABLES, {}, "sail")
    query = checking.check(sql, **{**SETTINGS, "catalog": catalog})
    assert isinstance(query, CheckedQuery)

    assert form in str(checking.explain_limit(ResourceLimit("Too much.", lacking=True), query, catalog))


def test_the_largest_struct_of_each_group_is_told_by_a_text_where_its_values_have_one() -> None:
    texts = "SELECT nconst, max(struct(ordering, tconst)) AS m FROM principals_delta GROUP BY nconst"
    doubles = "SELECT max(struct(averageRating, tconst)) AS m FROM ratings_delta"
    catalog = checking.Catalog("imdb", TABLES, {}, "sail")
    runs = [checking.check(sql, **{**SETTINGS, "catalog": catalog}).sql for sql in (texts, doubles)]  # type: ignore[union-attr]

    assert ["max_by(" in sql for sql in runs] == [True, False]


@pytest.mark.parametrize("sql", GROUPED_SIDES)
def test_only_large_tables_are_compared_as_groups(sql: str) -> None:
    assert _SIDES_RULE in rules_of(sql, distinct_counts.LEAST_ROWS)
    assert _SIDES_RULE not in rules_of(sql, distinct_counts.LEAST_ROWS - 1)


@pytest.mark.parametrize("sql", OTHER_SIDES)
def test_rows_that_have_no_plain_key_are_compared_by_sail(sql: str) -> None:
    assert _SIDES_RULE not in rules_of(sql, distinct_counts.LEAST_ROWS)


@pytest.mark.parametrize(
    ("sql", "keys"),
    [
        ("SELECT category, count(DISTINCT nconst, tconst) AS n FROM principals_delta GROUP BY category",
         "GROUP BY tconst, nconst, category"),
        ("SELECT category, count(DISTINCT tconst) AS n FROM principals_delta GROUP BY category",
         "GROUP BY tconst, category"),
        ("SELECT tconst, count(DISTINCT nconst, category) AS n FROM principals_delta GROUP BY tconst",
         "GROUP BY tconst, nconst, category"),
        ("SELECT nconst, tconst FROM principals_delta EXCEPT SELECT tconst, tconst FROM movies_delta",
         "GROUP BY __below3.__c6, __below3.__c5"),
    ],
)  # fmt: skip
def test_the_columns_by_which_a_table_is_sorted_are_grouped_first(sql: str, keys: str) -> None:
    assert keys in check_over(sql, distinct_counts.LEAST_ROWS, ("tconst", "ordering")).sql
    assert keys not in check_over(sql, distinct_counts.LEAST_ROWS).sql
