"""What is said of the gaps of IMDb's data, by the declarations that ship: `prompts/imdb/lake.toml`.

Each case stands beside one that is alike and complete, or asks for something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from lakehouse.context import read_context
from lakehouse.coverage import ColumnCoverage, Coverage, JoinCoverage, MeasureCoverage, Share, store_coverage
from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines import Engine
from mcp_server.settings import load_settings
from tests.server.conftest import audit_lines
from tests.server.lakes import make_film_lake
from tests.server.test_coverage import answer, gaps
from tests.server.tokens import count_tokens

pytestmark = pytest.mark.anyio

KNOWN = {  # per cent of the films of the 1950s, of later ones; of a whole without decades
    ("crew_delta", "directors"): (94, 6),
    ("ratings_delta", "ratings"): (31, 99),
    ("movies_with_ratings", "ratings"): (31, 99),
    ("principals_delta", "credits"): (1, 12),
    ("movie_cast", "credits of people with a name"): (1, 9),
    ("movie_cast", "names"): (50, 50),
    ("film_people", "people"): (94, 40),
    ("film_people", "directors"): (90, 30),
    ("film_people", "writers"): (90, 20),
    ("film_people", "names"): (10, 18),
    ("akas_delta", "other titles"): (9, 9),
    ("ratings_delta", "ratings of episodes"): (3, 3),
    ("movies_delta", "titles of episodes"): (1, 1),
}

PEOPLE = "film_people knows people for 51 % of films (2010s 40 %)"
DIRECTORS = "film_people knows directors for 42 % of films (2010s 30 %)"
NAMES = "film_people knows names for 16 % of credits in films"
CREDITS = "principals_delta knows credits for 10 % of films"
AKAS = "akas_delta knows other titles for 9 % of films"
RATED = "movies_with_ratings knows ratings for 31 % of films of the 1950s"
NO_MATCH = "no match may only mean unknown here"
UPPER = f"{NO_MATCH}; counts of those are upper bounds"
PERSON = "what is listed for this person may have gaps"
LOWER, ALONE, ROWS = "counts are lower bounds", "the answer is of those alone", "rows may be missing"
NONE = "finding none does not mean that there is none"
OPEN = "The source is of 2019-11-30: 2019 is not over."
ONE = "movie_cast has 1 of 3 credits of this title; film_people lists the others, whose names are unknown."

CASES = {
    # what is not there is counted
    "SELECT count(*) FROM persons_delta p WHERE NOT EXISTS "
    "(SELECT 1 FROM principals_delta c WHERE c.nconst = p.nconst AND c.category = 'none')": [f"{CREDITS}: {UPPER}."],
    "SELECT count_if(nconst NOT IN (SELECT nconst FROM principals_delta WHERE ordering = 7)) FROM persons_delta": [
        f"{CREDITS}: {UPPER}."
    ],
    "SELECT m.primaryTitle FROM movies_delta m LEFT ANTI JOIN akas_delta a ON a.tconst = m.tconst LIMIT 3": [
        f"{AKAS}: {NO_MATCH}."
    ],
    "SELECT tconst FROM movies_delta EXCEPT SELECT tconst FROM akas_delta ORDER BY 1 LIMIT 3": [f"{AKAS}: {NO_MATCH}."],
    "SELECT count(*) FROM persons_delta p JOIN principals_delta c ON c.nconst = p.nconst": [f"{CREDITS}: {LOWER}."],
    # names are null in the answer, or rows are chosen by them
    "SELECT nconst, max(primaryName), count(*) FROM film_people GROUP BY nconst LIMIT 3": [f"{PEOPLE}: {LOWER}."],
    "SELECT nconst, primaryName, count(*) FROM film_people WHERE primaryName IS NOT NULL GROUP BY 1, 2 LIMIT 3": [
        f"{NAMES}: {LOWER}."
    ],
    # one person
    "SELECT primaryTitle FROM film_people WHERE nconst = 'nm0000007'": [f"{PEOPLE}: {PERSON}."],
    "SELECT count(*) FROM film_people WHERE primaryName = 'Person Song 11' AND role = 'director'": [
        f"{DIRECTORS}: {PERSON}."
    ],
    "SELECT primaryName FROM persons_delta WHERE nconst = 'nm0000007'": [],
    # what is said of films says nothing of other types, nor of decades that the answer does not have
    "SELECT startYear, avg(averageRating) FROM movies_with_ratings WHERE titleType = 'short' GROUP BY 1 LIMIT 3": [],
    "SELECT startYear, avg(averageRating) FROM movies_with_ratings WHERE titleType = 'movie' GROUP BY 1 LIMIT 3": [
        f"{RATED}: {ALONE}."
    ],
    "SELECT startYear, averageRating FROM movies_with_ratings WHERE primaryTitle = 'The Twin Bridges'": [],
    "SELECT avg(averageRating) FROM movies_with_ratings WHERE startYear BETWEEN 2010 AND 2018": [],
    # whether it is rated is part of the question
    "SELECT primaryTitle FROM movies_with_ratings WHERE startYear < 1960 AND numVotes >= 10": [],
    "SELECT primaryTitle FROM movies_with_ratings WHERE startYear < 1960 ORDER BY averageRating DESC LIMIT 3": [],
    "WITH r AS (SELECT averageRating AS r, startYear FROM movies_with_ratings WHERE startYear < 1960) "
    "SELECT startYear FROM r WHERE r > 1": [],
    "SELECT avg(averageRating) FROM movies_with_ratings WHERE startYear < 1960": [f"{RATED}: {ALONE}."],
    # the cast of one title
    "SELECT primaryName, category FROM movie_cast WHERE tconst = 'tt0007919'": [ONE],
    "SELECT c.primaryName FROM movie_cast c JOIN movies_delta m ON m.tconst = c.tconst "
    "WHERE m.tconst = 'tt0007919' AND c.tconst = 'tt0007919'": [ONE],
    "SELECT primaryName FROM movie_cast WHERE tconst IN ('tt0007919', 'tt0015838')": [
        f"movie_cast knows names for 50 % of credits in films: {ROWS}."
    ],
    "SELECT nconst, primaryName, role FROM film_people WHERE tconst = 'tt0007919'": [],
    "SELECT primaryName FROM film_people WHERE tconst = 'tt0007919' AND primaryName IS NOT NULL": [
        "film_people has 1 of 3 names for the credits of this title."
    ],
    # titles elsewhere
    "SELECT region, count(DISTINCT tconst) FROM akas_delta GROUP BY region": [f"{AKAS}: {LOWER}."],
    "SELECT count_if(known IS NULL) FROM movies_delta m LEFT JOIN "
    "(SELECT tconst, 1 AS known FROM akas_delta WHERE region = 'DE') a ON a.tconst = m.tconst": [f"{AKAS}: {UPPER}."],
    "SELECT title FROM akas_delta WHERE tconst = 'tt0007919'": [],
    # not by this director, or by nobody that is known
    "SELECT count(*) FROM movies_delta WHERE tconst NOT IN "
    "(SELECT tconst FROM film_people WHERE role = 'director' AND nconst = 'nm0000007')": [f"{DIRECTORS}: {UPPER}."],
    "SELECT primaryTitle FROM movies_delta m WHERE NOT EXISTS (SELECT 1 FROM film_people d "
    "WHERE d.tconst = m.tconst AND d.role = 'director') LIMIT 3": [f"{DIRECTORS}: {NO_MATCH}."],
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM film_people d WHERE d.tconst = m.tconst AND d.role = 'director' "
    "AND d.nconst = 'nm0000007') THEN 'by her' ELSE 'neither' END AS who, count(*) FROM movies_delta m GROUP BY 1": [
        f"{DIRECTORS}: {UPPER}."
    ],
    "WITH d AS (SELECT tconst FROM film_people WHERE role = 'director') SELECT count(*) FROM movies_delta m "
    "LEFT JOIN d ON d.tconst = m.tconst WHERE d.tconst IS NULL": [f"{DIRECTORS}: {UPPER}."],
    "SELECT m.titleType, count(*) FROM movies_delta m LEFT JOIN film_people d ON d.tconst = m.tconst "
    "AND d.role = 'director' WHERE d.primaryName IS NULL GROUP BY 1": [f"{DIRECTORS}: {UPPER}."],
    "SELECT m.primaryTitle, d.nconst FROM movies_delta m LEFT JOIN film_people d "
    "ON d.tconst = m.tconst AND d.role = 'director' WHERE m.tconst = 'tt0007919'": [],
    # the last year of the source
    "SELECT startYear, count(*) FROM movies_delta GROUP BY startYear ORDER BY startYear DESC": [OPEN],
    "SELECT (startYear DIV 10) * 10 AS decade, count(*) AS n FROM movies_delta GROUP BY 1 ORDER BY n": [OPEN],
    "WITH d AS (SELECT startYear DIV 10 * 10 AS decade FROM movies_delta) SELECT decade, count(*) FROM d GROUP BY 1": [
        OPEN
    ],
    "SELECT count(*) FROM movies_delta WHERE startYear >= 2015": [OPEN],
    "SELECT count(*) FROM movies_delta": [],
    "SELECT startYear, count(*) FROM movies_delta WHERE startYear < 2019 GROUP BY startYear": [],
    "SELECT startYear, count(*) FROM movies_delta WHERE startYear BETWEEN 2000 AND 2009 GROUP BY startYear": [],
    "SELECT count(*) FROM movies_delta WHERE startYear = 2015": [],
    "SELECT primaryTitle, startYear FROM movies_delta WHERE startYear >= 2015": [],
    # episodes
    "SELECT e.tconst, r.averageRating FROM episodes_delta e LEFT JOIN ratings_delta r ON r.tconst = e.tconst "
    "ORDER BY r.averageRating DESC LIMIT 5": ["ratings_delta knows ratings for 3 % of episodes: the others have null."],
    "SELECT e.tconst, m.primaryTitle FROM episodes_delta e LEFT JOIN movies_delta m ON m.tconst = e.tconst": [
        "movies_delta knows titles for 1 % of episodes: the others have null."
    ],
    "SELECT primaryTitle, count(*) FROM episodes_delta JOIN movies_delta m ON m.tconst = parentTconst GROUP BY 1": [],
    "SELECT m.primaryTitle, avg(r.averageRating) FROM episodes_delta e JOIN ratings_delta r USING (tconst) "
    "JOIN movies_delta m ON m.tconst = e.parentTconst WHERE r.numVotes < 0 OR e.tconst > '' GROUP BY 1": [
        f"ratings_delta knows ratings for 3 % of episodes: {NONE}."
    ],
    "SELECT seasonNumber, count(*) FROM episodes_delta GROUP BY seasonNumber": [],
}


def count_by_hand(lake: Lake) -> Coverage:
    measures = []
    for each in read_context(lake).declarations.coverage:
        about = f"{each.about} of episodes" if each.of == "episodes" else each.about
        old, new = KNOWN.get((each.table, about), (100, 100))
        parts = (Share(rows=100, known=old, part="1950"), Share(rows=400, known=4 * new, part="2010"))
        whole = (Share(rows=100, known=old),)
        measures.append(
            MeasureCoverage(
                table=each.table,
                columns=each.columns,
                about=each.about,
                of=each.of,
                parts=parts if "{part}" in each.of else whole,
            )
        )
    return Coverage(
        generation=2,
        snapshot=date(2019, 11, 30),
        columns=(ColumnCoverage(table="film_people", column="primaryName", whole=Share(rows=100, known=15)),),
        joins=(
            JoinCoverage(left="episodes_delta.tconst", right="movies_delta.tconst", whole=Share(rows=100, known=1)),
        ),
        measures=tuple(measures),
    )


@pytest.fixture(scope="module")
def film_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_film_lake(tmp_path_factory.mktemp("films"))
    lake = Lake.parse(str(folder))
    store_coverage(lake, count_by_hand(lake))
    return folder


@pytest.fixture(scope="module")
def film_engine(film_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    from mcp_server.engines.embedded import EmbeddedEngine

    settings = load_settings(lake=str(film_lake), state_dir=tmp_path_factory.mktemp("film-engine"))
    engine = EmbeddedEngine(Lake.parse(str(film_lake)), settings)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def server(film_lake: Path, film_engine: Engine, tmp_path: Path) -> LakehouseServer:
    settings = load_settings(lake=str(film_lake), state_dir=tmp_path / "state")
    return LakehouseServer(settings, lambda: [film_engine], Lake.parse(str(film_lake)))


@pytest.mark.parametrize(("sql", "expected"), CASES.items())
async def test_an_answer_says_the_gaps_that_it_rests_on(server: LakehouseServer, sql: str, expected: list[str]) -> None:
    content = await answer(server, sql)
    assert gaps(content) == expected
    assert ("open_year" in content["warning_codes"]) == (OPEN in expected)
    assert ("low_coverage" in content["warning_codes"]) == bool([each for each in expected if each != OPEN])
    assert count_tokens("\n".join(gaps(content))) <= 120


async def test_the_look_up_of_one_title_is_in_the_audit(server: LakehouseServer) -> None:
    await answer(server, "SELECT primaryName FROM movie_cast WHERE tconst = 'tt0007919'")
    (line,) = audit_lines(server)
    assert ["movie_cast" in line["sql_run"][0], "film_people" in line["sql_run"][1]] == [True, True]
    assert line["warnings"] == ["low_coverage"]
