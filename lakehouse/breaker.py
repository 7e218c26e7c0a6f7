"""A circuit breaker: calls to a service that cannot be reached fail at once instead of waiting.

After some failures in a row it opens for a while, and every attempt fails fast. Then one attempt, the probe, is let
through: its success closes the breaker, its failure opens it again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lakehouse.errors import EngineUnavailable, LakehouseError


class Breaker:
    """Counts the failures to reach one service. Safe for several threads.

    `service` is its name in errors, which are of the type `unavailable`. `failures` in a row open the breaker for
    `pause_seconds`; `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        service: str,
        *,
        failures: int = 5,
        pause_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        unavailable: type[LakehouseError] = EngineUnavailable,
    ) -> None:
        self._service = service
        self._most = failures
        self._pause = pause_seconds
        self._clock = clock
        self._unavailable = unavailable
        self._lock = threading.Lock()
        # All that follows is read and written under `_lock`.
        self._failed = 0
        self._open_until: float | None = None
        self._probing = False

    @contextmanager
    def attempt(self, unreachable: type[Exception]) -> Iterator[None]:
        """Make an attempt: an `unreachable` exception counts as a failure, any other as neither failure nor success.

        Raises `unavailable` where the breaker is open.
        """
        probe = self._enter_attempt()
        try:
            yield
        except unreachable:
            self._count_failure()
            raise
        else:
            self._count_success()
        finally:
            if probe:
                with self._lock:
                    self._probing = False

    def _enter_attempt(self) -> bool:
        """Begin an attempt. Returns whether it is the probe."""
        with self._lock:
            if self._open_until is None:
                return False
            left = self._open_until - self._clock()
            if left > 0 or self._probing:
                again = f"Its next try is in {math.ceil(left)} s" if left > 0 else "It is being tried right now"
                raise self._unavailable(
                    f"{self._service} could not be reached {self._failed} times in a row. {again}: ask again then."
                )
            self._probing = True
            return True

    def _count_failure(self) -> None:
        with self._lock:
            self._failed += 1
            if self._failed >= self._most:
                self._open_until = self._clock() + self._pause

    def _count_success(self) -> None:
        with self._lock:
            self._failed = 0
            self._open_until = None
