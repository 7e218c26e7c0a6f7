"""A conversation in one process: its questions, results and costs. Nothing is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ai_functions.types import Usage
from imdb_lakehouse.bridge.client import Lakehouse, ToolResult
from imdb_lakehouse.bridge.model import ChatModel
from imdb_lakehouse.bridge.transcript import Exchange, ToolStep, to_sql_intent, trim_history
from imdb_lakehouse.bridge.turn import Event, EventHandler, Outcome, Turn, TurnContext, TurnLimits, run_turn
from imdb_lakehouse.bridge.views import to_basis, to_ended_step


@dataclass(frozen=True)
class SessionEntry:
    """A question or statement and its outcome. `answer` is empty for a statement, whose step has the result.

    `nanos` is the cost of the model in nano-dollars.
    """

    kind: Literal["question", "sql"]
    text: str
    answer: str
    outcome: Outcome | Literal["cancelled"]
    steps: tuple[ToolStep, ...]
    usage: Usage
    nanos: int
    seconds: float

    @property
    def ai_dollars(self) -> float:
        """Cost of AI functions in the statements, in US dollars."""
        return sum(step.result.ai_dollars for step in self.steps)

    @property
    def result(self) -> ToolStep | None:
        """The last step that returned rows."""
        return next((step for step in reversed(self.steps) if step.result.rows is not None), None)


_NO_USAGE = Usage(0, 0)


@dataclass
class _PendingQuestion:
    """Steps and cost of a running question, recorded if it is cancelled."""

    on_event: EventHandler
    usage: Usage = _NO_USAGE
    nanos: int = 0
    steps: list[ToolStep] = field(default_factory=list)

    def record_event(self, event: Event) -> None:
        if isinstance(event, ToolStep):
            self.steps.append(event)
        self.on_event(event)

    def record_cost(self, usage: Usage, nanos: int) -> None:
        self.usage, self.nanos = usage, nanos


class ChatSession:
    """Questions and statements to a lakehouse. `entries` has all of them, oldest first."""

    def __init__(self, lakehouse: Lakehouse, limits: TurnLimits, watch: EventHandler) -> None:
        self._lakehouse, self._limits, self._on_event = lakehouse, limits, watch
        self._history: tuple[Exchange, ...] = ()
        self.entries: list[SessionEntry] = []

    async def ask_question(self, question: str, model: ChatModel) -> Turn:
        """Ask a question with the earlier exchanges. If it is cancelled, `entries` still has its cost."""
        so_far, started = _PendingQuestion(self._on_event), time.monotonic()
        try:
            turn = await run_turn(
                question, model, self._lakehouse, self._limits,
                history=self._history, context=TurnContext(on_event=so_far.record_event, on_cost=so_far.record_cost),
            )  # fmt: skip
        except asyncio.CancelledError:
            seconds = time.monotonic() - started
            steps = tuple(so_far.steps)
            self._add_entry("question", question, "", "cancelled", steps, so_far.usage, so_far.nanos, seconds)
            raise
        if turn.outcome == "answered":
            basis = to_basis([to_ended_step(step) for step in turn.steps])
            self._history = trim_history([*self._history, Exchange(question, turn.answer, basis)])
        self._add_entry(
            "question", question, turn.answer, turn.outcome, turn.steps, turn.usage, turn.nanos, turn.seconds
        )
        return turn

    async def run_sql(self, statement: str) -> ToolResult:
        """Run a statement without a model."""
        started = time.monotonic()
        try:
            result = await self._lakehouse.run_sql(statement)
        except asyncio.CancelledError:
            self._add_entry("sql", statement, "", "cancelled", (), _NO_USAGE, 0, time.monotonic() - started)
            raise
        seconds = time.monotonic() - started
        outcome: Outcome = "failed" if result.failed else "answered"
        self._add_entry(
            "sql", statement, "", outcome, (ToolStep(to_sql_intent(statement), result, seconds),), _NO_USAGE, 0, seconds
        )
        return result

    def clear_history(self) -> None:
        """Drop the earlier exchanges from the next questions. Their cost still counts."""
        self._history = ()

    @property
    def result(self) -> ToolStep | None:
        """The last step of the session that returned rows."""
        return next((found for entry in reversed(self.entries) if (found := entry.result) is not None), None)

    @property
    def statements(self) -> Sequence[str]:
        """All statements sent, including the model's."""
        return [step.intent.sql for entry in self.entries for step in entry.steps if step.intent.sql is not None]

    @property
    def usage(self) -> Usage:
        """Tokens of all questions."""
        read = sum(entry.usage.input_tokens for entry in self.entries)
        return Usage(read, sum(entry.usage.output_tokens for entry in self.entries))

    @property
    def nanos(self) -> int:
        """Cost of the model in nano-dollars."""
        return sum(entry.nanos for entry in self.entries)

    @property
    def ai_dollars(self) -> float:
        """Cost of AI functions in US dollars."""
        return sum(entry.ai_dollars for entry in self.entries)

    def _add_entry(self, *parts: Any) -> None:
        self.entries.append(SessionEntry(*parts))
