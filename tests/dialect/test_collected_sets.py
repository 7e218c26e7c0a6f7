"""Sets of each group's values, which the embedded engine collects as lists where these fit into memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcp_server import checking
from mcp_server.dialects.sail.rules.collected_sets import MOST_ROWS
from tests.expected import Ask
from tests.guard.conftest import SETTINGS, TABLES

STATEMENTS = (
    (
        "SELECT nconst, array_join(sort_array(collect_set(category)), '/') AS c, count(DISTINCT category) AS n "
        "FROM principals_delta GROUP BY nconst ORDER BY nconst"
    ),
    (
        "WITH c AS (SELECT p.category, m.titleType FROM principals_delta p JOIN movies_delta m ON m.tconst = p.tconst) "
        "SELECT titleType, sort_array(collect_set(category)) AS c FROM c GROUP BY ROLLUP (titleType)"
    ),
    (
        "SELECT tconst, size(collect_set(category)) FROM principals_delta GROUP BY tconst HAVING "
        "count(DISTINCT category) > 2 ORDER BY tconst"
    ),
)


def write(sql: str, rows: int | None) -> str:
    tables = tuple(replace(table, rows=rows) for table in TABLES)
    found = checking.check(sql, **{**SETTINGS, "catalog": checking.Catalog("imdb", tables, {}, "sail")})
    return found.sql  # type: ignore[no-any-return, union-attr]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_sets_that_are_collected_as_lists_are_those_of_spark(sql: str, embedded: Ask, spark: Ask) -> None:
    found, expected = embedded(sql), spark(sql)

    assert found.columns == expected.columns
    assert found.sorted == expected.sorted


@pytest.mark.parametrize("sql", STATEMENTS)
def test_only_the_rows_of_tables_that_fit_into_memory_are_listed(sql: str) -> None:
    assert "collect_list(" in write(sql, MOST_ROWS)
    assert "collect_list(" not in write(sql, MOST_ROWS + 1)
    assert "collect_list(" not in write(sql, None)


def test_the_set_of_a_whole_table_is_kept_as_a_set() -> None:
    assert "collect_list(" not in write("SELECT collect_set(category) AS c FROM principals_delta", 5)
