"""Steps and answers as JSON: what is kept of them, and what a page shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ai_functions.types import NANOS_PER_DOLLAR, Usage
from bridge.client import ToolResult
from bridge.transcript import Intent, Step
from bridge.turn import Turn

MOST_BYTES = 600_000
"""Steps of one answer, as JSON. What keeps answers takes a little more (bridge.store)."""
_MOST_CHARS = 500

Json = dict[str, Any]


def begun(intent: Intent) -> Json:
    """A tool call that is under way."""
    return {
        "tool": intent.call.name,
        "reasoning": intent.reasoning,
        "sql": intent.sql,
        "state": "running",
        "text": None,
        "stage": None,
        "rows": None,
        "seconds": None,
        "model_usd": 0.0,
        "ai_usd": 0.0,
        "table": None,
    }


def ended(step: Step) -> Json:
    """A tool call with what came of it."""
    result = step.result
    came = {
        "state": "failed" if result.failed else "done",
        "text": result.text if result.failed else None,
        "rows": result.rows,
        "seconds": round(step.seconds, 3),
        "ai_usd": result.ai_dollars,
        "table": None if result.failed else _table(result),
    }
    return begun(step.intent) | came


def of_turn(turn: Turn) -> Json:
    """A question that was answered by a model, or not."""
    steps = [
        ended(step) | {"model_usd": (asked.nanos if step is asked.steps[0] else 0) / NANOS_PER_DOLLAR}
        for asked in turn.rounds
        for step in asked.steps
    ]
    return result(turn.outcome, turn.answer, steps, turn.seconds, Spent(turn.usage, turn.nanos))


def of_sql(step: Step) -> Json:
    """A statement that was asked without a model."""
    found = step.result
    outcome = "refused" if found.refused else "failed" if found.failed else "answered"
    return result(outcome, found.text if found.failed else "", [ended(step)], step.seconds)


@dataclass(frozen=True)
class Spent:
    """What the model cost: `nanos` in nano-dollars."""

    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    nanos: int = 0


def result(outcome: str, answer: str, steps: Sequence[Json], seconds: float, spent: Spent | None = None) -> Json:
    """What came of a question."""
    spent = spent or Spent()
    return {
        "outcome": outcome,
        "answer": answer,
        "steps": fitting(steps),
        "seconds": round(seconds, 3),
        "model_usd": spent.nanos / NANOS_PER_DOLLAR,
        "ai_usd": sum(step["ai_usd"] for step in steps),
        "tokens_read": spent.usage.input_tokens,
        "tokens_written": spent.usage.output_tokens,
    }


def fitting(steps: Sequence[Json]) -> list[Json]:
    """The same within MOST_BYTES: the newest are whole; of older ones no table, and the beginning of their texts."""
    kept: list[Json] = []
    left = MOST_BYTES
    for step in reversed(steps):
        left -= len(json.dumps(step))
        kept.append(step if left >= 0 else _shortened(step))
    return kept[::-1]


def _shortened(step: Json) -> Json:
    return {name: value[:_MOST_CHARS] if isinstance(value, str) else value for name, value in step.items()} | {
        "table": None
    }


def _table(result: ToolResult) -> Json | None:
    """The rows of a statement's result, None for what is none."""
    content: Mapping[str, Any] = result.content or {}
    if content.get("status") != "done" or "columns" not in content:
        return None
    names = ("columns", "rows", "truncated", "warnings", "engine", "query_id")
    return {name: content[name] for name in names}
