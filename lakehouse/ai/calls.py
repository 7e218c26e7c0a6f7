"""Calls of a model, each with its retries, many at once. Needs neither ledger nor cache, so that executors can use it.

Only what is not billed is repeated: a refusal for the time being (429), a failure of the provider (5xx), a connection
that never came about. Whoever calls has reserved one call at its maximum, and one is all that can be billed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from lakehouse.ai.providers import ProviderDownError
from lakehouse.ai.types import AiUnavailable, CallFailedError, Completion, ModelProvider, ModelRequest, Price
from lakehouse.backoff import pause
from lakehouse.breaker import Breaker

MOST_ATTEMPTS = 5
BEAT_SECONDS = 0.5
"""How often whoever waits hears that calls are still under way, so that it can be told to stop."""

_GRACE_SECONDS = 5.0
"""How long after its deadline a call may come back before it is given up: looking up a host knows no time-out."""

_TOO_LATE = "The query's time was over before this call was made."

T = TypeVar("T")


@dataclass(frozen=True)
class CallResult:
    """What came of one call: a completion, or the `reason` why there is none. `billed` says that it may cost."""

    completion: Completion | None
    reason: str | None
    billed: bool

    def nanos(self, price: Price, most: int) -> int:
        """What is charged for it: the usage as reported, nothing for what was not billed, else `most`."""
        if not self.billed:
            return 0
        usage = self.completion.usage if self.completion else None
        return most if usage is None else price.of(usage)


Dispatch = Callable[[Sequence[ModelRequest], float, threading.Event], Iterator[list[tuple[int, CallResult]]]]
"""Makes calls until a deadline (`time.monotonic`) and gives the results as they come, with the number of the request.

Every request gets exactly one result. Once the event is set, no further call begins. An empty list is a sign of life.
"""


class Caller:
    """Makes single calls, with retries. Safe for several threads, which share the breaker.

    `call_seconds` is the time that one attempt may take.
    """

    def __init__(self, provider: ModelProvider, call_seconds: float, *, breaker: Breaker | None = None) -> None:
        self._provider = provider
        self._call_seconds = call_seconds
        self._breaker = breaker or Breaker(provider.name, unavailable=AiUnavailable)

    def call(self, request: ModelRequest, deadline: float, stop: threading.Event) -> CallResult:
        """One call, repeated as long as that costs nothing and the deadline allows it."""
        for attempt in range(MOST_ATTEMPTS):
            left = deadline - time.monotonic()
            if stop.is_set() or left <= 0:
                return CallResult(None, _TOO_LATE, billed=False)
            try:
                with self._breaker.attempt(ProviderDownError):
                    completion = self._provider.complete(request, min(left, self._call_seconds))
            except AiUnavailable as closed:
                return CallResult(None, str(closed), billed=False)
            except CallFailedError as failed:
                again = pause(attempt, at_least=failed.retry_after or 0.0)
                last = attempt == MOST_ATTEMPTS - 1 or time.monotonic() + again >= deadline
                if not failed.retryable or failed.billed or last:
                    return CallResult(None, str(failed), failed.billed)
                stop.wait(again)
            else:
                return CallResult(completion, None, billed=True)
        raise AssertionError("the last attempt returns")

    def in_threads(self, workers: int) -> Dispatch:
        """Makes calls in so many threads of this process."""

        def dispatch(
            requests: Sequence[ModelRequest], deadline: float, stop: threading.Event
        ) -> Iterator[list[tuple[int, CallResult]]]:
            return _in_threads(
                lambda index: self.call(requests[index], deadline, stop), len(requests), workers, deadline
            )

        return dispatch

    def close(self) -> None:
        """End the provider's connections."""
        self._provider.close()


_Done = tuple[int, CallResult | BaseException]


def _in_threads(
    call: Callable[[int], CallResult], count: int, workers: int, deadline: float
) -> Iterator[list[tuple[int, CallResult]]]:
    """Daemon threads, because no process should wait for a model at its end: what is under way then stays charged."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
    for index in range(count):
        todo.put(index)
    for _ in range(min(workers, count)):
        threading.Thread(target=_work, args=(call, todo, done), name="model call", daemon=True).start()
    waiting = set(range(count))
    while waiting:
        left = deadline + _GRACE_SECONDS - time.monotonic()
        if left <= 0:
            lost = CallResult(None, "The model took too long to answer.", billed=True)
            unsent = dict.fromkeys(_taken(todo), CallResult(None, _TOO_LATE, billed=False))
            yield [(index, unsent.get(index, lost)) for index in sorted(waiting)]
            return
        with suppress(queue.Empty):
            first = done.get(timeout=min(left, BEAT_SECONDS))
            results = [_checked(found) for found in [first, *_taken(done)]]
            waiting -= {index for index, _ in results}
            yield results
            continue
        yield []


def _work(call: Callable[[int], CallResult], todo: queue.SimpleQueue[int], done: queue.SimpleQueue[_Done]) -> None:
    for index in _taken(todo):
        try:
            done.put((index, call(index)))
        except BaseException as error:  # noqa: BLE001  (whoever waits raises it)
            done.put((index, error))


def _taken(things: queue.SimpleQueue[T]) -> Iterator[T]:
    """One after the other, until there is none at the moment."""
    with suppress(queue.Empty):
        while True:
            yield things.get_nowait()


def _checked(found: _Done) -> tuple[int, CallResult]:
    index, result = found
    if isinstance(result, BaseException):
        raise result
    return index, result
