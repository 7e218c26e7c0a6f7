"""Every line of the corpora: the honest pass, the hostile do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.guard.conftest import MAX_ROWS, Verdict

DATA = Path(__file__).parent.parent / "data" / "guard"


def _lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


HONEST = [*_lines("honest-open.jsonl"), *_lines("own-honest.jsonl")]
HOSTILE = [*_lines("hostile-open.jsonl"), *_lines("own-hostile.jsonl")]


@pytest.mark.parametrize("line", HONEST, ids=lambda x: x["id"])
def test_an_honest_statement_is_allowed(line: dict[str, str], verdict: Verdict) -> None:
    said = verdict(line["sql"])

    assert said.allow, f"{said.code}: {said.message}\n{line['sql']}"
    assert said.limit is not None
    assert said.limit <= MAX_ROWS


@pytest.mark.parametrize("line", HOSTILE, ids=lambda x: x["id"])
def test_a_hostile_statement_is_refused_or_only_asks_for_more_rows_than_it_gets(
    line: dict[str, str], verdict: Verdict
) -> None:
    said = verdict(line["sql"])

    clamped = line["class"] == "limit" and said.allow and said.limit == MAX_ROWS
    assert clamped or not said.allow, line["sql"][:300]


@pytest.mark.parametrize("line", HOSTILE, ids=lambda x: x["id"])
def test_a_refusal_is_short_and_repeats_no_secret_machinery(line: dict[str, str], verdict: Verdict) -> None:
    said = verdict(line["sql"])

    assert len(said.message) < 500
    assert "sqlglot" not in said.message.lower()
    assert "\n" not in said.message


def test_the_questions_of_the_evaluation_are_allowed(verdict: Verdict) -> None:
    path = SHARED / "evals" / "questions-open.jsonl"
    if not path.is_file():
        pytest.skip("needs the folder of evaluation questions")
    questions = [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    refused = {q["id"]: verdict(q["sql"]).message for q in questions if not verdict(q["sql"]).allow}

    assert questions
    assert refused == {}
