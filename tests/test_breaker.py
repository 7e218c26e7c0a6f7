"""The circuit breaker and the pauses between attempts, by a clock that tests move."""

from __future__ import annotations

import pytest

from lakehouse.backoff import MOST_SECONDS, pause
from lakehouse.breaker import Breaker
from lakehouse.errors import EngineUnavailable


class UnreachedError(Exception):
    """The service did not answer."""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker) -> None:
    with pytest.raises(UnreachedError), breaker.attempt(UnreachedError):
        raise UnreachedError


def succeed(breaker: Breaker) -> None:
    with breaker.attempt(UnreachedError):
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("The service", failures=3, pause_seconds=20, clock=clock)


def test_failures_in_a_row_open_it_and_it_says_when_it_tries_again(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fail(breaker)
    clock.now += 7.5

    with pytest.raises(EngineUnavailable, match=r"The service could not be reached 3 times in a row.* in 13 s"):
        succeed(breaker)


def test_a_success_between_failures_keeps_it_closed(breaker: Breaker) -> None:
    for _ in range(5):
        fail(breaker)
        fail(breaker)
        succeed(breaker)


def test_what_the_service_answered_is_no_failure(breaker: Breaker) -> None:
    for _ in range(5):
        with pytest.raises(ValueError, match="no such table"), breaker.attempt(UnreachedError):
            raise ValueError("no such table")

    succeed(breaker)


def test_after_the_pause_one_probe_is_let_through_and_closes_it(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fail(breaker)
    clock.now += 20

    with breaker.attempt(UnreachedError), pytest.raises(EngineUnavailable, match="being tried right now"):
        succeed(breaker)

    succeed(breaker)
    fail(breaker)
    succeed(breaker)


def test_a_probe_that_fails_opens_it_for_another_pause(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fail(breaker)
    clock.now += 20
    fail(breaker)

    with pytest.raises(EngineUnavailable, match="4 times in a row"):
        succeed(breaker)
    clock.now += 20
    succeed(breaker)


def test_a_probe_that_was_given_up_leaves_its_place_to_the_next(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        fail(breaker)
    clock.now += 20
    with pytest.raises(KeyboardInterrupt), breaker.attempt(UnreachedError):
        raise KeyboardInterrupt

    succeed(breaker)


def test_pauses_grow_with_full_jitter_up_to_a_bound() -> None:
    longest = [pause(attempt, draw=lambda: 1.0) for attempt in range(20)]

    assert longest[:4] == [0.25, 0.5, 1.0, 2.0]
    assert longest[-1] == MOST_SECONDS
    assert pause(5, draw=lambda: 0.0) == 0.0


def test_what_the_service_asks_for_is_waited_whole() -> None:
    assert pause(0, at_least=30, draw=lambda: 0.0) == 30
