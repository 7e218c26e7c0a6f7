"""One load at a time into a lake in object storage, whichever machines they run on.

Storage has no locks that die with their holder. A load holds a small object instead, which it writes anew every few
seconds, each time on the condition that it is still as it left it. Who finds one watches it: where it changes, its
holder is at work; where it stays the same, its holder has ended, and it may be taken. No clocks are compared.
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
"""How long a lease that nobody renews is respected."""


class Lease:
    """The right to load into a lake. `check` raises LakeError once it is lost."""

    def __init__(self, lake: Lake, store: ObjectStore, held: Stored, beat: float, patience: float) -> None:
        self._lake = lake
        self._store = store
        self._held = held
        self._beat = beat
        self._patience = patience
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises LakeError where another load may have begun meanwhile."""
        if self._lost:
            raise LakeError(
                f"This load lost its hold on {self._lake}: the storage did not answer for {self._patience:g} s, or "
                "another load took its place. Nothing of it is served; load again."
            )

    def release(self) -> None:
        self._ended.set()
        self._thread.join(self._patience)
        if not self._lost:
            with suppress(LakeError):  # it ends by itself then
                self._store.remove(LEASE_NAME)

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._ended.wait(self._beat):
            try:
                held = self._store.write_over(LEASE_NAME, _sign(), self._held)
            except LakeError:
                # Half of the patience: then nobody can have taken it yet.
                self._lost = time.monotonic() - renewed > self._patience / 2
            else:
                self._lost, self._held, renewed = held is None, held or self._held, time.monotonic()
            if self._lost:
                return


@contextmanager
def hold_lease(lake: Lake, *, beat: float = BEAT_SECONDS, patience: float = LEASE_SECONDS) -> Iterator[Lease]:
    """Hold the lease of a lake in object storage. Raises LakeError where another load holds it."""
    store = lake.objects
    seen = store.read(LEASE_NAME)
    if seen is not None and not _is_abandoned(store, seen, beat, patience):
        raise _taken(lake)
    held = store.write_over(LEASE_NAME, _sign(), seen)
    if held is None:
        raise _taken(lake)
    lease = Lease(lake, store, held, beat, patience)
    try:
        yield lease
    finally:
        lease.release()


def _is_abandoned(store: ObjectStore, seen: Stored, beat: float, patience: float) -> bool:
    """Whether nobody renews a lease, as long as one has to be waited for."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        threading.Event().wait(beat / 2)
        now = store.read(LEASE_NAME)
        if now is None or now.version != seen.version:
            return False
    return True


def _taken(lake: Lake) -> LakeError:
    return LakeError(f"Another load into {lake} is running. Wait for it to end, then try again.")


def _sign() -> bytes:
    """Bytes that were never written before: some stores make a version of the content alone."""
    return json.dumps({"renewed": uuid4().hex}).encode()
