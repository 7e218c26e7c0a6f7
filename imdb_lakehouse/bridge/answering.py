"""Answers one request of a visitor, a question or a statement, and tracks its progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ai_functions.ledger import QUESTION, Ledger
from ai_functions.types import Spender, Usage
from imdb_lakehouse.bridge import views
from imdb_lakehouse.bridge.client import CallContext, Lakehouse, ServerGoneError, ToolResult
from imdb_lakehouse.bridge.follow_ups import VerifiedQuestions
from imdb_lakehouse.bridge.model import ChatModel
from imdb_lakehouse.bridge.transcript import Exchange, Intent, ToolStep, to_sql_intent
from imdb_lakehouse.bridge.turn import Event, TextPiece, ToolProgress, TurnContext, TurnLimits, run_turn
from imdb_lakehouse.bridge.views import Json, ModelCost

RequestKind = Literal["question", "sql"]

_GATHER_SECONDS = 0.05


@dataclass(frozen=True)
class VisitorIdentity:
    """A visitor: `name` owns conversations and is charged, `token` proves the identity to the server."""

    name: str
    token: str


@dataclass(frozen=True)
class AskRequest:
    """A question in plain language, or a statement that is run without a model.

    `again` is the operation whose question this repeats: it is answered as if that had not been asked.
    """

    kind: RequestKind
    text: str
    again: str | None = None


class AnswerProgress:
    """Progress of a running answer. Not thread-safe: used from one event loop."""

    def __init__(self) -> None:
        self.doing = "waiting"
        self.spent = ModelCost()
        self._began = time.monotonic()
        self._text: list[str] = []
        self._steps: list[tuple[Intent, Json]] = []
        self._change = asyncio.Event()

    @property
    def steps(self) -> list[Json]:
        """Steps so far as JSON."""
        return [step for _, step in self._steps]

    @property
    def seconds(self) -> float:
        """Seconds since the request was accepted."""
        return time.monotonic() - self._began

    @property
    def text(self) -> str:
        """What the model has written of its answer."""
        return "".join(self._text)

    def to_stage(self) -> Json:
        """Return the progress as JSON."""
        return {"doing": self.doing, "text": self.text, "steps": views.fit_steps(self.steps)}

    @property
    def change(self) -> asyncio.Event:
        """Is set once something more is recorded."""
        return self._change

    def begin(self) -> None:
        """Record that the answer is being planned."""
        self.doing = "planning"
        self._tell()

    def record_event(self, event: Event) -> None:
        """Record an event of the turn."""
        self._record(event)
        self._tell()

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    def _record(self, event: Event) -> None:
        match event:
            case TextPiece():
                self.doing = "writing"
                self._text.append(event.text)
            case Intent():
                self.doing = f"calling {event.call.name}"
                self._text.clear()  # text before a tool call is not part of the answer
                self._steps.append((event, views.to_running_step(event)))
            case ToolProgress():
                self.doing = event.stage
                self._replace_step(event.intent, views.to_running_step(event.intent) | {"stage": event.stage})
            case ToolStep():
                self._replace_step(event.intent, views.to_ended_step(event))
                if all(step["state"] != "running" for step in self.steps):
                    self.doing = "reading what came"

    def record_cost(self, usage: Usage, nanos: int) -> None:
        """Record the cost so far; `nanos` is in nano-dollars."""
        self.spent = ModelCost(usage, nanos)

    def _replace_step(self, intent: Intent, step: Json) -> None:
        self._steps = [(known, step if known is intent else before) for known, before in self._steps]


class SeenProgress:
    """What a reader has seen of an answer in progress, from the moment that this is made."""

    def __init__(self, live: AnswerProgress) -> None:
        self._live = live
        self._doing, self._text, self._steps = live.doing, live.text, live.steps

    async def follow(self, task: asyncio.Task[None]) -> AsyncIterator[Json]:
        """Yield what is new until `task` ends."""
        while not task.done():
            change = self._live.change
            if (new := self._take_new()) is not None:
                yield new
            waiting = asyncio.ensure_future(change.wait())
            await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            # Words come one by one, and a few at once are as good for a reader; the end does not wait for more.
            await asyncio.wait([task], timeout=_GATHER_SECONDS)

    def _take_new(self) -> Json | None:
        """Return what was not seen yet: `text` is `more` of the text before or replaces it; `steps` have numbers."""
        before, known = (self._doing, self._text), self._steps
        self._doing, self._text, self._steps = self._live.doing, self._live.text, self._live.steps
        steps = {
            str(number): step
            for number, step in enumerate(self._steps)
            if number >= len(known) or step is not known[number]
        }
        if before == (self._doing, self._text) and not steps:
            return None
        more = self._text.startswith(before[1])
        text = self._text[len(before[1]) :] if more else self._text
        return {"doing": self._doing, "more": more, "text": text, "steps": steps}


class Answerer:
    """Answers requests with a server and an optional model. `vouches` sends the visitor's token to the server.

    `verified` proposes what to ask next where the model does not.
    """

    def __init__(
        self,
        lakehouse: Lakehouse,
        model: ChatModel | None,
        limits: TurnLimits,
        ledger: Ledger,
        verified: VerifiedQuestions,
        *,
        vouches: bool,
    ) -> None:
        self.model = model
        self._lakehouse = lakehouse
        self._limits = limits
        self._ledger = ledger
        self._verified = verified
        self._vouches = vouches

    async def answer_request(
        self,
        request: AskRequest,
        history: Sequence[Exchange],
        visitor: VisitorIdentity,
        name: str,
        live: AnswerProgress,
    ) -> Json:
        """Answer a request and return its result as JSON. `name` identifies it in the ledger.

        Expected failures are part of the result and are not raised.
        """
        token = visitor.token if self._vouches else None
        if request.kind == "sql" or self.model is None:
            return await self._run_sql(request.text, token, live)
        purse = _LedgerPurse(self._ledger, Spender(visitor.name, QUESTION + name))
        live.begin()
        context = TurnContext(token, purse, live.record_event, live.record_cost)
        turn = await run_turn(request.text, self.model, self._lakehouse, self._limits, history=history, context=context)
        result = views.from_turn(turn, history)
        if turn.outcome == "answered" and not result["follow_ups"]:
            result["follow_ups"] = self._verified.find_near(request.text, [exchange.question for exchange in history])
        return result

    async def _run_sql(self, sql: str, token: str | None, live: AnswerProgress) -> Json:
        intent = to_sql_intent(sql)
        live.record_event(intent)
        caller = CallContext(token, lambda stage: live.record_event(ToolProgress(intent, stage)))
        try:
            found = await self._lakehouse.run_sql(sql, caller)
        except ServerGoneError as error:
            found = ToolResult(failed=True, text=str(error))
        step = ToolStep(intent, found, live.seconds)
        live.record_event(step)
        return views.from_sql(step)


@dataclass(frozen=True)
class _LedgerPurse:
    """Charges a visitor, within the budgets of the shared ledger."""

    ledger: Ledger
    spender: Spender

    def reserve(self, nanos: int) -> int:
        return self.ledger.reserve(self.spender, [nanos])[0]

    def settle(self, number: int, nanos: int) -> None:
        self.ledger.settle(number, nanos)
