"""Requests in progress: each is a stored operation that its owner can poll and cancel.

A conversation answers one request at a time. The question is stored before work on it begins, and the answer before the
operation becomes `done`. Operations of a process that died are read as interrupted once their lease has expired; a
process that shuts down marks its own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from imdb_lakehouse.bridge import views
from imdb_lakehouse.bridge.answering import Answerer, AnswerProgress, AskRequest, SeenProgress, VisitorIdentity
from imdb_lakehouse.bridge.store import (
    LEASE_SECONDS,
    ChangedError,
    NotFoundError,
    Store,
    StoredConversation,
    StoredMessage,
    StoredOperation,
    StoreUnavailableError,
)
from imdb_lakehouse.bridge.transcript import Exchange, trim_history
from imdb_lakehouse.bridge.turn import keep_words
from imdb_lakehouse.bridge.views import Json
from lakehouse.backoff import pause
from lakehouse.errors import LakehouseError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_MESSAGES = 400
"""Messages of one conversation; each question reads all of them."""

_WATCH_SECONDS = 1.0
_SAVE_SECONDS = LEASE_SECONDS / 6
_ATTEMPTS = 6


class ServiceBusyError(LakehouseError):
    """The limit on concurrent requests is reached."""


class ConversationBusyError(LakehouseError):
    """The last question of the conversation is still being answered, or the conversation is full."""


class NoModelError(LakehouseError):
    """A question in plain language, but no model is configured."""


@dataclass(frozen=True)
class ConcurrencyLimits:
    """Limits on requests: those of one visitor, those that are answered at once, and those that wait for their turn."""

    per_visitor: int
    total: int
    waiting: int


@dataclass(eq=False)
class _RunningOperation:
    """An operation that this process runs: `operation` as it was last saved, `live` its progress."""

    visitor: VisitorIdentity
    conversation: StoredConversation
    request: AskRequest
    operation: StoredOperation
    live: AnswerProgress = field(default_factory=AnswerProgress)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    interrupted: bool = False
    task: asyncio.Task[None] | None = None


class OperationRunner:
    """Runs the operations of all visitors. Used from one event loop; several processes may share its store."""

    def __init__(self, store: Store, answerer: Answerer, share: ConcurrencyLimits) -> None:
        self.store = store
        self._answerer = answerer
        self._share = share
        self._places: Counter[str] = Counter()  # by visitor; taken before the first await, so that none is given twice
        self._turns = asyncio.Semaphore(share.total)
        self._starts: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by conversation
        self._running: dict[str, _RunningOperation] = {}

    async def start_operation(
        self, visitor: VisitorIdentity, conversation_id: str, request: AskRequest, key: str | None
    ) -> Json:
        """Start answering a request and return its operation. The same `key` returns the same operation.

        Raises NotFoundError, KeyReusedError, ConversationBusyError, ServiceBusyError, NoModelError, and the errors of
        the store.
        """
        if request.kind == "question" and self._answerer.model is None:
            raise NoModelError(
                "No model is set up, so only SQL is answered here. Whoever runs this can set OPENAI_API_KEY, "
                "AZURE_OPENAI_ENDPOINT or OPENAI_BASE_URL."
            )
        conversation = await _call_in_thread(self.store.get_conversation, visitor.name, conversation_id)
        async with self._starts.setdefault(conversation.id, asyncio.Lock()):
            return await self._start_in_turn(visitor, conversation, request, key)

    async def _start_in_turn(
        self, visitor: VisitorIdentity, conversation: StoredConversation, request: AskRequest, key: str | None
    ) -> Json:
        if key is not None and (
            known := await _call_in_thread(self.store.find_operation, conversation, asdict(request), key=key)
        ):
            return self._to_view(known)
        self._take_place(visitor)
        work: _RunningOperation | None = None
        try:
            messages = await _call_in_thread(self.store.list_messages, conversation)
            await self._require_free(visitor, messages)
            earlier = messages if request.again is None else list_earlier(messages, request.again)
            operation, new = await _call_in_thread(self.store.create_operation, conversation, asdict(request), key=key)
            if not new:
                return self._to_view(operation)
            await self._append_question(conversation, request, operation, len(messages))
            work = self._running[operation.id] = _RunningOperation(visitor, conversation, request, operation)
        finally:
            if work is None:
                self._leave_place(visitor)
        work.task = asyncio.create_task(
            self._run_operation(work, to_history(earlier), len(messages) + 1), name="operation"
        )
        return self._to_view(operation)

    def is_running(self, visitor: VisitorIdentity, operation_id: str) -> bool:
        """Whether this process runs an operation of the visitor."""
        work = self._running.get(operation_id)
        return work is not None and work.visitor.name == visitor.name

    async def find_operation(self, visitor: VisitorIdentity, operation_id: str) -> Json:
        """Return the current state of an operation. Raises NotFoundError."""
        if self.is_running(visitor, operation_id):
            return self._to_view(self._running[operation_id].operation)
        return self._to_view(await _call_in_thread(self.store.get_operation, visitor.name, operation_id))

    async def watch_operation(self, visitor: VisitorIdentity, operation_id: str) -> AsyncIterator[Json]:
        """Yield the `state` of an operation, each `change` of its stage, and its state once it has ended.

        Raises NotFoundError if it is not there at first.
        """
        work = self._running.get(operation_id)
        seen = SeenProgress(work.live) if work is not None else None
        yield {"state": await self.find_operation(visitor, operation_id)}
        if work is not None and seen is not None and work.task is not None:
            async for change in seen.follow(work.task):
                yield {"change": change}
        with suppress(NotFoundError):  # deleted or expired meanwhile: the events end, and the next request says why
            found = await self.find_operation(visitor, operation_id)
            while found["state"] in ("pending", "running"):  # another process runs it, and only the store tells
                await asyncio.sleep(_WATCH_SECONDS)
                found = await self.find_operation(visitor, operation_id)
            yield {"state": found}

    async def cancel_operation(self, visitor: VisitorIdentity, operation_id: str) -> Json:
        """Cancel an operation, including its query on the engine. An ended one is unchanged. Raises NotFoundError."""
        found = await self.find_operation(visitor, operation_id)
        work = self._running.get(operation_id)
        if work is not None:
            work.stop.set()
        elif found["state"] in ("pending", "running"):  # run by another process, which notices at its next save
            operation = await _call_in_thread(self.store.get_operation, visitor.name, operation_id)
            with suppress(ChangedError, ValueError):
                ended = operation.as_failed(views.build_result("cancelled", "Cancelled.", [], 0.0))
                return self._to_view(await _call_in_thread(self.store.save_operation, ended))
        return found

    async def cancel_conversation(self, conversation: StoredConversation) -> None:
        """Cancel the operations of a conversation and wait until they have ended."""
        await _stop_operations([work for work in self._running.values() if work.conversation.id == conversation.id])

    async def close(self) -> None:
        """Stop all operations of this process and mark them as interrupted."""
        for work in self._running.values():
            work.interrupted = True
        await _stop_operations([*self._running.values()])

    async def find_running(self, visitor: VisitorIdentity, messages: Sequence[StoredMessage]) -> Json | None:
        """Return the operation of a conversation's last question, None if it is answered."""
        if not messages or messages[-1].role != "user":
            return None
        with suppress(NotFoundError):
            return await self.find_operation(visitor, messages[-1].details["operation"])
        return None

    async def _append_question(
        self, conversation: StoredConversation, request: AskRequest, operation: StoredOperation, after: int
    ) -> None:
        details = {"kind": request.kind, "operation": operation.id, "again": request.again}
        asked = StoredMessage("user", request.text, details)
        try:
            await _call_in_thread(self.store.append_messages, conversation, [asked], after=after)
        except LakehouseError:
            await _call_in_thread(
                self.store.save_operation,
                operation.as_failed(views.build_result("failed", "It was not asked.", [], 0.0)),
            )
            raise

    async def _require_free(self, visitor: VisitorIdentity, messages: Sequence[StoredMessage]) -> None:
        """Raise if the conversation accepts no further request now."""
        if len(messages) + 2 > MAX_MESSAGES:
            raise ConversationBusyError("This conversation is full. Start a new one.")
        last = await self.find_running(visitor, messages)
        if last is not None and last["state"] in ("pending", "running"):
            raise ConversationBusyError(
                "The question before is still being answered. Wait for its answer, or cancel it."
            )

    def _take_place(self, visitor: VisitorIdentity) -> None:
        """Count a request towards the limits until `_leave_place`. Raises ServiceBusyError."""
        mine = self._places[visitor.name]
        if mine >= self._share.per_visitor:
            raise ServiceBusyError(f"{mine} of your questions are being answered. Wait for one, or cancel it.")
        if self._places.total() >= self._share.total + self._share.waiting:
            raise ServiceBusyError("Many questions are being answered right now. Ask again in a few seconds.")
        self._places[visitor.name] += 1

    def _leave_place(self, visitor: VisitorIdentity) -> None:
        self._places[visitor.name] -= 1
        if not self._places[visitor.name]:
            del self._places[visitor.name]

    async def _run_operation(self, work: _RunningOperation, history: Sequence[Exchange], after: int) -> None:
        """Answer a request, renew its lease meanwhile, and store the answer."""
        try:
            result = await self._supervise_answer(work, history)
            if work.interrupted:
                await self._save_operation(work, work.operation.as_interrupted())
            else:
                await self._store_answer(work, result, after)
        except (ChangedError, NotFoundError):
            log.info("An operation was ended or deleted elsewhere; its answer is dropped.")
        except LakehouseError as error:
            log.error("An answer could not be kept: %s", error)  # noqa: TRY400  (an expected error needs no traceback)
        finally:
            del self._running[work.operation.id]
            self._leave_place(work.visitor)

    async def _supervise_answer(self, work: _RunningOperation, history: Sequence[Exchange]) -> Json:
        """Answer a request and save its progress periodically, until it is done or cancelled.

        Raises ChangedError if another process ended the operation.
        """
        answering = asyncio.create_task(self._answer_in_turn(work, history))
        stopping = asyncio.create_task(work.stop.wait())
        try:
            while not (answering.done() or stopping.done()):
                await self._save_progress(work)
                await asyncio.wait([answering, stopping], timeout=_SAVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            stopping.cancel()
            await asyncio.wait([answering, stopping])
        if answering.cancelled():
            live = work.live
            answer = keep_words(live.text, "Cancelled.")
            return views.build_result("cancelled", answer, _mark_cancelled(live.steps), live.seconds, live.spent)
        return _read_outcome(answering)

    async def _answer_in_turn(self, work: _RunningOperation, history: Sequence[Exchange]) -> Json:
        async with self._turns:
            return await self._answerer.answer_request(
                work.request, history, work.visitor, work.operation.id, work.live
            )

    async def _save_progress(self, work: _RunningOperation) -> None:
        """Save the progress of an answer. An outage of the store does not end it."""
        try:
            await self._save_operation(work, work.operation.as_running(work.live.to_stage()))
        except StoreUnavailableError as error:
            log.warning("How far an answer is could not be kept: %s", error)

    async def _store_answer(self, work: _RunningOperation, result: Json, after: int) -> None:
        """Store the answer, then the end of the operation; retries bridge an outage of a few seconds."""
        last = work.operation.as_running({})
        ended = last.as_done(result) if result["outcome"] == "answered" else last.as_failed(result)
        details = {"kind": work.request.kind, "operation": work.operation.id, "result": result}
        await _retry_store_call(
            self._append_message, work.conversation, StoredMessage("assistant", result["answer"], details), after
        )
        await _retry_store_call(self._save_operation, work, ended)

    async def _append_message(self, conversation: StoredConversation, answer: StoredMessage, after: int) -> None:
        try:
            await _call_in_thread(self.store.append_messages, conversation, [answer], after=after)
        except ChangedError:  # the lease had expired, and the conversation went on
            messages = await _call_in_thread(self.store.list_messages, conversation)
            await _call_in_thread(self.store.append_messages, conversation, [answer], after=len(messages))

    async def _save_operation(self, work: _RunningOperation, operation: StoredOperation) -> None:
        work.operation = await _call_in_thread(self.store.save_operation, operation)

    def _to_view(self, operation: StoredOperation) -> Json:
        """Convert an operation to JSON, with its live progress if this process runs it."""
        work = self._running.get(operation.id)
        stage = work.live.to_stage() if work is not None else operation.stage
        return {
            "id": operation.id,
            "conversation": operation.conversation_id,
            "state": operation.state,
            "created": operation.created,
            "request": operation.request,
            "stage": {"doing": "waiting", "text": "", "steps": []} | dict(stage),
            "result": operation.result,
        }


async def _stop_operations(works: Sequence[_RunningOperation]) -> None:
    """Stop operations and wait until they have ended."""
    for work in works:
        work.stop.set()
    if tasks := [work.task for work in works if work.task is not None]:
        await asyncio.wait(tasks)


def _read_outcome(answering: asyncio.Task[Json]) -> Json:
    """Return the result of an answer. A defect is logged and reported by a correlation id."""
    if (error := answering.exception()) is None:
        return answering.result()
    correlation_id = uuid.uuid4().hex[:12]
    log.error("An answer failed, correlation id %s", correlation_id, exc_info=error)
    text = f"This program failed at it. Whoever runs it finds the reason in its log, under {correlation_id}."
    return views.build_result("failed", text, [], 0.0)


def _mark_cancelled(steps: Sequence[Json]) -> list[Json]:
    """Mark running steps as cancelled."""
    stopped = {"state": "failed", "text": "Cancelled.", "stage": None}
    return [step | stopped if step["state"] == "running" else step for step in steps]


def list_earlier(messages: Sequence[StoredMessage], operation_id: str) -> Sequence[StoredMessage]:
    """Return the messages before the question of an operation, or before the one that it repeats.

    Raises NotFoundError where the operation is none of this conversation.
    """
    for number, message in enumerate(messages):
        if message.details.get("operation") == operation_id:
            repeated = message.details.get("again")
            return messages[:number] if repeated is None else list_earlier(messages[:number], repeated)
    raise NotFoundError("There is no such question in this conversation. Ask without `again`.")


def to_history(messages: Sequence[StoredMessage]) -> tuple[Exchange, ...]:
    """Return the last answered questions; the newest of them with the rows that they rested on."""
    found: list[Exchange] = []
    for asked, answered in itertools.pairwise(messages):
        result: dict[str, Any] = answered.details.get("result") or {}
        if (asked.role, answered.role, result.get("outcome")) != ("user", "assistant", "answered"):
            continue
        found.append(Exchange(asked.text, answered.text or "(The statement was run.)", views.to_basis(result["steps"])))
    return trim_history(found)


async def _call_in_thread(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call the store in a thread, because it blocks."""
    return await asyncio.to_thread(call, *arguments, **named)


async def _retry_store_call(act: Callable[..., Any], *arguments: Any) -> None:
    """Call the store, with retries while it is unavailable."""
    for attempt in range(_ATTEMPTS):
        try:
            await act(*arguments)
        except StoreUnavailableError:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(pause(attempt))
        else:
            return
