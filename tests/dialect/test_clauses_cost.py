"""A check for the embedded engine stays within the guard's CPU bound, however much there is to rewrite."""

from __future__ import annotations

import pytest

from tests.guard.conftest import CPU_SECONDS, cpu_seconds

_FILM = "FROM movies_delta"
_FIRST = "QUALIFY rank() OVER (ORDER BY tconst) = 1"

MANY = {
    "windows in one QUALIFY": f"SELECT tconst {_FILM} QUALIFY "
    + "row_number() OVER (ORDER BY a) = 1 AND " * 150
    + "true",
    "QUALIFY within QUALIFY": "SELECT * FROM (" * 30 + f"SELECT tconst {_FILM} {_FIRST}" + f") {_FIRST}" * 30,
    "names with QUALIFY": "WITH "
    + ", ".join(f"c{i} AS (SELECT tconst {_FILM} {_FIRST})" for i in range(40))
    + " SELECT 1",
    "steps of pipes": _FILM + " |> WHERE a = 1 |> EXTEND a AS b |> DROP b" * 35,
    "pipes within pipes": "FROM (" * 18 + f"{_FILM} |> WHERE tconst = 'a'" + ") |> WHERE tconst = 'a'" * 18,
    "stars with EXCEPT": "SELECT " + ", ".join(["* EXCEPT (tconst)"] * 300) + f" {_FILM}",
    "names that double": "SELECT 1 AS a0" + "".join(f", a{i} + a{i} AS a{i + 1}" for i in range(300)),
    "IN in the list": "SELECT " + ", ".join(["tconst IN (SELECT tconst FROM ratings_delta)"] * 46) + f" {_FILM}",
    "EXISTS with ORDER BY": f"SELECT 1 {_FILM} m WHERE "
    + " AND ".join(["EXISTS (SELECT 1 FROM ratings_delta r WHERE r.tconst = m.tconst ORDER BY 1)"] * 46),
    "USING": f"SELECT m.tconst {_FILM} m" + "".join(f" JOIN ratings_delta r{i} USING (tconst)" for i in range(31)),
    "recursions": "WITH RECURSIVE "
    + ", ".join(f"c{i}(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c{i} WHERE n < 5)" for i in range(80))
    + " SELECT 1",
    "columns of UNPIVOT": f"SELECT * {_FILM} UNPIVOT (v FOR k IN (" + ", ".join(["startYear AS x"] * 700) + "))",
    "columns by ALL": "SELECT " + ", ".join(["titleType"] * 1_000) + f" {_FILM} GROUP BY ALL ORDER BY ALL",
    "aggregates in ORDER BY": f"SELECT titleType {_FILM} GROUP BY titleType ORDER BY " + ", ".join(["count(*)"] * 500),
    "sets": f"SELECT 1 {_FILM} GROUP BY GROUPING SETS (" + ", ".join(["a"] * 250) + ")",
}


@pytest.mark.parametrize(("name", "sql"), list(MANY.items()), ids=list(MANY))
def test_the_largest_statements_are_written_anew_within_a_quarter_of_a_second(name: str, sql: str) -> None:
    assert cpu_seconds(sql, "sail") < CPU_SECONDS, name
