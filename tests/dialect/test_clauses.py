"""Clauses that the embedded engine lacks: in other words it gives Spark's answer, or says so and what to write."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from lakehouse.errors import EngineLacks
from mcp_server import checking
from tests.conftest import ROOT
from tests.dialect.conftest import Check
from tests.expected import Ask
from tests.guard.conftest import SETTINGS, TABLES

LINES = [json.loads(line) for line in (ROOT / "tests/data/dialect/clauses.jsonl").read_text("utf-8").splitlines()]

LACKING: Mapping[str, tuple[str, str]] = {
    "SELECT explode(genres) AS g, count(*) AS n FROM movies_delta GROUP BY ALL": ("GROUP BY ALL", "into a sub-query"),
    "WITH RECURSIVE t(n, f) AS (SELECT 1, 1 UNION ALL SELECT n + 1, f * 2 FROM t WHERE n < 3) SELECT * FROM t": (
        "WITH RECURSIVE",
        "explode(sequence",
    ),
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 500) SELECT * FROM t": (
        "WITH RECURSIVE",
        "explode(sequence",
    ),
    "SELECT (SELECT numVotes FROM ratings_delta r WHERE r.tconst = m.tconst ORDER BY 1 LIMIT 1) AS v FROM "
    "movies_delta m": (
        "LIMIT",
        "max_by",
    ),
    "SELECT (SELECT count(*) FROM principals_delta c WHERE c.tconst = m.tconst AND c.ordering > m.startYear) AS n "
    "FROM movies_delta m": ("sub-query", "Join with the sub-query"),
    "SELECT tconst FROM movies_delta WHERE (startYear, titleType) NOT IN (SELECT startYear, titleType FROM "
    "movies_with_ratings)": ("NOT IN", "NOT EXISTS"),
    "SELECT m.tconst FROM movies_delta m JOIN ratings_delta r ON m.tconst = r.tconst AND m.tconst IN (SELECT tconst "
    "FROM crew_delta)": ("IN", "WHERE"),
    "SELECT count(*) FILTER (WHERE tconst IN (SELECT tconst FROM ratings_delta)) AS n FROM movies_delta": (
        "IN",
        "Join",
    ),
    "SELECT tconst FROM movies_delta m WHERE EXISTS (SELECT max(1) FROM ratings_delta r WHERE r.tconst = m.tconst)": (
        "EXISTS",
        "always true",
    ),
    "SELECT titleType FROM movies_delta GROUP BY titleType HAVING titleType IN (SELECT titleType FROM "
    "movies_with_ratings)": (
        "IN",
        "sub-query",
    ),
    "SELECT 1 AS a HAVING 1 = 1": ("HAVING", "Write WHERE"),
    "SELECT tconst FROM movies_delta m WHERE EXISTS (SELECT 1 AS x FROM principals_delta p WHERE p.tconst = m.tconst "
    "QUALIFY row_number() OVER (ORDER BY p.ordering) = 1)": ("QUALIFY", "Join with the sub-query"),
    "FROM ratings_delta |> ORDER BY numVotes + 1 |> SELECT DISTINCT tconst |> WHERE tconst > 'a'": (
        "pipes",
        "ORDER BY last",
    ),
    "FROM ratings_delta r |> JOIN movies_delta m ON m.tconst = r.tconst |> EXTEND 1 AS one |> WHERE m.tconst > 'a'": (
        "pipes",
        "SELECT the columns",
    ),
}
"""What has no other words here: what the error names, and words of the form that works."""

WRITTEN: Mapping[str, str] = {
    "FROM ratings_delta": "SELECT * FROM imdb.ratings_delta",
    "FROM ratings_delta |> WHERE numVotes > 5 |> SELECT tconst |> LIMIT 3": (
        "SELECT tconst FROM imdb.ratings_delta WHERE numVotes > 5 LIMIT 3"
    ),
    "FROM ratings_delta |> SET numVotes = 0": "SELECT tconst, averageRating, 0 AS numVotes FROM imdb.ratings_delta",
    "SELECT * EXCEPT (numVotes) FROM ratings_delta": "SELECT tconst, averageRating FROM imdb.ratings_delta",
    "SELECT titleType, count(*) AS n FROM movies_delta GROUP BY ALL": (
        "SELECT titleType, count(*) AS n FROM imdb.movies_delta GROUP BY 1"
    ),
    "SELECT tconst, titleType FROM movies_delta ORDER BY ALL DESC": (
        "SELECT tconst, titleType FROM imdb.movies_delta ORDER BY 1 DESC, 2 DESC"
    ),
    "SELECT startYear AS y, y + 1 AS z FROM movies_delta": (
        "SELECT startYear AS y, startYear + 1 AS z FROM imdb.movies_delta"
    ),
    "SELECT endYear AS startYear, startYear + 1 AS z FROM movies_delta": (
        "SELECT endYear AS startYear, startYear + 1 AS z FROM imdb.movies_delta"
    ),
    "SELECT tconst FROM ratings_delta QUALIFY rank() OVER (ORDER BY numVotes) = 1": (
        "SELECT tconst FROM (SELECT tconst, (rank() OVER (ORDER BY numVotes) = 1) AS __keep FROM imdb.ratings_delta) "
        "AS __wrapped WHERE __keep"
    ),
    "SELECT m.tconst FROM movies_delta m JOIN ratings_delta r USING (tconst)": (
        "SELECT m.tconst FROM imdb.movies_delta m JOIN imdb.ratings_delta r ON m.tconst = r.tconst"
    ),
    "SELECT numVotes FROM movies_delta m JOIN ratings_delta r USING (tconst)": (
        "SELECT numVotes FROM imdb.movies_delta m JOIN imdb.ratings_delta r USING (tconst)"
    ),
    "SELECT movies_delta.* FROM movies_delta": "SELECT imdb.movies_delta.* FROM imdb.movies_delta",
    "SELECT count(*) AS n FROM movies_delta TABLESAMPLE (3 ROWS)": (
        "SELECT count(*) AS n FROM (SELECT * FROM imdb.movies_delta LIMIT 3) AS movies_delta"
    ),
    "SELECT tconst FROM movies_delta DISTRIBUTE BY startYear": "SELECT tconst FROM imdb.movies_delta",
    "SELECT 1 AS a UNION ALL SELECT 2L": "SELECT CAST(1 AS bigint) AS a UNION ALL SELECT 2L",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 2 FROM t WHERE n < 10) SELECT n FROM t": (
        "WITH RECURSIVE t(n) AS (SELECT explode(sequence(1, 11, 2))) SELECT n FROM t"
    ),
    "SELECT m.tconst, g FROM movies_delta m LATERAL VIEW explode(genres) t AS g WHERE g = 'Drama'": (
        "SELECT m.tconst, g FROM imdb.movies_delta m, LATERAL explode_outer(genres) AS t(g) WHERE (g = 'Drama') AND "
        "size(genres) > 0"
    ),
}
"""What is written, where the text says more than an answer."""


def ends_with_order(sql: str) -> bool:
    """Whether the whole statement asks for an order."""
    depth, last = 0, 0
    for at, letter in enumerate(sql):
        depth += (letter == "(") - (letter == ")")
        last = at if depth == 0 and sql.startswith("ORDER BY", at) else last
    return last > 0 and "|>" not in sql[last:].replace("|> LIMIT", "")


def plain(sql: str) -> str:
    """A text without blanks that mean nothing."""
    return " ".join(sql.split()).replace("( ", "(").replace(" )", ")").replace(" ,", ",").replace(" .", ".")


@pytest.mark.parametrize("sql", [line["sql"] for line in LINES])
def test_both_engines_give_the_same_answer(sql: str, embedded: Ask, spark: Ask) -> None:
    found, expected = embedded(sql), spark(sql)

    assert found.columns == expected.columns
    assert found.sorted == expected.sorted
    if ends_with_order(sql):
        assert found.written == expected.written


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["sql"])
def test_what_is_written_is_allowed_again_and_stays_as_it_is(line: dict[str, str], check: Check) -> None:
    once = check(line["sql"])
    again = check(once.sql)

    assert line["rewrite"] in once.rewrites
    assert plain(again.sql) == plain(once.sql)


@pytest.mark.parametrize(("sql", "written"), WRITTEN.items())
def test_what_is_written(sql: str, written: str, check: Check) -> None:
    assert plain(check(sql).sql) == written


@pytest.mark.parametrize("sql", LACKING)
def test_what_has_no_other_words_is_said_with_a_form_that_works(sql: str, check: Check) -> None:
    what, instead = LACKING[sql]

    with pytest.raises(EngineLacks) as lack:
        check(sql)

    assert str(lack.value).startswith(f"{what}: ")
    assert instead in str(lack.value)
    assert lack.value.code == "engine_lacks"


def test_spark_gets_the_senders_words() -> None:
    sql = "FROM ratings_delta |> WHERE numVotes > 5"
    settings = {**SETTINGS, "catalog": checking.Catalog("imdb", TABLES)}

    assert checking.check(sql, **settings).sql == "FROM imdb.ratings_delta |> WHERE numVotes > 5"
