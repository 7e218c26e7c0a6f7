"""What models write by mistake, and what they are told: plain words, and a form that works."""

from __future__ import annotations

import re

import pytest

from tests.server.conftest import Connect, Serve
from tests.server.test_tools import run, text_of

pytestmark = pytest.mark.anyio

COUNT = "SELECT count(*) FROM movies_delta WHERE "
LIST = "genres is an array<string>: "

MISTAKES = {
    # a list or a boolean in the place of another type
    f"{COUNT}isAdult = 0": "isAdult is a boolean: write isAdult = false.",
    f"{COUNT}movies_delta.isAdult <> 1": "write movies_delta.isAdult <> true.",
    f"{COUNT}genres = 'Drama'": f"{LIST}write array_contains(genres, 'Drama').",
    f"{COUNT}genres != 'Drama'": f"{LIST}write NOT array_contains(genres, 'Drama').",
    f"{COUNT}genres LIKE '%Drama%'": f"{LIST}write array_contains(genres, 'Drama').",
    f"{COUNT}genres NOT LIKE '%Drama%'": f"{LIST}write NOT array_contains(genres, 'Drama').",
    f"{COUNT}genres ILIKE '%drama%'": f"{LIST}write exists(genres, x -> x ILIKE '%drama%').",
    f"{COUNT}genres IN ('Drama', 'Comedy')": f"{LIST}write arrays_overlap(genres, array('Drama', 'Comedy')).",
    f"{COUNT}'Drama' IN genres": f"{LIST}write array_contains(genres, 'Drama').",
    f"{COUNT}lower(genres) LIKE '%drama%'": f"{LIST}array_contains(genres, x) looks for an element",
    f"{COUNT}'Drama' = ANY(genres)": f"{LIST}array_contains(genres, x) looks for an element",
    f"{COUNT}array_contains('Drama', genres)": "is of the type string; it takes array.",
    # names
    "SELECT primaryTitel FROM movies_delta": "Nearest: primaryTitle (in movies_delta).",
    "SELECT primaryTitle FROM movies_delta ORDER BY numVotes": "There is no column numVotes. One is in movies_with_",
    "SELECT titleType, count(*) AS n FROM movies_delta WHERE n > 3 GROUP BY 1": "n is a name that the SELECT gives",
    "SELECT tconst FROM movies_delta m JOIN ratings_delta r ON m.tconst = r.tconst": "Put the table's name or alias",
    "SELECT unnest(genres) FROM movies_delta": "Did you mean explode?",
    "SELECT strftime('%Y', startYear) FROM movies_delta": "Did you mean date_format?",
    # values
    "SELECT CAST(primaryTitle AS INT) FROM movies_delta": "is no INT. Correct it, or use `try_cast`",
    "SELECT primaryTitle + 1 FROM movies_delta": "is no BIGINT. Correct it",
    "SELECT CAST(primaryTitle AS DATE) FROM movies_delta": "try_cast",
    "SELECT startYear / 0 FROM movies_delta": "try_divide",
}

INTERNAL = re.compile(
    r"Stream\b|Int32|Int64|Utf8|DataFusion|Arrow|no column (?:DATE|INT)\b|line \d+, pos", re.IGNORECASE
)


@pytest.mark.parametrize(("sql", "says"), MISTAKES.items())
async def test_a_mistake_is_answered_in_plain_words_with_what_works(
    serve: Serve, connect: Connect, sql: str, says: str
) -> None:
    async with connect(serve()) as client:
        failed = await run(client, sql)
    assert failed.is_error
    text = text_of(failed)
    assert says in text
    assert not INTERNAL.search(text)
    if "UNRESOLVED_COLUMN" not in text:
        assert "Columns of" not in text  # they are of no help, and many tokens


async def test_the_form_that_is_taught_works(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        for sql, says in MISTAKES.items():
            form = re.search(r": write (.+)\.$", says)
            if form is not None:
                found = await run(client, f"{COUNT}{form[1]}")
                assert not found.is_error, sql
                assert found.structured_content["rows"][0][0] > 0


async def test_a_join_by_elements_of_a_list_is_told_to_explode_it(serve: Serve, connect: Connect) -> None:
    sql = (
        "SELECT count(*) FROM movies_delta m JOIN principals_delta c ON array_contains(c.characters, m.primaryTitle) "
        "JOIN principals_delta d ON d.ordering > 1 JOIN principals_delta e ON e.ordering > 1"
    )
    async with connect(serve()) as client:
        refused = await run(client, sql)
    assert "explode(list) AS element" in text_of(refused)


async def test_a_join_behind_a_lateral_view_is_told_where_the_view_belongs(serve: Serve, connect: Connect) -> None:
    joins = " ".join(f"JOIN principals_delta {name} ON {name}.category = t.genre" for name in "cde")
    sql = f"SELECT count(*) FROM movies_delta m LATERAL VIEW explode(genres) t AS genre {joins}"
    async with connect(serve()) as client:
        said = text_of(await run(client, sql))
    assert "LATERAL VIEW comes after every JOIN" in said
    assert "e.id = m.element" in said
