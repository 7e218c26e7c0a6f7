"""Entries of a cache, and a process that stores them one by one: `python -m tests.ai.keeping FOLDER FIRST COUNT`.

It says each number when it has been stored.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ai_functions.cache import IN_STATE, Cache, Cached, CacheKey
from ai_functions.types import Facts, Usage

NOW = 1_790_000_000.0


def key(number: int) -> CacheKey:
    return CacheKey.of("summary", "v1", "small", Facts(f"tt{number:07}", {"title": "The Kid", "year": number}))


def answer(text: str = "A text.", created: float = NOW) -> Cached:
    return Cached(text, Usage(100, 20), 27_000, created)


def cache(folder: Path, days: float | None = None, now: float = NOW) -> Cache:
    return Cache([folder / IN_STATE], folder / IN_STATE, days=days, clock=lambda: now)


def main(folder: str, first: str, count: str) -> None:
    kept = cache(Path(folder))
    for number in range(int(first), int(first) + int(count)):
        kept.store({key(number): answer()})
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
