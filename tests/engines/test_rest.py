"""Whom threads compute for, by how far each is. The threads are the tests' own: an engine's come as they like."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakehouse.session import ThreadTime
from mcp_server.engines.rest import Rest

LOST, STREAMING = 0.1, 1_000.0
"""Waits for each second that a thread computes."""


class Machine:
    """Threads that compute a tenth of a second between two looks, and the statements that run."""

    def __init__(self) -> None:
        self.running: dict[str, bool] = {}
        self.waits_a_second: dict[int, float] = {}
        self.more_waits: dict[int, int] = {}
        self.resting: set[int] = set()
        self.blamed: list[frozenset[str]] = []
        self.told = threading.Event()
        self._seconds = itertools.count(1)
        self.rest = Rest(self._look, lambda: dict(self.running), self._blame, lambda: None)

    def _look(self, known: Collection[int]) -> dict[int, ThreadTime]:
        seconds = next(self._seconds) / 10
        return {
            thread: ThreadTime(seconds, round(seconds * waits) + self.more_waits.get(thread, 0), computes)
            for thread, waits in self.waits_a_second.items()
            if (computes := thread not in self.resting) or thread in known
        }

    def _blame(self, owners: frozenset[str]) -> None:
        self.blamed.append(owners)
        self.told.set()

    def begin(self, statement: str, **threads: float) -> None:
        self.running[statement] = True
        self.waits_a_second |= {int(name.removeprefix("t")): waits for name, waits in threads.items()}
        self.rest.watch()


def awaiting(machine: Machine, statement: str) -> Callable[[], None]:
    """Stop a statement, which the engine says has ended; what is given returns once nothing can be at work for it."""
    machine.running[statement] = False
    pool = ThreadPoolExecutor()
    future = pool.submit(machine.rest.await_rest, statement)
    return lambda: future.result(timeout=60)


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def test_a_statement_that_lets_go_is_at_rest_though_others_stream_rows_all_the_while() -> None:
    machine = Machine()
    machine.begin("bystander", t1=STREAMING, t2=STREAMING)
    machine.begin("stopped", t3=STREAMING)
    pause(0.3)
    del machine.waits_a_second[3]
    awaiting(machine, "stopped")()
    assert machine.blamed == []


def test_a_thread_that_is_lost_since_before_a_statement_began_is_not_its() -> None:
    machine = Machine()
    machine.begin("join", t1=LOST)
    pause(0.8)
    machine.begin("stopped", t2=STREAMING)
    pause(0.3)
    del machine.waits_a_second[2]
    awaiting(machine, "stopped")()
    pause(1.5)
    assert machine.blamed == []


def test_a_thread_that_is_lost_in_a_stopped_statement_is_told_of_though_others_come_and_go() -> None:
    machine = Machine()
    machine.begin("stopped", t1=LOST)
    pause(0.8)
    wait = awaiting(machine, "stopped")
    for number in _numbers_until(machine.told):
        machine.begin(f"bystander {number}", t2=STREAMING)
        machine.running.pop(f"bystander {number - 1}", None)
    assert machine.blamed[0] == {"stopped"}
    del machine.waits_a_second[1]
    wait()


def test_what_an_answered_statement_leaves_at_work_is_told_of_once_those_beside_it_have_ended() -> None:
    machine = Machine()
    machine.begin("answered", t1=LOST)
    machine.begin("beside")
    pause(0.8)
    del machine.running["answered"]
    pause(1.2)
    assert machine.blamed == []
    del machine.running["beside"]
    assert machine.told.wait(60)
    assert machine.blamed[0] == {"answered", "beside"}


@pytest.mark.parametrize(("waits", "is_seen_waiting"), [(0, True), (10, True), (1_000, False)])
def test_a_thread_that_goes_on_after_a_wait_though_nothing_runs_is_told_of(waits: int, is_seen_waiting: bool) -> None:
    machine = Machine()
    machine.begin("stopped", t1=LOST)
    pause(0.8)
    wait = awaiting(machine, "stopped")
    pause(0.2)
    del machine.running["stopped"]
    machine.more_waits[1] = waits
    machine.resting |= {1} if is_seen_waiting else set()
    pause(0.15)
    machine.resting.clear()
    try:
        assert machine.told.wait(60)
        assert machine.blamed[0] == {"stopped"}
    finally:
        del machine.waits_a_second[1]
        wait()


def test_a_thread_that_has_left_its_step_for_anothers_is_not_told_of() -> None:
    machine = Machine()
    machine.begin("stopped", t1=LOST)
    machine.begin("bystander", t2=STREAMING)
    pause(0.5)
    wait = awaiting(machine, "stopped")
    pause(0.2)
    machine.more_waits[1] = 1_000
    wait()
    del machine.running["stopped"]
    pause(1.2)
    assert machine.blamed == []


def _numbers_until(told: threading.Event) -> Iterator[int]:
    for number in range(200):
        if told.wait(0.05):
            return
        yield number
    raise AssertionError("it was never told")
