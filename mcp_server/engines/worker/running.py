"""Statements under way in this process, and how they are stopped."""

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
"""How often to look, in seconds, whether a query that was stopped has let go of its threads."""


@dataclass
class Running:
    """A statement under way. `stopped` was asked for; `session` is where it can be interrupted, once it has one.

    `held` are the bytes of memory that were in use when it began and nothing else ran.
    """

    held: int
    stopped: threading.Event = field(default_factory=threading.Event)
    session: SparkSession | None = None

    def raise_if_stopped(self) -> None:
        if self.stopped.is_set():
            raise QueryCancelled("The query was stopped while its rows were read.")


class RunningStatements:
    """The statements under way, by the id of their call. Safe for several threads."""

    def __init__(self, engine: EngineSession) -> None:
        self._engine = engine
        self._running: dict[str, Running] = {}
        self._stopping = threading.Event()

    def __len__(self) -> int:
        return len(self._running)

    def snapshot(self) -> Mapping[str, Running]:
        """The calls and their statements, as they are now."""
        return dict(self._running)

    def add(self, call: str, running: Running) -> None:
        self._running[call] = running

    def remove(self, call: str) -> None:
        del self._running[call]

    def awaited(self) -> Mapping[str, bool]:
        """The calls under way, True for those that somebody waits for, False for those that were told to stop."""
        return {call: not running.stopped.is_set() for call, running in self.snapshot().items()}

    def stop(self, call: str) -> None:
        """Have a statement interrupted until it has ended. Nothing happens where it has."""
        running = self._running.get(call)
        if running is not None:
            running.stopped.set()
            self._stopping.set()

    def start_interrupting(self) -> None:
        """Interrupt from now on what is to stop.

        In a thread of its own, because an engine that is slow to answer must not delay the orders.
        """
        threading.Thread(target=self._interrupt_all, name="interrupts", daemon=True).start()

    def _interrupt_all(self) -> None:
        """Again and again until all have stopped: an interrupt that comes too early is lost."""
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
