"""Steps and results as JSON, as they are stored and shown by the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ai_functions.types import NANOS_PER_DOLLAR, Usage
from imdb_lakehouse.bridge.client import ToolResult
from imdb_lakehouse.bridge.follow_ups import drop_unknown_names
from imdb_lakehouse.bridge.grounding import choose_result, find_unfounded_numbers
from imdb_lakehouse.bridge.transcript import Exchange, Intent, ToolStep
from imdb_lakehouse.bridge.turn import Turn
from lakehouse.escaping import cut_text

MAX_STEPS_BYTES = 600_000
"""Size of the steps of one answer as JSON; a record of bridge.store may be larger (MAX_RECORD_BYTES)."""
_MAX_TEXT_CHARS = 500
_MAX_BASIS_ROWS = 20
_MAX_BASIS_CHARS = 3_000
"""What a follow-up question is told of earlier results: enough for "the first three" and "these films"."""

Json = dict[str, Any]


def to_running_step(intent: Intent) -> Json:
    """Convert a tool call that is running."""
    return {
        "tool": intent.call.name,
        "reasoning": intent.purpose,
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


def to_ended_step(step: ToolStep) -> Json:
    """Convert a tool call that has ended, with its result."""
    result = step.result
    came = {
        "state": "failed" if result.failed else "done",
        "text": result.text if result.failed else None,
        "rows": result.rows,
        "seconds": round(step.seconds, 3),
        "ai_usd": result.ai_dollars,
        "table": None if result.failed else to_table(result),
    }
    return to_running_step(step.intent) | came


def from_turn(turn: Turn, history: Sequence[Exchange] = ()) -> Json:
    """Convert a finished question, asked after `history`, with what its answer rests on."""
    steps = [
        to_ended_step(step) | {"model_usd": (asked.nanos if step is asked.steps[0] else 0) / NANOS_PER_DOLLAR}
        for asked in turn.rounds
        for step in asked.steps
    ]
    result = build_result(turn.outcome, turn.answer, steps, turn.seconds, ModelCost(turn.usage, turn.nanos))
    return result | _describe_basis(turn, history, steps) if turn.outcome == "answered" else result


def _describe_basis(turn: Turn, history: Sequence[Exchange], steps: Sequence[Json]) -> Json:
    """Tell what an answer rests on: `basis`, numbers that no result has, and the step whose rows it is about.

    Of the questions that the model proposes, those stay that name no column which it has not read of.
    """
    with_rows = [number for number, step in enumerate(steps) if step["table"] is not None]
    sources = [turn.question, *(text for exchange in history for text in (exchange.question, exchange.told))]
    sources += [text for step in turn.steps for text in (step.result.text, step.intent.sql or "")]
    chosen = choose_result(turn.answer, [steps[number]["table"]["rows"] for number in with_rows])
    return {
        "basis": "rows" if with_rows else "failed" if any(step["sql"] for step in steps) else "none",
        "unfounded": find_unfounded_numbers(turn.answer, sources),
        "shown": None if chosen is None else with_rows[chosen],
        "follow_ups": drop_unknown_names(turn.follow_ups, sources),
    }


def from_sql(step: ToolStep) -> Json:
    """Convert a statement that was run without a model."""
    found = step.result
    outcome = "refused" if found.is_refused else "failed" if found.failed else "answered"
    return build_result(outcome, found.text if found.failed else "", [to_ended_step(step)], step.seconds)


@dataclass(frozen=True)
class ModelCost:
    """Tokens and cost of the model; `nanos` is in nano-dollars."""

    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    nanos: int = 0


def build_result(
    outcome: str, answer: str, steps: Sequence[Json], seconds: float, spent: ModelCost | None = None
) -> Json:
    """Build the result of a request. `seconds` is its duration."""
    spent = spent or ModelCost()
    return {
        "outcome": outcome,
        "answer": answer,
        "steps": fit_steps(steps),
        "seconds": round(seconds, 3),
        "model_usd": spent.nanos / NANOS_PER_DOLLAR,
        "ai_usd": sum(step["ai_usd"] for step in steps),
        "tokens_read": spent.usage.input_tokens,
        "tokens_written": spent.usage.output_tokens,
    }


def to_basis(steps: Sequence[Json]) -> str:
    """Write the statements of an answer and the first of their rows as a model is told them, within a cap."""
    parts = []
    for step in steps:
        if (table := step["table"]) is None or step["sql"] is None:
            continue
        heads = "\t".join(column["name"] for column in table["columns"])
        rows = [json.dumps(row, ensure_ascii=False) for row in table["rows"][:_MAX_BASIS_ROWS]]
        left = step["rows"] - len(rows)
        more = [f"… and {left:,} more rows"] if left > 0 else []
        parts.append("\n".join([step["sql"], heads, *rows, *more]))
    return cut_text("\n\n".join(reversed(parts)), _MAX_BASIS_CHARS)


def fit_steps(steps: Sequence[Json]) -> list[Json]:
    """Limit steps to MAX_STEPS_BYTES: the newest stay whole, older ones lose their table and the end of their texts."""
    fitted: list[Json] = []
    left = MAX_STEPS_BYTES
    for step in reversed(steps):
        left -= len(json.dumps(step))
        fitted.append(step if left >= 0 else _shorten_step(step))
    return fitted[::-1]


def _shorten_step(step: Json) -> Json:
    return {name: value[:_MAX_TEXT_CHARS] if isinstance(value, str) else value for name, value in step.items()} | {
        "table": None
    }


def to_table(result: ToolResult) -> Json | None:
    """Return the table of a statement's result, None if there is none."""
    content: Mapping[str, Any] = result.content or {}
    if content.get("status") != "done" or "columns" not in content:
        return None
    names = ("columns", "rows", "truncated", "warnings", "engine", "query_id")
    return {name: content[name] for name in names}
