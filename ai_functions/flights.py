"""What is being paid for now is not paid for twice: whoever comes second waits for the first one's answer.

A claim is a lock on one byte of a file, at a place that the key's hash gives. The system knows who holds it, in
whatever process, and frees it when that process ends, however it ends: there is nothing to tidy up after a crash.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ai_functions.types import AiUnavailable

FLIGHTS_NAME = "ai_flights.lock"

_LOOK_SECONDS = 0.05
"""How often another process's claim is looked at; within this process nobody has to look."""


class Flights:
    """The claims of a state folder. Safe for several threads and processes; nothing is opened before the first use.

    Keys are hashes in hexadecimal. Two of them with 15 digits in common would wait for each other, no more.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FLIGHTS_NAME

    @contextmanager
    def claim(self, keys: Iterable[str]) -> Iterator[frozenset[str]]:
        """Hold those of `keys` that nobody else holds, whoever it is, and give them. Does not wait.

        Look into the cache again for what is given: its last holder may have just answered. Do not `wait` while
        holding: two who do that may wait for each other. Raises AiUnavailable.
        """
        claims = self._claims()
        mine: set[str] = set()
        try:
            mine.update(key for key in keys if claims.take(_place(key)))
            yield frozenset(mine)
        finally:
            for key in mine:
                claims.give_back(_place(key))

    def wait(self, keys: Iterable[str], seconds: float) -> bool:
        """Wait until nobody holds any of `keys`. False where that took longer. Raises AiUnavailable."""
        claims, until = self._claims(), time.monotonic() + seconds
        return all(claims.wait(_place(key), until) for key in keys)

    def _claims(self) -> _Claims:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _claims_of(self._path.resolve())
        except OSError as error:
            raise AiUnavailable(
                f"AI functions are off: {FLIGHTS_NAME} in the state folder cannot be written ({error.strerror}). Only "
                "whoever runs the server can mend that. Ask without AI functions meanwhile."
            ) from error


class _Claims:
    """The claims of one file, as this process sees them."""

    def __init__(self, path: Path) -> None:
        # Never closed: closing any descriptor of a file gives back all locks that the process has on it (POSIX).
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._changed = threading.Condition()
        self._mine: set[int] = set()  # those of this process's threads, between which the system does not tell

    def take(self, place: int) -> bool:
        with self._changed:
            if place in self._mine or not self._lock(place):
                return False
            self._mine.add(place)
            return True

    def give_back(self, place: int) -> None:
        with self._changed:
            self._mine.discard(place)
            self._unlock(place)
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
        if not self._lock(place):
            return False
        self._unlock(place)
        return True

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # lockf(2): one or the other, by system
            return False
        return True

    def _unlock(self, place: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)


_opening = threading.Lock()


def _claims_of(path: Path) -> _Claims:
    with _opening:
        return _opened(path)


@cache
def _opened(path: Path) -> _Claims:
    """One for each file and process: see `_Claims.__init__`."""
    return _Claims(path)


def _place(key: str) -> int:
    return int(key[:15], 16)
