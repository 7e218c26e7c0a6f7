"""Every run makes statements of its seed: 2,500 through the checks, 150 of the allowed on an engine among canaries."""

from __future__ import annotations

from itertools import islice

import pytest

from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.guard.functions import function_policy
from mcp_server.guard.nodes import ALLOWED_KINDS
from tests.fuzz.canaries import Canaries
from tests.fuzz.generate import Generator, Targets
from tests.fuzz.run import Found, by_turns, check_many, execute
from tests.fuzz.templates import TEMPLATES, UNANSWERED

CHECKED = 2_500
EXECUTED = 150
CLASSES = {f"class:{kind}" for kind in function_policy().allowed.values()}
CPU_SECONDS_EACH = 0.02
"""On average; a single one may take longer (`judge.CPU_SECONDS`)."""


def test_any_statement_is_refused_or_harmless_by_a_reading_of_its_own(seed: int) -> None:
    found = Found()

    allowed = sum(1 for _ in check_many(seed, CHECKED, Targets(), found))

    assert found.codes.total() == CHECKED
    assert found.cpu_seconds < CHECKED * CPU_SECONDS_EACH
    assert CHECKED / 10 < allowed < CHECKED * 9 / 10, f"seed {seed}: {found.codes}"
    assert len(found.codes) > 20, f"seed {seed}: {found.codes}"


def test_the_same_seed_gives_the_same_statements(seed: int) -> None:
    first, second = (list(islice(Generator(seed).stream(), 300)) for _ in range(2))

    assert first == second
    assert first != list(islice(Generator(seed + 1).stream(), 300))


@pytest.fixture(scope="module")
def executed(seed: int, engine: EmbeddedEngine, canaries: Canaries) -> Found:
    """What 150 statements did that are in no corpus."""
    found, checks = Found(), Found()
    hostile, honest = (
        check_many(seed, CHECKED, canaries.targets, checks, attacks=is_hostile) for is_hostile in (True, False)
    )
    execute(engine, by_turns(hostile, honest), EXECUTED, found)
    return found


@pytest.fixture(scope="module")
def templates(engine: EmbeddedEngine) -> Found:
    """What the templates did."""
    found = Found()
    execute(engine, TEMPLATES, None, found)
    return found


def test_what_is_allowed_touches_nothing_and_leaks_nothing(executed: Found, canaries: Canaries, seed: int) -> None:
    assert executed.ends.total() == EXECUTED
    assert canaries.disturbed() == [], f"seed {seed}"


def test_most_of_what_is_allowed_is_answered(executed: Found, seed: int) -> None:
    assert executed.ends["ok"] > EXECUTED / 3, f"seed {seed}: {executed.ends}"


def test_the_server_answers_after_all_that(executed: Found, engine: EmbeddedEngine) -> None:
    after = Found()

    execute(engine, ["SELECT count(*) FROM movies_delta"], 1, after)

    assert after.ends == {"ok": 1}


def test_every_kind_of_node_and_every_class_of_function_is_answered(templates: Found, canaries: Canaries) -> None:
    wanted = ALLOWED_KINDS | CLASSES

    assert wanted - templates.covered - templates.tried == set(), "write a template that holds it"
    assert wanted - templates.covered - set(UNANSWERED) == set(), "not answered any more: mend it, or declare why"
    assert set(UNANSWERED) & templates.covered == set(), "answered by now: declare it no longer"
    assert canaries.disturbed() == []
