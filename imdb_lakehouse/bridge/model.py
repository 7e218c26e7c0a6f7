"""Chat completions with tools, from OpenAI, Azure OpenAI or a compatible API."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import prompts
from ai_functions.charges import Bounds, charge
from ai_functions.functions import price
from ai_functions.providers import FilteredError, OpenAiProvider, ProviderConfig, configured, open_provider, usage_of
from ai_functions.streaming import Hear, to_arguments
from ai_functions.tokens import input_tokens
from ai_functions.types import AiUnavailable, CallFailedError, ModelRequest, Price, Usage
from imdb_lakehouse.bridge.client import ToolInfo
from imdb_lakehouse.bridge.settings import Settings
from lakehouse.backoff import pause
from lakehouse.escaping import repair_text

PROMPT = "bridge_system"
MAX_ATTEMPTS = 5

WireMessage = Mapping[str, Any]
"""A message in the wire format of chat completions."""

T = TypeVar("T")

_NO_PROVIDER = (
    "No model is set up: set OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT, or OPENAI_BASE_URL for a server of your own. "
    'Without one, ask in SQL: imdb-chat ask --sql "SELECT …".'
)


@dataclass(frozen=True)
class ToolCall:
    """A tool call that the model requests. `arguments` is the model's text, which may be invalid JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ModelReply:
    """Reply of a model. `refusal` is its reason if it declined; `nanos` is the cost of the call in nano-dollars.

    `is_truncated` means that the output limit cut the text. `usage` is the maximum if the provider reported none, or an
    impossible one.
    """

    text: str
    calls: tuple[ToolCall, ...]
    refusal: str | None
    is_truncated: bool
    usage: Usage
    nanos: int


@dataclass(frozen=True)
class ChatRequest:
    """One call of a model. If `may_call` is false, it has to answer without further tool calls."""

    messages: Sequence[WireMessage]
    tools: Sequence[ToolInfo]
    may_call: bool = True


@dataclass
class BillableCall:
    """Whether a call is in flight: the provider may then bill for it, however it ends."""

    in_flight: bool = False


class ChatModel:
    """A model with its price. `name` is that of the model or of the Azure deployment."""

    def __init__(self, provider: OpenAiProvider, name: str, price: Price, answer_tokens: int) -> None:
        self.name = name
        self._provider = provider
        self._price = price
        self._answer_tokens = answer_tokens

    def compute_maximum(self, request: ChatRequest) -> tuple[Usage, int]:
        """Return the most tokens that a call can use, and their cost in nano-dollars."""
        read = json.dumps([*request.messages, *_to_wire_tools(request.tools)], ensure_ascii=False)
        usage = Usage(
            input_tokens(ModelRequest(self.name, read, "", self._answer_tokens)) + 8 * len(request.messages),
            self._answer_tokens,
        )
        return usage, self._price.of(usage)

    async def request_reply(
        self, request: ChatRequest, seconds: float, hear: Hear, billable: BillableCall
    ) -> ModelReply:
        """Call the model, and retry failures that are not billed until `seconds` have passed.

        `hear` receives the text as it is streamed. `billable` tells a caller that cancels this whether a call is in
        flight. Raises CallFailedError.
        """
        deadline = time.monotonic() + seconds
        for attempt in range(MAX_ATTEMPTS):
            billable.in_flight = True
            try:
                return await self._send_request(request, deadline - time.monotonic(), hear)
            except CallFailedError as failed:
                billable.in_flight = failed.billed
                again = pause(attempt, at_least=failed.retry_after or 0.0)
                last = attempt == MAX_ATTEMPTS - 1 or time.monotonic() + again >= deadline
                if not failed.retryable or failed.billed or last:
                    raise
                await asyncio.sleep(again)
        raise AssertionError("the last attempt returns or raises")

    async def _send_request(self, request: ChatRequest, seconds: float, hear: Hear) -> ModelReply:
        fields: dict[str, Any] = {"model": self.name, "messages": list(request.messages)}
        if request.tools:
            fields |= {"tools": _to_wire_tools(request.tools), "tool_choice": "auto" if request.may_call else "none"}
        most, nanos = self.compute_maximum(request)
        try:
            answer = await _run_in_thread(
                lambda tell: self._provider.stream(fields, self._answer_tokens, seconds, tell), hear
            )
        except FilteredError as error:
            return ModelReply("", (), str(error), is_truncated=False, usage=most, nanos=nanos)
        # Providers render tools differently, so the lower bound of input tokens counts the text of the messages only.
        text = "".join(str(message.get("content") or "") for message in request.messages)
        return self._parse_reply(answer, Bounds.of(text, most))

    def _parse_reply(self, found: Mapping[str, Any], bounds: Bounds) -> ModelReply:
        """Parse a completion. Raises CallFailedError, marked as billed, if it has another shape."""
        try:
            choice = found["choices"][0]
            message, finish = choice["message"], choice.get("finish_reason")
            asked = message.get("tool_calls") or ()
            calls = tuple(_parse_call(call, number) for number, call in enumerate(asked))
            text, refusal = repair_text(str(message.get("content") or "")), message.get("refusal")
        except (LookupError, TypeError, AttributeError) as error:
            text = f"{self._provider.name} answered with something that is no chat completion."
            raise CallFailedError(text, billed=True) from error
        written = text + "".join(call.arguments for call in calls)
        charged = charge(usage_of(found.get("usage")), written, bounds, self._price)
        if finish == "content_filter" and not refusal:
            refusal = "the provider's content filter ended the answer"
        return ModelReply(text, calls, refusal, finish == "length", charged.usage or bounds.most, charged.nanos)

    def close(self) -> None:
        """Close all connections."""
        self._provider.close()


def open_model(settings: Settings) -> ChatModel:
    """Open the model that the settings name. Raises AiUnavailable if there is none, or its price is unknown."""
    provider = configured(settings)
    if provider is None:
        raise AiUnavailable(_NO_PROVIDER)
    name, cost = _resolve_model(settings, provider)
    return ChatModel(open_provider(provider), name, cost, settings.chat_answer_tokens)


def _resolve_model(settings: Settings, provider: ProviderConfig) -> tuple[str, Price]:
    known = prompts.read(PROMPT).meta
    name = settings.chat_model or (provider.model if provider.azure else None) or known["model"]
    match settings.chat_input_price, settings.chat_output_price:
        case float(given), float(written):
            return name, price(given, written)
        case None, None if name == known["model"] and not provider.azure:
            return name, price(known["input_price"], known["output_price"])
    raise AiUnavailable(
        f"The model {name} cannot be called: its price is not set. Set IMDB_CHAT_INPUT_PRICE and "
        "IMDB_CHAT_OUTPUT_PRICE, in US dollars per million tokens (0 for a model of one's own)."
    )


def _parse_call(call: Mapping[str, Any], number: int) -> ToolCall:
    function = call["function"]
    return ToolCall(
        repair_text(str(call.get("id") or f"call_{number}")),
        repair_text(str(function.get("name") or "")),
        to_arguments(function.get("arguments")),
    )


def _to_wire_tools(tools: Sequence[ToolInfo]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)},
        }
        for tool in tools
    ]


async def _run_in_thread(call: Callable[[Hear], T], hear: Hear) -> T:
    """Run a blocking call in a daemon thread, so that the program can exit without waiting for a model.

    Pieces that the call reports reach `hear` in the event loop's thread. After a cancel, reporting a piece raises
    CallFailedError in the thread, which ends the call.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def set_outcome(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

    def forward_piece(piece: str) -> None:
        if done.cancelled():
            raise CallFailedError("Nobody waits for this answer any more.", billed=True)
        if piece:
            loop.call_soon_threadsafe(hear, piece)

    def run_call() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = call(forward_piece)
        except BaseException as found:  # noqa: BLE001  (raised again by the awaiting task)
            error = found
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(set_outcome, result, error)

    threading.Thread(target=run_call, name="model call", daemon=True).start()
    return await done
