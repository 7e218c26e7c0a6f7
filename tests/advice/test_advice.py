"""How queries could be better: what is said, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lakehouse.manifest import Column
from mcp_server import checking
from mcp_server.models import CheckedQuery, TableInfo
from tests.guard.conftest import SETTINGS


def table(name: str, columns: str, *, rows: int | None = 10, key: str = "", comment: str = "", kind: str = "table",
          order: str = "") -> TableInfo:  # fmt: skip
    """`columns` are `name:type` words."""
    named = tuple(Column(name=word.split(":")[0], type=word.split(":")[1]) for word in columns.split())
    return TableInfo(name, kind, comment, named, rows, tuple(key.split()), tuple(order.split()))


TABLES = (
    table("films", "id:string year:int title:string made:date seen:timestamp", rows=2_000_000, key="id",
          order="year id"),
    table("scores", "id:string score:double votes:int", key="id", order="id"),
    table("credits", "id:string place:int who:string", key="id place"),
    table("people", "who:string name:string", key="who"),
    table("scored", "id:string year:int title:string score:double votes:int", key="id", kind="view",
          comment="films joined with scores, pre-computed."),
    table("cast", "id:string place:int who:string title:string name:string", key="id place", kind="view",
          comment="credits joined with films and people."),
    table("wide", " ".join(f"c{i}:int" for i in range(8)), rows=5_000_000),
    table("days", "made:date seen:timestamp code:string n:int", key="code", order="made seen code n"),
)  # fmt: skip
Advice = Callable[[str], tuple[str, ...]]


@pytest.fixture
def advice() -> Advice:
    catalog = checking.Catalog("imdb", TABLES)

    def read(sql: str) -> tuple[str, ...]:
        checked = checking.check(sql, **(SETTINGS | {"catalog": catalog}))
        assert isinstance(checked, CheckedQuery)
        for sentence in checked.advice:  # what is offered is allowed, and is not bettered in the same way again
            better = sentence.partition(": ")[2]
            if better.upper().startswith(("SELECT", "WITH")):
                again = checking.check(better, **(SETTINGS | {"catalog": catalog}))
                assert isinstance(again, CheckedQuery)
                assert sentence.partition(": ")[0] not in {each.partition(": ")[0] for each in again.advice}
        return checked.advice

    return read


def better(sentences: tuple[str, ...], about: str) -> str:
    """The query that the one sentence about something ends with."""
    (found,) = [sentence for sentence in sentences if about in sentence]
    return found.partition(": ")[2]


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT f.title, s.score FROM films f JOIN scores s ON f.id = s.id WHERE f.year = 2000 ORDER BY s.votes",
         "SELECT f.title, f.score FROM scored AS f WHERE f.year = 2000 ORDER BY f.votes"),
        ("SELECT title, score FROM films JOIN scores USING (id) WHERE year > 5",
         "SELECT title, score FROM scored WHERE year > 5"),
        ("SELECT films.title, scores.score FROM imdb.films INNER JOIN scores ON scores.id = films.id",
         "SELECT scored.title, scored.score FROM scored"),
        ("SELECT s.score FROM films f, scores s WHERE f.id = s.id", "SELECT f.score FROM scored AS f"),
        ("SELECT s.score FROM films f, scores s WHERE s.votes > 5 AND f.id = s.id AND year = 1 AND s.id = f.id",
         "SELECT f.score FROM scored AS f WHERE f.votes > 5 AND year = 1"),
        (("SELECT c.place, p.name FROM films f JOIN credits c ON c.id = f.id JOIN people p ON p.who = c.who "
         "WHERE p.name = 'x'"), "SELECT f.place, f.name FROM cast AS f WHERE f.name = 'x'"),
        ("WITH t AS (SELECT f.id, votes FROM films f JOIN scores s ON f.id = s.id) SELECT count(*) FROM t",
         "WITH t AS (SELECT f.id, votes FROM scored AS f) SELECT count(*) FROM t"),
        (("SELECT count(f.id) AS n FROM films f JOIN scores s ON f.id = s.id WHERE EXISTS (SELECT 1 FROM people p "
         "WHERE p.name = f.title)"),
         "SELECT count(f.id) AS n FROM scored AS f WHERE EXISTS (SELECT 1 FROM people p WHERE p.name = f.title)"),
    ],
)  # fmt: skip
def test_a_view_is_offered_for_the_join_that_it_holds(advice: Advice, sql: str, wanted: str) -> None:
    assert better(advice(sql), "already holds the join") == wanted


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT f.title, s.score FROM films f JOIN scores s ON f.id = s.id AND s.votes > 5",
        "SELECT f.title, s.score FROM films f JOIN scores s ON f.id = s.id LATERAL VIEW explode(array(1)) t AS x",
        "SELECT f.id FROM films f JOIN scores s ON f.id = s.id WHERE EXISTS (SELECT 1 FROM people f WHERE f.who = 'x')",
    ],
)
def test_where_more_than_names_would_change_the_view_is_only_named(advice: Advice, sql: str) -> None:
    (found,) = [sentence for sentence in advice(sql) if "already holds the join" in sentence]

    assert found == "scored already holds the join of films and scores; read it in their place."


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT f.title, s.score FROM films f LEFT JOIN scores s ON f.id = s.id",
        "SELECT f.made, s.score FROM films f JOIN scores s ON f.id = s.id",
        "SELECT * FROM films f JOIN scores s ON f.id = s.id",
        "SELECT f.title, s.score FROM films f JOIN scores s ON f.title = s.id",
        "SELECT f.title, c.place FROM films f JOIN credits c ON f.id = c.id",
        "SELECT c.place, p.name FROM films f JOIN credits c ON c.id = f.id JOIN people p ON p.name = c.who",
        "SELECT a.title FROM films a JOIN films b ON a.id = b.id",
        "SELECT f.title, s.score FROM films VERSION AS OF 3 f JOIN scores s ON f.id = s.id",
        "SELECT f.title FROM films f JOIN (SELECT id FROM scores) s ON f.id = s.id",
        "SELECT f.title FROM films f NATURAL JOIN scores s",
        "SELECT f.title FROM films f LEFT SEMI JOIN scores s ON f.id = s.id",
    ],
)
def test_no_view_is_offered_for_another_join(advice: Advice, sql: str) -> None:
    assert not any("already holds" in sentence for sentence in advice(sql))


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("CAST(n AS STRING) = '2020'", "n = 2020"),
        ("'-5' = n::string", "n = -5"),
        ("year(made) = 2020", "(made >= DATE '2020-01-01' AND made < DATE '2021-01-01')"),
        ("year(d.made) > 2020", "d.made >= DATE '2021-01-01'"),
        ("2020 >= year(made)", "made < DATE '2021-01-01'"),
        ("year(seen) < 2020", "seen < TIMESTAMP '2020-01-01 00:00:00'"),
        ("CAST(seen AS DATE) = DATE '2020-12-31'",
         "(seen >= TIMESTAMP '2020-12-31 00:00:00' AND seen < TIMESTAMP '2021-01-01 00:00:00')"),
        ("left(code, 2) = 'ab'", "code LIKE 'ab%'"),
        ("substring(code, 1, 3) = 'abc'", "code LIKE 'abc%'"),
    ],
)  # fmt: skip
def test_a_condition_is_written_on_the_bare_column(advice: Advice, condition: str, wanted: str) -> None:
    sql = "SELECT count(*) AS n FROM days d WHERE {} AND d.n < 7 AND (d.n > 1 OR d.n < 0)"

    assert better(advice(sql.format(condition)), "as it stands") == sql.format(wanted)


@pytest.mark.parametrize(
    "condition",
    [
        "lower(code) = 'ab'", "CAST(n AS STRING) = '02'", "CAST(n AS STRING) > '5'", "left(code, 2) = 'abc'",
        "left(code, 1) = '%'", "substring(code, 2, 1) = 'a'", "n + 1 = 5", "year(made) = 9999", "year(made) + 1 = 2020",
        "CAST(made AS STRING) = '2020-01-01'", "trim(code) = 'x'", "year(made) = 2020.5", "TRY_CAST(n AS STRING) = '5'",
    ],
)  # fmt: skip
def test_what_might_not_be_the_same_is_only_said(advice: Advice, condition: str) -> None:
    (found,) = [each for each in advice(f"SELECT 1 FROM days WHERE {condition}") if "as it stands" in each]

    assert found.endswith("which are ordered by it.")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM days WHERE code = 'a' AND upper('x') = 'X'",
        "SELECT upper(code) FROM days WHERE n = 5",
        "SELECT 1 FROM people WHERE lower(name) = 'x'",
        "SELECT 1 FROM days a JOIN days b ON a.n = b.n WHERE a.n + b.n = 5",
    ],
)
def test_functions_elsewhere_are_left_alone(advice: Advice, sql: str) -> None:
    assert advice(sql) == ()


def test_a_large_table_without_a_condition_on_its_order_is_said(advice: Advice) -> None:
    (found,) = advice("SELECT count(*) FROM films WHERE title = 'x'")

    assert found == (
        "films has 2,000,000 rows and no plain condition on year and id, by which its files are ordered: where the "
        "question allows, filter it by year."
    )
    assert advice("SELECT count(*) FROM films WHERE year = 2000") == ()
    assert advice("SELECT count(*) FROM scores") == ()


def test_all_columns_of_a_wide_and_large_table_are_said(advice: Advice) -> None:
    assert advice("SELECT * FROM wide LIMIT 5") == (
        (
            "All 8 columns of wide are read; only those that are named are read from its files: name the ones that the "
            "answer needs in the place of *."
        ),
    )
    assert advice("SELECT c1, count(*) FROM wide GROUP BY c1") == ()


def test_relations_that_nothing_ties_are_said_with_about_how_many_rows_meet(advice: Advice) -> None:
    found = advice("SELECT 1 FROM (SELECT who FROM people LIMIT 30) p, films f WHERE f.year = 5 AND p.who > f.id")

    assert found == (("p and f are tied by no equality, so about 60,000,000 rows meet: add a condition such as "
                     "p.a = f.b."),)  # fmt: skip


def test_a_table_that_every_step_of_a_recursion_reads_is_said(advice: Advice) -> None:
    sql = (
        "WITH RECURSIVE up AS (SELECT id, place, 1 AS n FROM credits WHERE id = 'a' UNION ALL "
        "SELECT c.id, c.place, n + 1 FROM up JOIN credits c ON c.id = up.id WHERE n < 5) SELECT * FROM up"
    )

    assert advice(sql) == ("credits is read once for each step of a recursive WITH; an estimate counts it once.",)


def test_a_table_of_which_little_is_known_gets_no_advice(advice: Advice) -> None:
    bare = tuple(replace(each, rows=None, key=(), clustered_by=()) for each in TABLES)
    checked = checking.check(
        "SELECT * FROM films f JOIN scores s ON lower(f.id) = s.id WHERE year(made) = 5",
        **(SETTINGS | {"catalog": checking.Catalog("imdb", bare)}),
    )

    assert isinstance(checked, CheckedQuery)
    assert checked.advice == ()
