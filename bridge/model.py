"""The model that plans: chat completions with tools, by OpenAI, Azure OpenAI or whoever speaks like them."""

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
from ai_functions.streaming import Hear
from ai_functions.tokens import input_tokens
from ai_functions.types import AiUnavailable, CallFailedError, ModelRequest, Price, Usage
from bridge.client import ToolInfo
from bridge.settings import Settings
from lakehouse.backoff import pause

PROMPT = "bridge_system"
MOST_ATTEMPTS = 5

Message = Mapping[str, Any]
"""A message in the wire format of chat completions."""

T = TypeVar("T")

_NO_PROVIDER = (
    "No model is set up: set OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT, or OPENAI_BASE_URL for a server of your own. "
    'Without one, ask in SQL: imdb-chat ask --sql "SELECT …".'
)


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for. `arguments` are its own text, which need not be JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """What a model answered. `refusal` is its reason where it declined; `nanos` is what the call cost.

    `cut` says that it had more to write. `usage` is at its maximum where the provider reported none that can
    be true.
    """

    text: str
    calls: tuple[ToolCall, ...]
    refusal: str | None
    cut: bool
    usage: Usage
    nanos: int


@dataclass(frozen=True)
class ChatRequest:
    """One call of a model. Where not `may_call`, it has to answer without further tools."""

    messages: Sequence[Message]
    tools: Sequence[ToolInfo]
    may_call: bool = True


@dataclass
class Sending:
    """Whether a call is with its provider, which may then bill for it however the call ends."""

    under_way: bool = False


class ChatModel:
    """A model with its price. `name` is the model's or Azure deployment's."""

    def __init__(self, provider: OpenAiProvider, name: str, price: Price, answer_tokens: int) -> None:
        self.name = name
        self._provider = provider
        self._price = price
        self._answer_tokens = answer_tokens

    def most(self, request: ChatRequest) -> tuple[Usage, int]:
        """The most tokens that a call can take, and what they cost in nano-dollars."""
        read = json.dumps([*request.messages, *_tools(request.tools)], ensure_ascii=False)
        usage = Usage(
            input_tokens(ModelRequest(self.name, read, "", self._answer_tokens)) + 8 * len(request.messages),
            self._answer_tokens,
        )
        return usage, self._price.of(usage)

    async def reply(self, request: ChatRequest, seconds: float, hear: Hear, sending: Sending) -> Reply:
        """Call the model; what costs nothing is repeated while there is time. Raises CallFailedError.

        `hear` is told the text piece by piece, as it is written; `sending` is kept true for whoever cancels this.
        """
        deadline = time.monotonic() + seconds
        for attempt in range(MOST_ATTEMPTS):
            sending.under_way = True
            try:
                return await self._once(request, deadline - time.monotonic(), hear)
            except CallFailedError as failed:
                sending.under_way = failed.billed
                again = pause(attempt, at_least=failed.retry_after or 0.0)
                last = attempt == MOST_ATTEMPTS - 1 or time.monotonic() + again >= deadline
                if not failed.retryable or failed.billed or last:
                    raise
                await asyncio.sleep(again)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, request: ChatRequest, seconds: float, hear: Hear) -> Reply:
        fields: dict[str, Any] = {"model": self.name, "messages": list(request.messages)}
        if request.tools:
            fields |= {"tools": _tools(request.tools), "tool_choice": "auto" if request.may_call else "none"}
        most, nanos = self.most(request)
        try:
            answer = await _in_thread(
                lambda tell: self._provider.stream(fields, self._answer_tokens, seconds, tell), hear
            )
        except FilteredError as error:
            return Reply("", (), str(error), cut=False, usage=most, nanos=nanos)
        # Servers render tools in ways of their own, so only the messages' text tells the least that was read.
        told = "".join(str(message.get("content") or "") for message in request.messages)
        return self._read(answer, Bounds.of(told, most))

    def _read(self, found: Mapping[str, Any], bounds: Bounds) -> Reply:
        """Reads an answer. Raises CallFailedError for anything that is not one: it has been billed all the same."""
        try:
            choice = found["choices"][0]
            message, finish = choice["message"], choice.get("finish_reason")
            asked = message.get("tool_calls") or ()
            calls = tuple(
                ToolCall(str(call["id"]), str(call["function"]["name"]), str(call["function"]["arguments"]))
                for call in asked
            )
            text, refusal = message.get("content") or "", message.get("refusal")
        except (LookupError, TypeError, AttributeError) as error:
            text = f"{self._provider.name} answered with something that is no chat completion."
            raise CallFailedError(text, billed=True) from error
        written = str(text) + "".join(call.arguments for call in calls)
        charged = charge(usage_of(found.get("usage")), written, bounds, self._price)
        if finish == "content_filter" and not refusal:
            refusal = "the provider's content filter ended the answer"
        return Reply(str(text), calls, refusal, finish == "length", charged.usage or bounds.most, charged.nanos)

    def close(self) -> None:
        """End all connections."""
        self._provider.close()


def open_model(settings: Settings) -> ChatModel:
    """The model that the settings name. Raises AiUnavailable where there is none, or its price is not known."""
    provider = configured(settings)
    if provider is None:
        raise AiUnavailable(_NO_PROVIDER)
    name, cost = _terms(settings, provider)
    return ChatModel(open_provider(provider), name, cost, settings.chat_answer_tokens)


def _terms(settings: Settings, provider: ProviderConfig) -> tuple[str, Price]:
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


def _tools(tools: Sequence[ToolInfo]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)},
        }
        for tool in tools
    ]


async def _in_thread(call: Callable[[Hear], T], hear: Hear) -> T:
    """The result of a blocking call, in a daemon thread: no program should wait for a model at its end.

    What the call tells is heard in the caller's own thread. Once nobody waits any more, telling ends the call.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

    def tell(piece: str) -> None:
        if done.cancelled():
            raise CallFailedError("Nobody waits for this answer any more.", billed=True)
        if piece:
            loop.call_soon_threadsafe(hear, piece)

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = call(tell)
        except BaseException as found:  # noqa: BLE001  (whoever waits raises it)
            error = found
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="model call", daemon=True).start()
    return await done
