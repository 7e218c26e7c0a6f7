"""Claims on calls that are under way: a second run that needs the same answer waits for it instead of paying again.

A claim is a lock on one byte of a file, at an offset that the key's hash gives. The operating system frees it when the
process that holds it ends, so there is nothing to clean up after a crash.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ai_functions.types import AiUnavailable
from lakehouse.system import lock_byte, unlock_byte

FLIGHTS_NAME = "ai_flights.lock"

_LOOK_SECONDS = 0.05
"""How often a claim of another process is polled; within this process waiters are notified."""


class Flights:
    """The claims of a state folder. Safe for several threads and processes; nothing is opened before the first use.

    Keys are hashes in hexadecimal. Two of them with 15 digits in common would wait for each other, no more.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FLIGHTS_NAME

    @contextmanager
    def claim(self, keys: Iterable[str]) -> Iterator[frozenset[str]]:
        """Hold those of `keys` that no other run holds, and yield them. Does not wait.

        Look the yielded keys up in the cache again: their last holder may have just stored an answer. Do not `wait`
        while holding claims, which could deadlock. Raises AiUnavailable.
        """
        claims = self._get_claims()
        mine: set[str] = set()
        try:
            mine.update(key for key in keys if claims.take(_place_of_key(key)))
            yield frozenset(mine)
        finally:
            for key in mine:
                claims.give_back(_place_of_key(key))

    def wait(self, keys: Iterable[str], seconds: float) -> bool:
        """Wait until none of `keys` is held. Returns False after `seconds`. Raises AiUnavailable."""
        claims, until = self._get_claims(), time.monotonic() + seconds
        return all(claims.wait(_place_of_key(key), until) for key in keys)

    def _get_claims(self) -> _Claims:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _claims_of(self._path.resolve())
        except OSError as error:
            raise AiUnavailable(
                f"AI functions are off: {FLIGHTS_NAME} in the state folder cannot be written ({error.strerror}). Only "
                "whoever runs the server can mend that. Ask without AI functions meanwhile."
            ) from error


class _Claims:
    """The claims of one lock file in this process."""

    def __init__(self, path: Path) -> None:
        # Never closed: closing any descriptor of a file gives back all locks that the process has on it (POSIX).
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._changed = threading.Condition()
        self._mine: set[int] = set()  # those of this process's threads, between which the system does not tell

    def take(self, place: int) -> bool:
        with self._changed:
            if place in self._mine or not lock_byte(self._file, place):
                return False
            self._mine.add(place)
            return True

    def give_back(self, place: int) -> None:
        with self._changed:
            self._mine.discard(place)
            unlock_byte(self._file, place)
            self._changed.notify_all()

    def wait(self, place: int, until: float) -> bool:
        with self._changed:
            while place in self._mine or not self._is_free(place):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left if place in self._mine else min(left, _LOOK_SECONDS))
            return True

    def _is_free(self, place: int) -> bool:
        if not lock_byte(self._file, place):
            return False
        unlock_byte(self._file, place)
        return True


_opening = threading.Lock()


def _claims_of(path: Path) -> _Claims:
    with _opening:
        return _open_claims(path)


@cache
def _open_claims(path: Path) -> _Claims:
    """Open the claims of a file once per process: see `_Claims.__init__`."""
    return _Claims(path)


def _place_of_key(key: str) -> int:
    return int(key[:15], 16)
