"""How long to wait before trying again: exponential, with full jitter, so that many who failed at once do not return
at once (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

from __future__ import annotations

import random
from collections.abc import Callable

BASE_SECONDS = 0.25
MOST_SECONDS = 10.0


def pause(attempt: int, *, at_least: float = 0.0, draw: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the given failed attempt, counted from 0.

    `at_least` is what the service itself asked for (Retry-After); jitter comes on top of it.
    """
    return at_least + draw() * min(MOST_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 10))
