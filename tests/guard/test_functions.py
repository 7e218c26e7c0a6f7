"""Every function of the engines is decided, and the lists do not contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcp_server.guard.functions import function_policy
from mcp_server.sql.functions import functions
from tests.guard.conftest import Verdict

NAMES = [
    line
    for line in (Path(__file__).parent.parent / "data" / "guard" / "engine_functions.txt")
    .read_text("utf-8")
    .splitlines()
    if not line.startswith("#")
]


def test_every_function_of_the_engines_is_allowed_refused_or_an_operator() -> None:
    known = function_policy()

    undecided = [n for n in NAMES if n not in known.allowed and n not in known.refused and n not in known.operators]

    assert len(NAMES) > 570
    assert undecided == []


def test_no_function_is_both_allowed_and_refused() -> None:
    known = function_policy()

    assert set(known.allowed) & set(known.refused) == set()
    assert known.bare <= set(known.refused)
    assert set(functions().growth) <= set(known.allowed)


@pytest.mark.parametrize("name", sorted(function_policy().refused))
@pytest.mark.parametrize("form", ["SELECT {}('a')", "SELECT `{}`(1)", "SELECT * FROM {}('a')", "SELECT x.y.{}()"])
def test_a_refused_function_is_refused_however_it_is_written(name: str, form: str, verdict: Verdict) -> None:
    assert not verdict(form.format(name)).allow
    assert not verdict(form.format(name.upper())).allow


def test_an_unknown_function_is_refused_with_the_nearest_known(verdict: Verdict) -> None:
    said = verdict("SELECT averge(numVotes) FROM ratings_delta")

    assert said.code == "unknown_function"
    assert "averge is no function" in said.message
    said = verdict("SELECT uper(primaryTitle) FROM movies_delta")
    assert "Did you mean upper?" in said.message
    assert said.message.endswith("(At line 1, column 8.)")
