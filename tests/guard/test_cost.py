"""Any text at all is answered soon. The bounds are those of the issue, with the machine's noise beside them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from mcp_server import guard
from tests.guard.conftest import SETTINGS, Verdict
from tests.guard.giants import giants

CPU_SECONDS = 0.25


@pytest.mark.parametrize("dialect", ["spark", "sail"])
@pytest.mark.parametrize(("name", "sql"), list(giants().items()), ids=list(giants()))
def test_the_largest_statements_are_answered_within_a_quarter_of_a_second(name: str, sql: str, dialect: str) -> None:
    settings = SETTINGS | {"catalog": replace(SETTINGS["catalog"], dialect=dialect)}
    guard.verdict("SELECT 1", **settings)
    times = []
    for _ in range(3):
        started = time.process_time()
        guard.verdict(sql, **settings)
        times.append(time.process_time() - started)

    assert min(times) < CPU_SECONDS, name


def test_parsing_is_bounded_by_steps_and_not_by_luck(verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_server.guard.tree.WORK_PER_TOKEN", 0)

    said = verdict("SELECT upper('a') FROM movies_delta WHERE tconst = 'tt1'")

    assert said.code == "too_deep"
