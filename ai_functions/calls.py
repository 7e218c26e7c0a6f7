"""Model calls with retries, many at once. Needs neither ledger nor cache, so that Spark executors can use it.

Only attempts that are not billed are repeated: rate limits (429), provider failures (5xx), failed connections. The
caller has reserved one call at its maximum, so at most one may be billed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ai_functions.charges import Bounds, Charge, charge
from ai_functions.providers import ProviderDownError
from ai_functions.types import AiUnavailable, CallFailedError, Completion, ModelProvider, ModelRequest, Price
from lakehouse.backoff import pause
from lakehouse.breaker import Breaker

MOST_ATTEMPTS = 5
BEAT_SECONDS = 0.5
"""How often a waiting run gets control while calls are under way, so that it can be stopped."""

GRACE_SECONDS = 5.0
"""How long after its deadline a call may still return: a DNS look-up has no time-out."""

NOT_MADE = "This call was not made: the query was ended, or its time was over, before."


@dataclass(frozen=True)
class CallResult:
    """The result of one call: a completion, or the `reason` why there is none. `billed` is True where it may cost."""

    completion: Completion | None
    reason: str | None
    billed: bool

    def charge(self, bounds: Bounds, price: Price) -> Charge:
        """The charge for the call: nothing where it was not billed, the maximum where there was no answer."""
        if not self.billed:
            return Charge(None, 0)
        if self.completion is None:
            return Charge(None, price.of(bounds.most))
        return charge(self.completion.usage, self.completion.text or "", bounds, price)


LOST = CallResult(None, "The model took too long to answer.", billed=True)

Numbered = tuple[int, ModelRequest]


class Outbox(Protocol):
    """A numbered queue of calls to make. Safe for several threads."""

    @property
    def waiting(self) -> int:
        """The number of calls that have not been taken."""

    @property
    def stopped(self) -> threading.Event:
        """Set once no further call may begin."""

    def take(self, most: int) -> Sequence[Numbered]:
        """Take up to `most` calls, which count as made from now on. Empty once the outbox is stopped."""

    def put(self, results: Sequence[tuple[int, CallResult]]) -> None:
        """Put the results of taken calls. Returns once they are settled and stored."""

    def stop(self) -> None:
        """Let no further call begin."""


Dispatch = Callable[[Outbox, float], Iterator[None]]
"""Makes the calls of an outbox until a deadline (`time.monotonic`), and yields at least every `BEAT_SECONDS`.

The next call is taken only after the result of the one before was put: a process that is killed loses the calls under
way, and no others.
"""


class Batch:
    """An outbox in memory, without ledger and cache."""

    def __init__(self, requests: Sequence[ModelRequest]) -> None:
        self.stopped = threading.Event()
        self._requests = requests
        self._lock = threading.Lock()
        self._taken = 0
        self._results: dict[int, CallResult] = {}

    @property
    def waiting(self) -> int:
        return len(self._requests) - self._taken

    def take(self, most: int) -> Sequence[Numbered]:
        with self._lock:
            first = self._taken
            self._taken = first if self.stopped.is_set() else min(len(self._requests), first + most)
            return list(enumerate(self._requests))[first : self._taken]

    def put(self, results: Sequence[tuple[int, CallResult]]) -> None:
        with self._lock:
            self._results.update(results)

    def stop(self) -> None:
        self.stopped.set()

    def results(self) -> list[CallResult]:
        """The results in the order of the requests."""
        with self._lock:
            unsent = CallResult(None, NOT_MADE, billed=False)
            return [
                self._results.get(number, LOST if number < self._taken else unsent)
                for number in range(len(self._requests))
            ]


class Caller:
    """Makes single calls, with retries. Safe for several threads, which share the breaker.

    `call_seconds` is the time that one attempt may take.
    """

    def __init__(self, provider: ModelProvider, call_seconds: float, *, breaker: Breaker | None = None) -> None:
        self._provider = provider
        self._call_seconds = call_seconds
        self._breaker = breaker or Breaker(provider.name, unavailable=AiUnavailable)

    def call(self, request: ModelRequest, deadline: float, stop: threading.Event) -> CallResult:
        """Make one call, and repeat it while that costs nothing and the deadline allows it."""
        for attempt in range(MOST_ATTEMPTS):
            left = deadline - time.monotonic()
            if stop.is_set() or left <= 0:
                return CallResult(None, NOT_MADE, billed=False)
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
        """Make calls in `workers` threads of this process."""
        return lambda outbox, deadline: _Crew(self, outbox, deadline).run_threads(workers)

    def close(self) -> None:
        """End the provider's connections."""
        self._provider.close()


class _Crew:
    """Threads that make the calls of an outbox.

    Daemon threads, because no process should wait for a model when it exits; calls under way then stay charged.
    """

    def __init__(self, caller: Caller, outbox: Outbox, deadline: float) -> None:
        self._caller, self._outbox, self._deadline = caller, outbox, deadline
        self._progress = threading.Event()
        self._failures: list[BaseException] = []

    def run_threads(self, workers: int) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._call_all, name="model call", daemon=True)
            for _ in range(min(workers, self._outbox.waiting))
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            left = self._deadline + GRACE_SECONDS - time.monotonic()
            if left <= 0:
                return
            self._progress.wait(min(left, BEAT_SECONDS))
            self._progress.clear()
            yield
        if self._failures:
            raise self._failures[0]

    def _call_all(self) -> None:
        try:
            while taken := () if time.monotonic() >= self._deadline else self._outbox.take(1):
                for number, request in taken:
                    result = self._caller.call(request, self._deadline, self._outbox.stopped)
                    self._outbox.put([(number, result)])
                self._progress.set()
        except BaseException as error:  # noqa: BLE001  (the waiting thread raises it)
            self._failures.append(error)
        self._progress.set()
