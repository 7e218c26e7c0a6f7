"""Exponential backoff with full jitter, so that many clients that failed together do not retry together (AWS
Architecture Blog, "Exponential Backoff And Jitter")."""

from __future__ import annotations

import random
from collections.abc import Callable

BASE_SECONDS = 0.25
MOST_SECONDS = 10.0


def pause(attempt: int, *, at_least: float = 0.0, draw: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the given failed attempt, counted from 0.

    `at_least` is the pause that the service asked for (Retry-After); jitter is added to it.
    """
    return at_least + draw() * min(MOST_SECONDS, BASE_SECONDS * 2.0 ** min(attempt, 10))
