"""How fast this machine's processor is right now. What others do on a shared machine makes CPU time itself longer."""

from __future__ import annotations

import time
from collections.abc import Callable

_WORK_SECONDS = 0.008
"""What `_work` takes where nobody disturbs it, on the kind of machine that the bounds were set on; twice that in busy
hours."""


def timed(act: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    act()
    return time.process_time() - started


def slowness() -> float:
    """How many times as long things take as on an undisturbed machine, at least 1; by a known piece of work."""
    return max(1.0, timed(_work) / _WORK_SECONDS)


def _work() -> int:
    """Objects, texts and dictionaries, as a parser makes them."""
    found: dict[str, tuple[int, list[str]]] = {}
    for number in range(12_000):
        found[f"name{number}"] = (number, [str(number), "a" * (number % 7)])
    return sum(len(words) + number for number, words in found.values())
