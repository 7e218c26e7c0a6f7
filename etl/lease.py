"""Allows one load at a time into a lake in object storage, across machines.

Object storage has no locks that end with their holder. A load writes a small object every few seconds, on the condition
that it is unchanged. Another load watches the object: if it changes, the holder is alive; if it stays the same for
LEASE_SECONDS, the holder has ended and the lease may be taken. No clocks are compared.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from lakehouse.errors import LakeError
from lakehouse.objects import ObjectStore, Stored
from lakehouse.storage import Lake

LEASE_NAME = "_load.lease.json"
BEAT_SECONDS = 5.0
LEASE_SECONDS = 30.0
"""How long a lease that is not renewed is respected."""


class Lease:
    """The right to load into a lake, renewed by a thread."""

    def __init__(self, lake: Lake, store: ObjectStore, held: Stored, beat: float, patience: float) -> None:
        self._lake = lake
        self._store = store
        self._held = held
        self._beat = beat
        self._patience = patience
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew_lease, name="lease", daemon=True)
        self._thread.start()

    def check_held(self) -> None:
        """Raise LakeError if the lease was lost and another load may have begun."""
        if self._lost:
            raise LakeError(
                f"This load lost its hold on {self._lake}: the storage did not answer for {self._patience:g} s, or "
                "another load took its place. Nothing of it is served; load again."
            )

    def release(self) -> None:
        """Stop renewing the lease, and remove it."""
        self._ended.set()
        self._thread.join(self._patience)
        if not self._lost:
            with suppress(LakeError):  # it then expires
                self._store.remove(LEASE_NAME)

    def _renew_lease(self) -> None:
        renewed = time.monotonic()
        while not self._ended.wait(self._beat):
            try:
                held = self._store.write_over(LEASE_NAME, _make_unique_content(), self._held)
            except LakeError:
                # At half of the patience no other load can have taken it yet.
                self._lost = time.monotonic() - renewed > self._patience / 2
            else:
                self._lost, self._held, renewed = held is None, held or self._held, time.monotonic()
            if self._lost:
                return


@contextmanager
def hold_lease(lake: Lake, *, beat: float = BEAT_SECONDS, patience: float = LEASE_SECONDS) -> Iterator[Lease]:
    """Hold the lease of a lake in object storage. `beat` and `patience` are in seconds.

    Raises LakeError if another load holds it.
    """
    store = lake.objects
    seen = store.read(LEASE_NAME)
    if seen is not None and not _is_abandoned(store, seen, beat, patience):
        raise _make_taken_error(lake)
    held = store.write_over(LEASE_NAME, _make_unique_content(), seen)
    if held is None:
        raise _make_taken_error(lake)
    lease = Lease(lake, store, held, beat, patience)
    try:
        yield lease
    finally:
        lease.release()


def _is_abandoned(store: ObjectStore, seen: Stored, beat: float, patience: float) -> bool:
    """Wait for `patience` seconds, and return whether the lease was not renewed."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        threading.Event().wait(beat / 2)
        now = store.read(LEASE_NAME)
        if now is None or now.version != seen.version:
            return False
    return True


def _make_taken_error(lake: Lake) -> LakeError:
    return LakeError(f"Another load into {lake} is running. Wait for it to end, then try again.")


def _make_unique_content() -> bytes:
    """Return unique bytes: some stores derive the version of an object from its content."""
    return json.dumps({"renewed": uuid4().hex}).encode()
