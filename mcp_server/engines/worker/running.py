"""The running statements of this process, and how they are stopped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.errors import QueryCancelled
from lakehouse.session import EngineSession

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOOK_EVERY = 0.1
"""Seconds between checks whether a stopped query has released its threads."""


@dataclass
class Running:
    """A running statement. `stopped` is set once a stop is requested; `session` can be interrupted, once there is one.

    `held` are the bytes of memory in use when it began while nothing else ran.
    """

    held: int
    stopped: threading.Event = field(default_factory=threading.Event)
    session: SparkSession | None = None

    def raise_if_stopped(self) -> None:
        if self.stopped.is_set():
            raise QueryCancelled("The query was stopped while its rows were read.")


class RunningStatements:
    """The running statements by the id of their call. Thread-safe."""

    def __init__(self, engine: EngineSession) -> None:
        self._engine = engine
        self._running: dict[str, Running] = {}
        self._stopping = threading.Event()

    def __len__(self) -> int:
        return len(self._running)

    def snapshot(self) -> Mapping[str, Running]:
        """Return a copy of the current calls and their statements."""
        return dict(self._running)

    def add(self, call: str, running: Running) -> None:
        self._running[call] = running

    def remove(self, call: str) -> None:
        del self._running[call]

    def list_awaited(self) -> Mapping[str, bool]:
        """Return the running calls: True for those that a caller waits for, False for stopped ones."""
        return {call: not running.stopped.is_set() for call, running in self.snapshot().items()}

    def stop(self, call: str) -> None:
        """Interrupt a statement until it has ended. Does nothing where it has ended already."""
        running = self._running.get(call)
        if running is not None:
            running.stopped.set()
            self._stopping.set()

    def start_interrupting(self) -> None:
        """Start the thread that interrupts stopped statements.

        It is a thread of its own because an engine that is slow to answer must not delay the server's orders.
        """
        threading.Thread(target=self._interrupt_all, name="interrupts", daemon=True).start()

    def _interrupt_all(self) -> None:
        """Repeat the interrupts until all statements have stopped: one that comes too early is lost."""
        while True:
            self._stopping.wait()
            self._stopping.clear()
            for call, running in self.snapshot().items():
                if running.stopped.is_set():
                    self._interrupt(call, running)
                    self._stopping.set()
            if self._stopping.is_set():
                threading.Event().wait(LOOK_EVERY)

    def _interrupt(self, call: str, running: Running) -> None:
        session = running.session
        if session is not None:
            try:
                self._engine.interrupt(session, call)
            except Exception as error:  # noqa: BLE001  (it is tried again; the server kills in the end)
                print(f"interrupt failed: {type(error).__name__}", file=sys.stderr)
