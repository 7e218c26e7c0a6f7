"""Scores one turn of the bridge against the gold result.

The last successful statement counts: its result is what the model read before it answered. `any_match` is true if any
statement returned the gold result. The text of the answer is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ai_functions.types import NANOS_PER_DOLLAR
from imdb_lakehouse.bridge.turn import ToolStep, Turn
from imdb_lakehouse.evals.compare import Comparison, Gold, compare_results
from imdb_lakehouse.evals.gold import to_table

UNDECIDED = ("error", "budget")
"""Verdicts that do not judge the model: a service could not be reached, or the budget of the run was exhausted."""


@dataclass(frozen=True)
class Score:
    """A score. `verdict` is `match`; what differs in the result: `order`, `rows`, `columns` or `values`; `no result`;
    `no answer`; or one of UNDECIDED.
    """

    verdict: str
    reason: str
    any_match: bool
    rows_match: bool
    extra_columns: int
    rows: int | None
    sql: str | None

    @property
    def match(self) -> bool:
        """Whether the result is the gold result."""
        return self.verdict == "match"


def score_turn(turn: Turn, gold: Gold, *, poor: bool = False) -> Score:
    """Score a turn. `poor` means that its budget was below the limit of one question."""
    compared = [
        (step, compare_results(gold, table)) for step in turn.steps if (table := to_table(step.result)) is not None
    ]
    last, found = compared[-1] if compared else (None, None)
    verdict, reason = _decide_verdict(turn, found, poor)
    answered = turn.outcome == "answered"
    return Score(
        verdict,
        reason,
        any_match=any(each.verdict == "match" for _, each in compared),
        rows_match=answered and found is not None and found.rows_match,
        extra_columns=max(found.extra_columns, 0) if found is not None else 0,
        rows=last.result.rows if last is not None else None,
        sql=last.intent.sql if last is not None else None,
    )


def _decide_verdict(turn: Turn, found: Comparison | None, poor: bool) -> tuple[str, str]:
    if turn.fault is not None:
        return "error", turn.answer
    if poor and turn.outcome == "stopped":
        return "budget", "What was left of the budget did not suffice for this question."
    if turn.outcome != "answered":
        return "no answer", turn.answer
    if found is None:
        return "no result", "It answered without a statement that succeeded."
    return found.verdict, found.reason


def describe_turn(turn: Turn) -> dict[str, Any]:
    """Describe a turn for a line of results."""
    return {
        "outcome": turn.outcome,
        "answer": turn.answer,
        "tool_calls": len(turn.steps),
        "retries": sum(any(step.result.failed for step in done.steps) for done in turn.rounds),
        "tokens_read": turn.usage.input_tokens,
        "tokens_written": turn.usage.output_tokens,
        "model_usd": turn.nanos / NANOS_PER_DOLLAR,
        "ai_usd": turn.ai_dollars,
        "seconds": round(turn.seconds, 3),
        "statements": [_describe_statement(step) for step in turn.steps if step.intent.sql is not None],
    }


def _describe_statement(step: ToolStep) -> dict[str, Any]:
    failed = {"failed": step.result.text} if step.result.failed else {"rows": step.result.rows}
    return {"sql": step.intent.sql, "seconds": round(step.seconds, 3), **failed}
