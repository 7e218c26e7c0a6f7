"""Watches whether an engine's threads compute for statements that have ended.

The threads are shared, and none says whom it works for. But what cannot be stopped is seen: a thread that streams rows
waits hundreds of times for each second that it computes, one that is lost in a join does not wait at all. As long as a
thread goes on so, it can only work for a statement that ran when it was first seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from lakehouse.session import ThreadTime

_LOOK_EVERY = 0.1
_CPU_SECONDS = 0.7
"""Processor time that may go into what has ended: on a machine with nothing else to do, less than a second."""

_STUCK_SECONDS = 15.0
"""How long an engine may compute nothing while somebody waits for it: a local lake is never waited for so long."""

_AT_WORK_SHARE = 0.5
"""In how many of the looks a thread has to be at work where the engine does compute. On a loaded machine one that wakes
for a timer waits for a processor and is seen now and then; one that computes is seen each time.
"""

_FEW_WAITS = 3
_WAITS_A_SECOND = 20
_SETTLED_SECONDS = 0.3
"""How often a thread may wait, from one look to the next and for each second that it computes, and still be lost in one
step; and after how many seconds of it that is certain.

Measured on 0.7.2, two cores: joins, nested loops and functions over long texts 0 to 8 (for pages of memory), streams
of rows, groups and distinct counts 600 to 5,000.
"""

_SOME_WAITS = 20
"""How often a thread may wait beyond that before it has certainly left its step. Until then it may have been kept
within it, for memory or by a lock, and whom it was for it may still be for.
"""


@dataclass
class _ThreadStep:
    """One uninterrupted step of a thread: since when, and for which statements it may run.

    `ended_at` is the thread's processor time when the last of these had ended. `first` is its first
    observation in this step, or in one before it that it may not have left.
    """

    began: ThreadTime
    seen: ThreadTime
    owners: frozenset[str]
    first: ThreadTime
    ended_at: float | None = None

    def goes_on(self, now: ThreadTime) -> bool:
        seconds, waits = now.seconds - self.began.seconds, now.waits - self.began.waits
        return now.waits - self.seen.waits <= _FEW_WAITS and waits <= _FEW_WAITS + _WAITS_A_SECOND * seconds

    def may_go_on(self, now: ThreadTime) -> bool:
        seconds, waits = now.seconds - self.first.seconds, now.waits - self.first.waits
        return waits <= _SOME_WAITS + _WAITS_A_SECOND * seconds

    def advance(self, now: ThreadTime, running: Collection[str], alive: Collection[str]) -> float:
        """Record the thread's progress. Returns how many seconds it has computed for ended statements."""
        if now.seconds - self.began.seconds < _SETTLED_SECONDS:
            self.owners |= frozenset(running)  # it may have begun another step since, of another statement
        self.seen = now
        if self.owners & frozenset(alive):
            self.ended_at = None
            return 0.0
        self.ended_at = now.seconds if self.ended_at is None else self.ended_at
        return now.seconds - self.ended_at


@dataclass
class _Stillness:
    """What the process has done since it was last certain that it computes: its processor time, and looks at it."""

    since: float
    cpu: float
    looks: int = 0
    at_work: int = 0

    def is_over(self, cpu: float) -> bool:
        """Whether the process, which has used `cpu` seconds by now, has computed meanwhile."""
        return cpu - self.cpu > _CPU_SECONDS or self.at_work > _AT_WORK_SHARE * self.looks


def _follow_step(known: _ThreadStep | None, now: ThreadTime, running: frozenset[str]) -> _ThreadStep | None:
    """Return the current step of a thread, given its last known one. None where it is idle."""
    if not now.computes and (known is None or now.seconds == known.seen.seconds):
        return None
    if known is not None and known.goes_on(now):
        return known
    if known is not None and known.may_go_on(now):
        return _ThreadStep(now, now, known.owners | running, known.first, known.ended_at)
    return _ThreadStep(now, now, running, now) if now.computes else None


class Rest:
    """Tracks which statements an engine's threads still compute for. Thread-safe.

    `at_work` gives how far the engine's threads are that compute now, and those whose numbers it is given; `running`
    the statements under way, True for those that somebody waits for, False for those that were told to stop;
    `disturbed` is called with the statements, one of which is computed for nobody. `stuck` is called where statements
    wait for an engine that has computed nothing for long: one that could not start a thread leaves them so. It watches
    in a thread of its own, so that no answer waits for it.
    """

    def __init__(
        self,
        at_work: Callable[[Collection[int]], Mapping[int, ThreadTime]],
        running: Callable[[], Mapping[str, bool]],
        disturbed: Callable[[frozenset[str]], None],
        stuck: Callable[[], None],
    ) -> None:
        self._at_work = at_work
        self._running = running
        self._disturbed = disturbed
        self._stuck = stuck
        self._own_cpu = 0.0  # of the looks themselves, which are no sign of life
        self._still = self._start_stillness()
        self._awake = threading.Event()
        self._looking = threading.Lock()
        self._ended: set[str] = set()
        self._last: frozenset[str] = frozenset()
        self._steps: dict[int, _ThreadStep] = {}  # replaced, and never changed, under `_looking`
        threading.Thread(target=self._watch_threads, name="rest", daemon=True).start()

    def watch(self) -> None:
        """Start watching for a new statement, until the engine is idle."""
        self._awake.set()

    def await_rest(self, statement: str) -> None:
        """Wait until no thread can still compute for a cancelled statement that has ended."""
        self._examine_threads()
        with self._looking:
            self._ended.add(statement)  # what begins from now on is not for it
        while any(statement in step.owners for step in self._steps.values()):
            threading.Event().wait(_LOOK_EVERY)
        with self._looking:
            self._ended.discard(statement)

    def _watch_threads(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            self._still = self._start_stillness()
            while self._examine_threads():
                threading.Event().wait(_LOOK_EVERY)

    def _examine_threads(self) -> bool:
        """Examine the threads and report steps of ended statements. Returns whether anything runs."""
        with self._looking:
            began = time.thread_time()
            running = {each: wanted for each, wanted in self._running().items() if each not in self._ended}
            alive = [statement for statement, wanted in running.items() if wanted]
            steps: dict[int, _ThreadStep] = {}
            for thread, now in self._at_work(self._steps).items():
                # What begins while nothing runs is left of what ran last.
                step = _follow_step(self._steps.get(thread), now, frozenset(running) or self._last)
                if step is None:
                    continue
                if step.advance(now, running, alive) > _CPU_SECONDS:
                    self._disturbed(step.owners)
                steps[thread] = step
            self._steps, self._last = steps, frozenset(running) or self._last
            self._own_cpu += time.thread_time() - began
            self._check_stuck(at_work=bool(steps), awaited=bool(alive))
            return bool(running or steps)

    def _check_stuck(self, *, at_work: bool, awaited: bool) -> None:
        still = self._still
        still.looks += 1
        still.at_work += at_work
        waited = time.monotonic() - still.since
        if not awaited or (waited > _STUCK_SECONDS and still.is_over(self._read_cpu())):
            self._still = self._start_stillness()
        elif waited > _STUCK_SECONDS:
            self._stuck()

    def _start_stillness(self) -> _Stillness:
        return _Stillness(time.monotonic(), self._read_cpu())

    def _read_cpu(self) -> float:
        """Return the processor time of the process, in seconds: Python's threads compute for statements as well."""
        return time.process_time() - self._own_cpu
