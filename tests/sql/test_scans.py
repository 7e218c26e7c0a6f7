"""What a query scans: how often a table is read, which columns it needs, which conditions hold for all its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from lakehouse.manifest import Column
from mcp_server import checking
from mcp_server.models import CheckedQuery, Scan
from tests.guard.conftest import SETTINGS, TABLES

TYPES = {
    "startYear": "int", "endYear": "int", "runtimeMinutes": "int", "isAdult": "boolean", "genres": "array<string>",
    "averageRating": "double", "numVotes": "bigint", "birthYear": "decimal(10,2)", "deathYear": "date",
    "primaryProfession": "timestamp",
}  # fmt: skip
CATALOG = replace(
    SETTINGS["catalog"],
    tables=tuple(
        replace(table, columns=tuple(Column(name=c.name, type=TYPES.get(c.name, c.type)) for c in table.columns))
        for table in TABLES
    ),
)
Scans = Callable[[str], list[Scan]]


@pytest.fixture
def scans() -> Scans:
    def read(sql: str) -> list[Scan]:
        checked = checking.check(sql, **(SETTINGS | {"catalog": CATALOG}))
        assert isinstance(checked, CheckedQuery)
        return sorted(checked.scans, key=lambda scan: scan.table)

    return read


def filters(scan: Scan) -> list[tuple[Any, ...]]:
    return sorted(((f.column, f.op, *f.values) for f in scan.filters), key=repr)


M = "movies_delta"


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("startYear = 2020", [("startYear", "=", 2020)]),
        ("2020 < STARTYEAR", [("startYear", ">", 2020)]),
        ("startYear <=> -5", [("startYear", "=", -5)]),
        ("startYear IS NOT DISTINCT FROM 5", [("startYear", "=", 5)]),
        ("(startYear >= 2020) AND m.endYear <= 2021L", [("endYear", "<=", 2021), ("startYear", ">=", 2020)]),
        ("startYear BETWEEN 1 AND 2", [("startYear", "<=", 2), ("startYear", ">=", 1)]),
        ("startYear IN (1, 2.5)", [("startYear", "in", 1, Decimal("2.5"))]),
        ("startYear > 1e3", [("startYear", ">", 1000.0)]),
        ("startYear = CAST('2020' AS INT)", [("startYear", "=", 2020)]),
        ("endYear IS NULL AND startYear IS NOT NULL", [("endYear", "is null"), ("startYear", "is not null")]),
        ("NOT endYear IS NULL", [("endYear", "is not null")]),
        ("tconst = 's1'", [("tconst", "=", "s1")]),
        ('tconst = "tt\'1"', [("tconst", "=", "tt'1")]),
        ("tconst IN ('é')", [("tconst", "in", "é")]),
        ("isAdult = false", [("isAdult", "=", False)]),
    ],
)
def test_a_plain_condition_on_a_column_is_a_filter(scans: Scans, condition: str, wanted: list[Any]) -> None:
    (scan,) = scans(f"SELECT tconst FROM movies_delta m WHERE {condition}")

    assert filters(scan) == wanted


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("birthYear = 1.50", ("birthYear", "=", Decimal("1.50"))),
        ("birthYear = CAST('2.25' AS DECIMAL(5,2))", ("birthYear", "=", Decimal("2.25"))),
        ("deathYear >= DATE '2020-01-31'", ("deathYear", ">=", date(2020, 1, 31))),
        ("deathYear = '2020-01-31'", ("deathYear", "=", date(2020, 1, 31))),
        ("primaryProfession < TIMESTAMP '2020-01-31 10:00:00.5'",
         ("primaryProfession", "<", datetime(2020, 1, 31, 10, 0, 0, 500_000, UTC))),
        ("primaryProfession < '2020-01-31'", ("primaryProfession", "<", datetime(2020, 1, 31, tzinfo=UTC))),
    ],
)  # fmt: skip
def test_a_value_has_the_type_of_its_column(scans: Scans, condition: str, wanted: tuple[Any, ...]) -> None:
    (scan,) = scans(f"SELECT nconst FROM persons_delta WHERE {condition}")

    assert filters(scan) == [wanted]


@pytest.mark.parametrize(
    "condition",
    [
        "tconst LIKE '%a b%'",
        "lower(tconst) LIKE 'a b%'",
        "tconst ILIKE '%a b'",
        "lower(tconst) = 'a b'",
        "'a b' = upper(tconst)",
    ],
)
def test_a_part_of_a_text_in_any_case_is_a_filter_that_no_file_is_left_out_for(scans: Scans, condition: str) -> None:
    (scan,) = scans(f"SELECT tconst FROM movies_delta m WHERE {condition}")

    assert filters(scan) == [("tconst", "contains", "a b")]


@pytest.mark.parametrize(
    "condition",
    [
        "startYear = '2020'", "tconst = 5", "tconst = startYear", "startYear + 1 = 2021", "startYear != 5",
        "startYear = 1 OR startYear = 2", "NOT startYear = 5", "NOT startYear BETWEEN 1 AND 2", "startYear NOT IN (1)",
        "startYear IN (1, NULL)", "startYear IN (1, '2')", "startYear = NULL", "startYear IN (SELECT 1)",
        "tconst = lower('A')", "tconst = 'it\\'s'", "tconst = 'it''s'", "tconst = r'a'",
        "tconst = X'41'", "tconst = X '41'", "tconst = 'a' 'b'", "tconst LIKE 'a_b%'", "tconst LIKE '%'",
        "trim(tconst) LIKE 'a'", "tconst NOT LIKE 'a'", "genres LIKE '%a%'", "startYear LIKE '%19%'",
        "tconst LIKE 'a!%' ESCAPE '!'", "isAdult", "isAdult = 1",
        "startYear = CAST(300 AS TINYINT)", "startYear = CAST(2020.7 AS INT)", "startYear = CAST('x' AS INT)",
        "startYear = CAST(1.25 AS DECIMAL(2,1))", "startYear = TRY_CAST('5' AS INT)", "CAST(startYear AS BIGINT) = 5",
        "tconst = DATE '2020-01-01'", "genres IS NULL AND (startYear = 1 OR true)", "m.tconst.x = 'a'",
        "case when startYear = 1 then true else false end",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_no_filter(scans: Scans, condition: str) -> None:
    (scan,) = scans(f"SELECT tconst FROM movies_delta m WHERE {condition}")

    assert [each for each in filters(scan) if each[0] != "genres"] == []


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        # inner joins: ON and WHERE count for both sides
        (("SELECT 1 FROM movies_delta m JOIN ratings_delta r ON m.tconst = r.tconst AND r.numVotes > 5 "
         "WHERE startYear = 1"), {M: 1, "ratings_delta": 1}),
        ("SELECT 1 FROM movies_delta m, ratings_delta r WHERE m.tconst = r.tconst AND m.startYear = 1 AND numVotes = 2",
         {M: 1, "ratings_delta": 1}),
        ("SELECT 1 FROM movies_delta JOIN ratings_delta USING (tconst) WHERE tconst = 'a'", {M: 1, "ratings_delta": 1}),
        # the side of an outer join that is filled with nulls has none
        (("SELECT 1 FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst AND m.startYear = 1 "
         "WHERE r.numVotes > 5"), {M: 0, "ratings_delta": 0}),
        ("SELECT 1 FROM movies_delta m LEFT JOIN ratings_delta r USING (tconst) WHERE tconst = 'a'",
         {M: 1, "ratings_delta": 0}),
        ("SELECT 1 FROM movies_delta m RIGHT JOIN ratings_delta r ON m.tconst = r.tconst WHERE m.startYear IS NULL",
         {M: 0, "ratings_delta": 0}),
        ("SELECT 1 FROM movies_delta m FULL JOIN ratings_delta r ON m.tconst = r.tconst WHERE m.startYear = 1",
         {M: 0, "ratings_delta": 0}),
        (("SELECT 1 FROM movies_delta m LEFT JOIN (ratings_delta r JOIN crew_delta c ON r.tconst = c.tconst "
         "AND r.numVotes = 1) ON m.tconst = r.tconst WHERE m.startYear = 1"), {M: 1, "ratings_delta": 0}),
        # what a semi or anti join says of its left side is no condition on it
        ("SELECT 1 FROM movies_delta m LEFT ANTI JOIN ratings_delta r ON m.tconst = r.tconst AND m.startYear = 1",
         {M: 0, "ratings_delta": 0}),
        ("SELECT 1 FROM movies_delta m LEFT SEMI JOIN ratings_delta r ON m.tconst = r.tconst WHERE tconst = 'a'",
         {M: 1, "ratings_delta": 0}),
        # conditions outside a sub-query stay outside, those inside count
        ("SELECT 1 FROM (SELECT * FROM movies_delta) m WHERE startYear = 1", {M: 0}),
        ("SELECT 1 FROM (SELECT * FROM movies_delta WHERE startYear = 1 LIMIT 5) m WHERE tconst = 'a'", {M: 1}),
        (("SELECT 1 FROM ratings_delta r WHERE EXISTS (SELECT 1 FROM movies_delta m WHERE m.tconst = r.tconst "
         "AND startYear = 1 AND numVotes = 5)"), {M: 1, "ratings_delta": 0}),
        ("SELECT startYear FROM movies_delta GROUP BY startYear HAVING startYear = 1", {M: 0}),
        # what a table becomes before WHERE sees it
        ("SELECT 1 FROM movies_delta TABLESAMPLE (10 ROWS) WHERE startYear = 1", {M: 0}),
        ("SELECT 1 FROM movies_delta m (startYear, b, c, d, e, f, g, h, i) WHERE startYear = 'a'", {M: 0}),
        ("SELECT 1 FROM movies_delta PIVOT (count(1) FOR isAdult IN (true, false)) WHERE startYear = 1", {M: 0}),
        ("SELECT 1 FROM movies_delta m LATERAL VIEW explode(genres) g AS endYear WHERE endYear = 1", {M: 0}),
        ("SELECT 1 FROM movies_delta m LATERAL VIEW explode(genres) g AS genre WHERE startYear = 1", {M: 1}),
        ("FROM movies_delta |> WHERE startYear = 1", {M: 0}),
    ],
)  # fmt: skip
def test_a_condition_counts_where_it_certainly_holds(scans: Scans, sql: str, wanted: dict[str, int]) -> None:
    found = {scan.table: len(scan.filters) for scan in scans(sql)}

    assert {table: found[table] for table in wanted} == wanted


def test_each_reading_of_a_table_is_one_scan_with_its_own_conditions(scans: Scans) -> None:
    found = scans("SELECT 1 FROM movies_delta a JOIN movies_delta b ON a.tconst = b.tconst AND a.startYear = 1 "
                  "WHERE b.endYear > 2")  # fmt: skip

    assert sorted(map(filters, found)) == [[("endYear", ">", 2)], [("startYear", "=", 1)]]


def test_a_with_name_is_read_as_often_as_it_is_used(scans: Scans) -> None:
    inner = "WITH w AS (SELECT tconst FROM movies_delta WHERE startYear = 1)"

    assert len(scans(f"{inner} SELECT 1 FROM w a JOIN w b ON a.tconst = b.tconst")) == 2
    assert scans(f"{inner} SELECT 1") == []
    assert len(scans(f"{inner}, v AS (SELECT * FROM w UNION ALL SELECT * FROM w) SELECT * FROM v, LATERAL (SELECT 1)")
               ) == 2  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT * FROM movies_delta", None),
        ("SELECT m.* FROM movies_delta m", None),
        ("SELECT struct(*) FROM movies_delta WHERE startYear = 1", None),
        ("SELECT count(*) FROM movies_delta", set()),
        ("SELECT count(*) FROM movies_delta WHERE STARTYEAR = 1", {"startYear"}),
        ("SELECT tconst AS endYear FROM movies_delta ORDER BY originalTitle", {"tconst", "originalTitle"}),
        ("SELECT (SELECT max(numVotes) FROM ratings_delta r WHERE r.tconst = m.tconst) FROM movies_delta m",
         {"tconst"}),
        ("SELECT t.a FROM (SELECT tconst AS a, genres FROM movies_delta) t", {"tconst", "genres"}),
        ("SELECT t.* FROM (SELECT tconst FROM movies_delta) t", {"tconst"}),
        ("SELECT genres.x FROM movies_delta", {"genres"}),
        ("SELECT 1 FROM movies_delta PIVOT (count(1) FOR isAdult IN (true))", None),
    ],
)  # fmt: skip
def test_the_columns_that_a_scan_needs_are_those_that_are_named(
    scans: Scans, sql: str, columns: set[str] | None
) -> None:
    found = next(scan for scan in scans(sql) if scan.table == M)

    assert found.columns == columns


def test_the_version_that_the_sender_asks_for_is_part_of_the_scan(scans: Scans) -> None:
    by_number = scans("SELECT 1 FROM movies_delta VERSION AS OF 2")
    by_time = scans("SELECT 1 FROM movies_delta TIMESTAMP AS OF '2026-01-01'")

    assert [scan.version for scan in [*by_number, *by_time]] == [2, datetime(2026, 1, 1, tzinfo=UTC)]
    assert [scan.version for scan in scans("SELECT 1 FROM movies_delta")] == [None]
