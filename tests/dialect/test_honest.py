"""Every honest statement of the corpora gives the same answer on both engines, or says what the embedded one lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from lakehouse.errors import EngineLacks, QueryFailed, Refused
from tests.conftest import ROOT
from tests.expected import Ask

FILES = ("honest-open", "own-honest")
NO_QUERY = re.compile(r"\s*(SHOW|DESC|DESCRIBE|EXPLAIN)\b", re.IGNORECASE)

STATEMENTS: Mapping[str, str] = {
    line["id"]: line["sql"]
    for name in FILES
    for line in map(json.loads, (ROOT / f"tests/data/guard/{name}.jsonl").read_text("utf-8").splitlines())
    if not NO_QUERY.match(line["sql"]) and line["class"] != "ai-ok"
}

LACKING: Mapping[str, str] = {
    "own-h071": "recursion without a condition: Spark itself fails at its fiftieth step",
    "own-h088": "collations",
}
"""What the embedded engine cannot run; each raises EngineLacks with a form that works."""

UNPUBLISHED: Mapping[str, str] = {
    "own-h076": "the lake has no version 3 of the table",
    "own-h078": "the lake has no version 2 of the table",
}
"""What the guard refuses of this lake, and why."""

FAILING: Mapping[str, str] = {
    "own-h079": "PySpark brings no intervals of months to Arrow",
}
"""What fails on Spark alone, and why."""

COLUMNS_ONLY: Mapping[str, str] = {
    "ben-0154": "a random sample",
    "ben-0156": "a random sample",
    "own-h030": "a random sample",
    "own-h091": "a random order",
    "ben-0163": "the time of the call",
    "own-h052": "LIMIT of lists that are collected in any order",
}
"""What no two runs answer alike, and why. Names and types of the columns are compared all the same."""

OTHER_NAMES: Mapping[str, str] = {
    "own-h059": "Spark writes a named window out in the name of a column",
    "own-h086": "the pattern within the name is the one that runs",
    "own-h131": "Spark's inner names for sums of dates and intervals",
}
"""Columns without an alias that the embedded engine calls otherwise, and why. Their types and cells are equal."""

COUNTED: Mapping[str, str] = {
    "ben-0107": "ntile() of ties",
    "own-h053": "sets are collected in any order",
    "own-h054": "LIMIT of groups in any order",
    "own-h061": "a running sum over ties",
    "own-h093": "a count by a sketch, which is another one",
    "own-h128": "a count by a sketch, which is another one",
}
"""Where cells may differ, and why: columns and the number of rows are compared."""


def has_limit_only(sql: str) -> bool:
    """Whether any rows may be given: LIMIT without ORDER BY."""
    return "LIMIT" in sql.upper() and "ORDER BY" not in sql.upper()


@pytest.mark.parametrize("name", [name for name in STATEMENTS if name not in {**LACKING, **UNPUBLISHED, **FAILING}])
def test_an_honest_statement_is_answered_equally_by_both_engines(name: str, embedded: Ask, spark: Ask) -> None:
    sql = STATEMENTS[name]
    found, expected = embedded(sql), spark(sql)

    if name in OTHER_NAMES:
        assert found.columns != expected.columns
        assert found.types == expected.types
    else:
        assert found.columns == expected.columns
    if name in COLUMNS_ONLY:
        return
    assert len(found.rows) == len(expected.rows)
    if name not in COUNTED and not has_limit_only(sql):
        assert found.sorted == expected.sorted


@pytest.mark.parametrize("name", LACKING)
def test_what_the_embedded_engine_lacks_is_said_before_it_runs(name: str, embedded: Ask) -> None:
    with pytest.raises(EngineLacks, match="The spark engine runs it as it is"):
        embedded(STATEMENTS[name])


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_what_was_never_published_is_refused_for_both_engines(name: str, embedded: Ask, spark: Ask) -> None:
    for ask in (embedded, spark):
        with pytest.raises(Refused):
            ask(STATEMENTS[name])


@pytest.mark.parametrize("name", FAILING)
def test_what_spark_cannot_bring_is_answered_by_the_embedded_engine(name: str, embedded: Ask, spark: Ask) -> None:
    with pytest.raises(QueryFailed):
        spark(STATEMENTS[name])

    assert embedded(STATEMENTS[name]).rows
