"""AI functions in SQL: what runs is the query below them, and the text alone bounds how often they are called."""

from __future__ import annotations

import functools
import random
from dataclasses import replace
from typing import Any

import pytest

from lakehouse.errors import Refused
from lakehouse.session import Dialect
from mcp_server import checking
from mcp_server.models import AiColumn
from tests.guard.conftest import CPU_SECONDS, PINS, SETTINGS, Check, Verdict, cpu_seconds
from tests.guard.test_corpora import HONEST, HOSTILE
from tests.guard.test_what_runs import _dressed

M, R, V, C = (PINS[name] for name in ("movies_delta", "ratings_delta", "movies_with_ratings", "movie_cast"))
AI = [line for line in HONEST if line["class"] == "ai-ok"]
SUMMARY = "ai_movie_summary"


def _column(number: int, name: str, key: str | None = "_ai_key_1", function: str = SUMMARY) -> AiColumn:
    return AiColumn(function, f"_ai_{number}", name, key)


@pytest.mark.parametrize(
    ("sent", "runs", "columns"),
    [
        ("SELECT ai_movie_summary('Heat')", "SELECT 'Heat' AS _ai_1", [_column(1, "ai_movie_summary('Heat')", None)]),
        (
            "SELECT primaryTitle, ai_movie_summary(primaryTitle) AS s FROM movies_delta ORDER BY startYear LIMIT 5",
            (
                "SELECT primaryTitle, primaryTitle AS _ai_1 , `movies_delta`.`tconst` AS _ai_key_1 "
                f"FROM imdb.movies_delta VERSION AS OF {M} ORDER BY startYear LIMIT 5"
            ),
            [_column(1, "s")],
        ),
        (
            "SELECT *, ai_movie_summary( upper ( m.primaryTitle ) ) `The text` FROM movies_delta m LIMIT 5",
            (
                "SELECT *, upper ( m.primaryTitle ) AS _ai_1 , `m`.`tconst` AS _ai_key_1 "
                f"FROM imdb.movies_delta VERSION AS OF {M} m LIMIT 5"
            ),
            [_column(1, "The text")],
        ),
        (
            "SELECT ai_movie_summary(primaryTitle), ai_person_summary(primaryName) AS p FROM movie_cast LIMIT 9",
            (
                "SELECT primaryTitle AS _ai_1 , primaryName AS _ai_2 , `movie_cast`.`tconst` AS _ai_key_1, "
                f"`movie_cast`.`nconst` AS _ai_key_2 FROM imdb.movie_cast VERSION AS OF {C} LIMIT 9"
            ),
            [
                _column(1, "ai_movie_summary(primaryTitle)"),
                _column(2, "p", "_ai_key_2", "ai_person_summary"),
            ],
        ),
    ],
)
def test_the_arguments_own_words_stand_where_the_function_stood(
    sent: str, runs: str, columns: list[AiColumn], check: Check
) -> None:
    checked = check(sent)

    assert " ".join(checked.sql.split()).replace(" ,", ",") == " ".join(runs.split()).replace(" ,", ",")
    assert list(checked.ai) == columns
    assert checked.sent == sent
    assert not {name for name in checked.functions if name.startswith("ai_")}


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        (
            "SELECT ai_movie_summary(m.primaryTitle) FROM movies_delta m JOIN ratings_delta r ON r.tconst = m.tconst",
            "`m`",
        ),
        (
            "SELECT ai_movie_summary(primaryTitle) FROM ratings_delta r JOIN movies_delta m ON r.tconst = m.tconst",
            "`m`",
        ),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta JOIN ratings_delta USING (tconst)", ""),
        ("SELECT ai_movie_summary(t) FROM (SELECT primaryTitle AS t, tconst FROM movies_delta) AS x", "`x`"),
        ("SELECT ai_movie_summary(t) FROM (SELECT primaryTitle AS t, tconst FROM movies_delta)", ""),
        ("WITH f AS (SELECT * FROM movies_delta) SELECT ai_movie_summary(primaryTitle) FROM f", "`f`"),
        (
            (
                "WITH f AS (SELECT m.*, r.numVotes FROM movies_delta m JOIN ratings_delta r ON r.tconst = m.tconst) "
                "SELECT ai_movie_summary(primaryTitle) FROM f"
            ),
            "`f`",
        ),
        (
            (
                "WITH f AS (SELECT * FROM movies_delta JOIN ratings_delta USING (tconst)) "
                "SELECT ai_movie_summary(primaryTitle) FROM f"
            ),
            "`f`",
        ),
        (
            (
                "SELECT ai_movie_summary(primaryTitle) FROM movies_delta m JOIN ratings_delta r USING (tconst) "
                "JOIN principals_delta p ON p.tconst = m.tconst"
            ),
            "`m`",
        ),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta GROUP BY tconst, primaryTitle", ""),
        ("SELECT ai_movie_summary(lower(primaryTitle)) FROM movies_delta", "`movies_delta`"),
    ],
)
def test_the_key_of_the_arguments_row_comes_with_it(sql: str, key: str, check: Check) -> None:
    checked = check(f"{sql} LIMIT 3")

    (column,) = checked.ai
    assert column.key == "_ai_key_1"
    assert f"{key}.`tconst` AS _ai_key_1".removeprefix(".") in checked.sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ai_movie_summary(primaryTitle) FROM movies_delta GROUP BY primaryTitle LIMIT 3",
        "SELECT ai_movie_summary(max(primaryTitle)) FROM movies_delta",
        "SELECT ai_movie_summary(t) FROM (SELECT primaryTitle AS t FROM movies_delta) LIMIT 3",
        "SELECT ai_movie_summary(title) FROM akas_delta LIMIT 3",
        "SELECT ai_movie_summary('Heat') FROM movies_delta LIMIT 3",
        "WITH RECURSIVE f AS (SELECT * FROM f WHERE n < 5) SELECT ai_movie_summary(t) FROM f LIMIT 3",
        (
            "WITH f AS (SELECT m.tconst, m.primaryTitle, r.tconst FROM movies_delta m JOIN ratings_delta r "
            "ON r.tconst = m.tconst) SELECT ai_movie_summary(primaryTitle) FROM f LIMIT 3"
        ),
        "SELECT ai_movie_summary('Heat') FROM movies_delta m JOIN ratings_delta r ON m.tconst = r.tconst LIMIT 3",
        (
            "WITH f AS (SELECT * FROM movies_delta m JOIN ratings_delta r ON m.tconst = r.tconst) "
            "SELECT ai_movie_summary(primaryTitle) FROM f LIMIT 3"
        ),
    ],
)
def test_no_key_comes_where_the_rows_have_none_or_several(sql: str, check: Check) -> None:
    assert [column.key for column in check(sql).ai] == [None]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta LIMIT 5", 5),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta LIMIT 50", 50),
        ("SELECT ai_movie_summary('a'), ai_movie_summary(primaryTitle) FROM movies_delta LIMIT 25", 25),
        ("SELECT ai_movie_summary(t) FROM (SELECT primaryTitle AS t FROM movies_delta LIMIT 7)", 7),
        ("SELECT ai_movie_summary(x) FROM VALUES ('a'), ('b') AS t(x)", 2),
        ("SELECT ai_movie_summary(max(primaryTitle)) FROM movies_delta", 1),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta WHERE tconst = 'tt1' AND isAdult", 50),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta WHERE primaryTitle IN ('Heat', 'Alien')", 50),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta WHERE 'Heat' = primaryTitle", 50),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta m WHERE lower(m.primaryTitle) = 'heat'", 50),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta WHERE primaryTitle <=> 'Heat'", 50),
    ],
)
def test_no_more_rows_come_out_than_a_query_may_call_for(sql: str, rows: int, check: Check) -> None:
    assert check(sql).limit.rows == rows


def test_the_cap_of_the_settings_and_the_callers_own_limit_count() -> None:
    sql = "SELECT ai_movie_summary(primaryTitle) FROM movies_delta"
    few = SETTINGS | {"limits": replace(SETTINGS["limits"], ai_calls=4)}

    assert checking.verdict(f"{sql} LIMIT 4", **few).limit == 4
    assert not checking.verdict(f"{sql} LIMIT 5", **few).allow
    assert not checking.verdict(sql, **few).allow
    assert checking.verdict(sql, **few, row_limit=3).limit == 3


@pytest.mark.parametrize(
    "condition",
    [
        "primaryTitle <> 'Heat'", "NOT primaryTitle = 'Heat'", "primaryTitle = 'Heat' OR true", "'a' = 'a'",
        "primaryTitle = originalTitle", "lower(primaryTitle) = lower(originalTitle)", "titleType = 'movie'",
        "lower('a') = 'a'", "concat(primaryTitle, 'a') = 'a'", "tconst NOT IN ('tt1')", "tconst LIKE 'tt%'",
        "tconst IN (SELECT tconst FROM ratings_delta)", "'Heat' IN (primaryTitle)", "lower(primaryTitle) IN ()",
    ],
)  # fmt: skip
def test_a_condition_that_names_nothing_is_no_limit(condition: str, verdict: Verdict) -> None:
    said = verdict(f"SELECT ai_movie_summary(primaryTitle) FROM movies_delta WHERE {condition}")

    assert (said.allow, said.code) == (False, "ai_function_in_sql")


@pytest.mark.parametrize("line", AI, ids=lambda line: line["id"])
def test_an_accepted_query_bounds_its_calls(line: dict[str, str], check: Check) -> None:
    checked = check(line["sql"])

    assert checked.ai
    assert checked.limit.rows * len(checked.ai) <= SETTINGS["limits"].ai_calls


@pytest.mark.parametrize("line", AI, ids=lambda line: line["id"])
def test_what_runs_is_a_plain_query_to_the_guard(line: dict[str, str], check: Check) -> None:
    again = check(check(line["sql"]).sql)

    assert again.ai == ()


@pytest.mark.parametrize("dialect", ["spark", "sail"])
def test_comments_blanks_and_case_change_no_verdict(dialect: Dialect) -> None:
    chance = random.Random(6)
    settings: dict[str, Any] = SETTINGS | {"catalog": replace(SETTINGS["catalog"], dialect=dialect)}
    ask = functools.partial(checking.verdict, **settings)
    for line in [*AI, *(line for line in HOSTILE if line["class"] == "ai-cost" and ";" not in line["sql"])]:
        said, dressed = ask(line["sql"]), _dressed(line["sql"], chance)

        again = ask(dressed)

        assert (again.allow, again.limit) == (said.allow, said.limit), dressed


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT 1 FROM movies_delta WHERE ai_movie_summary(primaryTitle) = 'a'", "in WHERE"),
        ("SELECT DISTINCT ai_movie_summary(primaryTitle) FROM movies_delta LIMIT 1", "under DISTINCT"),
        ("SELECT max(ai_movie_summary(primaryTitle)) FROM movies_delta", "within another function"),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta", "Write LIMIT 50 or less"),
        ("SELECT ai_movie_summary(primaryTitle), ai_movie_summary('a') FROM movies_delta", "Write LIMIT 25 or less"),
        ("SELECT ai_movie_summary(primaryTitle) AS s FROM movies_delta ORDER BY s LIMIT 1", "another name with AS"),
        ("SELECT ai_movie_summary(primaryTitle) AS s FROM movies_delta ORDER BY 1 LIMIT 1", "Name the columns"),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta TABLESAMPLE (1 ROWS)", "ORDER BY and LIMIT"),
        ("SELECT ai_movie_summary(primaryTitle) FROM movies_delta, range(9) LIMIT 1", "Join in WITH found AS"),
        ("SELECT ai_gen('a')", "There are ai_movie_summary, ai_person_summary"),
        ("EXPLAIN SELECT ai_movie_summary('a')", "dry_run"),
    ],
)
def test_a_refusal_tells_the_form_to_use(sql: str, says: str, verdict: Verdict) -> None:
    said = verdict(sql)

    assert said.code == "ai_function_in_sql"
    assert says in said.message


def test_the_rewrite_of_a_refusal_is_allowed(verdict: Verdict, check: Check) -> None:
    message = verdict("SELECT primaryTitle FROM movies_delta WHERE ai_movie_summary(primaryTitle) LIKE '%x%'").message
    rewrite = message[message.index("WITH ") : message.index("LIMIT 10") + len("LIMIT 10")]

    checked = check(rewrite.replace("…", "SELECT * FROM movies_delta WHERE startYear = 1999"))

    assert checked.limit.rows == 10


def test_without_a_function_of_that_name_none_is_called() -> None:
    settings = SETTINGS | {"catalog": replace(SETTINGS["catalog"], ai={})}

    said = checking.verdict("SELECT ai_movie_summary('Heat')", **settings)

    assert said.code == "ai_function_in_sql"


def test_a_statement_of_the_servers_own_calls_none() -> None:
    with pytest.raises(Refused) as refusal:
        checking.template("SELECT ai_movie_summary(:a)", {"a": "Heat"}, **SETTINGS)

    assert refusal.value.code == "ai_function_in_sql"


@pytest.mark.parametrize("dialect", ["spark", "sail"])
def test_the_largest_statements_are_answered_within_a_quarter_of_a_second(dialect: Dialect) -> None:
    many = ", ".join(f"ai_movie_summary(upper(primaryTitle)) AS a{number}" for number in range(45))
    sums = " + ".join(["startYear"] * 150)
    giants = (
        f"SELECT {many} FROM movies_delta LIMIT 1",
        f"SELECT ai_movie_summary(primaryTitle), {sums} FROM movies_delta WHERE {sums} > 1 LIMIT 1",
        f"SELECT {', '.join(['ai_movie_summary(primaryTitle)'] * 700)} FROM movies_delta LIMIT 1",
    )
    for sql in giants:
        assert cpu_seconds(sql, dialect) < CPU_SECONDS, sql[:200]
