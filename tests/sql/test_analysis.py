"""What Spark's analyser refuses of clauses, and what it does not: each asked of Spark 4.2."""

from __future__ import annotations

import pytest

from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import read_source, spell_out
from mcp_server.sql.typed.analysis import check_query
from mcp_server.sql.typed.parse_query import parse_query
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.resolve import resolve_query
from mcp_server.sql.typed.scopes import TableSource
from mcp_server.sql.typed.subquery_analysis import check_subqueries

T = "VALUES (1, 2, 'x'), (1, 3, 'y') AS t(a, b, c)"

REFUSED = {
    "WITH q AS (SELECT 1), q AS (SELECT 2) SELECT * FROM q": "DUPLICATED_CTE_NAMES",
    f"SELECT a, b, count(*) FROM {T} GROUP BY a": "MISSING_AGGREGATION",
    f"SELECT a, count(*) FROM {T}": "MISSING_GROUP_BY",
    f"SELECT a, sum(b) FROM {T} GROUP BY 3": "GROUP_BY_POS_OUT_OF_RANGE",
    f"SELECT a, sum(b) FROM {T} GROUP BY 2": "GROUP_BY_POS_AGGREGATE",
    f"SELECT * FROM {T} GROUP BY a, 1": "STAR_GROUP_BY_POS",
    f"SELECT a AS k, k + 1 AS j FROM {T} GROUP BY k, j": "UNSUPPORTED_FEATURE.LATERAL_COLUMN_ALIAS_IN_GROUP_BY",
    f"SELECT a, grouping(a) FROM {T} GROUP BY a": "UNSUPPORTED_GROUPING_EXPRESSION",
    f"SELECT a FROM {T} ORDER BY 2": "ORDER_BY_POS_OUT_OF_RANGE",
    f"SELECT a FROM {T} ORDER BY -1": "ORDER_BY_POS_OUT_OF_RANGE",
    f"SELECT row_number() OVER (PARTITION BY a) FROM {T}": "WINDOW_FUNCTION_FRAME_NOT_ORDERED",
    f"SELECT sum(a) OVER (RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {T}": (
        "DATATYPE_MISMATCH.RANGE_FRAME_WITHOUT_ORDER"
    ),
    f"SELECT count(t.*) FROM {T}": "INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT",
    "SELECT 1 + explode(array(1, 2))": "UNSUPPORTED_GENERATOR.NESTED_IN_EXPRESSIONS",
    f"SELECT a FROM {T} ORDER BY explode(array(a))": "UNSUPPORTED_GENERATOR.OUTSIDE_SELECT",
    f"SELECT a FROM {T} ORDER BY EXISTS (SELECT 1)": (
        "UNSUPPORTED_SUBQUERY_EXPRESSION_CATEGORY.UNSUPPORTED_IN_EXISTS_SUBQUERY"
    ),
    f"SELECT a, sum(sum(b)) OVER () FROM {T} GROUP BY a ORDER BY sum(b)": "UNSUPPORTED_EXPR_FOR_OPERATOR",
    f"SELECT * EXCEPT (a, a) FROM {T}": "EXCEPT_OVERLAPPING_COLUMNS",
    "SELECT 1 UNION SELECT 1, 2": "NUM_COLUMNS_MISMATCH",
    f"SELECT sum(max(a)) FROM {T}": "NESTED_AGGREGATE_FUNCTION",
}

ALLOWED = [
    f"SELECT a + b, count(*) FROM {T} GROUP BY b + a",
    f"SELECT a AS k, count(*) FROM {T} GROUP BY k HAVING k > 0 ORDER BY k + 1",
    f"SELECT a, b, count(*) FROM {T} GROUP BY ROLLUP (a, b) HAVING grouping(a) = 0",
    f"SELECT a + 1, sum(b) OVER () FROM {T}",
    f"SELECT a, max(b) AS m, m + 1 FROM {T} GROUP BY a",
    f"SELECT count(DISTINCT t.*) FROM {T}",
    f"SELECT explode(collect_list(b)), a FROM {T} GROUP BY a",
    f"SELECT a FROM {T} ORDER BY b, 2",
]


def _check(sql: str) -> None:
    source = read_source(sql, spell_out(tokenize(sql, 20_000)))
    query = resolve_query(parse_query(source), TableSource(lambda _: None, lambda *_: None, ("imdb",)))
    check_query(query)
    check_subqueries(query)


@pytest.mark.parametrize(("sql", "condition"), REFUSED.items())
def test_what_spark_refuses_is_refused_under_its_condition(sql: str, condition: str) -> None:
    with pytest.raises(SparkRefuses) as refusal:
        _check(sql)

    assert refusal.value.condition == condition


@pytest.mark.parametrize("sql", ALLOWED)
def test_what_spark_allows_is_allowed(sql: str) -> None:
    _check(sql)
