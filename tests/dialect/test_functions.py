"""Every allowed function has a declared status on the embedded engine, and answers as declared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import EngineLacks, QueryError, QueryFailed
from mcp_server.dialects.sail.rules.data import sail
from mcp_server.guard.functions import function_policy
from tests.expected import Answer, Ask
from tests.parity.compare import called

CALLS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "dialect" / "calls.jsonl").read_text("utf-8").splitlines()
]
"""`how` they compare: equal; unordered rows; rows alone, where an interval has a wider type; types (other values each
time, or estimates); digits; lacks; refused by both; and what Spark alone refuses."""


def statements(*how: str) -> list[str]:
    return [call["sql"] for call in CALLS if call["how"] in how]


def test_every_allowed_function_has_one_status() -> None:
    tables = sail()
    lacking = {name for name in tables.lacks if "/" not in name}

    assert set(function_policy().allowed) == set(tables.status) | lacking
    assert set(tables.status) & lacking == set()


def test_what_is_rewritten_or_refused_is_an_allowed_function() -> None:
    tables = sail()
    keys = (*tables.lacks, *tables.forms, *tables.lengths, *tables.patterns)

    assert {key.partition("/")[0] for key in keys} <= set(function_policy().allowed)


def test_every_function_that_the_engine_has_is_called_in_a_comparison() -> None:
    compared = set().union(*map(called, statements("equal", "unordered", "rows", "digits", "types", "only embedded")))
    types = {name for name, status in sail().status.items() if status == "type_names"}

    assert set(sail().status) - compared == types - compared


def test_every_function_that_the_engine_lacks_is_refused_in_a_comparison() -> None:
    refused = set().union(*map(called, statements("lacks")))

    assert {name.partition("/")[0] for name in sail().lacks} <= refused


@pytest.mark.parametrize("sql", statements("equal"))
def test_both_engines_give_the_same_names_types_and_rows(sql: str, embedded: Ask, spark: Ask) -> None:
    assert shown(embedded(sql)) == shown(spark(sql))


@pytest.mark.parametrize("sql", statements("unordered"))
def test_both_engines_give_the_same_rows_in_some_order(sql: str, embedded: Ask, spark: Ask) -> None:
    ours, theirs = embedded(sql), spark(sql)

    assert ours.columns == theirs.columns
    assert ours.sorted == theirs.sorted


@pytest.mark.parametrize("sql", statements("rows"))
def test_both_engines_give_the_same_rows(sql: str, embedded: Ask, spark: Ask) -> None:
    assert repr(embedded(sql).rows) == repr(spark(sql).rows)


@pytest.mark.parametrize("sql", statements("refused"))
def test_both_engines_refuse_it_for_the_same_reason(sql: str, embedded: Ask, spark: Ask) -> None:
    conditions = []
    for ask in (embedded, spark):
        with pytest.raises(QueryFailed) as failed:
            ask(sql)
        conditions.append(failed.value.condition)

    assert conditions[0] == conditions[1]


@pytest.mark.parametrize("sql", statements("types"))
def test_both_engines_give_the_same_names_and_types(sql: str, embedded: Ask, spark: Ask) -> None:
    assert embedded(sql).columns == spark(sql).columns


@pytest.mark.parametrize("sql", statements("digits"))
def test_both_engines_agree_but_for_the_last_digits(sql: str, embedded: Ask, spark: Ask) -> None:
    ours, theirs = embedded(sql), spark(sql)

    assert ours.columns == theirs.columns
    for row, other in zip(ours.rows, theirs.rows, strict=True):
        assert all(near(mine, its) for mine, its in zip(row, other, strict=True))


@pytest.mark.parametrize("sql", statements("lacks"))
def test_what_the_embedded_engine_lacks_is_said_with_a_form_that_works(sql: str, embedded: Ask) -> None:
    with pytest.raises(EngineLacks, match=r"The spark engine runs it as it is\.$") as said:
        embedded(sql)

    assert said.value.code == "engine_lacks"


@pytest.mark.parametrize("sql", statements("only embedded"))
def test_what_spark_refuses_runs_on_the_embedded_engine(sql: str, embedded: Ask, spark: Ask) -> None:
    assert len(embedded(sql).rows) == 1
    with pytest.raises(QueryError):
        spark(sql)


def shown(answer: Answer) -> tuple[Any, str]:
    """As text: there NaN equals itself, and 1 differs from 1.0 and from Decimal('1')."""
    return answer.columns, repr(answer.rows)


def near(mine: Any, its: Any) -> bool:
    if isinstance(mine, float) and isinstance(its, float):
        return math.isclose(mine, its, rel_tol=1e-12, abs_tol=1e-12)
    return mine == its
