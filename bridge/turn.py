"""One question: plan → tool calls → answer, within caps on rounds, tokens, time and money.

Every call of the model is charged at its maximum before it is made, and settled after. A statement that fails goes
back with the server's own words, a few times; then the answer says what failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

import prompts
from ai_functions.providers import ContextExceededError
from ai_functions.types import NANOS_PER_DOLLAR, CallFailedError, Usage, dollars
from bridge.client import Caller, Lakehouse, ServerGoneError, ToolResult
from bridge.model import PROMPT, ChatModel, ChatRequest, Reply, Sending
from bridge.settings import Settings
from bridge.transcript import Exchange, Intent, Round, Step, Transcript, intent
from lakehouse.errors import LakehouseError

__all__ = [
    "Asker",
    "Doing",
    "Event",
    "Exchange",
    "Intent",
    "Limits",
    "Purse",
    "Round",
    "Step",
    "Turn",
    "Watch",
    "Words",
    "ask",
]

MOST_REPAIRS = 3
"""How many times failures go back to the model within one question."""
MOST_AT_ONCE = 8
"""Tool calls of one round; further ones are told to come later."""
_LESS_CONTEXT = 0.75

Outcome = Literal["answered", "declined", "failed", "stopped"]
Fault = Literal["provider", "server"]
Meter = Callable[[Usage, int], None]
"""Hears what the question has cost so far, in tokens and nano-dollars, a call that is under way at its maximum."""


@dataclass(frozen=True)
class Words:
    """A piece of what the model writes, as it is written."""

    text: str


@dataclass(frozen=True)
class Doing:
    """What the server does meanwhile for a tool call, in its own words."""

    intent: Intent
    stage: str


Event = Intent | Step | Words | Doing
Watch = Callable[[Event], None]
"""Hears of every tool call, before it is made, meanwhile, and what came of it; and of the model's words."""


class Purse(Protocol):
    """Who pays for the calls of a model. Both block, and raise LakehouseError where nothing may be spent."""

    def reserve(self, nanos: int) -> int:
        """Charge a call at its maximum, in nano-dollars, before it is made, and give its number."""

    def settle(self, number: int, nanos: int) -> None:
        """Charge what it really cost."""


class _OwnPurse:
    """Of somebody who pays the provider and needs no more than the cap on one question."""

    def reserve(self, nanos: int) -> int:
        return nanos

    def settle(self, number: int, nanos: int) -> None:
        """Nobody else keeps count."""


@dataclass(frozen=True)
class Asker:
    """Who asks: the `token` that proves it to the server (None: the user of this program), and who pays.

    `watch` and `meter` hear of what is done for them.
    """

    token: str | None = None
    purse: Purse = field(default_factory=_OwnPurse)
    watch: Watch = lambda _: None
    meter: Meter = lambda _, __: None


_USER = Asker()


@dataclass(frozen=True)
class Limits:
    """What one question may take. `context_tokens` is what one call of the model may read."""

    rounds: int
    seconds: float
    tokens: int
    context_tokens: int
    nanos: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those that the settings name."""
        return cls(
            settings.chat_max_rounds,
            settings.chat_seconds,
            settings.chat_max_tokens,
            settings.chat_context_tokens,
            int(settings.chat_budget * NANOS_PER_DOLLAR),
        )


@dataclass(frozen=True)
class Turn:
    """A question that is done with. `answer` says what failed where the outcome is not `answered`.

    `nanos` is what the model cost, in nano-dollars, its last call included, which belongs to no round. `fault` says
    who could not be reached where that ended it: then the answer tells nothing of the model.
    """

    question: str
    answer: str
    outcome: Outcome
    rounds: tuple[Round, ...]
    usage: Usage
    nanos: int
    seconds: float
    fault: Fault | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """All tool calls in order."""
        return tuple(step for done in self.rounds for step in done.steps)

    @property
    def ai_dollars(self) -> float:
        """What AI functions in its statements cost, as the server says: budgets of its own count them."""
        return sum(step.result.ai_dollars for step in self.steps)


class _EndedError(Exception):
    """The question ends without an answer of the model."""

    def __init__(self, outcome: Outcome, text: str, fault: Fault | None = None) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.fault = fault


async def ask(
    question: str,
    model: ChatModel,
    lakehouse: Lakehouse,
    limits: Limits,
    *,
    history: Sequence[Exchange] = (),
    asker: Asker = _USER,
) -> Turn:
    """Answer a question. Never raises for what the model, its provider or the server do: the turn says it.

    Whoever cancels it knows what it cost from the asker's `meter`.
    """
    system = f"{prompts.read(PROMPT).text}\n\n{lakehouse.instructions}".strip()
    return await _Asking(Transcript(system, question, tuple(history)), model, lakehouse, limits, asker).run()


class _Asking:
    """A question under way."""

    def __init__(self, told: Transcript, model: ChatModel, lakehouse: Lakehouse, limits: Limits, asker: Asker) -> None:
        self._told = told
        self._model, self._lakehouse, self._limits, self._asker = model, lakehouse, limits, asker
        self._since = lakehouse.generation
        self._context = limits.context_tokens
        self._started = time.monotonic()
        self._usage, self._nanos, self._failures = Usage(0, 0), 0, 0
        self._gone: ServerGoneError | None = None

    async def run(self) -> Turn:
        outcome: Outcome = "answered"
        fault: Fault | None = None
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer = await self._answer()
        except TimeoutError:
            outcome, answer = (
                "stopped",
                self._stopped(f"the time for one question, {self._limits.seconds:g} s, is over"),
            )
        except _EndedError as ended:
            outcome, answer, fault = ended.outcome, str(ended), ended.fault
        told = self._told
        seconds = time.monotonic() - self._started
        return Turn(told.question, answer, outcome, told.rounds, self._usage, self._nanos, seconds, fault)

    async def _answer(self) -> str:
        for number in range(1, self._limits.rounds + 1):
            last = number == self._limits.rounds
            before = self._nanos
            reply = await self._plan(may_call=not last)
            if reply.refusal:
                raise _EndedError("declined", f"The model declined to answer: {reply.refusal}")
            if not reply.calls or last:
                return self._final(reply)
            await self._act(reply, self._nanos - before)
        raise AssertionError("the last round returns or raises")

    def _final(self, reply: Reply) -> str:
        if not reply.text.strip():
            if reply.calls:
                raise _EndedError("stopped", self._stopped(f"{self._limits.rounds} rounds did not suffice"))
            raise _EndedError("failed", "The model gave no answer. Ask again, or in other words.")
        return f"{reply.text.strip()} … (cut: the answer was too long)" if reply.cut else reply.text.strip()

    async def _plan(self, *, may_call: bool) -> Reply:
        """Call the model with as much as it can read."""
        while True:
            request, most, nanos = self._fitting(may_call)
            number = await self._reserved(nanos)
            self._charge(most, nanos)
            sending = Sending()
            try:
                reply = await self._model.reply(request, self._left(), self._hear, sending)
            except asyncio.CancelledError:
                if not sending.under_way:
                    await self._unspent(number, most, nanos)
                raise
            except ContextExceededError:
                await self._unspent(number, most, nanos)
                self._context = int(most.input_tokens * _LESS_CONTEXT)
            except CallFailedError as failed:
                if not failed.billed:
                    await self._unspent(number, most, nanos)
                if self._left() <= 0:
                    raise TimeoutError from failed
                raise _EndedError("failed", f"The model could not be asked: {failed}", "provider") from failed
            else:
                self._charge(most, nanos, -1)
                self._charge(reply.usage, reply.nanos)
                await self._settled(number, reply.nanos)
                return reply

    async def _reserved(self, nanos: int) -> int:
        reserving = asyncio.ensure_future(asyncio.to_thread(self._asker.purse.reserve, nanos))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            with suppress(LakehouseError):
                await self._settled(await reserving, 0)
            raise
        except LakehouseError as error:
            raise _EndedError("stopped", self._stopped(str(error).rstrip("."))) from error

    async def _unspent(self, number: int, most: Usage, nanos: int) -> None:
        self._charge(most, nanos, -1)
        await self._settled(number, 0)

    async def _settled(self, number: int, nanos: int) -> None:
        """Where the purse cannot be opened now, the call stays charged at its maximum."""
        with suppress(LakehouseError):
            await asyncio.to_thread(self._asker.purse.settle, number, nanos)

    def _hear(self, piece: str) -> None:
        self._asker.watch(Words(piece))

    def _fitting(self, may_call: bool) -> tuple[ChatRequest, Usage, int]:
        """The next call, its most tokens and its most money. Drops old results until it fits."""
        while True:
            request = ChatRequest(self._told.messages(), self._lakehouse.tools, may_call)
            most, nanos = self._model.most(request)
            if most.input_tokens <= self._context:
                break
            shorter = self._told.shorter()
            if shorter is None:
                raise _EndedError("stopped", "The question is too long for the model to read. Ask a shorter one.")
            self._told = shorter
        spent = self._usage.input_tokens + self._usage.output_tokens
        if spent + most.input_tokens + most.output_tokens > self._limits.tokens:
            text = f"the next call could exceed {self._limits.tokens:,} tokens for one question (IMDB_CHAT_MAX_TOKENS)"
            raise _EndedError("stopped", self._stopped(text))
        if self._nanos + nanos > self._limits.nanos:
            text = f"the next call could exceed {dollars(self._limits.nanos)} for one question (IMDB_CHAT_BUDGET)"
            raise _EndedError("stopped", self._stopped(text))
        return request, most, nanos

    def _charge(self, usage: Usage, nanos: int, sign: int = 1) -> None:
        self._usage = Usage(
            self._usage.input_tokens + sign * usage.input_tokens, self._usage.output_tokens + sign * usage.output_tokens
        )
        self._nanos += sign * nanos
        self._asker.meter(self._usage, self._nanos)

    async def _act(self, reply: Reply, nanos: int) -> None:
        """Make the calls that the model asked for, all at once, and tell it what came of them."""
        meant = [intent(call) for call in reply.calls]
        steps = await asyncio.gather(*(self._step(one, number) for number, one in enumerate(meant)))
        self._told = self._told.after(Round(reply.text, nanos, tuple(steps)))
        if self._gone is not None:
            raise _EndedError("failed", f"{self._gone} It was started anew once within this question.", "server")
        failed = [step for step in steps if step.result.failed]
        self._failures += bool(failed)
        if self._failures > MOST_REPAIRS:
            raise _EndedError("failed", _given_up(failed[-1], self._failures))

    async def _step(self, meant: Intent, number: int) -> Step:
        self._asker.watch(meant)
        started = time.monotonic()
        step = Step(meant, await self._result(meant, number), time.monotonic() - started)
        self._asker.watch(step)
        return step

    async def _result(self, meant: Intent, number: int) -> ToolResult:
        name = meant.call.name
        if meant.arguments is None:
            return ToolResult(
                failed=True, text=f"The arguments of {name} are not JSON: {meant.fault}. Send them again."
            )
        if number >= MOST_AT_ONCE:
            return ToolResult(failed=True, text=f"Not run: ask for at most {MOST_AT_ONCE} things at once.")
        try:
            caller = Caller(self._asker.token, lambda stage: self._asker.watch(Doing(meant, stage)))
            return await self._lakehouse.call(name, meant.arguments, since=self._since, caller=caller)
        except ServerGoneError as error:
            self._gone = error
            return ToolResult(failed=True, text=str(error))

    def _left(self) -> float:
        return self._limits.seconds - (time.monotonic() - self._started)

    def _stopped(self, why: str) -> str:
        done = sum(len(one.steps) for one in self._told.rounds)
        return f"Stopped before there was an answer: {why}. Tool calls made: {done}. Ask for less, or raise the limit."


def _given_up(step: Step, failures: int) -> str:
    sent = f"\n{step.intent.sql}" if step.intent.sql else ""
    return f"No answer: {failures} attempts failed. The last was {step.intent.call.name}:{sent}\n{step.result.text}"
