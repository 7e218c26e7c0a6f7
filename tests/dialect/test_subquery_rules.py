"""The rules for sub-queries: what stays as it is sent, what is written otherwise, and what Spark refuses."""

from __future__ import annotations

import pytest

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.subqueries import SUBQUERY_RULES
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import read_source
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.parse_query import parse_query
from mcp_server.sql.typed.printer import print_query
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Query
from mcp_server.sql.typed.resolve import TableSource, resolve_query
from mcp_server.sql.typed.subquery_analysis import check_subqueries

WITH = (
    "WITH t AS (SELECT * FROM VALUES (1, 2) AS v (a, b)), u AS (SELECT * FROM VALUES (1, 2) AS v (c, d)), "
    "w AS (SELECT * FROM VALUES (1, 2) AS v (e, f)) "
)


def read(sql: str) -> Query:
    source = read_source(sql, tokenize(sql, 10_000))
    return resolve_query(parse_query(source), TableSource(lambda _: None, lambda _, __: None, ("s",)))


def rewrite(sql: str) -> str:
    """The statement after the rules, without its WITH."""
    query = read(WITH + sql)
    check_subqueries(query)
    first = 1 + max(getattr(node, "id", 0) for node in query.walk())
    context = Context.start(None, ("t", "u", "w"), first)  # type: ignore[arg-type]
    for _, kind, rule in SUBQUERY_RULES:

        def change(node: Node, kind: type = kind, rule=rule) -> Node:
            found = rule(node, context) if isinstance(node, kind) else None
            return node if found is None else found

        query = transform(query, change)
    return str(print_query(query))[len(WITH) :]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE c = a)",
        "SELECT * FROM t WHERE b > 5 OR NOT EXISTS (SELECT 1 FROM u WHERE c > a)",
        "SELECT a, EXISTS (SELECT 1 FROM u WHERE c = a) AS x FROM t",
        "SELECT * FROM t WHERE a IN (SELECT c FROM u) OR b = 1",
        "SELECT * FROM t WHERE a IN (SELECT c FROM u WHERE d < b)",
        "SELECT * FROM t WHERE a NOT IN (SELECT c FROM u) AND b = 1",
        "SELECT a, count(*) FROM t GROUP BY a HAVING a NOT IN (SELECT c FROM u)",
        "SELECT a, (SELECT max(d) FROM u WHERE c = a) AS x FROM t",
        "SELECT a, (SELECT max(d) FROM u WHERE c = a GROUP BY c) AS x FROM t",
        "SELECT * FROM t WHERE b > (SELECT avg(d) FROM u)",
        "SELECT * FROM t, LATERAL (SELECT a + b AS x) AS l",
    ],
)
def test_what_sail_answers_stays(sql: str) -> None:
    assert rewrite(sql) == sql


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (  # a mark, not three-valued: as in Spark's existence join
            "SELECT a IN (SELECT c FROM u) AS x FROM t",
            "SELECT EXISTS (SELECT 1 AS __c2 FROM (SELECT c FROM u) AS __q (__c) WHERE __q.__c = t.a) AS x FROM t",
        ),
        (
            "SELECT * FROM t WHERE (a, b) NOT IN (SELECT c, d FROM u)",
            (
                "SELECT * FROM t WHERE NOT EXISTS (SELECT 1 AS __c3 FROM (SELECT c, d FROM u) AS __q (__c, __c2) WHERE "
                "(__q.__c = t.a OR __q.__c IS NULL OR t.a IS NULL) AND "
                "(__q.__c2 = t.b OR __q.__c2 IS NULL OR t.b IS NULL))"
            ),
        ),
        (  # the value of nothing
            "SELECT a, (SELECT count(*) FROM u WHERE c = a + 1 AND d = b) AS x FROM t",
            "SELECT a, (SELECT count(*) FROM u WHERE c = a + 1 AND d = b) AS x FROM t",
        ),
        (  # no equality: the distinct outer values
            "SELECT a, (SELECT max(d) FROM u WHERE c > a) AS x FROM t",
            (
                "SELECT a, __q.__c AS x FROM t LEFT JOIN (SELECT max(d), __d.__o2 AS __o FROM u CROSS JOIN "
                "(SELECT DISTINCT t.a AS __o2 FROM t) AS __d WHERE c > __d.__o2 GROUP BY __d.__o2) AS __q (__c, __o) "
                "ON array(t.a) = array(__q.__o)"
            ),
        ),
        (  # an equality beside it: only the outer values that it lets meet
            "SELECT a, (SELECT max(d) FROM u WHERE c = a AND d < b) AS x FROM t",
            (
                "SELECT a, __q.__c AS x FROM t LEFT JOIN (SELECT max(d), __d.__o4 AS __o, __d.__o3 AS __o2 FROM u "
                "CROSS JOIN (SELECT DISTINCT t.b AS __o3, t.a AS __o4 FROM t) AS __d WHERE d < __d.__o3 AND "
                "c = __d.__o4 GROUP BY __d.__o4, __d.__o3) AS __q (__c, __o, __o2) "
                "ON t.a = __q.__o AND t.b <=> __q.__o2"
            ),
        ),
        (
            "SELECT * FROM t, LATERAL (SELECT d FROM u WHERE c = a) AS l",
            "SELECT t.a, t.b, l.d FROM t JOIN (SELECT d, c AS __o FROM u) AS l ON t.a = l.__o",
        ),
        (
            "SELECT * FROM t JOIN w ON a = e AND EXISTS (SELECT 1 FROM u WHERE c = a)",
            "SELECT * FROM t JOIN w ON a = e WHERE EXISTS (SELECT 1 FROM u WHERE c = a)",
        ),
        (  # always one row
            "SELECT * FROM t WHERE EXISTS (SELECT max(d) FROM u WHERE c = a)",
            "SELECT * FROM t WHERE TRUE",
        ),
        (  # a join needs the equality by itself
            "SELECT * FROM t, w WHERE (a = e AND b = 1) OR (a = e AND f = 2)",
            "SELECT * FROM t, w WHERE a = e AND (b = 1 OR f = 2)",
        ),
        (  # Sail would compare every key of the join with NULL = NULL
            "SELECT * FROM t JOIN w ON a <=> e WHERE b = f",
            "SELECT * FROM t JOIN w ON array(a) = array(e) WHERE b = f",
        ),
        (
            "SELECT a, count(*) FROM t GROUP BY a HAVING EXISTS (SELECT 1 FROM u WHERE d < max(b))",
            (
                "SELECT __q.__g AS a, __q.__g2 AS `count(1)` FROM "
                "(SELECT a AS __g, count(*) AS __g2, max(b) AS __g3 FROM t GROUP BY a) "
                "AS __q WHERE EXISTS (SELECT 1 FROM u WHERE d < __q.__g3)"
            ),
        ),
    ],
)
def test_others_are_written_otherwise(sql: str, expected: str) -> None:
    assert rewrite(sql) == expected


@pytest.mark.parametrize(
    ("sql", "condition"),
    [
        ("SELECT a IN (SELECT c, d FROM u) FROM t", "IN_SUBQUERY_LENGTH_MISMATCH"),
        ("SELECT (SELECT c, d FROM u) FROM t", "SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN"),
        ("SELECT (SELECT max(d) + a FROM u) FROM t", "CORRELATED_REFERENCE"),
        ("SELECT (SELECT count(*) FROM u WHERE c = a GROUP BY a) FROM t", "CORRELATED_REFERENCE"),
        ("SELECT (SELECT d FROM u WHERE c = a ORDER BY a LIMIT 1) FROM t", "CORRELATED_REFERENCE"),
        ("SELECT * FROM t ORDER BY (SELECT max(d) FROM u WHERE c = a)", "UNSUPPORTED_CORRELATED_SCALAR_SUBQUERY"),
        ("SELECT * FROM t JOIN w ON b > (SELECT max(d) FROM u WHERE c = a)", "UNSUPPORTED_CORRELATED_SCALAR_SUBQUERY"),
        ("SELECT * FROM t ORDER BY EXISTS (SELECT 1 FROM u)", "UNSUPPORTED_IN_EXISTS_SUBQUERY"),
        (
            "SELECT * FROM t JOIN w ON EXISTS (SELECT 1 FROM u WHERE c = a AND d = e)",
            "UNSUPPORTED_CORRELATED_EXPRESSION_IN_JOIN_CONDITION",
        ),
        (
            "SELECT (SELECT max(d) FROM u LEFT JOIN (SELECT * FROM w WHERE f < b) ON c = e) FROM t",
            "ACCESSING_OUTER_QUERY_COLUMN_IS_NOT_ALLOWED",
        ),
        ("SELECT * FROM t RIGHT JOIN LATERAL (SELECT d FROM u WHERE c = a) ON true", "INVALID_LATERAL_JOIN_TYPE"),
        ("SELECT * FROM t, LATERAL (SELECT a + rand(0) AS x)", "NON_DETERMINISTIC_LATERAL_SUBQUERIES"),
        ("SELECT transform(array(a), x -> x IN (SELECT c FROM u)) FROM t", "HIGHER_ORDER_FUNCTION"),
        (
            "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE c = a AND EXISTS (SELECT 1 FROM w WHERE e = a))",
            "UNRESOLVED_COLUMN",
        ),
        (
            "SELECT a FROM t GROUP BY a HAVING EXISTS (SELECT 1 FROM u WHERE d < b)",
            "RESOLVED_ATTRIBUTE_MISSING_FROM_INPUT",
        ),
    ],
)
def test_what_spark_refuses_is_refused(sql: str, condition: str) -> None:
    with pytest.raises(SparkRefuses) as found:
        rewrite(sql)
    assert condition in found.value.condition
