"""Two readers must agree; where they do not, or an engine could read a third thing, the answer is no."""

from __future__ import annotations

import pytest

from mcp_server.guard import rules
from mcp_server.sql.clauses import Reading, read_clauses
from mcp_server.sql.source import Source
from tests.guard.conftest import Verdict

TABLES = [
    "SELECT * FROM movies_delta, ratings_delta r WHERE movies_delta.tconst = r.tconst",
    "SELECT (SELECT max(numVotes) FROM ratings_delta)",
    "FROM movies_delta |> JOIN ratings_delta USING (tconst)",
    "WITH a AS (SELECT * FROM movies_delta) SELECT * FROM a",
]


@pytest.mark.parametrize("sql", TABLES)
def test_a_table_that_only_the_tree_sees_is_refused(
    sql: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(sql).allow

    def forgetful(source: Source) -> Reading:
        reading = read_clauses(source)
        return Reading(reading.tables[:-1], reading.calls)

    monkeypatch.setattr(rules, "read_clauses", forgetful)
    assert verdict(sql).code == "ambiguous"


@pytest.mark.parametrize("sql", ["SELECT upper(lower('a'))", "SELECT 1 FROM movies_delta GROUP BY year(startYear)"])
def test_a_call_that_only_the_tree_sees_is_refused(sql: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(sql).allow

    def forgetful(source: Source) -> Reading:
        reading = read_clauses(source)
        return Reading(reading.tables, dict(list(reading.calls.items())[:-1]))

    monkeypatch.setattr(rules, "read_clauses", forgetful)
    assert not verdict(sql).allow


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM movies_delta WINDOW, hr.salaries",
        "SELECT * FROM movies_delta GROUP",
        "SELECT * FROM VALUES salaries",
        "FROM SELECT salaries",
        "FROM FROM movies_delta",
        "SELECT * FROM movies_delta rand(42) LIMIT 5",
        "SELECT * FROM LATERAL VIEW",
        "SELECT 'a' r 'b\\', reflect('x'), '",
        "SELECT U&'a\\', reflect('x'), '",
        "SELECT where(1), escape(2)",
    ],
)
def test_what_engines_would_read_in_different_ways_is_refused(sql: str, verdict: Verdict) -> None:
    assert not verdict(sql).allow


def test_a_kind_of_node_that_nobody_decided_is_refused(verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp_server.guard import nodes

    monkeypatch.setattr(nodes, "ALLOWED_KINDS", nodes.ALLOWED_KINDS - {"Between"})

    assert verdict("SELECT 1 WHERE 1 BETWEEN 0 AND 2").code == "syntax_not_allowed"


def test_nothing_of_the_copy_for_analysis_runs(verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The re-reading of what runs catches a splice that does more than it should."""
    monkeypatch.setattr("mcp_server.sql.splice._join_words", lambda _: "imdb.movies_delta, hr/**/.salaries")

    assert verdict("SELECT * FROM movies_delta").code == "ambiguous"
