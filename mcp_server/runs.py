"""A run: work for a tool call in a thread of its own, with its stage, those who wait for it, and its turn among others.

The caller's task only waits. It may stop waiting while the run goes on, and somebody may wait again.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio

from lakehouse.errors import LakehouseError, QueryCancelled, ResourceLimit
from mcp_server.audit import AuditEvent
from mcp_server.models import Principal

T = TypeVar("T")
Report = Callable[[str], Coroutine[Any, Any, None]]

BEAT_SECONDS = 5.0
"""How often a waiting caller hears that its statement still runs; clients that count from the last news want that."""

_QUEUED_PER_PLACE = 8
"""How many statements of one caller may wait for each that may run: beyond it, the caller hears so at once."""


@dataclass(frozen=True)
class Call:
    """A tool call: who asks, what the audit will say of it, and how to tell the caller what is being done."""

    principal: Principal
    event: AuditEvent
    report: Report


class Run(Generic[T]):
    """One piece of work from its submission to its outcome. Safe for several threads."""

    def __init__(self, query_id: str, caller: str) -> None:
        self.query_id = query_id
        self.caller = caller
        self.stages: list[str] = []
        self._began = time.monotonic()
        self._changed = threading.Condition()
        self._listeners: list[Callable[[], None]] = []
        self._cancel_query: Callable[[], None] | None = None
        self._waits_for: Callable[[], str] = lambda: ""
        self._cancelled = False
        self._outcome: tuple[T | None, BaseException | None] | None = None
        self._at_end: list[Callable[[], None]] = []

    @property
    def done(self) -> bool:
        return self._outcome is not None

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop."""
        return self._cancelled

    @property
    def failure(self) -> BaseException | None:
        """What it failed with, None while it runs and where it did not."""
        return self._outcome[1] if self._outcome is not None else None

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def elapsed_ms(self) -> int:
        return round(self.elapsed_seconds * 1000)

    @property
    def stage(self) -> str:
        """What is being done for it now."""
        stage = self.stages[-1] if self.stages else "beginning"
        more = self._waits_for()
        return f"{stage}: {more}" if more else stage

    def register_query(self, cancel: Callable[[], None], waits_for: Callable[[], str]) -> None:
        """Register the callbacks that cancel the query in the engine, and that tell what it waits for there."""
        with self._changed:
            self._cancel_query, self._waits_for = cancel, waits_for

    def enter_stage(self, stage: str) -> None:
        """Begin a stage; an empty one is the same as before. Raises QueryCancelled once cancelled."""
        with self._changed:
            self.raise_if_cancelled()
            self.stages += [stage] if stage else []
        self._notify_listeners()

    def raise_if_cancelled(self) -> None:
        if self._cancelled:
            raise QueryCancelled("The query was cancelled.")

    def cancel(self) -> None:
        """Stop it wherever it is. Returns at once; nothing happens where it has ended."""
        with self._changed:
            self._cancelled = True
            cancel_query = self._cancel_query
            self._changed.notify_all()
        self._notify_listeners()
        if cancel_query is not None and not self.done:
            # In a thread, because the engine may be busy; it remembers a cancellation that comes too early.
            threading.Thread(target=cancel_query, name="cancel", daemon=True).start()

    def result(self) -> T:
        """What came of it. Raises what it failed with, and LookupError while it still runs."""
        if self._outcome is None:
            raise LookupError(f"The query {self.query_id} still runs.")
        found, error = self._outcome
        if error is not None:
            raise error
        return found  # type: ignore[return-value]  # an outcome without error has a result

    def record_outcome(self, result: T | None, error: BaseException | None) -> None:
        """Set the outcome, once."""
        with self._changed:
            self._outcome = (result, error)
        for finish in self._at_end:
            finish()
        self._notify_listeners()

    def call_at_end(self, finish: Callable[[], None]) -> None:
        """Call `finish` once it has ended, in its thread; at once where it has."""
        with self._changed:
            if not self.done:
                self._at_end.append(finish)
                return
        finish()

    @contextmanager
    def subscribe(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener`, from any thread, whenever the run has changed."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def wait_for_end(self, report: Report, seconds: float | None = None, *, keep: bool = False) -> bool:
        """Wait for the end, at most `seconds`, reporting each stage and a sign of life between. Whether it has ended.

        A caller that goes away meanwhile cancels the run, unless it is one to `keep`.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(changed.set)

        try:
            with self.subscribe(wake), anyio.move_on_after(seconds):
                told = 0
                while not self.done:
                    changed.clear()
                    for stage in self.stages[told:]:
                        told += 1
                        await report(stage)
                    if self.done:
                        break
                    with anyio.move_on_after(BEAT_SECONDS) as quiet:
                        await changed.wait()
                    if quiet.cancelled_caught:
                        await report(f"{self.stage}, {self.elapsed_seconds:.0f} s so far")
                for stage in self.stages[told:]:
                    await report(stage)
        except anyio.get_cancelled_exc_class():
            if not keep:
                self.cancel()
            raise
        return self.done

    def _notify_listeners(self) -> None:
        for listener in [*self._listeners]:
            listener()


@dataclass(frozen=True)
class RunPlaces:
    """How many statements may run at once, how many of one caller, and how long one may wait for its turn.

    Turns are given among callers, before an engine is chosen. What an engine can bear is its own policy, which knows no
    callers (`mcp_server/engines/admission.py`).
    """

    most: int
    each: int
    patience_seconds: float

    @property
    def open(self) -> int:
        """How many may run or wait in all: twice what one caller may have, so that others always find room."""
        return 2 * self.most * (1 + _QUEUED_PER_PLACE)


class Runner:
    """Runs statements in threads: places go round among the callers, and to each caller's in the order of arrival."""

    def __init__(self, places: RunPlaces) -> None:
        self._places = places
        self._pool = ThreadPoolExecutor(places.open, thread_name_prefix="statement")
        self._changed = threading.Condition()
        self._waiting: list[Run[Any]] = []
        self._running: Counter[str] = Counter()
        self._open: set[Run[Any]] = set()
        self._places_given = itertools.count(1)
        self._last_given: dict[str, int] = {}

    def begin(self, run: Run[T], work: Callable[[], T]) -> None:
        """Start a statement's thread; its place in the order is the one of this call, however late its thread begins.

        Raises ResourceLimit where the caller has too many already, or all together have.
        """
        with self._changed:
            self._require_room(run.caller)
            self._pool.submit(self._perform, run, work)
            self._open.add(run)
            self._waiting.append(run)
            self._admit()
            if run in self._waiting:
                run.enter_stage(f"waiting: {self._running.total()} statements are running")

    def cancel_all(self) -> None:
        """Cancel all statements."""
        with self._changed:
            left = [*self._open]
        for run in left:
            run.cancel()

    def close(self, seconds: float) -> None:
        """Wait until all statements have ended, at most `seconds`; none begins any more."""
        self._pool.shutdown(wait=False)
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)

    def _perform(self, run: Run[T], work: Callable[[], T]) -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            with self._turn(run):
                result = work()
        except LakehouseError as error:
            # An engine that is ended under a statement says that it is gone; the statement was cancelled.
            told_to = run.cancelled and not isinstance(error, QueryCancelled)
            failure = QueryCancelled("The query was cancelled.") if told_to else error
        except BaseException as error:  # noqa: BLE001  (whoever waits raises it)
            failure = error
        finally:
            run.record_outcome(result, failure)
            with self._changed:
                self._open.discard(run)
                if not any(other.caller == run.caller for other in self._open):
                    self._last_given.pop(run.caller, None)
                    del self._running[run.caller]
                self._changed.notify_all()

    @contextmanager
    def _turn(self, run: Run[Any]) -> Iterator[None]:
        """Wait for a place, no longer than the patience of all, or until it is cancelled; give it back at the end."""
        try:
            with self._changed, run.subscribe(self._look_again):
                self._changed.wait_for(lambda: run.cancelled or run not in self._waiting, self._patience(run))
                run.raise_if_cancelled()
                if run in self._waiting:
                    raise self._too_long(run)
            yield
        finally:
            with self._changed:
                if run in self._waiting:
                    self._waiting.remove(run)
                else:
                    self._running[run.caller] -= 1
                self._admit()
                self._changed.notify_all()

    def _require_room(self, caller: str) -> None:
        """No caller may have more statements than there is room left: the next one always finds some.

        Holds `_changed`. Raises ResourceLimit.
        """
        yours = sum(run.caller == caller for run in self._open)
        if yours >= self._places.open - len(self._open):
            raise ResourceLimit(
                f"{len(self._open)} statements run or wait, {yours} of them yours, and no more of you are taken. "
                "Try again in a minute, or end one of yours with cancel_query."
            )

    def _admit(self) -> None:
        """Give free places to those whose callers have the fewest, and went without for longest. Holds `_changed`."""
        while self._running.total() < self._places.most:
            entitled = [run for run in self._waiting if self._running[run.caller] < self._places.each]
            if not entitled:
                return
            run = min(entitled, key=lambda run: (self._running[run.caller], self._last_given.get(run.caller, 0)))
            self._waiting.remove(run)
            self._running[run.caller] += 1
            self._last_given[run.caller] = next(self._places_given)

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _patience(self, run: Run[Any]) -> float:
        return max(0.0, self._places.patience_seconds - run.elapsed_seconds)

    def _too_long(self, run: Run[Any]) -> ResourceLimit:
        yours = self._running[run.caller]
        return ResourceLimit(
            f"{self._running.total()} statements were running ({yours} of them yours) for "
            f"{self._places.patience_seconds:g} s and none ended. Try again in a minute, with a cheaper statement, or "
            "end one of yours with cancel_query."
        )
