"""Conversations, messages and operations as values, and the errors of the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from imdb_lakehouse.bridge.store.records import Record, StoreError
from lakehouse.find.words import fold_text

TRACE_SECONDS = 3_600.0
"""How much longer an operation is kept than its conversation, to say what became of it to whoever asks for it."""

OperationState = Literal["pending", "running", "done", "failed", "interrupted"]
Verdict = Literal["up", "down"]


class NotFoundError(StoreError):
    """The conversation or operation does not exist, has expired, was deleted, or has another owner."""


class ChangedError(StoreError):
    """The stored value was changed since the caller read it."""


class OutdatedError(StoreError):
    """The change was meant for an earlier version of the conversation."""


class ExpiredError(NotFoundError):
    """The operation expired with its conversation, within the last hour."""


class NothingToShareError(StoreError):
    """The conversation has no answer yet."""


class KeyReusedError(StoreError):
    """The idempotency key was used for another request."""


@dataclass(frozen=True)
class StoredConversation:
    """A conversation without its messages. Times are seconds since 1970; each change counts `version` up."""

    id: str
    owner: str
    title: str
    created: float
    expires: float
    pinned: bool = False
    version: int = 1

    @property
    def etag(self) -> str:
        """The version as an HTTP entity tag."""
        return f'"{self.version}"'

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Build the conversation that a record stores."""
        return cls(record.conversation, record.owner, created=record.at, expires=record.expires, **record.body)

    def to_record(self, etag: str = "") -> Record:
        """Build the record that stores this conversation. Pinned ones rank above all others, then new above old."""
        rank = f"{int(self.pinned)}.{int(self.created * 1_000_000):017d}.{self.id}"
        body = {"title": self.title, "pinned": self.pinned, "version": self.version}
        text = fold_title(self.title)
        return Record(
            self.id, "conversation", "conversation", self.owner, self.created, self.expires, body, etag, rank, text
        )


@dataclass(frozen=True)
class ConversationPage:
    """Some conversations of an owner in their order. `after` continues the list, None at its end."""

    conversations: list[StoredConversation]
    after: str | None


@dataclass(frozen=True)
class StoredShare:
    """A link to a copy of a conversation's first `messages` messages, under the title of that time.

    Messages never change, so their number is all that a copy needs. Times are seconds since 1970.
    """

    title: str
    messages: int
    created: float
    expires: float

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Build the link that a record stores."""
        return cls(created=record.at, expires=record.expires, **record.body)


@dataclass(frozen=True)
class StoredMessage:
    """A message of the user or the assistant; `details` (JSON) has steps and costs. The store sets `at`."""

    role: Literal["user", "assistant"]
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0

    def to_body(self) -> dict[str, Any]:
        """Return the body of the message's record."""
        return {"role": self.role, "text": self.text, "details": self.details}


@dataclass(frozen=True)
class StoredFeedback:
    """What the owner of a conversation thinks of an answer."""

    verdict: Verdict
    comment: str = ""


@dataclass(frozen=True)
class StoredOperation:
    """A request (JSON) being answered. `stage` (JSON) is its progress, `result` (JSON) its outcome.

    pending → running → done | failed | interrupted. Each transition returns a new value; `Store` saves it.
    """

    id: str
    request: Mapping[str, Any]
    state: OperationState
    stage: Mapping[str, Any]
    result: Mapping[str, Any] | None
    alive_until: float
    _kept: Record

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Build the operation that a record stores."""
        token = record.id.removeprefix("operation-")
        return cls(f"{record.conversation}.{token}", **record.body, _kept=record)

    @staticmethod
    def new_body(request: Mapping[str, Any], alive_until: float) -> dict[str, Any]:
        """Return the body of a pending operation's record."""
        return {"request": request, "state": "pending", "stage": {}, "result": None, "alive_until": alive_until}

    def to_record(self, alive_until: float) -> Record:
        """Build the record that saves this operation."""
        body = self.new_body(self.request, alive_until)
        return replace(self._kept, body=body | {"state": self.state, "stage": self.stage, "result": self.result})

    @property
    def owner(self) -> str:
        """Owner of the conversation."""
        return self._kept.owner

    @property
    def conversation_id(self) -> str:
        """Id of the conversation."""
        return self._kept.conversation

    @property
    def created(self) -> float:
        """Time of creation, in seconds since 1970."""
        return self._kept.at

    @property
    def expires(self) -> float:
        """Time at which it expires with its conversation, in seconds since 1970; its record is kept a while longer."""
        return self._kept.expires - TRACE_SECONDS

    @property
    def is_ended(self) -> bool:
        """Whether the operation can no longer change."""
        return self.state not in ("pending", "running")

    def as_running(self, stage: Mapping[str, Any]) -> Self:
        """Return the operation as running, with this progress."""
        return self._with_state("running", stage=stage)

    def as_done(self, result: Mapping[str, Any]) -> Self:
        """Return the operation as answered."""
        return self._with_state("done", result=result)

    def as_failed(self, result: Mapping[str, Any]) -> Self:
        """Return the operation as ended without an answer; `result` has the reason."""
        return self._with_state("failed", result=result)

    def as_interrupted(self) -> Self:
        """Return the operation as interrupted: its process ended first."""
        return self._with_state("interrupted")

    def _with_state(self, state: OperationState, **changes: Any) -> Self:
        if self.is_ended:
            raise ValueError(f"an operation that is {self.state} cannot become {state}")
        return replace(self, state=state, **changes)


def fold_title(title: str) -> str:
    """Fold a title, or what is searched in titles: without case, accents and repeated blanks."""
    return " ".join(fold_text(title).split())
