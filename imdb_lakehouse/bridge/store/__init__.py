"""Stores conversations, their messages, the operations that answer them, and links to copies of them.

    types      conversations, messages, operations, links and errors: the interface of the package
    records    protocol of a backend
    sqlite     backend: one file in the state folder
    cosmos     backend: Azure Cosmos DB

All rules are in `Store`, so they hold for every backend. Calls block: use a thread from asynchronous code.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from imdb_lakehouse.bridge.settings import Settings
from imdb_lakehouse.bridge.store.records import (
    Record,
    RecordKind,
    Records,
    RecordTooLargeError,
    StoreError,
    StoreUnavailableError,
    TakenError,
)
from imdb_lakehouse.bridge.store.types import (
    TRACE_SECONDS,
    ChangedError,
    ConversationPage,
    ExpiredError,
    KeyReusedError,
    NotFoundError,
    NothingToShareError,
    OutdatedError,
    StoredConversation,
    StoredFeedback,
    StoredMessage,
    StoredOperation,
    StoredShare,
    fold_title,
)
from lakehouse.errors import UsageError

__all__ = [
    "LEASE_SECONDS",
    "ChangedError",
    "ConversationPage",
    "ExpiredError",
    "KeyReusedError",
    "NotFoundError",
    "NothingToShareError",
    "OutdatedError",
    "RecordTooLargeError",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "StoredConversation",
    "StoredFeedback",
    "StoredMessage",
    "StoredOperation",
    "StoredShare",
    "open_store",
]

LEASE_SECONDS = 30.0
"""How long an operation counts as alive after it was last saved. Its process saves it more often than that."""

_ID = re.compile(r"[0-9a-f]{24}")
"""Form of an id. Other ids do not exist and are not looked up."""

_FEEDBACK_ATTEMPTS = 5

MAX_APPENDED_MESSAGES = 100
"""Messages that one append may add: the limit of a transaction in Azure Cosmos DB."""

_MAX_CHANGES = 20
"""How often a change is tried again because another one came first: each time, one of those at once is through."""


class Store:
    """The conversations of all owners. Safe for several threads and processes.

    A conversation and all that belongs to it expire together, `keep_seconds` after it was created. Access to an
    expired, deleted or foreign one raises NotFoundError, which does not tell these apart. Every method may raise
    StoreUnavailableError. `clock` returns seconds since 1970.
    """

    def __init__(self, records: Records, keep_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._keep_seconds = keep_seconds
        self._clock = clock

    def create_conversation(self, owner: str, title: str) -> StoredConversation:
        """Create a conversation."""
        now = self._clock()
        new = StoredConversation(secrets.token_hex(12), owner, title, now, now + self._keep_seconds)
        self._records.add([new.to_record()], now)
        return new

    def list_conversations(
        self, owner: str, most: int = 100, *, after: str | None = None, search: str = ""
    ) -> ConversationPage:
        """Return at most `most` conversations of an owner: pinned ones first, new before old.

        `after` continues a list behind the page that had it; conversations that are added meanwhile do not shift it.
        `search` leaves those whose title contains it, without regard to case and accents.
        """
        found = self._records.list_ranked(
            owner, "conversation", self._clock(), most=most + 1, below=after, text=fold_title(search)
        )
        conversations = [StoredConversation.from_record(record) for record in found[:most]]
        return ConversationPage(conversations, found[most - 1].rank if len(found) > most else None)

    def get_conversation(self, owner: str, conversation_id: str) -> StoredConversation:
        """Return a conversation. Raises NotFoundError."""
        return StoredConversation.from_record(self._read_conversation(owner, conversation_id))

    def change_conversation(
        self,
        owner: str,
        conversation_id: str,
        *,
        title: str | None = None,
        pinned: bool | None = None,
        etag: str | None = None,
    ) -> StoredConversation:
        """Rename a conversation, or pin it; None leaves what is there. Changes at once are all made, one by one.

        Raises OutdatedError if `etag` is given and the conversation has another one, ChangedError if too many changes
        come at once, and NotFoundError.
        """
        for _ in range(_MAX_CHANGES):
            record = self._read_conversation(owner, conversation_id)
            found = StoredConversation.from_record(record)
            if etag not in (None, found.etag):
                raise OutdatedError("This conversation was changed meanwhile. Read it again, then decide.")
            wanted = replace(
                found,
                title=found.title if title is None else title,
                pinned=found.pinned if pinned is None else pinned,
            )
            if wanted == found:
                return found
            changed = replace(wanted, version=found.version + 1)
            if self._records.replace(changed.to_record(record.etag), self._clock()) is not None:
                return changed
        raise ChangedError("Many change this conversation at once. Try again.")

    def delete_conversation(self, conversation: StoredConversation) -> None:
        """Delete a conversation with its messages, operations and links. Raises NotFoundError."""
        self.get_conversation(conversation.owner, conversation.id)
        self._records.remove(conversation.id)

    def list_messages(self, conversation: StoredConversation) -> list[StoredMessage]:
        """Return the messages of a conversation in order."""
        found = self._records.find_records(conversation.id, conversation.owner, "message", self._clock())
        return [StoredMessage(at=record.at, **record.body) for record in found]

    def append_messages(
        self, conversation: StoredConversation, messages: Sequence[StoredMessage], *, after: int
    ) -> None:
        """Append messages atomically after the `after` messages that the caller has read; sets their `at` to now.

        Raises ChangedError if others were added meanwhile, NotFoundError, and RecordTooLargeError.
        """
        if not 1 <= len(messages) <= MAX_APPENDED_MESSAGES:
            raise ValueError(f"append takes 1 to {MAX_APPENDED_MESSAGES} messages, not {len(messages)}")
        self.get_conversation(conversation.owner, conversation.id)
        now = self._clock()
        new = [
            _to_record(conversation, "message", f"message-{number:08}", now, message.to_body())
            for number, message in enumerate(messages, start=after)
        ]
        try:
            self._records.add(new, now)
        except TakenError as error:
            raise ChangedError("Somebody else has added to this conversation. Read it again, then decide.") from error

    def create_operation(
        self, conversation: StoredConversation, request: Mapping[str, Any], *, key: str | None = None
    ) -> tuple[StoredOperation, bool]:
        """Create a pending operation. Returns it, and whether it is new: only then may work on it begin.

        The same `key` in the same conversation returns the same operation, so that a retry is answered and charged
        once. Raises KeyReusedError if the key was used for another request, NotFoundError, and RecordTooLargeError.
        """
        self.get_conversation(conversation.owner, conversation.id)
        token = secrets.token_hex(12) if key is None else _hash_key(key)
        now = self._clock()
        body = StoredOperation.new_body(request, now + LEASE_SECONDS)
        record = _to_record(conversation, "operation", f"operation-{token}", now, body)
        try:
            self._records.add([replace(record, expires=record.expires + TRACE_SECONDS)], now)
        except TakenError:
            new = False
        else:
            new = True
        return _require_same_request(self.get_operation(conversation.owner, f"{conversation.id}.{token}"), request), new

    def find_operation(
        self, conversation: StoredConversation, request: Mapping[str, Any], *, key: str
    ) -> StoredOperation | None:
        """Return the operation that was created with a key, else None. Raises KeyReusedError."""
        try:
            return _require_same_request(
                self.get_operation(conversation.owner, f"{conversation.id}.{_hash_key(key)}"), request
            )
        except NotFoundError:
            return None

    def get_operation(self, owner: str, operation_id: str) -> StoredOperation:
        """Return an operation. Raises ExpiredError for an hour after its conversation expired, and NotFoundError.

        An operation that was not saved for LEASE_SECONDS is marked as interrupted: its process died or lost the store.
        """
        operation = self._read_operation(owner, operation_id)
        if operation.is_ended or operation.alive_until > self._clock():
            return operation
        try:
            return self.save_operation(operation.as_interrupted())
        except ChangedError:  # saved meanwhile by its process or another reader
            return self._read_operation(owner, operation_id)

    def save_operation(self, operation: StoredOperation) -> StoredOperation:
        """Save an operation and renew its lease for LEASE_SECONDS.

        Raises ChangedError if it expired, or was changed or deleted since it was read: the caller must stop working on
        it. Raises RecordTooLargeError.
        """
        now = self._clock()
        alive = operation.expires > now
        saved = self._records.replace(operation.to_record(now + LEASE_SECONDS), now) if alive else None
        if saved is None:
            raise ChangedError("This operation was ended, saved or deleted by somebody else. Stop working on it.")
        return StoredOperation.from_record(saved)

    def save_feedback(self, operation: StoredOperation, feedback: StoredFeedback | None) -> None:
        """Save what the owner thinks of an answer, in place of what was saved before; None removes it.

        Raises NotFoundError, and ChangedError where others keep saving it.
        """
        conversation = self.get_conversation(operation.owner, operation.conversation_id)
        now = self._clock()
        body = {} if feedback is None else asdict(feedback)
        new = _to_record(conversation, "feedback", f"feedback-{_get_token(operation.id)}", now, body)
        for _ in range(_FEEDBACK_ATTEMPTS):
            found = self._records.find_records(conversation.id, conversation.owner, "feedback", now, new.id)
            if found:
                if self._records.replace(replace(found[0], body=body), now) is not None:
                    return
            elif feedback is None:
                return
            else:
                with suppress(TakenError):
                    self._records.add([new], now)
                    return
        raise ChangedError("This answer is being rated by somebody else at once. Try again.")

    def list_feedback(self, conversation: StoredConversation) -> dict[str, StoredFeedback]:
        """Return what the owner of a conversation thinks of its answers, by the ids of their operations."""
        found = self._records.find_records(conversation.id, conversation.owner, "feedback", self._clock())
        return {
            f"{conversation.id}.{record.id.removeprefix('feedback-')}": StoredFeedback(**record.body)
            for record in found
            if record.body
        }

    def share_conversation(self, conversation: StoredConversation, keep_seconds: float) -> tuple[StoredShare, str]:
        """Make a link to a copy of a conversation as it is now. Returns it, and its token, of which a hash is stored.

        The copy ends with the last answer, and expires after `keep_seconds` or with the conversation. The link
        replaces the one before. Raises NothingToShareError and NotFoundError.
        """
        found = self.get_conversation(conversation.owner, conversation.id)
        roles = [message.role for message in self.list_messages(found)]
        answered = len(roles) - 1 if roles[-1:] == ["user"] else len(roles)
        if not answered:
            raise NothingToShareError("Nothing is answered in this conversation yet. Share it when something is.")
        now, token = self._clock(), secrets.token_urlsafe(32)
        body = {"title": found.title, "messages": answered}
        record = _to_record(found, "share", _hash_token(token), now, body)
        record = replace(record, expires=min(record.expires, now + keep_seconds))
        before = self._list_links(found)
        self._records.add([record], now)
        self._records.remove(found.id, [link.id for link in before])
        return StoredShare.from_record(record), token

    def find_share(self, conversation: StoredConversation) -> StoredShare | None:
        """Return the link of a conversation, None without one."""
        found = self._list_links(conversation)
        return StoredShare.from_record(max(found, key=lambda link: link.at)) if found else None

    def revoke_share(self, conversation: StoredConversation) -> None:
        """Make a conversation's link lead nowhere, if it has one."""
        self._records.remove(conversation.id, [link.id for link in self._list_links(conversation)])

    def get_shared(self, token: str) -> tuple[StoredShare, list[StoredMessage]]:
        """Return what a link leads to. Raises NotFoundError."""
        record = self._records.find_by_id("share", _hash_token(token), self._clock())
        if record is not None:
            with suppress(NotFoundError):  # a link may be left of a conversation that is being deleted
                conversation = self.get_conversation(record.owner, record.conversation)
                share = StoredShare.from_record(record)
                return share, self.list_messages(conversation)[: share.messages]
        raise NotFoundError(
            "There is no such copy. Its link has expired or was taken back: ask whoever sent it for a new one."
        )

    def close(self) -> None:
        """Close the backend."""
        self._records.close()

    def _read_conversation(self, owner: str, conversation_id: str) -> Record:
        known = _ID.fullmatch(conversation_id)
        found = self._records.find_records(conversation_id, owner, "conversation", self._clock()) if known else []
        if not found:
            raise NotFoundError("There is no such conversation. It may have expired: start a new one.")
        return found[0]

    def _list_links(self, conversation: StoredConversation) -> list[Record]:
        return self._records.find_records(conversation.id, conversation.owner, "share", self._clock())

    def _read_operation(self, owner: str, operation_id: str) -> StoredOperation:
        conversation_id, token = operation_id.partition(".")[0], _get_token(operation_id)
        found: list[Record] = []
        if _ID.fullmatch(conversation_id) and _ID.fullmatch(token):
            found = self._records.find_records(conversation_id, owner, "operation", self._clock(), f"operation-{token}")
        if not found:
            raise NotFoundError("There is no such operation. It may have expired: ask again.")
        operation = StoredOperation.from_record(found[0])
        if operation.expires <= self._clock():
            raise ExpiredError(
                "This answer expired with its conversation. Ask again in a new one."
                if operation.is_ended
                else "The answer was interrupted: its conversation expired meanwhile. Ask again in a new one."
            )
        return operation


def open_store(settings: Settings, clock: Callable[[], float] = time.time) -> Store:
    """Open the store: Azure Cosmos DB if an account is configured, else a file in the state folder.

    Raises UsageError if the package azure-cosmos is missing, and StoreUnavailableError.
    """
    return Store(_open_records(settings), settings.chat_keep_days * 86_400, clock)


def _open_records(settings: Settings) -> Records:
    if settings.cosmos_endpoint is None:
        from imdb_lakehouse.bridge.store.sqlite import SqliteRecords

        return SqliteRecords(settings.state)
    try:
        from imdb_lakehouse.bridge.store.cosmos import CosmosRecords  # imported late: half a second, and an extra
    except ModuleNotFoundError as error:
        raise UsageError(
            "COSMOS_ENDPOINT is set, and the package azure-cosmos is not installed. Install the extra `cosmos`, or "
            "unset it: conversations are then kept in a file."
        ) from error
    key = settings.cosmos_key.get_secret_value() if settings.cosmos_key else None
    return CosmosRecords.connect(settings.cosmos_endpoint, key, settings.cosmos_database)


def _to_record(
    conversation: StoredConversation, kind: RecordKind, record_id: str, now: float, body: Mapping[str, Any]
) -> Record:
    return Record(conversation.id, record_id, kind, conversation.owner, now, conversation.expires, body)


def _get_token(operation_id: str) -> str:
    """What an operation's id has behind that of its conversation."""
    return operation_id.partition(".")[2]


def _hash_token(token: str) -> str:
    return f"share-{hashlib.sha256(token.encode()).hexdigest()}"


def _hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def _require_same_request(operation: StoredOperation, request: Mapping[str, Any]) -> StoredOperation:
    if operation.request != request:
        raise KeyReusedError("This idempotency key came with another request before. Use a new key for a new one.")
    return operation
