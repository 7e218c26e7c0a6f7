# ruff: noqa: E501  (a statement is read in one line)
"""Rewrites say what the sender said and no more: names, texts and operands stay whole, chance is asked once."""

from __future__ import annotations

from pathlib import Path

import pytest

import mcp_server
from lakehouse.errors import EngineLacks, QueryFailed
from mcp_server.sql.compose import Sql, as_operand, compose, is_closed, join, quote_name, quote_text, write_word
from tests.dialect.conftest import Check
from tests.dialect.test_clauses import ends_with_order
from tests.expected import Ask
from tests.fuzz.judge import _TEXTS

ODD_NAMES = (
    "x', (SELECT max(leaked) FROM ratings_delta), 'y",
    "x, (SELECT leaked FROM ratings_delta) y",
    "x) -> (SELECT leaked), (y",
    "x' OR leaked = 'a",
    'x" leaked "',
    "a.leaked",
    "a b leaked",
)

PLACES = (
    "SELECT zip_with(genres, genres, (`{0}`, b) -> `{0}`) AS a FROM movies_delta",
    "SELECT transform_values(map('a', 1), (`{0}`, v) -> concat(`{0}`, v)) AS a FROM movies_delta",
    "SELECT transform_keys(map('a', 1), (k, `{0}`) -> concat(k, `{0}`)) AS a FROM movies_delta",
    "SELECT max(struct(startYear AS `{0}`, endYear)) AS a FROM movies_delta",
    "SELECT `{0}` FROM (SELECT startYear AS `{0}` FROM movies_delta) QUALIFY row_number() OVER (ORDER BY `{0}`) = 1",
    "SELECT `{0}` + 1 AS `{0}`, `{0}` * 2 AS c FROM (SELECT startYear AS `{0}` FROM movies_delta)",
    "SELECT * FROM (SELECT startYear AS `{0}`, endYear AS b FROM movies_delta) UNPIVOT (v FOR k IN (`{0}`, b))",
    "SELECT startYear IN (SELECT `{0}` FROM (SELECT endYear AS `{0}` FROM movies_delta)) AS a FROM movies_delta",
    "SELECT m.a, `{0}` FROM (SELECT 1 AS a) m LATERAL VIEW explode(array(1)) `{0}` AS `{0}` WHERE `{0}` = 1",
    "FROM movies_delta |> EXTEND startYear AS `{0}` |> WHERE `{0}` > 1 |> AS `{0}` |> SELECT `{0}`",
    "SELECT r.v FROM movies_delta m, LATERAL (SELECT max(numVotes) AS v FROM ratings_delta `{0}` WHERE `{0}`.tconst = m.tconst) r",
    "WITH RECURSIVE t AS (SELECT 1 AS `{0}` UNION ALL SELECT `{0}` + 1 FROM t WHERE `{0}` < 3) SELECT `{0}` FROM t",
    "SELECT `{0}`.tconst FROM movies_delta `{0}` JOIN ratings_delta r USING (tconst)",
    "SELECT startYear AS `{0}`, sum(numVotes) AS n FROM movies_with_ratings GROUP BY ALL ORDER BY max(averageRating)",
)
"""Statements of which a rewrite changes a name, or a part around it."""

AS_SENT = PLACES[5]
"""One of them that runs as it is sent: its second item means the column."""


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("place", PLACES)
def test_what_a_name_says_is_never_read_as_sql(place: str, name: str, check: Check) -> None:
    try:
        ran = check(place.format(name)).sql
    except EngineLacks:
        return

    assert "leaked" not in _TEXTS.sub("", ran).lower(), ran


@pytest.mark.parametrize("place", [place for place in PLACES if place != AS_SENT])
def test_a_plain_name_is_rewritten_in_these_places(place: str, check: Check) -> None:
    assert check(place.format("plain")).rewrites


def test_a_part_of_a_statement_is_no_plain_text() -> None:
    for made in (
        lambda: compose("a = {}", "x' OR 'a"),  # type: ignore[arg-type]
        lambda: join(", ", ["x"]),  # type: ignore[list-item]
        lambda: Sql("x"),
        lambda: compose("{}", True),
    ):
        with pytest.raises(TypeError):
            made()
    with pytest.raises(ValueError, match="no word"):
        write_word("x(")


def test_only_the_module_of_parts_makes_them() -> None:
    folder = Path(mcp_server.__file__).parent
    packages = ("sql", "guard", "dialects", "advice", "ai")
    sealed = {
        path.name
        for package in packages
        for path in (folder / package).rglob("*.py")
        if "_SEAL" in path.read_text("utf-8").replace("GUARD_SEAL", "")
    }

    assert sealed == {"compose.py"}


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        *(
            ("a", True),
            ("a.b", True),
            ("f(a, b)", True),
            ("(a OR b)", True),
            ("CASE WHEN a THEN b END", True),
            ("-1", True),
        ),
        *(
            ("'a' 'b'", True),
            ("DATE '2020-01-01'", True),
            ("sum(a) FILTER (WHERE b) OVER (ORDER BY c)", True),
            ("a[0].b", True),
        ),
        *(
            ("a OR b", False),
            ("(a) = (b)", False),
            ("NOT (a)", False),
            ("-a", False),
            ("a IS NULL", False),
            ("a::INT", False),
        ),
        *(("CASE WHEN a THEN b END + 1", False), ("a LIKE b", False), ("x -> x", False)),
    ],
)
def test_an_operand_that_could_be_taken_apart_is_bracketed(text: str, *, closed: bool) -> None:
    made = as_operand(compose(text))

    assert is_closed(text) is closed
    assert compose("{} + 1", made) == (f"{text} + 1" if closed else f"({text}) + 1")


@pytest.mark.parametrize("name", ["a`b", "null", "NULL", "select", "a b", "case", "İ", "current_date"])
def test_a_name_that_could_be_read_otherwise_is_quoted(name: str) -> None:
    assert quote_name(name) == "`" + name.replace("`", "``") + "`"


def test_a_text_has_no_control_character_and_no_variable() -> None:
    assert quote_text("a'\x01\n${b}\\") == r"'a\'\u0001\n\u0024{b}\\'"


CHANCE = (
    "SELECT array_contains(array(1, 2), CAST(rand() * 2 AS INT)) AS a",
    "SELECT concat(primaryTitle, rand()) LIKE ANY ('a%', 'b%') AS a FROM movies_delta",
    "SELECT slice(shuffle(genres), -2, 1) AS a FROM movies_delta",
    "SELECT decode(CAST(rand() * 3 AS INT), 1, 'a', 2, 'b') AS a",
    "SELECT startYear NOT IN (SELECT CAST(rand() * 2000 AS INT) FROM ratings_delta) AS a FROM movies_delta",
    "WITH c AS (SELECT CAST(rand() * 2000 AS INT) AS y FROM ratings_delta) SELECT startYear NOT IN (SELECT y FROM c) AS a FROM movies_delta",
    "SELECT CAST(rand() * 100 AS INT) IN (SELECT numVotes FROM ratings_delta) AS a FROM movies_delta",
    "SELECT startYear NOT IN (SELECT startYear FROM movies_delta TABLESAMPLE (10 PERCENT)) AS a FROM movies_delta",
    "SELECT genres[CAST(rand() * 2 AS INT)] AS a FROM movies_delta",
    "SELECT round(rand(), 2) AS a",
    "SELECT substring(primaryTitle, -CAST(rand() * 3 AS INT), 2) AS a FROM movies_delta",
)
"""What depends on chance, where its other words would ask it twice, or for each element or row."""


@pytest.mark.parametrize("sql", CHANCE)
def test_what_depends_on_chance_is_asked_once_or_not_here(sql: str, check: Check) -> None:
    with pytest.raises(EngineLacks, match="depends on chance or makes rows"):
        check(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT rand() AS r, r + 1 AS s FROM movies_delta",
        "SELECT rand() AS r, tconst FROM movies_delta QUALIFY row_number() OVER (ORDER BY tconst) = 1",
        "SELECT rand() < 0.5 AS a, startYear IN (SELECT numVotes FROM ratings_delta) AS b FROM movies_delta",
        "SELECT tconst FROM movies_delta WHERE exists(genres, g -> g = 'Drama')",
        "SELECT zip_with(shuffle(genres), genres, (x, y) -> concat(x, y)) AS a FROM movies_delta",
    ],
)
def test_chance_that_is_asked_once_runs(sql: str, check: Check) -> None:
    assert check(sql).rewrites


def test_what_is_read_is_told_of_what_runs(check: Check) -> None:
    found = check("SELECT startYear NOT IN (SELECT numVotes FROM ratings_delta) AS a FROM movies_delta")

    assert [scan.table for scan in found.scans].count("ratings_delta") == found.sql.count("ratings_delta") == 3
    assert {"count", "exists"} & found.functions


SAME = (
    "SELECT explode(array(array(0), array(1))) AS a, explode(a) AS b",
    "SELECT x.a.b, x.a.b + 1, CAST(x.a.b AS STRING), struct(1 AS q).q, overlay('abc', 'x', 2) FROM (SELECT named_struct('a', named_struct('b', 1)) AS x)",
    "SELECT position('b' IN 'abc'), substr('abc' FROM 2), substring('abc' FROM 2 FOR 1), CAST(NULL AS STRING), CAST(NULL AS array<int>)",
    "SELECT transform(array(1, 2), x -> zip_with(array(x), array(3), (a, b) -> transform(array(a), y -> y + b + x))) AS z",
    "SELECT map_zip_with(map(1, 2), map(1, 3), (k, v, w) -> zip_with(array(v), array(w), (a, b) -> a * 100 + b * 10 + k)) AS z",
    "SELECT window, window.end, count(*) AS n FROM VALUES (TIMESTAMP '2020-01-01 00:00:00') t(ts) GROUP BY window(ts, '5 minutes') HAVING window.start IS NOT NULL",
    "SELECT sum(k) OVER (DISTRIBUTE BY k SORT BY x) AS s FROM VALUES (1, 2), (1, 3), (2, 4) AS t(k, x)",
    "SELECT a.k, g.n FROM (SELECT 1 AS k, array(1, 2) AS l UNION ALL SELECT 2, NULL) a, (SELECT 1 AS k, 3 AS w UNION ALL SELECT 2, 3) b JOIN LATERAL explode_outer(a.l) AS g(n) WHERE a.k = b.k AND w = 3",
    "SELECT array_contains(array(false), true AND false) AS x",
    "SELECT decode(a OR b, true AND c, 'x', false, 'y') AS x FROM (SELECT true a, true b, true c)",
    "SELECT array_contains(a, item_) AS x FROM VALUES (array(1, 2), 1), (array(2, 3), 1) AS t(a, item_)",
    "SELECT zip_with(a, b, (x, y) -> x + y + pair_) AS x FROM VALUES (array(1, 2), array(3, 4), 1) AS t(a, b, pair_)",
    "SELECT zip_with(array(1, 2), array(3, 4), (x, y) -> zip_with(array(1), array(2), (u, v) -> x * 100 + y * 10 + u + v)) AS z",
    "SELECT zip_with(array(1), array(2), (`x', 'y`, `int`) -> CAST(`int` AS INT) * 10 + `x', 'y`) AS z",
    "SELECT transform_values(map('a', 1), (k, v) -> concat(k, pair_, v)) AS z FROM (SELECT 'p' AS pair_)",
    "SELECT array_except(array(1, own_), array(2, other_)) AS z FROM (SELECT 1 AS own_, 7 AS other_)",
    "SELECT initcap(s) AS z, count(*) AS n FROM VALUES ('a b'), ('A B') AS t(s) GROUP BY initcap(s)",
    "SELECT initcap(word_) AS z FROM (SELECT 'abc déf' AS word_)",
    "SELECT max(struct(a AS known_1, b)) AS z, min(struct(a AS known_2, b AS value1_)) AS y FROM VALUES (1, NULL), (1, 2), (NULL, 4) AS t(a, b)",
    "SELECT concat(v_ * 2, 'x') AS y FROM VALUES (1e10D), (0.00001D) AS t(v_)",
    "SELECT format_number(t_, 2) AS z FROM VALUES (12345.678BD), (-0.001BD), (-5.5BD) AS t(t_)",
    "SELECT listagg(DISTINCT value_, ', ') WITHIN GROUP (ORDER BY value_) AS z FROM VALUES (1), (2), (1) AS t(value_)",
    "SELECT * FROM VALUES (1, 2), (2, 3) AS t(__keep, x) QUALIFY row_number() OVER (ORDER BY x) = 1",
    "SELECT x, __key1 FROM VALUES (1, 2), (1, 3), (2, 5) AS t(x, __key1) GROUP BY x, __key1 ORDER BY max(__key1) DESC",
    "SELECT a LIKE ANY ('a%', 'b' || '%') AS x, a || 'b' LIKE ALL ('a%', '%b') AS y FROM VALUES ('abc'), ('bcd'), (NULL) AS t(a)",
    "SELECT NOT a LIKE ANY ('a%', 'b%') AS x, a NOT LIKE ALL ('a%', 'x%') AS y FROM VALUES ('abc'), ('xcd'), (NULL) AS t(a)",
    "SELECT a[i] AS x FROM VALUES (array(1, 2, 3), 0), (array(1, 2, 3), 2), (array(CAST(NULL AS INT)), CAST(NULL AS INT)) AS t(a, i)",
    "SELECT get(a, i) AS x FROM VALUES (array(1, 2, 3), -1), (array(1, 2, 3), 0), (array(1, 2, 3), 3) AS t(a, i)",
    "SELECT slice(a, 3, 5) AS x, slice(a, -1, 2) AS y, slice(a, -2, 9) AS z, slice(a, -5, 9) AS w, slice(a, 5, 2) AS v FROM VALUES (array(1, 2, 3)), (array()) AS t(a)",
    "SELECT slice(a, if(a[0] > 0, -10, 1), 2) AS x, slice(a, -a[0], 2) AS y FROM VALUES (array(1, 2, 3)) AS t(a)",
    "SELECT substring('abcdef', i, if(n < 0, 0, n)) AS x FROM VALUES (-10, 6), (-3, 2), (0, 2), (3, -1) AS t(i, n)",
    "SELECT overlay('abcdef', 'xx', 2, if(n < 0, 5, n)) AS x, factorial(if(n > 0, n, 25)) AS y FROM VALUES (-1), (2) AS t(n)",
    "SELECT chr(n & 511) AS x, chr(n & 255) AS y, n >>> (n & 63) AS z FROM VALUES (300), (65) AS t(n)",
    "SELECT coalesce(CAST(NULL AS DOUBLE), 1 + round(x, 1)) AS b, format_string('%.1f', coalesce(x, 0D)) AS a FROM VALUES (2.25D), (0.285D) AS t(x)",
    "SELECT isnan(x) <=> NULL AS a, isnan(x) <=> true AS b FROM VALUES (DOUBLE('NaN')), (1D), (NULL) AS t(x)",
    "SELECT mod(a - b, a + b) AS x, try_divide(a - b, 2.5D) AS y, nullifzero(a - 7) AS z, left('abcd', b - 1) AS w FROM VALUES (7, 2) AS t(a, b)",
    "SELECT nvl2(a OR b, a AND b, NOT a) AS x, ifnull(a AND b, b) AS y, quote(s || '''') AS z FROM VALUES (true, false, 'abc') AS t(a, b, s)",
    "SELECT regexp_replace(s, '(a)(b)', '$10') AS x, regexp_replace(s, '(b)$', '[$1]') AS y, regexp_replace(s, 'x*', '') AS z FROM VALUES ('xab'), ('ab\\n'), ('b\\r\\n') AS t(s)",
    "SELECT s RLIKE 'b$' AS x, s RLIKE 'a.b' AS y, regexp_extract(s, '[ab]+$', 0) AS z, regexp_extract(s, '(.)b$') AS w FROM VALUES ('ab'), ('ab\\n'), ('a\\rb'), ('ab\\n\\n') AS t(s)",
    "SELECT split(s, '\\\\<') AS x, regexp_count(s, '\\\\P{Alpha}') AS y, regexp_replace(s, '[a~b&&[^b]]', '-') AS z FROM VALUES ('a<b~é') AS t(s)",
    "SELECT k FROM VALUES (1, 1), (2, 2), (3, NULL) AS t(k, x) WHERE x IN (SELECT y FROM VALUES (1), (NULL) AS s(y))",
    "SELECT k FROM VALUES (1, 1), (2, 2), (3, NULL) AS t(k, x) WHERE x NOT IN (SELECT y FROM VALUES (1), (3) AS s(y)) AND k > 0",
    "SELECT k, g FROM VALUES (1, array(1, 2)), (2, array()) AS t(k, l) LATERAL VIEW explode(l) v AS g WHERE g > 1 OR g = 1",
    "SELECT k, g FROM VALUES (1, array(1, 2, 3)) AS t(k, l) JOIN LATERAL explode(l) AS v(g) ON g = 1 OR g = 2 JOIN (SELECT 1 AS j) ON true WHERE k = 1",
)
"""What was answered otherwise once, or would be by a rewrite that takes names or operands apart."""


@pytest.mark.parametrize("sql", SAME)
def test_both_engines_answer_alike(sql: str, embedded: Ask, spark: Ask) -> None:
    found, expected = embedded(sql), spark(sql)

    assert found.columns == expected.columns
    assert found.sorted == expected.sorted


_T = "WITH t AS (SELECT * FROM VALUES (1, 1), (2, 2), (3, NULL) AS v(k, x)), s AS (SELECT * FROM VALUES (1, 1), (2, NULL) AS v(k, y)) "

ANSWERED = (
    f"{_T}SELECT *, k AS z FROM t LEFT JOIN (SELECT k AS j, 1 AS c FROM s) s ON t.k = j ORDER BY c, z DESC",
    f"{_T}SELECT x AS w, * FROM t LEFT JOIN (SELECT k AS j, 1 AS c FROM s) s ON t.k = j ORDER BY 5, w DESC, k",
    f"{_T}SELECT k FROM t WHERE NOT (x IN (SELECT y FROM s) OR k = 3)",
    f"{_T}SELECT k FROM t WHERE x NOT IN (SELECT y FROM s WHERE s.y <> t.x)",
    f"{_T}SELECT k FROM t WHERE NOT x IN (SELECT y FROM s WHERE t.k > 5)",
    f"{_T}SELECT k FROM t WHERE x NOT IN (SELECT y FROM s WHERE x IS NULL)",
    f"{_T}SELECT k FROM t WHERE x NOT IN (SELECT y FROM s) OR k = 3",
    f"{_T}SELECT k FROM t WHERE CASE WHEN x IN (SELECT y FROM s) THEN false ELSE true END",
    f"{_T}SELECT k FROM t WHERE (x IN (SELECT y FROM s)) IS NULL",
    f"{_T}SELECT k FROM t WHERE x IN (SELECT count(*) FROM s WHERE s.k = t.k)",
    f"{_T}SELECT k FROM t WHERE 5 NOT IN (SELECT y FROM s)",
    f"{_T}SELECT k FROM t WHERE EXISTS (SELECT 1 FROM s WHERE t.x NOT IN (SELECT y FROM s))",
    f"{_T}SELECT t.k, c FROM t LEFT JOIN (SELECT k, 1 AS c FROM s) s ON t.k = s.k ORDER BY c, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND s.y = 1 ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y AS z FROM s RIGHT JOIN t ON t.k = s.k AND s.y = 1 ORDER BY 2, 1",
    f"{_T}SELECT k, x, count(*) AS n FROM t WHERE k = 1 GROUP BY ROLLUP (k, x) ORDER BY k, x",
    f"{_T}SELECT k, x, count(*) AS n FROM (SELECT *, 'a' AS c FROM t) GROUP BY GROUPING SETS ((c, k, x), (x, k), ()) ORDER BY c, k",
    f"{_T}SELECT s.k FROM t LEFT JOIN s ON t.k = s.k WHERE t.k = 2 ORDER BY s.k",
    f"{_T}SELECT z.k FROM t LEFT JOIN (SELECT s.k FROM s LEFT JOIN t ON t.x = s.y WHERE s.k = 2) z ON t.x = z.k ORDER BY z.k",
    f"{_T}SELECT t.k, row_number() OVER (ORDER BY c, t.k) AS n FROM t FULL JOIN (SELECT k, 1 AS c FROM s) s ON t.k = s.k",
    f"{_T}SELECT t.k, rank() OVER w AS n FROM t LEFT JOIN (SELECT k, 1 AS c FROM s) s ON t.k = s.k WINDOW w AS (ORDER BY c)",
    f"{_T}SELECT c, t.k FROM t LEFT JOIN (SELECT k, 1 AS c FROM s) s ON t.k = s.k ORDER BY ALL",
    f"{_T}SELECT * FROM t LEFT JOIN (SELECT k AS j, 1 AS c FROM s) s ON t.k = j ORDER BY 4, 1",
    f"{_T}SELECT t.k, m FROM t LEFT JOIN (SELECT max(y) AS m FROM s) s ON t.k = m ORDER BY m, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND y >= 1 AND y <= 1 ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND y > 0 AND y < 2 ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND y BETWEEN 0.5 AND 1.5 ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND NOT y <> 1 ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND NOT y NOT IN (1) ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND y * 1 = 1 ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND y LIKE '1' ORDER BY y, t.k DESC",
    f"{_T}SELECT t.k, y FROM t LEFT JOIN s ON t.k = s.k AND y RLIKE '^1$' ORDER BY y, t.k DESC",
)
"""Sub-queries under NOT and OR, and orders by what an outer join or ROLLUP fills: Spark's rows, in Spark's order."""


@pytest.mark.parametrize("sql", ANSWERED)
def test_both_engines_answer_alike_in_order(sql: str, embedded: Ask, spark: Ask) -> None:
    found, expected = embedded(sql), spark(sql)

    assert found.columns == expected.columns
    assert found.sorted == expected.sorted
    if ends_with_order(sql):
        assert found.written == expected.written


LACKING = (
    "SELECT slice(array(1), 0, 1) AS x",
    "SELECT regexp_replace('abb', 'b*', 'x') AS x",
    "SELECT 'A' RLIKE '(?U)a' AS x",
    "SELECT regexp_replace('ab', 'a', '$1') AS x",
    "SELECT split('ab', 'b$') AS x",
    "SELECT primaryTitle RLIKE titleType AS x FROM movies_delta",
    "SELECT q AS y, transform(array(1, 2), q -> y + q) AS z FROM (SELECT 5 AS q)",
    "SELECT m.tconst, g FROM movies_delta m JOIN LATERAL explode(m.genres) AS t(g) ON g = 'a' FULL JOIN ratings_delta r ON r.tconst = m.tconst",
    "SELECT count(*) AS n FROM range(9) WHERE floor(rand() * 2) BETWEEN 1 AND 0",
    "SELECT count(*) AS n FROM range(9) WHERE floor(rand() * 2) NOT IN (0, 1)",
    f"SELECT 'a' RLIKE 'a{{{'9' * 5000}}}' AS x",
    "SELECT 'a' RLIKE 'a{²}' AS x",
)
"""What would be other rows than Spark's."""


def test_what_sparks_grammar_has_not_fails_on_both_engines(embedded: Ask, spark: Ask) -> None:
    for ask in (embedded, spark):
        with pytest.raises(QueryFailed, match="PARSE_SYNTAX_ERROR"):
            ask(
                "SELECT m.tconst, g FROM movies_delta m LATERAL VIEW explode(genres) t AS g RIGHT JOIN ratings_delta r ON r.tconst = m.tconst WHERE g = 'Drama'"
            )


@pytest.mark.parametrize("sql", LACKING)
def test_what_would_be_other_rows_is_left_to_spark(sql: str, check: Check) -> None:
    with pytest.raises(EngineLacks):
        check(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT m.tconst, r.numVotes FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst WHERE m.titleType = 'movie' ORDER BY r.numVotes DESC, m.tconst",
        "SELECT m.titleType, r.numVotes FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst WHERE m.titleType = 'movie' ORDER BY m.titleType, m.tconst",
        "SELECT m.tconst, r.numVotes FROM movies_delta m LEFT JOIN ratings_delta r USING (tconst) WHERE m.titleType = 'movie' ORDER BY m.titleType, m.tconst",
        "SELECT m.tconst, r.numVotes FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst WHERE m.tconst = 'tt1' ORDER BY m.tconst DESC",
        "SELECT m.tconst, r.numVotes FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst WHERE m.startYear BETWEEN 2000 AND 2000 ORDER BY m.startYear",
        "SELECT m.tconst, r.numVotes FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst AND r.numVotes BETWEEN 10 AND 20 ORDER BY r.numVotes, m.tconst",
        "SELECT count(*) AS n, max(r.numVotes) AS m FROM movies_delta m LEFT JOIN ratings_delta r ON m.tconst = r.tconst ORDER BY n, m",
        "SELECT tconst FROM movies_delta WHERE NOT (tconst IN (SELECT tconst FROM ratings_delta)) AND startYear > 1990",
        "SELECT tconst FROM movies_delta m WHERE tconst NOT IN (SELECT tconst FROM ratings_delta WHERE tconst IN (SELECT tconst FROM principals_delta WHERE category = 'actor'))",
        "SELECT titleType, startYear, count(*) AS n FROM movies_delta WHERE startYear > 1990 GROUP BY ROLLUP (titleType, startYear) ORDER BY titleType, startYear",
        "SELECT m.tconst FROM movies_delta m WHERE m.tconst IN (SELECT tconst FROM ratings_delta) AND m.startYear NOT IN (SELECT endYear FROM movies_delta WHERE endYear IS NOT NULL)",
    ],
)
def test_what_is_in_no_danger_runs(sql: str, check: Check) -> None:
    assert check(sql).sql
