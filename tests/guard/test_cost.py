"""Any text at all is answered soon. The bounds are those of the issue, with the machine's noise beside them."""

from __future__ import annotations

import pytest

from lakehouse.session import Dialect
from tests.guard.conftest import CPU_SECONDS, Verdict, cpu_seconds
from tests.guard.giants import giants


@pytest.mark.parametrize("dialect", ["spark", "sail"])
@pytest.mark.parametrize(("name", "sql"), list(giants().items()), ids=list(giants()))
def test_the_largest_statements_are_answered_within_a_quarter_of_a_second(
    name: str, sql: str, dialect: Dialect
) -> None:
    assert cpu_seconds(sql, dialect) < CPU_SECONDS, name


def test_parsing_is_bounded_by_steps_and_not_by_luck(verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_server.sql.parser.WORK_PER_TOKEN", 0)

    said = verdict("SELECT upper('a') FROM movies_delta WHERE tconst = 'tt1'")

    assert said.code == "too_deep"
