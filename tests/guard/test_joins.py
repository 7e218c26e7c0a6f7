"""Joins without an equality are weighed by the lake's row counts, and refused with the condition to add."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcp_server import checking
from tests.guard.conftest import SETTINGS, TABLES


def _verdict(sql: str, **rows: int) -> checking.Verdict:
    tables = tuple(replace(table, rows=rows.get(table.name)) for table in TABLES)
    return checking.verdict(sql, **(SETTINGS | {"catalog": checking.Catalog("imdb", tables)}))


CROSS = "SELECT count(*) FROM movies_delta m JOIN ratings_delta r ON m.startYear > r.numVotes"


@pytest.mark.parametrize(
    ("movies", "ratings", "allowed"), [(500, 500, True), (500, 501, False), (12_000_000, 1, False), (250_000, 1, True)]
)
def test_two_tables_meet_row_by_row_only_where_they_are_tiny(movies: int, ratings: int, allowed: bool) -> None:
    said = _verdict(CROSS, movies_delta=movies, ratings_delta=ratings)

    assert said.allow is allowed
    assert said.code == (None if allowed else "cross_join")


def test_the_refusal_says_how_many_rows_and_which_condition_to_add() -> None:
    said = _verdict(CROSS, movies_delta=12_000_000, ratings_delta=1_500_000)

    assert "about 18,000,000,000,000 rows" in said.message
    assert "ON m.tconst = r.tconst" in said.message


YEARS = "(SELECT DISTINCT startYear AS year FROM movies_delta {}) y"
TYPES = "(SELECT titleType, count(*) AS n FROM movies_delta GROUP BY titleType {}) t"


@pytest.mark.parametrize(
    "sql", [f"SELECT year, titleType FROM {YEARS} CROSS JOIN {TYPES}",
            f"SELECT year, count(*) FROM movies_delta m JOIN {YEARS} ON m.startYear <= year GROUP BY year",
            "WITH y AS (SELECT DISTINCT startYear AS year FROM movies_delta {}) SELECT * FROM y, ratings_delta"],
)  # fmt: skip
def test_groups_that_meet_row_by_row_are_bounded_by_the_limit_that_the_refusal_tells(sql: str) -> None:
    counts = {"movies_delta": 1_000_000, "ratings_delta": 1_000_000}
    refused = _verdict(sql.replace("{}", ""), **counts)

    assert refused.code == "cross_join"
    assert "has at most 1000 groups, write LIMIT 1000 at its end" in refused.message
    assert ("sum(count(*)) OVER (ORDER BY key)" in refused.message) is (" ON " in sql)
    assert _verdict(sql.replace("{}", "LIMIT 1000"), **counts).allow


def test_no_limit_is_told_that_would_have_to_cut_groups_away() -> None:
    sql = f"SELECT year, count(*) FROM movies_delta m JOIN {YEARS} ON m.startYear <= year GROUP BY year"
    refused = _verdict(sql.replace("{}", ""), movies_delta=12_000_000)

    assert "LIMIT" not in refused.message
    assert "sum(count(*)) OVER (ORDER BY key)" in refused.message


def test_tables_that_nobody_counted_are_never_small() -> None:
    assert _verdict(CROSS).code == "cross_join"
    assert _verdict(CROSS, movies_delta=1).code == "cross_join"


@pytest.mark.parametrize(("movies", "allowed"), [(1_000_000, True), (1_000_001, False)])
def test_a_short_list_beside_a_table_is_weighed_by_the_rows_of_the_table(movies: int, allowed: bool) -> None:
    for sql in (
        "SELECT count(*) FROM movies_delta CROSS JOIN range(1000)",
        "SELECT primaryTitle, explode(sequence(1, 1000)) FROM movies_delta",
        "SELECT count(*) FROM movies_delta m JOIN ratings_delta r USING (tconst) CROSS JOIN range(1000)",
    ):
        assert _verdict(sql, movies_delta=movies, ratings_delta=10).allow is allowed, sql


def test_an_equality_needs_no_row_counts() -> None:
    tied = "m.tconst = p.tconst AND m.startYear > p.ordering"
    sql = f"SELECT count(*) FROM movies_delta m JOIN principals_delta p ON {tied}"

    assert _verdict(sql, movies_delta=12_000_000, principals_delta=100_000_000).allow
