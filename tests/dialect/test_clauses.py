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
    "SELECT tconst FROM movies_delta WHERE (startYear, titleType) NOT IN (SELECT startYear, titleType FROM "
    "movies_with_ratings)": ("dialect", "by an equality"),
    "FROM ratings_delta r |> JOIN movies_delta m ON m.tconst = r.tconst |> EXTEND 1 AS one |> WHERE m.tconst > 'a'": (
        "pipes",
        "SELECT the columns",
    ),
    "SELECT x FROM VALUES (array(1)) AS t(a) LEFT JOIN LATERAL explode(a) AS l(x)": ("LATERAL", "ON true"),
    "SELECT x FROM VALUES (array(1)) AS t(a) LEFT JOIN LATERAL (SELECT explode(a) AS x) AS l": ("LATERAL", "ON true"),
}
"""What has no other words here: what the error names, and words of the form that works."""

WRITTEN: Mapping[str, str] = {
    "FROM ratings_delta": "SELECT * FROM imdb.ratings_delta",
    "FROM ratings_delta |> WHERE numVotes > 5 |> SELECT tconst |> LIMIT 3": (
        "SELECT tconst FROM (SELECT * FROM imdb.ratings_delta WHERE numVotes > 5) LIMIT 3"
    ),
    "FROM ratings_delta |> SET numVotes = 0": (
        "SELECT tconst AS tconst, averageRating AS averageRating, 0 AS numVotes FROM imdb.ratings_delta"
    ),
    "SELECT * EXCEPT (numVotes) FROM ratings_delta": (
        "SELECT tconst AS tconst, averageRating AS averageRating FROM imdb.ratings_delta"
    ),
    "SELECT titleType, count(*) AS n FROM movies_delta GROUP BY ALL": (
        "SELECT titleType, count(*) AS n FROM imdb.movies_delta GROUP BY titleType"
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
        "SELECT __below.__c2 AS tconst FROM (SELECT tconst AS __c2, rank() OVER (ORDER BY numVotes) AS __c FROM "
        "imdb.ratings_delta) AS __below WHERE __below.__c = 1"
    ),
    "SELECT m.tconst FROM movies_delta m JOIN ratings_delta r USING (tconst)": (
        "SELECT m.tconst AS tconst FROM imdb.movies_delta AS m JOIN imdb.ratings_delta AS r ON m.tconst = r.tconst"
    ),
    "SELECT numVotes FROM movies_delta m JOIN ratings_delta r USING (tconst)": (
        "SELECT numVotes FROM imdb.movies_delta m JOIN imdb.ratings_delta r USING (tconst)"
    ),
    "SELECT ratings_delta.* FROM ratings_delta": (
        "SELECT tconst AS tconst, averageRating AS averageRating, numVotes AS numVotes FROM imdb.ratings_delta"
    ),
    "SELECT count(*) AS n FROM movies_delta TABLESAMPLE (3 ROWS)": (
        "SELECT count(*) AS n FROM (SELECT * FROM imdb.movies_delta LIMIT 3) AS movies_delta"
    ),
    "SELECT tconst FROM movies_delta DISTRIBUTE BY startYear": "SELECT tconst FROM imdb.movies_delta",
    "SELECT 1 AS a UNION ALL SELECT 2L": "SELECT CAST(1 AS BIGINT) AS a UNION ALL SELECT 2L",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 2 FROM t WHERE n < 10) SELECT n FROM t": (
        "WITH RECURSIVE t (n) AS (SELECT explode(sequence(1, 11, 2)) AS n) SELECT n FROM t"
    ),
    "SELECT m.tconst, g FROM movies_delta m LATERAL VIEW explode(genres) t AS g WHERE g = 'Drama'": (
        "SELECT __below.__c AS tconst, __below.__c3 AS g FROM (SELECT m.tconst AS __c, genres AS __c2, "
        "explode(genres) AS __c3 FROM imdb.movies_delta AS m) AS __below WHERE __below.__c3 = 'Drama'"
    ),
    "SELECT tconst FROM movies_delta start WHERE start.tconst = 'a'": (
        "SELECT tconst FROM imdb.movies_delta AS `start` WHERE `start`.tconst = 'a'"
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
def test_what_is_written_is_allowed_again(line: dict[str, str | None], check: Check) -> None:
    once = check(str(line["sql"]))

    assert not once.rewrites if line["rewrite"] is None else line["rewrite"] in once.rewrites
    assert check(once.sql).sql


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
