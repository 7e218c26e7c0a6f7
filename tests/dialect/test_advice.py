"""A better query that is offered gives the same answer, on a lake that the load has written."""

from __future__ import annotations

import pytest

from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.engines.catalog import LakeCatalog
from mcp_server.models import CheckedQuery, Principal
from tests.expected import Ask


@pytest.mark.parametrize(
    "sql",
    [
        (
            "SELECT m.tconst, m.primaryTitle, r.averageRating FROM movies_delta m JOIN ratings_delta r "
            "ON m.tconst = r.tconst WHERE m.startYear > 1990 ORDER BY r.numVotes DESC, m.tconst"
        ),
        (
            "SELECT startYear, count(*) AS n, max(numVotes) AS most FROM movies_delta JOIN ratings_delta "
            "USING (tconst) GROUP BY startYear ORDER BY startYear"
        ),
        (
            "SELECT m.primaryTitle, p.primaryName, x.category FROM movies_delta m, principals_delta x, persons_delta p "
            "WHERE m.tconst = x.tconst AND x.nconst = p.nconst AND x.ordering = 1"
        ),
        (
            "WITH best AS (SELECT r.tconst, r.averageRating, m.titleType FROM ratings_delta r JOIN movies_delta m "
            "ON r.tconst = m.tconst) SELECT titleType, avg(averageRating) AS a FROM best GROUP BY titleType"
        ),
        "SELECT tconst FROM movies_with_ratings WHERE CAST(startYear AS STRING) = '2020'",
        "SELECT tconst, primaryTitle FROM movies_delta WHERE left(tconst, 6) = 'tt0000'",
        "SELECT primaryName, count(*) AS n FROM movie_cast WHERE left(primaryName, 1) = 'A' GROUP BY primaryName",
    ],
)
def test_the_better_query_gives_the_same_answer(sample_lake: Lake, embedded: Ask, sql: str) -> None:
    checked = checking.check(
        sql,
        catalog=checking.Catalog("imdb", LakeCatalog(sample_lake).tables(), dialect="sail"),
        limits=checking.Limits(1_000, 32_768, 60.0),
        principal=Principal("tester"),
    )
    assert isinstance(checked, CheckedQuery)
    better = checked.advice[0].partition(": ")[2]
    given, wanted = embedded(better), embedded(sql)

    assert better.startswith(("SELECT", "WITH"))
    assert given.columns == wanted.columns
    assert given.sorted == wanted.sorted
    assert len(wanted.rows) > 0
