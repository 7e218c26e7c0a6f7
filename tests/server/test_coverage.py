"""What the lake lacks is part of its answers: which statements are warned, and what the schema tells.

The shares are written down by hand, as a load would have counted them: directors of 6 % of the films of the 2020s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from lakehouse.coverage import (
    ColumnCoverage,
    Coverage,
    JoinCoverage,
    MeasureCoverage,
    Share,
    name_coverage,
    store_coverage,
)
from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines import Engine
from mcp_server.settings import load_settings
from tests.server.conftest import audit_lines
from tests.server.lakes import make_lake
from tests.server.tokens import count_tokens

pytestmark = pytest.mark.anyio

CONTEXT = '''
not_missing = ["movies_delta.endYear"]

[[entity]]
kind = "person"
table = "persons_delta"
column = "primaryName"
id = "nconst"
sql = "SELECT nconst AS id, primaryName AS label FROM persons_delta"

[[entity]]
kind = "title"
table = "movies_delta"
column = "primaryTitle"
id = "tconst"
sql = "SELECT tconst AS id, primaryTitle AS label FROM movies_delta"

[[coverage]]
table = "movie_cast"
columns = ["nconst", "primaryName"]
about = "who took part"
of = "films of the {part}s"
sql = "SELECT startYear DIV 10 * 10 AS part, count(*) AS rows, 1 AS known FROM movies_delta GROUP BY 1"

[[coverage]]
table = "ratings_delta"
columns = ["averageRating"]
about = "ratings"
of = "films of the {part}s"
sql = """
SELECT part, sum(n) AS rows, 1 AS known FROM (
    SELECT startYear DIV 10 * 10 AS part, count(*) AS n FROM movies_delta WHERE titleType = 'movie' GROUP BY 1
    UNION ALL SELECT m.startYear DIV 10 * 10 AS part, 0 AS n FROM movies_delta m WHERE m.titleType = 'movie'
) GROUP BY part
"""
'''


def column(table: str, name: str, known: int) -> ColumnCoverage:
    return ColumnCoverage(table=table, column=name, whole=Share(rows=1_000, known=known))


DECADES = {"1990": (200, 190), "2000": (300, 180), "2010": (300, 100), "2020": (200, 12), "": (50, 0)}
COUNTED = Coverage(
    generation=1,
    snapshot=date(2026, 11, 30),
    columns=(
        column("movies_delta", "startYear", 930),
        column("movies_delta", "endYear", 10),
        column("movies_delta", "runtimeMinutes", 300),
        column("movies_delta", "genres", 1_000),
        column("movies_with_ratings", "runtimeMinutes", 990),
        column("persons_delta", "birthYear", 120),
        column("principals_delta", "job", 30),
    ),
    joins=(
        JoinCoverage(
            left="principals_delta.nconst",
            right="persons_delta.nconst",
            whole=Share(rows=900, known=450),
            parts=(Share(rows=300, known=90, part="actor"), Share(rows=300, known=300, part="director")),
            of="credits as {part}",
        ),
        JoinCoverage(left="ratings_delta.tconst", right="movies_delta.tconst", whole=Share(rows=270, known=270)),
    ),
    measures=(
        MeasureCoverage(
            table="movie_cast",
            columns=("nconst", "primaryName"),
            about="who took part",
            of="films of the {part}s",
            parts=tuple(Share(rows=rows, known=known, part=part) for part, (rows, known) in DECADES.items()),
        ),
        MeasureCoverage(
            table="ratings_delta",
            columns=("averageRating",),
            about="ratings",
            of="films of the {part}s",
            parts=(Share(rows=100, known=30, part="1910"), Share(rows=900, known=880, part="1960")),
        ),
    ),
)

CAST = "movie_cast knows who took part for"
BORN = "persons_delta has birthYear in 12 % of its rows"
LENGTH = "movies_delta has runtimeMinutes in 30 % of its rows"
NAMES = "persons_delta has 50 % of the nconst of principals_delta"
ACTORS = "persons_delta has 30 % of the nconst of credits as actor"
BOUNDS, ALONE, ROWS = "counts are lower bounds", "the answer is of those alone", "rows may be missing"
NONE = "finding none does not mean that there is none"

WARNED = {
    # a measure, in the parts that the conditions reach
    "SELECT count(DISTINCT nconst) FROM movie_cast WHERE startYear BETWEEN 2010 AND 2019": [
        f"{CAST} 33 % of films of the 2010s: {BOUNDS}."
    ],
    "SELECT primaryName, count(*) AS n FROM movie_cast WHERE startYear >= 2010 GROUP BY primaryName ORDER BY n DESC": [
        f"{CAST} 22 % of films of the 2010s to 2020s: {BOUNDS}."
    ],
    "SELECT primaryName, primaryTitle FROM movie_cast WHERE startYear IN (2015, 2016)": [
        f"{CAST} 33 % of films of the 2010s: {ROWS}."
    ],
    "SELECT c.primaryName FROM movie_cast c JOIN movies_delta m USING (tconst) WHERE m.startYear = 2004": [
        f"{CAST} 60 % of films of the 2000s: {ROWS}."
    ],
    "SELECT primaryTitle FROM movie_cast WHERE primaryName = 'Person Silent 12'": [
        f"{CAST} 46 % of films (2020s 6 %, 2010s 33 %): what is listed for this person may have gaps."
    ],
    "SELECT startYear DIV 10 AS decade, count(DISTINCT nconst) FROM movie_cast GROUP BY 1": [
        f"{CAST} 46 % of films (2020s 6 %, 2010s 33 %): {BOUNDS}."
    ],
    "SELECT startYear DIV 10 AS d, avg(averageRating) FROM movies_delta JOIN ratings_delta USING (tconst) GROUP BY 1": [
        f"ratings_delta knows ratings for 30 % of films of the 1910s: {ALONE}."
    ],
    # an answer that is empty says nothing of what is not there, whatever it is asked by
    "SELECT primaryName FROM movie_cast WHERE tconst = 'tt9999999'": [
        f"{CAST} 46 % of films (2020s 6 %, 2010s 33 %): {NONE}."
    ],
    "SELECT count(nconst) FROM movie_cast WHERE startYear = 2023 AND category = 'stuntman'": [
        f"{CAST} 6 % of films of the 2020s: {NONE}."
    ],
    # a join that loses rows
    "SELECT p.primaryName, count(*) AS n FROM principals_delta c JOIN persons_delta p USING (nconst) GROUP BY 1": [
        f"{NAMES}: {BOUNDS}."
    ],
    "SELECT primaryName FROM principals_delta c JOIN persons_delta p ON p.nconst = c.nconst WHERE category = 'actor'": [
        f"{ACTORS}: {ROWS}."
    ],
    # a column by which the statement decides
    "SELECT avg(2026 - birthYear) FROM persons_delta": [f"{BORN}: {ALONE}."],
    "SELECT count(*) FROM persons_delta WHERE birthYear < 1935": [f"{BORN}: {BOUNDS}."],
    "SELECT primaryName FROM persons_delta WHERE birthYear IS NOT NULL ORDER BY birthYear LIMIT 3": [
        f"{BORN}: {ROWS}."
    ],
    "WITH a AS (SELECT birthYear AS born FROM persons_delta) SELECT max(born) FROM a": [f"{BORN}: {ALONE}."],
    "SELECT titleType, avg(runtimeMinutes) FROM movies_delta GROUP BY titleType": [f"{LENGTH}: {ALONE}."],
    "SELECT count(*) FROM movies_delta WHERE runtimeMinutes > 90 AND startYear > 1990": [f"{LENGTH}: {BOUNDS}."],
    # several, the worst first, and no more than two
    "SELECT avg(p.birthYear) FROM principals_delta c JOIN persons_delta p USING (nconst) WHERE c.job LIKE '%'": [
        f"{NAMES}: {NONE}.",
        "principals_delta has job in 3 % of its rows.",
    ],
    "SELECT count(*) FROM movie_cast c JOIN persons_delta p USING (nconst) JOIN movies_delta m USING (tconst) "
    "WHERE p.birthYear > 1901 AND m.runtimeMinutes > 61": [
        f"{CAST} 46 % of films (2020s 6 %, 2010s 33 %): {BOUNDS}.",
        f"{BORN}.",
    ],
}

NOT_WARNED = [
    # complete, or of another part
    "SELECT count(*) FROM movies_delta",
    "SELECT titleType, count(*) FROM movies_delta WHERE startYear >= 2000 GROUP BY titleType",
    "SELECT avg(averageRating) FROM ratings_delta",
    "SELECT m.primaryTitle, r.averageRating FROM movies_delta m JOIN ratings_delta r USING (tconst)",
    "SELECT avg(runtimeMinutes) FROM movies_with_ratings",
    "SELECT primaryName FROM movie_cast WHERE startYear BETWEEN 1990 AND 1999",
    "SELECT category, count(*) FROM movie_cast GROUP BY category",
    "SELECT avg(averageRating) FROM movies_delta JOIN ratings_delta USING (tconst) WHERE startYear > 1960",
    "SELECT avg(averageRating) FROM movies_delta JOIN ratings_delta USING (tconst) WHERE titleType = 'movie'",
    # a null that is an answer, that is asked for, or that is seen
    "SELECT count(*) FROM movies_delta WHERE endYear IS NULL",
    "SELECT max(coalesce(endYear, 1)) FROM movies_delta",
    "SELECT count(*) FROM persons_delta WHERE birthYear IS NULL OR nconst > 'nm'",
    "SELECT primaryName, birthYear FROM persons_delta ORDER BY primaryName LIMIT 5",
    "SELECT birthYear, count(*) FROM persons_delta GROUP BY birthYear",
    "SELECT x.birthYear FROM (SELECT nconst, birthYear FROM persons_delta) x",
    "SELECT primaryName FROM principals_delta c JOIN persons_delta p USING (nconst) WHERE category = 'director'",
    # one thing, named by its key or by what it is called
    "SELECT 2026 - birthYear FROM persons_delta WHERE nconst = 'nm0000007'",
    "SELECT primaryName FROM movie_cast WHERE tconst = 'tt0007919'",
    "SELECT primaryName FROM movie_cast c JOIN movies_delta m USING (tconst) WHERE m.primaryTitle = 'The Twin Bridges'",
    "SELECT c.category FROM principals_delta c JOIN persons_delta p USING (nconst) WHERE p.nconst = 'nm0000007'",
    "SELECT category FROM principals_delta c JOIN persons_delta p USING (nconst) WHERE primaryName = 'Person Song 11'",
    # an outer join keeps what has no partner
    "SELECT c.tconst, p.primaryName FROM principals_delta c LEFT JOIN persons_delta p USING (nconst)",
    # no rows of the lake
    "SELECT 1",
    "DESCRIBE persons_delta",
    "EXPLAIN SELECT avg(birthYear) FROM persons_delta",
]


def make_known_lake(folder: Path) -> Path:
    lake = make_lake(folder)
    (lake / "_context").mkdir(exist_ok=True)
    (lake / "_context" / "lake.toml").write_text(CONTEXT)
    store_coverage(Lake.parse(str(lake)), COUNTED)
    return lake


@pytest.fixture(scope="module")
def known_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_known_lake(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def known_engine(known_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    from mcp_server.engines.embedded import EmbeddedEngine

    settings = load_settings(lake=str(known_lake), state_dir=tmp_path_factory.mktemp("known-engine"))
    engine = EmbeddedEngine(Lake.parse(str(known_lake)), settings)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def server(known_lake: Path, known_engine: Engine, tmp_path: Path) -> LakehouseServer:
    settings = load_settings(lake=str(known_lake), state_dir=tmp_path / "state")
    return LakehouseServer(settings, lambda: [known_engine], Lake.parse(str(known_lake)))


async def answer(server: LakehouseServer, sql: str) -> dict[str, Any]:
    async with Client(server) as client:
        result = await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "a test"})
    assert not result.is_error, result.content[0].text
    return dict(result.structured_content)


def gaps(content: dict[str, Any]) -> list[str]:
    """The warnings of an answer, but that of cut rows."""
    return [text for text in content["warnings"] if not text.startswith("Cut after")]


@pytest.mark.parametrize(("sql", "expected"), WARNED.items())
async def test_an_answer_that_rests_on_little_says_so(server: LakehouseServer, sql: str, expected: list[str]) -> None:
    content = await answer(server, sql)
    assert gaps(content) == expected
    assert "low_coverage" in content["warning_codes"]
    assert count_tokens("\n".join(gaps(content))) <= 120


@pytest.mark.parametrize("sql", NOT_WARNED)
async def test_an_answer_that_lacks_nothing_says_nothing(server: LakehouseServer, sql: str) -> None:
    content = await answer(server, sql)
    assert gaps(content) == []
    assert "low_coverage" not in content["warning_codes"]


async def test_the_audit_has_the_code_of_a_warning(server: LakehouseServer) -> None:
    await answer(server, "SELECT avg(birthYear) FROM persons_delta")
    await answer(server, "SELECT count(*) FROM persons_delta")
    assert [line["warnings"] for line in audit_lines(server)] == [["low_coverage"], []]


async def test_the_schema_tells_the_gaps_of_a_table_and_the_day_of_its_source(server: LakehouseServer) -> None:
    async with Client(server) as client:
        listed = await client.call_tool("describe_schema", {})
        movies, cast, principals = [
            await client.call_tool("describe_schema", {"table": table})
            for table in ("movies_delta", "movie_cast", "principals_delta")
        ]
    assert listed.structured_content["notes"] == ["The source's files are of 2026-11-30."]
    nulls = {each["name"]: each["nulls"] for each in movies.structured_content["columns"]}
    assert {name: text for name, text in nulls.items() if text} == {
        "startYear": "7 % null",
        "endYear": "99 % null",
        "runtimeMinutes": "70 % null",
    }
    assert "| 7 % null" in movies.content[0].text
    assert f"{CAST} 46 % of films (2020s 6 %, 2010s 33 %)." in cast.content[0].text
    assert f"{NAMES}." in principals.content[0].text


async def test_coverage_that_cannot_be_read_warns_of_nothing(tmp_path: Path) -> None:
    from mcp_server.engines.embedded import EmbeddedEngine

    folder = make_known_lake(tmp_path / "lake")
    lake, settings = Lake.parse(str(folder)), load_settings(lake=str(folder), state_dir=tmp_path / "state")
    counted = folder / name_coverage(1)
    engine = EmbeddedEngine(lake, settings)
    try:
        for text in ('{"generation": 1, "joins": 7}', "not JSON", json.dumps({"generation": 1})):
            counted.write_text(text)
            content = await answer(
                LakehouseServer(settings, lambda: [engine], lake), "SELECT avg(birthYear) FROM persons_delta"
            )
            assert content["warnings"] == []
        store_coverage(lake, COUNTED)
        (folder / "_context" / "lake.toml").write_text("not TOML")
        content = await answer(
            LakehouseServer(settings, lambda: [engine], lake), "SELECT avg(birthYear) FROM persons_delta"
        )
        assert gaps(content) == [f"{BORN}: {ALONE}."]
    finally:
        engine.close()


async def test_the_nulls_of_a_lake_that_nobody_counted_are_those_of_its_files_statistics(
    engine: Engine, lake: Path, tmp_path: Path
) -> None:
    plain = LakehouseServer(load_settings(lake=str(lake), state_dir=tmp_path / "state"), lambda: [engine])
    async with Client(plain) as client:
        described = await client.call_tool("describe_schema", {"table": "movies_delta"})
        averaged = await client.call_tool(
            "execute_spark_sql", {"sql_query": "SELECT avg(endYear) FROM movies_delta", "reasoning": "a test"}
        )
    nulls = {each["name"]: each["nulls"] for each in described.structured_content["columns"]}
    assert nulls["endYear"] == "100 % null"
    assert nulls["primaryTitle"] == ""
    assert "The source's files" not in described.content[0].text
    assert averaged.structured_content["warnings"] == []
