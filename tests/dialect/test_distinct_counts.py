"""Distinct values that are grouped in stages: over large tables, and here over any."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mcp_server import checking
from mcp_server.dialects.sail.rules import distinct_counts
from tests.conftest import ROOT
from tests.expected import Ask
from tests.guard.conftest import SETTINGS, TABLES

FILE = ROOT / "tests/data/dialect/distinct_counts.jsonl"
LINES = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]
STAGED = [line["sql"] for line in LINES if line["staged"]]
KEPT = [line["sql"] for line in LINES if not line["staged"]]
"""What Sail groups itself, and what is not the same each time, or has no key."""


@pytest.fixture
def any_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes every table for a large one."""
    monkeypatch.setattr(distinct_counts, "LEAST_ROWS", 0)
    return


def rules_of(sql: str, rows: int) -> tuple[str, ...]:
    tables = tuple(replace(table, rows=rows) for table in TABLES)
    found = checking.check(sql, **{**SETTINGS, "catalog": checking.Catalog("imdb", tables, {}, "sail")})
    return found.rewrites  # type: ignore[no-any-return, union-attr]


@pytest.mark.usefixtures("any_table")
@pytest.mark.parametrize("sql", STAGED)
def test_values_that_are_grouped_in_stages_are_counted_as_by_spark(sql: str, embedded: Ask, spark: Ask) -> None:
    found, expected = embedded(sql), spark(sql)
    assert found.columns == expected.columns
    assert found.sorted == expected.sorted
    if "ORDER BY" in sql:
        assert found.written == expected.written


@pytest.mark.parametrize("sql", STAGED)
def test_only_large_tables_are_grouped_in_stages(sql: str) -> None:
    assert "distinct values" in rules_of(sql, distinct_counts.LEAST_ROWS)
    assert "distinct values" not in rules_of(sql, distinct_counts.LEAST_ROWS - 1)


@pytest.mark.parametrize("sql", KEPT)
def test_what_must_not_be_grouped_in_stages_stays(sql: str) -> None:
    assert "distinct values" not in rules_of(sql, distinct_counts.LEAST_ROWS)
