"""What the bridge remembers: conversations, their messages, and the operations that answer them.

    types      conversations, messages, operations and the errors; nothing else crosses this edge
    records    what a place to keep records has to do, in five verbs
    sqlite     records in one file of the state folder
    cosmos     records in Azure Cosmos DB

All rules are here, once, so that they hold wherever the records lie. Calls block: from asynchronous code, use a thread.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.settings import Settings
from bridge.store.records import (
    Kind,
    Record,
    Records,
    StoreError,
    StoreUnavailableError,
    TakenError,
    TooLargeError,
)
from bridge.store.types import ChangedError, Conversation, KeyReusedError, Message, NotFoundError, Operation
from lakehouse.errors import UsageError

__all__ = [
    "LEASE_SECONDS",
    "ChangedError",
    "Conversation",
    "KeyReusedError",
    "Message",
    "NotFoundError",
    "Operation",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "TooLargeError",
    "open_store",
]

LEASE_SECONDS = 30.0
"""How long an operation counts as alive after it was last saved. Whoever works on it saves it more often than that."""

_ID = re.compile(r"[0-9a-f]{24}")
"""What conversations are called. Whatever else somebody asks for does not exist, and no store is asked for it."""

MOST_MESSAGES = 100
"""Messages that one `append` may add: Azure Cosmos DB takes so many in a transaction."""


class Store:
    """The conversations of all owners. Safe for several threads and processes.

    A conversation and all that belongs to it expire together, `keep_seconds` after it began. What has expired, was
    deleted or is somebody else's does not exist: NotFoundError, and no caller can tell which. Every method may raise
    StoreUnavailableError. `clock` gives the seconds since 1970.
    """

    def __init__(self, records: Records, keep_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._keep_seconds = keep_seconds
        self._clock = clock

    def start(self, owner: str, title: str) -> Conversation:
        """A new conversation."""
        now = self._clock()
        new = Conversation(secrets.token_hex(12), owner, title, now, now + self._keep_seconds)
        self._records.add([_record(new, "conversation", "conversation", now, {"title": title})], now)
        return new

    def conversations(self, owner: str, most: int = 100) -> list[Conversation]:
        """The conversations of an owner, newest first."""
        return [_conversation(record) for record in self._records.newest(owner, "conversation", most, self._clock())]

    def conversation(self, owner: str, conversation_id: str) -> Conversation:
        """One conversation. Raises NotFoundError."""
        known = _ID.fullmatch(conversation_id)
        found = self._records.find(conversation_id, owner, "conversation", self._clock()) if known else []
        if not found:
            raise NotFoundError("There is no such conversation. It may have expired: start a new one.")
        return _conversation(found[0])

    def delete(self, conversation: Conversation) -> None:
        """Take away a conversation and all that belongs to it. Raises NotFoundError."""
        self.conversation(conversation.owner, conversation.id)
        self._records.remove(conversation.id)

    def messages(self, conversation: Conversation) -> list[Message]:
        """What was said, in order."""
        found = self._records.find(conversation.id, conversation.owner, "message", self._clock())
        return [Message(at=record.at, **record.body) for record in found]

    def append(self, conversation: Conversation, messages: Sequence[Message], *, after: int) -> None:
        """Add messages, all or none, behind the `after` ones that the caller has read; their `at` is set to now.

        Raises ChangedError where others were added meanwhile, NotFoundError, and TooLargeError.
        """
        if not 1 <= len(messages) <= MOST_MESSAGES:
            raise ValueError(f"append takes 1 to {MOST_MESSAGES} messages, not {len(messages)}")
        self.conversation(conversation.owner, conversation.id)
        now = self._clock()
        new = [
            _record(conversation, "message", f"message-{number:08}", now, message.body())
            for number, message in enumerate(messages, start=after)
        ]
        try:
            self._records.add(new, now)
        except TakenError as error:
            raise ChangedError("Somebody else has added to this conversation. Read it again, then decide.") from error

    def begin(
        self, conversation: Conversation, request: Mapping[str, Any], *, key: str | None = None
    ) -> tuple[Operation, bool]:
        """An operation that is pending, and whether it is new: only then may work on it begin.

        The same `key` in the same conversation gives the same operation, so that a retry asks and pays once. Raises
        KeyReusedError where the key came with another request, NotFoundError, and TooLargeError.
        """
        self.conversation(conversation.owner, conversation.id)
        token = secrets.token_hex(12) if key is None else _token(key)
        now = self._clock()
        body = Operation.new_body(request, now + LEASE_SECONDS)
        try:
            self._records.add([_record(conversation, "operation", f"operation-{token}", now, body)], now)
        except TakenError:
            new = False
        else:
            new = True
        return _same(self.operation(conversation.owner, f"{conversation.id}.{token}"), request), new

    def begun(self, conversation: Conversation, request: Mapping[str, Any], *, key: str) -> Operation | None:
        """The operation that a key stands for already, None where it stands for none. Raises KeyReusedError."""
        try:
            return _same(self.operation(conversation.owner, f"{conversation.id}.{_token(key)}"), request)
        except NotFoundError:
            return None

    def operation(self, owner: str, operation_id: str) -> Operation:
        """One operation. Raises NotFoundError.

        One that nobody has saved for LEASE_SECONDS is interrupted, for good: its process died, or lost the store.
        """
        operation = self._operation(owner, operation_id)
        if operation.ended or operation.alive_until > self._clock():
            return operation
        try:
            return self.save(operation.interrupted())
        except ChangedError:  # its process lives after all, or another reader was faster
            return self._operation(owner, operation_id)

    def save(self, operation: Operation) -> Operation:
        """Keep an operation as it has become, and count it as alive for another LEASE_SECONDS.

        Raises ChangedError where it is not what was read any more: interrupted, or deleted. Then whoever works on it
        stops. Raises TooLargeError.
        """
        now = self._clock()
        kept = self._records.replace(operation.record(now + LEASE_SECONDS), now)
        if kept is None:
            raise ChangedError("This operation was ended, saved or deleted by somebody else. Stop working on it.")
        return Operation.of(kept)

    def close(self) -> None:
        """Let go of the place where the records lie."""
        self._records.close()

    def _operation(self, owner: str, operation_id: str) -> Operation:
        conversation_id, _, token = operation_id.partition(".")
        found: list[Record] = []
        if _ID.fullmatch(conversation_id) and _ID.fullmatch(token):
            found = self._records.find(conversation_id, owner, "operation", self._clock(), f"operation-{token}")
        if not found:
            raise NotFoundError("There is no such operation. It may have expired: ask again.")
        return Operation.of(found[0])


def open_store(settings: Settings, clock: Callable[[], float] = time.time) -> Store:
    """The store that the settings name: Azure Cosmos DB where an account is set, a file of the state folder otherwise.

    Raises UsageError where Azure's package is missing, and StoreUnavailableError.
    """
    return Store(_records(settings), settings.chat_keep_days * 86_400, clock)


def _records(settings: Settings) -> Records:
    if settings.cosmos_endpoint is None:
        from bridge.store.sqlite import SqliteRecords

        return SqliteRecords(settings.state)
    try:
        from bridge.store.cosmos import CosmosRecords  # imported late: half a second, and an extra
    except ModuleNotFoundError as error:
        raise UsageError(
            "COSMOS_ENDPOINT is set, and the package azure-cosmos is not installed. Install the extra `cosmos`, or "
            "unset it: conversations are then kept in a file."
        ) from error
    key = settings.cosmos_key.get_secret_value() if settings.cosmos_key else None
    return CosmosRecords.connect(settings.cosmos_endpoint, key, settings.cosmos_database)


def _record(conversation: Conversation, kind: Kind, record_id: str, now: float, body: Mapping[str, Any]) -> Record:
    return Record(conversation.id, record_id, kind, conversation.owner, now, conversation.expires, body)


def _token(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def _same(operation: Operation, request: Mapping[str, Any]) -> Operation:
    if operation.request != request:
        raise KeyReusedError("This idempotency key came with another request before. Use a new key for a new one.")
    return operation


def _conversation(record: Record) -> Conversation:
    return Conversation(record.conversation, record.owner, record.body["title"], record.at, record.expires)
