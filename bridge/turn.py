"""One question: plan → tool calls → answer, within caps on rounds, tokens, time and money.

Every call of the model is charged at its maximum before it is made, and settled after. A statement that fails goes
back with the server's own words, a few times; then the answer says what failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import prompts
from bridge.client import Lakehouse, ServerGoneError, ToolResult
from bridge.model import PROMPT, ChatModel, ChatRequest, Reply
from bridge.transcript import Exchange, Intent, Round, Step, Transcript, intent
from lakehouse.ai.providers import ContextExceededError
from lakehouse.ai.types import NANOS_PER_DOLLAR, CallFailedError, Usage, dollars
from lakehouse.settings import Settings

__all__ = ["Exchange", "Intent", "Limits", "Round", "Step", "Turn", "Watch", "ask"]

MOST_REPAIRS = 3
"""How many times failures go back to the model within one question."""
MOST_AT_ONCE = 8
"""Tool calls of one round; further ones are told to come later."""
_LESS_CONTEXT = 0.75

Outcome = Literal["answered", "declined", "failed", "stopped"]
Fault = Literal["provider", "server"]
Watch = Callable[[Intent | Step], None]
"""Hears of every tool call: before it is made, and what came of it."""
Meter = Callable[[Usage, int], None]
"""Hears what the question has cost so far, in tokens and nano-dollars, a call that is under way at its maximum."""


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
    watch: Watch | None = None,
    meter: Meter | None = None,
) -> Turn:
    """Answer a question. Never raises for what the model, its provider or the server do: the turn says it.

    Whoever cancels it knows what it cost from `meter`.
    """
    told = watch or (lambda _: None), meter or (lambda _, __: None)
    return await _Asking(question, model, lakehouse, limits, tuple(history), *told).run()


class _Asking:
    """A question under way."""

    def __init__(
        self,
        question: str,
        model: ChatModel,
        lakehouse: Lakehouse,
        limits: Limits,
        history: tuple[Exchange, ...],
        watch: Watch,
        meter: Meter,
    ) -> None:
        system = f"{prompts.read(PROMPT).text}\n\n{lakehouse.instructions}".strip()
        self._told = Transcript(system, question, history)
        self._model, self._lakehouse, self._limits = model, lakehouse, limits
        self._watch, self._meter = watch, meter
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
            self._charge(most, nanos)
            try:
                reply = await self._model.reply(request, self._left())
            except ContextExceededError:
                self._charge(most, nanos, -1)
                self._context = int(most.input_tokens * _LESS_CONTEXT)
            except CallFailedError as failed:
                self._failed(failed, most, nanos)
            else:
                self._charge(most, nanos, -1)
                self._charge(reply.usage, reply.nanos)
                return reply

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
        self._meter(self._usage, self._nanos)

    def _failed(self, failed: CallFailedError, most: Usage, nanos: int) -> NoReturn:
        if not failed.billed:
            self._charge(most, nanos, -1)
        if self._left() <= 0:
            raise TimeoutError from failed
        raise _EndedError("failed", f"The model could not be asked: {failed}", "provider") from failed

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
        self._watch(meant)
        started = time.monotonic()
        step = Step(meant, await self._result(meant, number), time.monotonic() - started)
        self._watch(step)
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
            return await self._lakehouse.call(name, meant.arguments, since=self._since)
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
