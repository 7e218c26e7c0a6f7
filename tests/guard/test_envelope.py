"""What honest SQL is sent in is called what it is, and what only looks so within a string is left alone."""

from __future__ import annotations

import pytest

from tests.guard.conftest import Verdict


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```sql\nSELECT 1\n```", "code fence"),
        ("~~~\nSELECT 1\n~~~", "code fence"),
        ("SELECT 1\n```", "code fence"),
        ("SELECT 1 ```", "code fence"),
        ("SQLQuery: SELECT 1", "before SELECT"),
        ("sql\nSELECT 1", "before SELECT"),
        ("SQL:\n\n  WITH a AS (SELECT 1) SELECT * FROM a", "before WITH"),
        ("Here's the query:\n\nSELECT 1", "(Here's the query:)"),
        ("Here is the query:\n```sql\nSELECT 1\n```", "before SELECT"),
        ("I looked at the schema.\nselect 1", "before SELECT"),
        ("spark-sql> SELECT 1;", "before SELECT"),
        ('spark.sql("SELECT 1")', "before SELECT"),
        ("'SELECT 1'", "before SELECT"),
        ("`SELECT 1`", "before SELECT"),
        ('{"sql": "SELECT 1"}', "JSON"),
        ("SELECT 1 WHERE 2 &gt; 1", "&gt; is HTML for >"),
        ("SELECT 1 WHERE 2 &GT; 1", "&GT; is HTML for >"),
        ("SELECT 1 WHERE 2 &lt;= 1", "&lt; is HTML for <"),
        ("SELECT 1 &amp; 1", "&amp; is HTML for &"),
        ("SELECT &quot;a&quot;", "&quot; is HTML"),
        ("SELECT &#39;a&#39;", "&#39; is HTML"),
        ("SELECT ‘a’", "Write ' instead"),
        ("SELECT “a”", "Write ' instead"),
        ("SELECT 1 – 2", "Write - instead"),
        ("SELECT 1 WHERE 1 ≥ 0", "Write >= instead"),
        ("SELECT\u00a01", "Write a space instead"),
        ("SELECT（1）", "Write ( instead"),
        ('SELECT 1 AS "n"', "write AS `n`"),
        ("SELECT 1 AS 'n' FROM movies_delta", "write AS `n`"),
        ('SELECT m."primaryTitle" FROM movies_delta m', "write `primaryTitle`"),
        ("SELECT m.'primaryTitle' FROM movies_delta m", "write `primaryTitle`"),
    ],
)
def test_what_stands_around_honest_sql_is_called_what_it_is(text: str, says: str, verdict: Verdict) -> None:
    said = verdict(text)

    assert not said.allow
    assert says in said.message
    assert "\n" not in said.message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '&gt;', '```', 'SQLQuery: SELECT 1', '‘a’', '1 – 2'",
        "-- Here is the query:\nSELECT 1",
        "/* SQL: SELECT 2 */ SELECT 1",
        "  \n(SELECT 1)",
        "SELECT 1&2;",
        "VALUES (1)",
        "EXPLAIN SELECT 1",
        "SELECT CAST('a' AS STRING) AS `n`",
    ],
)
def test_sql_that_only_holds_such_signs_is_left_alone(sql: str, verdict: Verdict) -> None:
    assert verdict(sql).allow


@pytest.mark.parametrize("word", ["INSERT INTO t\nSELECT 1", "CREATE VIEW v AS (SELECT 1)", "explain plan: SELECT 1"])
def test_a_statement_of_another_kind_is_no_preface(word: str, verdict: Verdict) -> None:
    assert verdict(word).code != "not_plain_sql"


def test_a_long_preface_is_shown_in_short(verdict: Verdict) -> None:
    for text in ("words " * 5_000 + ":\nSELECT 1", "a:\n" * 5_000, "> " * 10_000, "(" * 10_000, ":" + "\n" * 20_000):
        assert len(verdict(text).message) < 400
