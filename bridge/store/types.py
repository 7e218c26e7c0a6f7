"""Conversations, messages and operations as values, and what can go wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from bridge.store.records import Record, StoreError

State = Literal["pending", "running", "done", "failed", "interrupted"]


class NotFoundError(StoreError):
    """A conversation or operation that never was, has expired, was deleted, or is somebody else's."""


class ChangedError(StoreError):
    """Somebody else was faster: what the caller has read is not what is kept."""


class KeyReusedError(StoreError):
    """An idempotency key that stands for another request already."""


@dataclass(frozen=True)
class Conversation:
    """A conversation, without what was said in it. Times are seconds since 1970."""

    id: str
    owner: str
    title: str
    created: float
    expires: float


@dataclass(frozen=True)
class Message:
    """What the user or the assistant said; `details` (JSON) are its steps and costs. `at` is set by the store."""

    role: Literal["user", "assistant"]
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0

    def body(self) -> dict[str, Any]:
        """What is kept of it."""
        return {"role": self.role, "text": self.text, "details": self.details}


@dataclass(frozen=True)
class Operation:
    """One request (JSON) being answered. `stage` (JSON) tells how far it has come, `result` (JSON) how it ended.

    pending → running → done | failed | interrupted. Each step is a new value, and nothing is kept before it is saved.
    """

    id: str
    request: Mapping[str, Any]
    state: State
    stage: Mapping[str, Any]
    result: Mapping[str, Any] | None
    alive_until: float
    _kept: Record

    @classmethod
    def of(cls, record: Record) -> Self:
        """The operation that a record keeps."""
        token = record.id.removeprefix("operation-")
        return cls(f"{record.conversation}.{token}", **record.body, _kept=record)

    @staticmethod
    def new_body(request: Mapping[str, Any], alive_until: float) -> dict[str, Any]:
        """What is kept of one that nobody works on yet."""
        return {"request": request, "state": "pending", "stage": {}, "result": None, "alive_until": alive_until}

    def record(self, alive_until: float) -> Record:
        """The record that this operation becomes when it is saved."""
        body = self.new_body(self.request, alive_until)
        return replace(self._kept, body=body | {"state": self.state, "stage": self.stage, "result": self.result})

    @property
    def owner(self) -> str:
        return self._kept.owner

    @property
    def conversation_id(self) -> str:
        return self._kept.conversation

    @property
    def created(self) -> float:
        """When it began, in seconds since 1970."""
        return self._kept.at

    @property
    def ended(self) -> bool:
        return self.state not in ("pending", "running")

    def running(self, stage: Mapping[str, Any]) -> Self:
        """It has come so far."""
        return self._become("running", stage=stage)

    def done(self, result: Mapping[str, Any]) -> Self:
        """It was answered."""
        return self._become("done", result=result)

    def failed(self, result: Mapping[str, Any]) -> Self:
        """It ended without an answer; `result` says why."""
        return self._become("failed", result=result)

    def interrupted(self) -> Self:
        """Its process ended before it did."""
        return self._become("interrupted")

    def _become(self, state: State, **changes: Any) -> Self:
        if self.ended:
            raise ValueError(f"an operation that is {self.state} cannot become {state}")
        return replace(self, state=state, **changes)
