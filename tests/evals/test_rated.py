"""Rated answers as questions: what is asked, what is to be written, and what is wrong with a line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imdb_lakehouse.evals.questions import parse_questions, select_questions
from lakehouse.errors import UsageError

UP = {"id": "a", "question": "How many?", "verdict": "up", "sql": "SELECT 1", "tags": ["rated up"], "answer": "One."}
DOWN = {"id": "b", "question": "And\nthen?", "verdict": "down", "comment": "No\u2028ne. " + "x" * 400, "before": []}


def parse(*lines: dict[str, Any]) -> Any:
    return parse_questions("\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode(), "feedback.jsonl")


def test_a_rated_answer_with_a_statement_is_a_question_and_one_without_is_to_be_written() -> None:
    file = parse(
        UP | {"before": [{"question": "Which?", "answer": "These."}]}, DOWN, DOWN | {"id": "c", "verdict": "up"}
    )
    (question,) = file.questions
    assert (question.sql, question.before, question.groups) == (
        "SELECT 1", (("Which?", "These."),), {"tags": ("rated up",)},
    )  # fmt: skip
    assert [one.id for one in file.unwritten] == ["b", "c"]
    assert file.unwritten[0].reason.startswith("And then? (rated down: No ne. xxx")
    assert len(file.unwritten[0].reason) < 300
    only = select_questions(file, ["b"])
    assert (only.questions, [one.id for one in only.unwritten]) == ((), ["b"])


def test_a_rated_answer_is_asked_once_somebody_has_written_its_statement() -> None:
    file = parse(DOWN | {"sql": "SELECT 2"})
    assert [(one.id, one.sql) for one in file.questions] == [("b", "SELECT 2")]
    assert file.unwritten == ()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ({"id": "d", "question": "How many?"}, "`sql` is missing or is no text"),
        ({"id": "d", "question": "How many?", "verdict": "maybe"}, "`sql` is missing or is no text"),
        (UP | {"before": ["Which?"]}, "`before` is no list of objects with question and answer"),
        (UP | {"before": [{"question": "Which?"}]}, "`answer` is missing or is no text"),
    ],
)
def test_a_line_that_is_neither_is_told(line: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        parse(line)
