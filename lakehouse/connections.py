"""Connections to a server of this project: bounded in number, and in the time that a request may take to arrive."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

REQUEST_SECONDS = 20.0
"""How long a request may take to arrive with its body, and how long a new connection may be silent."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


class OpenConnections:
    """The open connections of one server, and those whose request has not arrived, oldest first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open: set[BoundedProtocol] = set()
        self.waiting: dict[BoundedProtocol, None] = {}
        self._is_full = False

    def make_for_one(self) -> bool:
        """Make room for one more connection by closing the one that has waited longest. False where there is none."""
        if len(self.open) < self.most:
            self._is_full = self._is_full and len(self.open) > self.most // 2
            return True
        if not self._is_full:  # said once: a flood of connections must not be one of log lines
            self._is_full = True
            log.warning("All %d connections are taken: those whose request has not arrived give way.", self.most)
        if not self.waiting:
            return False
        next(iter(self.waiting)).give_up()
        return True


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with a time limit: by itself it would keep half a request, and its file descriptor, for ever.

    It is always h11, whatever else is installed, because that bounds the size of headers.
    """

    room: OpenConnections

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self.room.make_for_one():
            transport.write(_FULL)
            transport.close()
            return
        self.room.open.add(self)
        self._start_waiting()

    def data_received(self, data: bytes) -> None:
        if self._patience is None and not self._is_answering():
            self._start_waiting()
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.room.open.discard(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self in self.room.open and not self._is_answering():  # the next request may have come already
            self.room.waiting[self] = None  # uvicorn itself gives it a few seconds

    def give_up(self) -> None:
        """End a connection whose request has not arrived."""
        self._stop_waiting()
        self.room.open.discard(self)
        self.transport.abort()

    def _is_answering(self) -> bool:
        """Whether a request has arrived completely and its response is not complete."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _start_waiting(self) -> None:
        self.room.waiting[self] = None
        self._patience = self.loop.call_later(REQUEST_SECONDS, self.give_up)

    def _stop_waiting(self) -> None:
        self.room.waiting.pop(self, None)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def bounded_protocol(most: int) -> type[BoundedProtocol]:
    """A protocol class for one server with at most `most` connections."""
    return type("BoundedProtocol", (BoundedProtocol,), {"room": OpenConnections(most)})
