"""A conversation in one process: what was asked, what came of it, and what it cost. Keeps nothing beyond its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ai_functions.types import Usage
from bridge.client import Lakehouse, ToolResult
from bridge.model import ChatModel
from bridge.transcript import Exchange, Step, asked_in_sql
from bridge.turn import Asker, Event, Limits, Outcome, Turn, Watch, ask

_REMEMBERED = 20
"""Exchanges that a follow-up question is asked with; the turn leaves out more where that is too much."""


@dataclass(frozen=True)
class Entry:
    """A question or a statement, and what came of it. `answer` is empty for a statement: its step has the result."""

    kind: Literal["question", "sql"]
    text: str
    answer: str
    outcome: Outcome | Literal["cancelled"]
    steps: tuple[Step, ...]
    usage: Usage
    nanos: int
    seconds: float

    @property
    def ai_dollars(self) -> float:
        """What AI functions in its statements cost."""
        return sum(step.result.ai_dollars for step in self.steps)

    @property
    def result(self) -> Step | None:
        """The last of its statements that gave rows."""
        return next((step for step in reversed(self.steps) if step.result.rows is not None), None)


_NONE = Usage(0, 0)


@dataclass
class _UnderWay:
    """What is known of a question before it ends: enough to keep when it is cancelled."""

    watch: Watch
    usage: Usage = _NONE
    nanos: int = 0
    steps: list[Step] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        if isinstance(event, Step):
            self.steps.append(event)
        self.watch(event)

    def meter(self, usage: Usage, nanos: int) -> None:
        self.usage, self.nanos = usage, nanos


class Session:
    """Asks a lakehouse, with or without a model. `entries` are all that was asked, the oldest first."""

    def __init__(self, lakehouse: Lakehouse, limits: Limits, watch: Watch) -> None:
        self._lakehouse, self._limits, self._watch = lakehouse, limits, watch
        self._history: list[Exchange] = []
        self.entries: list[Entry] = []

    async def ask(self, question: str, model: ChatModel) -> Turn:
        """Ask in plain language, with what was asked before. Whoever cancels it finds what it cost in `entries`."""
        so_far, started = _UnderWay(self._watch), time.monotonic()
        try:
            turn = await ask(
                question, model, self._lakehouse, self._limits,
                history=self._history, asker=Asker(watch=so_far.hear, meter=so_far.meter),
            )  # fmt: skip
        except asyncio.CancelledError:
            seconds = time.monotonic() - started
            steps = tuple(so_far.steps)
            self._keep("question", question, "", "cancelled", steps, so_far.usage, so_far.nanos, seconds)
            raise
        if turn.outcome == "answered":
            self._history = [*self._history, Exchange(question, turn.answer)][-_REMEMBERED:]
        self._keep("question", question, turn.answer, turn.outcome, turn.steps, turn.usage, turn.nanos, turn.seconds)
        return turn

    async def sql(self, statement: str) -> ToolResult:
        """Run a statement without a model."""
        started = time.monotonic()
        try:
            result = await self._lakehouse.sql(statement)
        except asyncio.CancelledError:
            self._keep("sql", statement, "", "cancelled", (), _NONE, 0, time.monotonic() - started)
            raise
        seconds = time.monotonic() - started
        outcome: Outcome = "failed" if result.failed else "answered"
        self._keep("sql", statement, "", outcome, (Step(asked_in_sql(statement), result, seconds),), _NONE, 0, seconds)
        return result

    def forget(self) -> None:
        """What was asked before is no longer part of what is asked next. What it cost still counts."""
        self._history = []

    @property
    def result(self) -> Step | None:
        """The last statement that gave rows."""
        return next((found for entry in reversed(self.entries) if (found := entry.result) is not None), None)

    @property
    def statements(self) -> Sequence[str]:
        """All statements that were sent, the model's too."""
        return [step.intent.sql for entry in self.entries for step in entry.steps if step.intent.sql is not None]

    @property
    def usage(self) -> Usage:
        """The tokens of all questions."""
        read = sum(entry.usage.input_tokens for entry in self.entries)
        return Usage(read, sum(entry.usage.output_tokens for entry in self.entries))

    @property
    def nanos(self) -> int:
        """What the model cost, in nano-dollars."""
        return sum(entry.nanos for entry in self.entries)

    @property
    def ai_dollars(self) -> float:
        """What AI functions cost."""
        return sum(entry.ai_dollars for entry in self.entries)

    def _keep(self, *parts: Any) -> None:
        self.entries.append(Entry(*parts))
