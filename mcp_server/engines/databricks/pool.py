"""Keeps sessions open for the next statement, only briefly: an open session keeps a warehouse from stopping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Closable(Protocol):
    """A session of the pool."""

    def close(self) -> None:
        """Close the session. Never raises."""


class Pool:
    """Idle sessions; each is used by one statement at a time. Thread-safe.

    A session that is idle for `idle_seconds` is closed by a timer, so that nothing stays open where no other
    statement follows.
    """

    def __init__(self, idle_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Closable]] = []
        self._timer: threading.Timer | None = None
        self._closed = False

    def take_session(self) -> Closable | None:
        """Take the session that was used last, None where there is none."""
        with self._lock:
            return self._idle.pop()[1] if self._idle else None

    def give_back(self, session: Closable) -> None:
        """Keep a session for the next statement."""
        with self._lock:
            if not self._closed:
                self._idle.append((self._clock(), session))
                self._schedule_drop()
                return
        session.close()

    def drop_idle(self) -> None:
        """Close the sessions that have been idle for `idle_seconds`."""
        with self._lock:
            self._timer = None
            old = self._clock() - self._idle_seconds
            outdated = [session for since, session in self._idle if since <= old]
            self._idle = [(since, session) for since, session in self._idle if since > old]
            self._schedule_drop()
        for session in outdated:
            session.close()

    def drop_all(self) -> None:
        """Close all idle sessions; the pool remains open."""
        with self._lock:
            sessions, self._idle = self._idle, []
        for _, session in sessions:
            session.close()

    def close(self) -> None:
        """Close all idle sessions, and every session that is given back later."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self.drop_all()

    def _schedule_drop(self) -> None:
        """Start the timer for the oldest session. Holds `_lock`."""
        if self._timer is None and self._idle and not self._closed:
            due = self._idle[0][0] + self._idle_seconds - self._clock()
            self._timer = threading.Timer(max(0.01, due), self.drop_idle)
            self._timer.name = "idle sessions"
            self._timer.daemon = True
            self._timer.start()
