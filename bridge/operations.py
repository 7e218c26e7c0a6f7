"""Requests under way: each is an operation that is kept, may be asked about by its owner, and cancelled.

A conversation answers one request at a time. The question is kept before work on it begins, and its answer before the
operation says that it is done. A process that dies leaves operations that are soon read as interrupted; one that is
told to end says so of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, ParamSpec, TypeVar

from bridge import views
from bridge.answering import Answerer, Live, Request, Visitor
from bridge.store import (
    LEASE_SECONDS,
    ChangedError,
    Conversation,
    Message,
    NotFoundError,
    Operation,
    Store,
    StoreUnavailableError,
)
from bridge.transcript import Exchange
from bridge.views import Json
from lakehouse.backoff import pause
from lakehouse.errors import LakehouseError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MOST_MESSAGES = 400
"""Messages of one conversation: all of them are read for each question."""

_SAVE_SECONDS = LEASE_SECONDS / 6
_ATTEMPTS = 6
_MOST_HISTORY = 20
_MOST_SHOWN_CHARS = 2_000


class BusyError(LakehouseError):
    """As many requests are being answered as may be at once."""


class ConversationBusyError(LakehouseError):
    """The conversation's last question is still being answered, or it can take no more."""


class NoModelError(LakehouseError):
    """A question in plain language, and no model is set up."""


@dataclass(frozen=True)
class Share:
    """Requests that are answered at once: of one visitor, and of all."""

    each: int
    most: int


@dataclass(eq=False)
class _Work:
    """One operation of this process: `operation` as it was last saved, `live` how far it is."""

    visitor: Visitor
    conversation: Conversation
    request: Request
    operation: Operation
    live: Live = field(default_factory=Live)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    interrupted: bool = False
    task: asyncio.Task[None] | None = None


class Operations:
    """The operations of all visitors. Belongs to one event loop; several processes may share its store."""

    def __init__(self, store: Store, answerer: Answerer, share: Share) -> None:
        self.store = store
        self._answerer = answerer
        self._share = share
        self._works: dict[str, _Work] = {}

    async def begin(self, visitor: Visitor, conversation_id: str, request: Request, key: str | None) -> Json:
        """Begin to answer a request, and give its operation. The same `key` gives the same operation again.

        Raises NotFoundError, KeyReusedError, ConversationBusyError, BusyError, NoModelError, and what the store raises.
        """
        if request.kind == "question" and self._answerer.model is None:
            raise NoModelError(
                "No model is set up, so only SQL is answered here. Whoever runs this can set OPENAI_API_KEY, "
                "AZURE_OPENAI_ENDPOINT or OPENAI_BASE_URL."
            )
        conversation = await _in_thread(self.store.conversation, visitor.name, conversation_id)
        if key is not None and (known := await _in_thread(self.store.begun, conversation, asdict(request), key=key)):
            return self._view(known)
        messages = await _in_thread(self.store.messages, conversation)
        await self._require_free(visitor, messages)
        operation, new = await _in_thread(self.store.begin, conversation, asdict(request), key=key)
        if not new:
            return self._view(operation)
        asked = Message("user", request.text, {"kind": request.kind, "operation": operation.id})
        try:
            self._require_room(visitor)
            await _in_thread(self.store.append, conversation, [asked], after=len(messages))
        except LakehouseError:
            await _in_thread(self.store.save, operation.failed(views.result("failed", "It was not asked.", [], 0.0)))
            raise
        work = _Work(visitor, conversation, request, operation)
        self._works[operation.id] = work
        work.task = asyncio.create_task(self._work(work, _history(messages), len(messages) + 1), name="operation")
        return self._view(operation)

    async def find(self, visitor: Visitor, operation_id: str) -> Json:
        """An operation as it stands. Raises NotFoundError."""
        work = self._works.get(operation_id)
        if work is not None and work.visitor.name == visitor.name:
            return self._view(work.operation)
        return self._view(await _in_thread(self.store.operation, visitor.name, operation_id))

    async def cancel(self, visitor: Visitor, operation_id: str) -> Json:
        """Stop an operation, down to the engine; one that has ended stays as it is. Raises NotFoundError."""
        found = await self.find(visitor, operation_id)
        work = self._works.get(operation_id)
        if work is not None:
            work.stop.set()
        elif found["state"] in ("pending", "running"):  # of another process, which hears of it when it saves next
            operation = await _in_thread(self.store.operation, visitor.name, operation_id)
            with suppress(ChangedError, ValueError):
                ended = operation.failed(views.result("cancelled", "Cancelled.", [], 0.0))
                return self._view(await _in_thread(self.store.save, ended))
        return found

    async def cancel_conversation(self, conversation: Conversation) -> None:
        """Stop what is answered in a conversation, and wait for its end."""
        await _ended([work for work in self._works.values() if work.conversation.id == conversation.id])

    async def close(self) -> None:
        """Stop all operations of this process; they are interrupted."""
        for work in self._works.values():
            work.interrupted = True
        await _ended([*self._works.values()])

    async def running(self, visitor: Visitor, messages: Sequence[Message]) -> Json | None:
        """The operation of a conversation's last question, None where it is answered."""
        if not messages or messages[-1].role != "user":
            return None
        with suppress(NotFoundError):
            return await self.find(visitor, messages[-1].details["operation"])
        return None

    async def _require_free(self, visitor: Visitor, messages: Sequence[Message]) -> None:
        """Raises where the conversation, or this process, takes no further request now."""
        if len(messages) + 2 > MOST_MESSAGES:
            raise ConversationBusyError("This conversation is full. Start a new one.")
        last = await self.running(visitor, messages)
        if last is not None and last["state"] in ("pending", "running"):
            raise ConversationBusyError(
                "The question before is still being answered. Wait for its answer, or cancel it."
            )
        self._require_room(visitor)

    def _require_room(self, visitor: Visitor) -> None:
        mine = sum(work.visitor.name == visitor.name for work in self._works.values())
        if mine >= self._share.each:
            raise BusyError(f"{mine} of your questions are being answered. Wait for one, or cancel it.")
        if len(self._works) >= self._share.most:
            raise BusyError("Many questions are being answered right now. Ask again in a few seconds.")

    async def _work(self, work: _Work, history: Sequence[Exchange], after: int) -> None:
        """Answer a request, keep saying that it is alive, and keep the answer."""
        try:
            result = await self._looked_after(work, history)
            if work.interrupted:
                await self._save(work, work.operation.interrupted())
            else:
                await self._keep(work, result, after)
        except (ChangedError, NotFoundError):
            log.info("An operation was ended or deleted elsewhere; its answer is dropped.")
        except LakehouseError as error:
            log.error("An answer could not be kept: %s", error)  # noqa: TRY400  (foreseen: its text says all)
        finally:
            del self._works[work.operation.id]

    async def _looked_after(self, work: _Work, history: Sequence[Exchange]) -> Json:
        """Answer, saving meanwhile how far it is, until it is done or told to stop.

        Raises ChangedError where the operation was ended elsewhere.
        """
        answering = asyncio.create_task(
            self._answerer.answer(work.request, history, work.visitor, work.operation.id, work.live)
        )
        stopping = asyncio.create_task(work.stop.wait())
        try:
            while not (answering.done() or stopping.done()):
                await self._note(work)
                await asyncio.wait([answering, stopping], timeout=_SAVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            stopping.cancel()
            await asyncio.wait([answering, stopping])
        if answering.cancelled():
            live = work.live
            return views.result("cancelled", "Cancelled.", _stopped(live.steps), live.seconds, live.spent)
        return _outcome(answering)

    async def _note(self, work: _Work) -> None:
        """Save how far an answer is. An outage of the store is no reason to end it."""
        try:
            await self._save(work, work.operation.running(work.live.stage()))
        except StoreUnavailableError as error:
            log.warning("How far an answer is could not be kept: %s", error)

    async def _keep(self, work: _Work, result: Json, after: int) -> None:
        """Keep the answer in the conversation, then the operation's end, through an outage of some seconds."""
        last = work.operation.running({})
        ended = last.done(result) if result["outcome"] == "answered" else last.failed(result)
        details = {"kind": work.request.kind, "result": result}
        await _persistently(self._append, work.conversation, Message("assistant", result["answer"], details), after)
        await _persistently(self._save, work, ended)

    async def _append(self, conversation: Conversation, answer: Message, after: int) -> None:
        try:
            await _in_thread(self.store.append, conversation, [answer], after=after)
        except ChangedError:  # the process was thought dead, and the conversation went on
            messages = await _in_thread(self.store.messages, conversation)
            await _in_thread(self.store.append, conversation, [answer], after=len(messages))

    async def _save(self, work: _Work, operation: Operation) -> None:
        work.operation = await _in_thread(self.store.save, operation)

    def _view(self, operation: Operation) -> Json:
        """An operation as JSON, with what is known of it here."""
        work = self._works.get(operation.id)
        stage = work.live.stage() if work is not None else operation.stage
        return {
            "id": operation.id,
            "conversation": operation.conversation_id,
            "state": operation.state,
            "created": operation.created,
            "request": operation.request,
            "stage": {"doing": "waiting", "text": "", "steps": []} | dict(stage),
            "result": operation.result,
        }


async def _ended(works: Sequence[_Work]) -> None:
    """Stop operations, and wait for their end."""
    for work in works:
        work.stop.set()
    if tasks := [work.task for work in works if work.task is not None]:
        await asyncio.wait(tasks)


def _outcome(answering: asyncio.Task[Json]) -> Json:
    """What came of it. A defect is said under an id, and the rest is in the log."""
    if (error := answering.exception()) is None:
        return answering.result()
    correlation_id = uuid.uuid4().hex[:12]
    log.error("An answer failed, correlation id %s", correlation_id, exc_info=error)
    text = f"This program failed at it. Whoever runs it finds the reason in its log, under {correlation_id}."
    return views.result("failed", text, [], 0.0)


def _stopped(steps: Sequence[Json]) -> list[Json]:
    """The same, where what was running no longer does."""
    stopped = {"state": "failed", "text": "Cancelled.", "stage": None}
    return [step | stopped if step["state"] == "running" else step for step in steps]


def _history(messages: Sequence[Message]) -> tuple[Exchange, ...]:
    """The last questions that were answered. Of a statement without a model, what it gave."""
    found: list[Exchange] = []
    for asked, answered in itertools.pairwise(messages):
        result: dict[str, Any] = answered.details.get("result") or {}
        if (asked.role, answered.role, result.get("outcome")) != ("user", "assistant", "answered"):
            continue
        text = answered.text or f"(The statement was run. Its rows begin: {_rows(result)})"
        found.append(Exchange(asked.text, text))
    return tuple(found[-_MOST_HISTORY:])


def _rows(result: Json) -> str:
    tables = [step["table"] for step in result["steps"] if step["table"]]
    return str(tables[-1]["rows"])[:_MOST_SHOWN_CHARS] if tables else "none"


async def _in_thread(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The store blocks."""
    return await asyncio.to_thread(call, *arguments, **named)


async def _persistently(act: Callable[..., Any], *arguments: Any) -> None:
    """Do something with the store, again where it cannot be reached."""
    for attempt in range(_ATTEMPTS):
        try:
            await act(*arguments)
        except StoreUnavailableError:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(pause(attempt))
        else:
            return
