"""Whose fault a failure of the embedded engine is: the statement's where Spark refuses it too, else the engine's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakehouse.errors import EngineLacks, QueryError, QueryFailed
from mcp_server import checking
from tests.dialect.conftest import Check
from tests.expected import Ask
from tests.guard.conftest import SETTINGS

_T = "FROM VALUES (1, 'a', array(1)), (2, 'b', array(2)) AS t(n, s, l)"
_TWO = "FROM VALUES (1) AS a(n) JOIN VALUES (1) AS b(n) ON a.n = b.n"

MISTAKES = (
    # values
    "SELECT element_at(array(1), 5)",
    "SELECT element_at(array(1), 0)",
    "SELECT split_part('a', 'b', 0)",
    "SELECT make_date(2020, 13, 1)",
    "SELECT make_timestamp(2020, 13, 1, 0, 0, 0)",
    "SELECT to_timestamp('abc')",
    "SELECT to_timestamp('abc', 'yyyy')",
    "SELECT to_date('2020-13-01', 'yyyy-MM-dd')",
    "SELECT date_format(now(), 'MMMMMM')",
    "SELECT next_day('2020-01-01', 'xx')",
    "SELECT date_part('foo', now())",
    "SELECT to_number('abc', '9')",
    "SELECT CAST('abc' AS DECIMAL(3, 0))",
    f"SELECT CAST(n AS DECIMAL(50, 0)) {_T}",
    "SELECT 1L + 9223372036854775807L",
    "SELECT 128Y",
    "SELECT map(NULL, 1)",
    "SELECT getbit(1, 99)",
    "SELECT regexp_extract('a', 'a', 5)",
    "SELECT 'a' LIKE 'b' ESCAPE 'xx'",
    f"SELECT ntile(0) OVER (ORDER BY n) {_T}",
    f"SELECT percentile(n, 2) {_T}",
    f"SELECT (SELECT n {_T})",
    # literals
    "SELECT DATE 'abc'",
    "SELECT DATE '2026-02-29'",
    "SELECT DATE '01/02/2026'",
    "SELECT TIMESTAMP 'abc'",
    "SELECT TIMESTAMP '2026-13-01 00:00:00'",
    # types
    "SELECT 1 + true",
    "SELECT array(1) + 1",
    "SELECT true + true",
    "SELECT DATE '2020-01-01' + 1.5D",
    "SELECT DATE '2020-01-01' * 2.5",
    "SELECT TIMESTAMP '2020-01-01 00:00:00' - 1.5",
    "SELECT 1 + INTERVAL 1 DAY",
    "SELECT 1 = array(1)",
    "SELECT array(1) < map(1, 2)",
    "SELECT CASE WHEN true THEN 1 ELSE array(1) END",
    "SELECT 1 IN (1, array(2))",
    "SELECT 1 UNION ALL SELECT array(1)",
    "SELECT CAST(array(1) AS INT)",
    f"SELECT n['a'] {_T}",
    f"SELECT n {_T} WHERE n",
    "SELECT explode(1)",
    "SELECT size(1)",
    "SELECT filter(array(1), x -> x + 1)",
    # calls
    "SELECT upper('a', 'b')",
    "SELECT date_trunc('day')",
    "SELECT map(1)",
    "SELECT aggregate(array(1), 0)",
    "SELECT transform(array(1), (x, y, z) -> x)",
    f"SELECT row_number() {_T}",
    # queries
    "SELECT 1 UNION SELECT 1, 2",
    "SELECT (SELECT 1, 2)",
    f"SELECT sum(count(*)) {_T}",
    f"SELECT s, count(*) {_T}",
    f"SELECT *, count(*) {_T}",
    f"SELECT s {_T} HAVING count(*) > 1",
    f"SELECT s, count(*) {_T} GROUP BY n",
    f"SELECT count(*) {_T} GROUP BY count(*)",
    f"SELECT s {_T} WHERE count(*) > 1",
    f"SELECT s {_T} WHERE row_number() OVER (ORDER BY n) = 1",
    f"SELECT s {_T} GROUP BY s HAVING row_number() OVER (ORDER BY s) = 1",
    f"SELECT s {_T} ORDER BY 5",
    f"SELECT s {_T} GROUP BY 5",
    f"SELECT n {_T} ORDER BY (SELECT 1 FROM VALUES (1) AS u(n) WHERE u.n = t.n)",
    f"SELECT n {_T} ORDER BY EXISTS (SELECT 1)",
    f"SELECT sum(n) OVER w {_T}",
    # names
    f"SELECT n {_TWO}",
    f"SELECT a.n {_TWO} WHERE n = 1",
    f"SELECT x.* {_T}",
    f"SELECT x.n {_T}",
    f"SELECT n AS x {_T} WHERE x > 1",
    "SELECT named_struct('a', 1).b",
)

LACKS = (
    f"SELECT coalesce(n, 1 / 0) AS x {_T}",
    f"SELECT if(n > 5, CAST('a' AS INT), 0) AS x {_T}",
    "SELECT * FROM (SELECT 1 AS c, 2 AS c, 3 AS d) NATURAL JOIN (SELECT 1 AS c, 3 AS d)",
)

ANSWERED = (
    "SELECT m.zz AS x FROM VALUES (map('zz', 1)) AS t(m)",
    "SELECT DATE 'today' > DATE '2020-01-01' AS x",
    "SELECT DATE ' 2026-01-31 ' AS x",
    f"SELECT CASE WHEN n > 5 THEN 1 / 0 ELSE 0 END AS x {_T}",
    f"SELECT sum(n + 1) AS x {_T} HAVING sum(n) + 1",
    f"SELECT (SELECT t.n + 1) AS x {_T}",
    f"SELECT s AS x {_T} WHERE (SELECT t.n) = 1",
    f"SELECT n, grouping__id AS x {_T} GROUP BY CUBE(n)",
    "SELECT x.field, field FROM VALUES (named_struct('field', 1)) AS t(x)",
    "SELECT NAMED_STRUCT('a', 1) AS x FROM VALUES ('a') AS t(x) GROUP BY x HAVING x.a > 0",
    "SELECT 1 AS x FROM VALUES (1, 2) AS t(a, b) WHERE array(*) = array(1, 2)",
    "SELECT date_format(TIMESTAMP '2020-01-01 00:00:00+08:00:00', 'yyyy') AS x",
)
"""What looks like a mistake, or like more than the engine has."""


@pytest.mark.parametrize("sql", MISTAKES)
def test_a_mistake_has_sparks_condition_on_the_embedded_engine_and_asks_no_other(
    sql: str, embedded: Ask, spark: Ask
) -> None:
    with pytest.raises(QueryFailed) as found:
        embedded(sql)
    with pytest.raises(QueryFailed) as expected:
        spark(sql)
    assert not found.value.lacking
    assert (found.value.condition or "").partition(".")[0] == (expected.value.condition or "").partition(".")[0]
    assert found.value.sqlstate == expected.value.sqlstate
    assert f"[{found.value.condition}]" in str(found.value)


@pytest.mark.parametrize("sql", LACKS)
def test_what_spark_answers_is_no_mistake_where_the_embedded_engine_fails(sql: str, embedded: Ask, spark: Ask) -> None:
    with pytest.raises(QueryError) as failure:
        embedded(sql)
    assert failure.value.lacking
    assert spark(sql).columns


@pytest.mark.parametrize("sql", ANSWERED)
def test_what_spark_answers_is_answered_alike(sql: str, embedded: Ask, spark: Ask) -> None:
    found, expected = embedded(sql), spark(sql)

    assert (found.columns, found.sorted) == (expected.columns, expected.sorted)


@pytest.mark.parametrize(
    ("sentence", "form"),
    [
        ("Physical plan does not support logical expression ScalarSubquery(<subquery>)", "Join with a sub-query"),
        ("Physical plan does not support logical expression Wildcard { qualifier: None }", "Name the columns"),
        ('Parser error: Invalid timezone "+08:00:00"', "Write its offset"),
    ],
)
def test_a_failure_by_what_the_embedded_engine_lacks_tells_a_form_that_works(
    sentence: str, form: str, check: Check
) -> None:
    catalog = replace(SETTINGS["catalog"], dialect="sail")

    judged = checking.judge_failure(QueryFailed(sentence, lacking=True), check("SELECT 1 AS x"), catalog)

    assert isinstance(judged, EngineLacks)
    assert form in str(judged)


def test_words_of_a_statement_do_not_name_its_failure(embedded: Ask) -> None:
    with pytest.raises(QueryFailed) as failure:
        embedded("SELECT from_json('{}', 'Remainder by zero')")
    assert (failure.value.condition, failure.value.lacking) == (None, True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT array(NULL, NULL) AS x",
        "SELECT array_repeat(NULL, 3) AS x",
        "SELECT map() AS x",
        "SELECT array(array(NULL), array()) AS x, named_struct('a', array(NULL, NULL), 'm', map()) AS y, 1 AS z",
    ],
)
def test_lists_of_nothing_but_nulls_and_empty_maps_are_answered_by_both_engines(
    sql: str, embedded: Ask, spark: Ask
) -> None:
    assert embedded(sql) == spark(sql)
