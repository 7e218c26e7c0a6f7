"""Who may run: places, turns alone, early cancels, deadlines, and the end of an engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lakehouse.errors import EngineUnavailable, QueryCancelled, QueryTimedOut
from mcp_server.engines.admission import Admission
from mcp_server.engines.call import EngineCall
from tests.engines.watching import eventually


def call(name: str, seconds: float = 60) -> EngineCall:
    return EngineCall(name, "run", {}, seconds)


class Crowd:
    """Calls in threads, each of which stays inside until it is let go."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._threads = ThreadPoolExecutor(8)
        self._gates: dict[str, threading.Event] = {}
        self.inside: list[str] = []

    def come(self, name: str, *, seconds: float = 60, alone: bool = False) -> Future[None]:
        self._gates[name] = threading.Event()
        came = self._threads.submit(self._stay, call(name, seconds), alone)
        eventually(lambda: self._admission.find_call(name) is not None or came.done())
        return came

    def let_go(self, name: str) -> None:
        self._gates[name].set()

    def close(self) -> None:
        for gate in self._gates.values():
            gate.set()
        self._threads.shutdown()

    def _stay(self, one: EngineCall, alone: bool) -> None:
        with self._admission.register_call(one), self._admission.hold_place(one, alone=alone):
            self.inside.append(one.id)
            self._gates[one.id].wait(60)
            self.inside.remove(one.id)


@pytest.fixture
def admission() -> Admission:
    return Admission(2)


@pytest.fixture
def crowd(admission: Admission) -> Iterator[Crowd]:
    made = Crowd(admission)
    yield made
    made.close()


def test_no_more_run_than_there_are_places(crowd: Crowd) -> None:
    for name in ("a", "b"):
        crowd.come(name)
    eventually(lambda: len(crowd.inside) == 2)
    late = crowd.come("c", seconds=0.1)

    with pytest.raises(QueryTimedOut, match="still waiting for other queries"):
        late.result(10)
    crowd.let_go("a")
    crowd.come("d")
    eventually(lambda: sorted(crowd.inside) == ["b", "d"])


def test_who_has_to_be_alone_waits_for_all_and_holds_up_those_that_come_after(
    admission: Admission, crowd: Crowd
) -> None:
    crowd.come("a")
    eventually(lambda: crowd.inside == ["a"])
    crowd.come("alone", alone=True)
    eventually(lambda: admission._wanting_alone)
    crowd.come("after")

    assert crowd.inside == ["a"]
    crowd.let_go("a")
    eventually(lambda: crowd.inside == ["alone"])
    crowd.let_go("alone")
    eventually(lambda: crowd.inside == ["after"])


def test_a_cancel_that_comes_first_is_remembered_once(admission: Admission) -> None:
    admission.cancel("early")

    with pytest.raises(QueryCancelled), admission.register_call(call("early.resolved")):
        pytest.fail("it ran")
    with admission.register_call(call("early")):
        pass


def test_a_cancel_reaches_who_waits_and_all_calls_of_a_query(admission: Admission, crowd: Crowd) -> None:
    for name in ("a", "b"):
        crowd.come(name)
    eventually(lambda: len(crowd.inside) == 2)
    waiting = crowd.come("c")
    reading = call("c.parsed")

    with admission.register_call(reading):
        admission.cancel("c")
        assert reading.cancelled
    with pytest.raises(QueryCancelled):
        waiting.result(10)


def test_an_id_has_one_call_at_a_time(admission: Admission) -> None:
    with admission.register_call(call("one")):
        with pytest.raises(ValueError, match="in use"), admission.register_call(call("one")):
            pytest.fail("it ran")
        assert not admission.is_idle
    assert admission.is_idle


def test_once_closed_nobody_is_admitted_and_who_is_inside_is_waited_for(admission: Admission, crowd: Crowd) -> None:
    for name in ("a", "b"):
        crowd.come(name)
    eventually(lambda: len(crowd.inside) == 2)
    waiting = crowd.come("c")
    admission.close(seconds=0.05)

    with pytest.raises(EngineUnavailable, match="the server is ending"):
        waiting.result(10)
    assert len(crowd.inside) == 2
    crowd.let_go("a")
    crowd.let_go("b")
    admission.close(seconds=10)
    assert crowd.inside == []
