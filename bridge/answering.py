"""Answers a request of a visitor, a question or a statement, and tells meanwhile how far it has come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ai_functions.ledger import QUESTION, Ledger
from ai_functions.types import Spender, Usage
from bridge import views
from bridge.client import Caller, Lakehouse, ServerGoneError, ToolResult
from bridge.model import ChatModel
from bridge.transcript import Exchange, Intent, Step, asked_in_sql
from bridge.turn import Asker, Doing, Event, Limits, Words, ask
from bridge.views import Json, Spent

Kind = Literal["question", "sql"]


@dataclass(frozen=True)
class Visitor:
    """Who asks: `name` owns conversations and pays, `token` proves it to the server."""

    name: str
    token: str


@dataclass(frozen=True)
class Request:
    """What a visitor asks: in plain language, or in SQL without any model."""

    kind: Kind
    text: str


class Live:
    """What is known of an answer that is under way. Belongs to one event loop."""

    def __init__(self) -> None:
        self.doing = "waiting"
        self.spent = Spent()
        self._began = time.monotonic()
        self._text: list[str] = []
        self._steps: list[tuple[Intent, Json]] = []

    @property
    def steps(self) -> list[Json]:
        return [step for _, step in self._steps]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def stage(self) -> Json:
        """How far it has come, as JSON."""
        return {"doing": self.doing, "text": "".join(self._text), "steps": views.fitting(self.steps)}

    def hear(self, event: Event) -> None:
        """Take note of what happens."""
        match event:
            case Words():
                self.doing = "writing"
                self._text.append(event.text)
            case Intent():
                self.doing = f"calling {event.call.name}"
                self._text.clear()  # what it thought aloud; the answer begins anew
                self._steps.append((event, views.begun(event)))
            case Doing():
                self.doing = event.stage
                self._put(event.intent, views.begun(event.intent) | {"stage": event.stage})
            case Step():
                self._put(event.intent, views.ended(event))
                if all(step["state"] != "running" for step in self.steps):
                    self.doing = "reading what came"

    def meter(self, usage: Usage, nanos: int) -> None:
        """Take note of what it has cost."""
        self.spent = Spent(usage, nanos)

    def _put(self, intent: Intent, step: Json) -> None:
        self._steps = [(known, step if known is intent else before) for known, before in self._steps]


class Answerer:
    """Answers requests by a server and, where there is one, a model. `vouches` passes visitors on to the server."""

    def __init__(
        self, lakehouse: Lakehouse, model: ChatModel | None, limits: Limits, ledger: Ledger, *, vouches: bool
    ) -> None:
        self.model = model
        self._lakehouse = lakehouse
        self._limits = limits
        self._ledger = ledger
        self._vouches = vouches

    async def answer(
        self, request: Request, history: Sequence[Exchange], visitor: Visitor, name: str, live: Live
    ) -> Json:
        """What came of a request, as JSON. `name` is what the ledger calls it. Raises nothing that was foreseen."""
        token = visitor.token if self._vouches else None
        if request.kind == "sql" or self.model is None:
            return await self._sql(request.text, token, live)
        purse = _LedgerPurse(self._ledger, Spender(visitor.name, QUESTION + name))
        live.doing = "planning"
        asker = Asker(token, purse, live.hear, live.meter)
        turn = await ask(request.text, self.model, self._lakehouse, self._limits, history=history, asker=asker)
        return views.of_turn(turn)

    async def _sql(self, sql: str, token: str | None, live: Live) -> Json:
        intent = asked_in_sql(sql)
        live.hear(intent)
        caller = Caller(token, lambda stage: live.hear(Doing(intent, stage)))
        try:
            found = await self._lakehouse.sql(sql, caller)
        except ServerGoneError as error:
            found = ToolResult(failed=True, text=str(error))
        step = Step(intent, found, live.seconds)
        live.hear(step)
        return views.of_sql(step)


@dataclass(frozen=True)
class _LedgerPurse:
    """A visitor's, kept to the budgets of all that spend from the same ledger."""

    ledger: Ledger
    spender: Spender

    def reserve(self, nanos: int) -> int:
        return self.ledger.reserve(self.spender, [nanos])[0]

    def settle(self, number: int, nanos: int) -> None:
        self.ledger.settle(number, nanos)
