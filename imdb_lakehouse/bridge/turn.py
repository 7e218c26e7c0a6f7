"""One question: plan → tool calls → answer, within caps on rounds, tokens, time and money.

Each model call is charged at its maximum before it is sent, and settled at its cost afterwards. The server's error of a
failed statement goes back to the model up to MAX_REPAIRS times; then the answer reports the failure.
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
from imdb_lakehouse.bridge.client import CallContext, Lakehouse, ServerGoneError, ToolResult
from imdb_lakehouse.bridge.follow_ups import AnswerStream, split_follow_ups
from imdb_lakehouse.bridge.model import PROMPT, BillableCall, ChatModel, ChatRequest, ModelReply
from imdb_lakehouse.bridge.settings import Settings
from imdb_lakehouse.bridge.transcript import Exchange, Intent, Round, ToolStep, Transcript, parse_intent
from lakehouse.errors import LakehouseError

__all__ = [
    "Event",
    "EventHandler",
    "Exchange",
    "Intent",
    "Purse",
    "Round",
    "TextPiece",
    "ToolProgress",
    "ToolStep",
    "Turn",
    "TurnContext",
    "TurnLimits",
    "run_turn",
]

MAX_REPAIRS = 3
"""Rounds with failures that go back to the model within one question."""
MAX_PARALLEL_CALLS = 8
"""Tool calls that run in one round; further ones are rejected with a message to the model."""
_CONTEXT_SHRINK = 0.75

Outcome = Literal["answered", "declined", "failed", "stopped"]
Fault = Literal["provider", "server"]
CostHandler = Callable[[Usage, int], None]
"""Receives the cost of the question so far in tokens and nano-dollars; a call in flight counts at its maximum."""


@dataclass(frozen=True)
class TextPiece:
    """A piece of the model's streamed text."""

    text: str


@dataclass(frozen=True)
class ToolProgress:
    """A progress message of the server for a running tool call."""

    intent: Intent
    stage: str


Event = Intent | ToolStep | TextPiece | ToolProgress
EventHandler = Callable[[Event], None]
"""Receives each tool call before it is sent, its progress and its result, and the model's text."""


class Purse(Protocol):
    """Pays for model calls. Both methods block, and raise LakehouseError if nothing may be spent."""

    def reserve(self, nanos: int) -> int:
        """Reserve the maximum of a call, in nano-dollars, and return the number of the reservation."""

    def settle(self, number: int, nanos: int) -> None:
        """Replace a reservation by the cost of the call, in nano-dollars."""


class _UncountedPurse:
    """For a user who pays the provider directly: only the cap on one question applies."""

    def reserve(self, nanos: int) -> int:
        return nanos

    def settle(self, number: int, nanos: int) -> None:
        """Do nothing: the turn counts its own cost."""


@dataclass(frozen=True)
class TurnContext:
    """Identity, payment and callbacks of a turn. `token` proves the caller to the server; None is the local user."""

    token: str | None = None
    purse: Purse = field(default_factory=_UncountedPurse)
    on_event: EventHandler = lambda _: None
    on_cost: CostHandler = lambda _, __: None


_LOCAL_USER = TurnContext()


@dataclass(frozen=True)
class TurnLimits:
    """Limits of one question. `context_tokens` limits the input of one model call; `nanos` is in nano-dollars."""

    rounds: int
    seconds: float
    tokens: int
    context_tokens: int
    nanos: int

    @classmethod
    def from_settings(cls, settings: Settings) -> TurnLimits:
        """Read the limits from the settings."""
        return cls(
            settings.chat_max_rounds,
            settings.chat_seconds,
            settings.chat_max_tokens,
            settings.chat_context_tokens,
            int(settings.chat_budget * NANOS_PER_DOLLAR),
        )


@dataclass(frozen=True)
class Turn:
    """A finished question. `answer` reports the failure unless the outcome is `answered`.

    `nanos` is the cost of all model calls in nano-dollars, including the last one, which belongs to no round. `fault`
    names the party that could not be reached, if that ended the turn; the result then says nothing about the model.
    `follow_ups` are questions that the model proposes to ask next.
    """

    question: str
    answer: str
    outcome: Outcome
    rounds: tuple[Round, ...]
    usage: Usage
    nanos: int
    seconds: float
    fault: Fault | None = None
    follow_ups: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[ToolStep, ...]:
        """All tool calls in order."""
        return tuple(step for done in self.rounds for step in done.steps)

    @property
    def ai_dollars(self) -> float:
        """Cost of AI functions in the statements, in US dollars, as reported by the server, which budgets them."""
        return sum(step.result.ai_dollars for step in self.steps)


class _TurnEndedError(Exception):
    """Ends the turn without an answer of the model."""

    def __init__(self, outcome: Outcome, text: str, fault: Fault | None = None) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.fault = fault


async def run_turn(
    question: str,
    model: ChatModel,
    lakehouse: Lakehouse,
    limits: TurnLimits,
    *,
    history: Sequence[Exchange] = (),
    context: TurnContext = _LOCAL_USER,
) -> Turn:
    """Answer a question. Failures of the model, its provider or the server are reported in the turn, not raised.

    A caller that cancels this knows the cost from the context's `on_cost`.
    """
    system = f"{prompts.read(PROMPT).text}\n\n{lakehouse.instructions}".strip()
    return await _TurnRunner(Transcript(system, question, tuple(history)), model, lakehouse, limits, context).run()


class _TurnRunner:
    """Runs one question."""

    def __init__(
        self, transcript: Transcript, model: ChatModel, lakehouse: Lakehouse, limits: TurnLimits, context: TurnContext
    ) -> None:
        self._transcript = transcript
        self._model, self._lakehouse, self._limits, self._context = model, lakehouse, limits, context
        self._generation = lakehouse.generation
        self._context_tokens = limits.context_tokens
        self._started = time.monotonic()
        self._usage, self._nanos, self._failures = Usage(0, 0), 0, 0
        self._server_gone: ServerGoneError | None = None
        self._stream = AnswerStream()
        self._heard = ""  # of the call under way

    async def run(self) -> Turn:
        outcome: Outcome = "answered"
        fault: Fault | None = None
        follow_ups: tuple[str, ...] = ()
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer, follow_ups = await self._run_rounds()
        except TimeoutError:
            why = self._describe_stop(f"the time for one question, {self._limits.seconds:g} s, is over")
            outcome, answer = "stopped", keep_words(self._heard, why)
        except _TurnEndedError as ended:
            outcome, answer, fault = ended.outcome, keep_words(self._heard, str(ended)), ended.fault
        transcript = self._transcript
        seconds = time.monotonic() - self._started
        return Turn(
            transcript.question,
            answer,
            outcome,
            transcript.rounds,
            self._usage,
            self._nanos,
            seconds,
            fault,
            follow_ups,
        )

    async def _run_rounds(self) -> tuple[str, tuple[str, ...]]:
        """Run rounds until the model answers, and return its answer and what it proposes to ask next."""
        for number in range(1, self._limits.rounds + 1):
            last = number == self._limits.rounds
            before = self._nanos
            reply = await self._call_model(may_call=not last)
            if reply.refusal:
                raise _TurnEndedError("declined", f"The model declined to answer: {reply.refusal}")
            if not reply.calls or last:
                return self._finish_answer(reply)
            await self._run_calls(reply, self._nanos - before)
        raise AssertionError("the last round returns or raises")

    def _finish_answer(self, reply: ModelReply) -> tuple[str, tuple[str, ...]]:
        text, follow_ups = split_follow_ups(reply.text)
        answer = text.strip()
        if not answer:
            if reply.calls:
                raise _TurnEndedError("stopped", self._describe_stop(f"{self._limits.rounds} rounds did not suffice"))
            raise _TurnEndedError("failed", "The model gave no answer. Ask again, or in other words.")
        if not reply.is_truncated:
            return answer, follow_ups
        # What was cut within the follow-ups is a whole answer, and their last question may be half of one.
        return (answer, ()) if text != reply.text else (f"{answer} … (cut: the answer was too long)", ())

    async def _call_model(self, *, may_call: bool) -> ModelReply:
        """Call the model, with a shorter transcript if it reports that the context is exceeded."""
        while True:
            request, most, nanos = self._build_request(may_call)
            number = await self._reserve_call(nanos)
            self._add_charge(most, nanos)
            billable = BillableCall()
            self._stream, self._heard = AnswerStream(), ""
            try:
                reply = await self._model.request_reply(request, self._remaining_seconds(), self._report_text, billable)
            except asyncio.CancelledError:
                if not billable.in_flight:
                    await self._refund_call(number, most, nanos)
                raise
            except ContextExceededError:
                await self._refund_call(number, most, nanos)
                self._context_tokens = int(most.input_tokens * _CONTEXT_SHRINK)
            except CallFailedError as failed:
                if not failed.billed:
                    await self._refund_call(number, most, nanos)
                if self._remaining_seconds() <= 0:
                    raise TimeoutError from failed
                raise _TurnEndedError("failed", f"The model could not be asked: {failed}", "provider") from failed
            else:
                self._tell_text(self._stream.end())
                self._heard = ""
                self._add_charge(most, nanos, -1)
                self._add_charge(reply.usage, reply.nanos)
                await self._settle_call(number, reply.nanos)
                return reply

    async def _reserve_call(self, nanos: int) -> int:
        reserving = asyncio.ensure_future(asyncio.to_thread(self._context.purse.reserve, nanos))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            with suppress(LakehouseError):
                await self._settle_call(await reserving, 0)
            raise
        except LakehouseError as error:
            raise _TurnEndedError("stopped", self._describe_stop(str(error).rstrip("."))) from error

    async def _refund_call(self, number: int, most: Usage, nanos: int) -> None:
        self._add_charge(most, nanos, -1)
        await self._settle_call(number, 0)

    async def _settle_call(self, number: int, nanos: int) -> None:
        """Settle a reservation. If the purse fails, the call stays charged at its maximum."""
        with suppress(LakehouseError):
            await asyncio.to_thread(self._context.purse.settle, number, nanos)

    def _report_text(self, piece: str) -> None:
        self._tell_text(self._stream.add_piece(piece))

    def _tell_text(self, text: str) -> None:
        if text:
            self._heard += text
            self._context.on_event(TextPiece(text))

    def _build_request(self, may_call: bool) -> tuple[ChatRequest, Usage, int]:
        """Build the next request, with its maximum tokens and nano-dollars. Drops old results until it fits."""
        while True:
            request = ChatRequest(self._transcript.to_messages(), self._lakehouse.tools, may_call)
            most, nanos = self._model.compute_maximum(request)
            if most.input_tokens <= self._context_tokens:
                break
            shorter = self._transcript.drop_oldest()
            if shorter is None:
                raise _TurnEndedError("stopped", "The question is too long for the model to read. Ask a shorter one.")
            self._transcript = shorter
        spent = self._usage.input_tokens + self._usage.output_tokens
        if spent + most.input_tokens + most.output_tokens > self._limits.tokens:
            text = f"the next call could exceed {self._limits.tokens:,} tokens for one question (IMDB_CHAT_MAX_TOKENS)"
            raise _TurnEndedError("stopped", self._describe_stop(text))
        if self._nanos + nanos > self._limits.nanos:
            text = f"the next call could exceed {dollars(self._limits.nanos)} for one question (IMDB_CHAT_BUDGET)"
            raise _TurnEndedError("stopped", self._describe_stop(text))
        return request, most, nanos

    def _add_charge(self, usage: Usage, nanos: int, sign: int = 1) -> None:
        self._usage = Usage(
            self._usage.input_tokens + sign * usage.input_tokens, self._usage.output_tokens + sign * usage.output_tokens
        )
        self._nanos += sign * nanos
        self._context.on_cost(self._usage, self._nanos)

    async def _run_calls(self, reply: ModelReply, nanos: int) -> None:
        """Run the requested tool calls concurrently and append their results to the transcript."""
        intents = [parse_intent(call) for call in reply.calls]
        steps = await asyncio.gather(*(self._run_step(intent, number) for number, intent in enumerate(intents)))
        self._transcript = self._transcript.with_round(Round(reply.text, nanos, tuple(steps)))
        if self._server_gone is not None:
            raise _TurnEndedError(
                "failed", f"{self._server_gone} It was started again once within this question.", "server"
            )
        failed = [step for step in steps if step.result.failed]
        self._failures += bool(failed)
        if self._failures > MAX_REPAIRS:
            raise _TurnEndedError("failed", _describe_failures(failed[-1], self._failures))

    async def _run_step(self, intent: Intent, number: int) -> ToolStep:
        self._context.on_event(intent)
        started = time.monotonic()
        step = ToolStep(intent, await self._call_tool(intent, number), time.monotonic() - started)
        self._context.on_event(step)
        return step

    async def _call_tool(self, intent: Intent, number: int) -> ToolResult:
        name = intent.call.name
        if not name.strip():
            tools = ", ".join(tool.name for tool in self._lakehouse.tools)
            return ToolResult(failed=True, text=f"The call names no tool. Send it again with a name: {tools}.")
        if intent.arguments is None:
            return ToolResult(
                failed=True, text=f"The arguments of {name} are not JSON: {intent.fault}. Send them again."
            )
        if number >= MAX_PARALLEL_CALLS:
            return ToolResult(failed=True, text=f"Not run: ask for at most {MAX_PARALLEL_CALLS} things at once.")
        try:
            caller = CallContext(self._context.token, lambda stage: self._context.on_event(ToolProgress(intent, stage)))
            return await self._lakehouse.call_tool(name, intent.arguments, since=self._generation, caller=caller)
        except ServerGoneError as error:
            self._server_gone = error
            return ToolResult(failed=True, text=str(error))

    def _remaining_seconds(self) -> float:
        return self._limits.seconds - (time.monotonic() - self._started)

    def _describe_stop(self, why: str) -> str:
        done = sum(len(one.steps) for one in self._transcript.rounds)
        return f"Stopped before there was an answer: {why}. Tool calls made: {done}. Ask for less, or raise the limit."


def keep_words(heard: str, why: str) -> str:
    """The answer of a question that ended early: what was written of it until then, marked as unfinished, and why."""
    return f"{heard.strip()} … (unfinished)\n\n{why}" if heard.strip() else why


def _describe_failures(step: ToolStep, failures: int) -> str:
    sent = f"\n{step.intent.sql}" if step.intent.sql else ""
    return f"No answer: {failures} attempts failed. The last was {step.intent.call.name}:{sent}\n{step.result.text}"
