"""What callers are told of an answer that may differ from Spark's, and what is done so that it does not."""

from __future__ import annotations

import contextlib

import pytest

from lakehouse.errors import EngineLacks, QueryError, QueryFailed
from lakehouse.manifest import Column
from mcp_server import checking
from mcp_server.guard.functions import function_policy
from mcp_server.models import CheckedQuery, Principal, TableInfo
from mcp_server.sql.catalog import Bounds, Catalog
from tests.expected import Ask
from tests.guard.conftest import SETTINGS

COLUMNS = {
    "tconst": "string",
    "startYear": "int",
    "numVotes": "int",
    "views": "bigint",
    "rating": "double",
    "genres": "array<string>",
    "notes": "map<string,int>",
}
TABLE = TableInfo(
    "films", "table", "", tuple(Column(name=n, type=t) for n, t in COLUMNS.items()), rows=1_000_000, nan_free=True
)
KNOWN: Bounds = {"startyear": (1874, 2031), "numvotes": (5, 3_000_000), "views": (0, 10**12)}


def check(sql: str, bounds: Bounds = KNOWN) -> CheckedQuery:
    catalog = Catalog("imdb", (TABLE,), {}, "sail", lambda *_: bounds)
    checked = checking.check(sql, catalog=catalog, limits=SETTINGS["limits"], principal=Principal("tester"))
    assert isinstance(checked, CheckedQuery)
    return checked


FITS = [
    "startYear + 1",
    "startYear - 1990",
    "startYear DIV 10 * 10",
    "floor(startYear / 10) * 10",
    "CAST(startYear / 10 AS INT) * 10",
    "year(current_date()) - startYear",
    "numVotes * 100",
    "numVotes * 1000L",
    "CAST(numVotes AS BIGINT) * numVotes",
    "sum(startYear)",
    "sum(numVotes)",
    "sum(views)",
    "count(*) * 100",
    "count(*) + count(DISTINCT tconst) * 2",
    "sum(CASE WHEN rating > 5 THEN 1 ELSE 0 END)",
    "datediff(current_date(), DATE '2000-01-01') + 1",
    "(SELECT max(startYear) FROM films) - startYear",
    "coalesce(numVotes, 0) + 1",
    "numVotes % 7 * 2000000",
    "if(startYear > 2000, numVotes, startYear) * 2",
    "rating * numVotes * numVotes",
    "aggregate(transform(array(1, 2), n -> n * 1L), 0L, (s, n) -> 0L)",
]
"""What the bounds say can never outgrow its type."""

OUTGROWS = [
    "numVotes * numVotes",
    "numVotes * 1000",
    "views * views",
    "sum(views * 1000)",
    "startYear * 2000000",
    "length(tconst) * 1000000000",
    "year(current_date()) * 2000000",
    "aggregate(array(1, 2), 0, (s, n) -> s + n)",
    "views + 9223372036854775807",
    "2147483647 + 1",
    "notes['a'] + 1",
    " - ".join(["views * 1000000"] * 50),
]
"""What may."""


@pytest.mark.parametrize("item", FITS)
def test_arithmetic_that_fits_by_the_bounds_runs_as_it_was_sent(item: str) -> None:
    checked = check(f"SELECT {item} AS x FROM films")

    assert "overflow" not in checked.rewrites
    assert checked.caveats == ()


@pytest.mark.parametrize("item", OUTGROWS)
def test_arithmetic_that_may_outgrow_its_type_is_checked(item: str) -> None:
    checked = check(f"SELECT {item} AS x FROM films")

    assert "overflow" in checked.rewrites
    assert checked.caveats == ()


@pytest.mark.parametrize("item", ["startYear + 1", "sum(views)"])
def test_without_bounds_the_range_of_the_type_counts(item: str) -> None:
    assert "overflow" in check(f"SELECT {item} AS x FROM films", {}).rewrites


def test_a_name_has_the_range_of_all_that_bear_it() -> None:
    inner = "SELECT {} AS n FROM films"

    assert "overflow" not in check(f"SELECT n * 1000 AS x FROM ({inner.format('startYear')})").rewrites
    assert "overflow" in check(f"SELECT n * 1000 AS x FROM ({inner.format('numVotes')})").rewrites
    assert "overflow" in check(f"SELECT n * 10000000 AS n FROM ({inner.format('startYear')})").rewrites


def test_what_is_checked_is_not_checked_again() -> None:
    once = check("SELECT numVotes * numVotes * 3 AS x, sum(views * 1000) AS y FROM films GROUP BY 1").sql

    assert check(once.replace("imdb.", "")).sql == once


UNKNOWN = """from_json(tconst, schema_of_json('{"a": 1}')).a"""
"""What has a type that only the engine knows."""


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (f"SELECT {UNKNOWN} + 1 AS x FROM films", "+ of values whose types are not known: a whole number"),
        (f"SELECT concat('a', {UNKNOWN}) AS x FROM films", "Doubles from ten million on"),
        ("SELECT approx_count_distinct(tconst) AS x FROM films", "approx_count_distinct: an estimate"),
        ("SELECT to_json(struct(rating)) AS x FROM films", "to_json may write doubles"),
        ("SELECT DISTINCT CAST('NaN' AS DOUBLE) AS x FROM films", "NaNs are one value"),
        ("SELECT sentences(tconst) AS x FROM films", "sentences cuts words otherwise"),
        ("SELECT get_json_object(tconst, '$.a') AS x FROM films", "get_json_object: a number or an object"),
        ("SELECT parse_url(tconst, 'HOST') AS x FROM films", "parse_url: what is no URL"),
        ("SELECT conv(numVotes, 10, 16) AS x FROM films", "conv: what is below zero"),
        ("SELECT slice(genres, numVotes, 1) AS x FROM films", "a place or a number outside"),
        ("SELECT median(x) AS m FROM VALUES (CAST('NaN' AS DOUBLE)) t(x)", "NaN is the largest of all"),
    ],
)
def test_where_an_answer_may_differ_the_caller_is_told(sql: str, words: str) -> None:
    assert words in " ".join(check(sql).caveats)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT startYear, count(*) AS n, round(avg(rating), 2) AS r FROM films GROUP BY startYear ORDER BY n DESC",
        "SELECT concat(tconst, ' (', startYear, ')') AS x, lead(tconst) OVER (ORDER BY tconst) AS y FROM films",
        "SELECT to_json(struct(tconst, startYear, genres)) AS x FROM films",
        "SELECT CAST(rating AS STRING) AS x, max_by(tconst, rating) OVER () AS y FROM films",
        "WITH a AS (SELECT startYear AS y FROM films), b AS (SELECT y + 1 AS y FROM a) SELECT y - 1 AS z FROM b",
        "SELECT g, count(*) * 2 AS n FROM films LATERAL VIEW explode(genres) t AS g GROUP BY g",
        "SELECT transform(genres, (g, i) -> concat(i + 1, g)) AS x FROM films",
        "SELECT concat('a', notes['a']) AS x, elt(numVotes, 'a', 'b') AS y FROM films",
        "SELECT slice(genres, 1, 2) AS x, elt(2, 'a', 'b') AS y, conv('ff', 16, 10) AS z FROM films",
    ],
)
def test_an_answer_that_is_right_is_not_cluttered(sql: str) -> None:
    assert check(sql).caveats == ()


@pytest.mark.parametrize("count", range(6))
def test_a_call_with_any_number_of_arguments_is_answered_or_refused(count: int) -> None:
    kinds = ["tconst", "-1", "rating", "genres", "struct(tconst, startYear)", "NULL"]

    for at, name in enumerate(function_policy().allowed):
        arguments = ", ".join(kinds[(at + place) % len(kinds)] for place in range(count))
        with contextlib.suppress(QueryError):
            check(f"SELECT {name}({arguments}) AS {name}, {name} FROM (SELECT *, 1 AS {name} FROM films)")


def test_spark_needs_no_caveats() -> None:
    catalog = Catalog("imdb", (TABLE,), {}, "spark")

    checked = checking.check(
        "SELECT approx_count_distinct(tconst) FROM films",
        catalog=catalog,
        limits=SETTINGS["limits"],
        principal=Principal("tester"),
    )

    assert isinstance(checked, CheckedQuery)
    assert checked.caveats == ()


@pytest.mark.parametrize(
    "item",
    [
        "numVotes * numVotes * 1000",
        "sum(numVotes * 3000000000000000L) OVER ()",
        "CAST(averageRating AS TINYINT) + CAST(127 AS TINYINT)",
        "transform(array(2147483647, numVotes), n -> n + 1)",
        "aggregate(array(2147483647, numVotes), 0, (s, n) -> s + n)",
        "9223372036854775807 - (-numVotes)",
        " + ".join(["numVotes * 0 + 300000000"] * 9 + ["numVotes"]),
        f"{' + '.join(['CAST(numVotes AS BIGINT)'] * 9)} + 9223372036854775807L - 9223372036854775807L",
        "elt(numVotes, 'a', 'b')",
    ],
)
def test_both_engines_fail_where_a_type_is_exceeded(item: str, embedded: Ask, spark: Ask) -> None:
    for ask in (embedded, spark):
        with pytest.raises(QueryFailed):
            ask(f"SELECT {item} AS x FROM ratings_delta")


LACKING = {"hash(genres)": "hash", "format_string('%.1f', 1.5)": "format_string"}


@pytest.mark.parametrize("item", LACKING)
def test_what_only_one_engine_answers_is_said(item: str) -> None:
    with pytest.raises(EngineLacks) as lack:
        check(f"SELECT {item} AS x FROM films")

    assert str(lack.value).startswith(f"{LACKING[item]}: ")


@pytest.mark.parametrize(
    "item",
    ["if(startYear, 1, 2)", "greatest(startYear, 'x')", "date_add(DATE '2020-01-01', 1.5)", "startYear | 0.5"],
)
def test_what_spark_refuses_is_refused(item: str, embedded: Ask, spark: Ask) -> None:
    for ask in (embedded, spark):
        with pytest.raises(QueryFailed, match=r"DATATYPE_MISMATCH\."):
            ask(f"SELECT {item} AS x FROM movies_delta")


_NAMES = [f"c{number}" for number in range(50)]
_ROW = ", ".join(map(str, range(49)))
FIFTY = f"SELECT {' + '.join(_NAMES)} AS x FROM VALUES ({_ROW}, 49), (NULL, {_ROW}) AS t({', '.join(_NAMES)})"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CAST(map('a', 1) AS STRING) AS x",
        FIFTY,
        "SELECT slice(array(1, 2, 3), 2, 2) AS x, elt(n, 'a', 'b') AS y FROM VALUES (2) AS t(n)",
    ],
)
def test_what_is_written_otherwise_is_answered_alike(sql: str, embedded: Ask, spark: Ask) -> None:
    assert embedded(sql) == spark(sql)
