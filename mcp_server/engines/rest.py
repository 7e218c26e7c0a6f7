"""Watches whether an engine comes to rest once what it was told to stop has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOK_EVERY = 0.1
_CPU_SECONDS = 0.7
"""Processor time that may go into what was stopped: on a machine with nothing else to do, less than a second."""


class Rest:
    """Calls `disturbed` where an engine goes on with what was stopped. Safe for several threads.

    `computes` tells that something is at work, not for whom, so nothing is known while statements run (`busy`): then it
    looks as soon as none does. It watches in a thread of its own, so that no answer waits for it.
    """

    def __init__(self, computes: Callable[[], bool], busy: Callable[[], bool], disturbed: Callable[[], None]) -> None:
        self._computes = computes
        self._busy = busy
        self._disturbed = disturbed
        self._in_doubt = threading.Event()
        threading.Thread(target=self._watch, name="rest", daemon=True).start()

    def doubt(self) -> None:
        """A statement that was stopped has ended: see whether the engine has let go of it."""
        self._in_doubt.set()

    def _watch(self) -> None:
        while True:
            self._in_doubt.wait()
            while self._busy():
                threading.Event().wait(_LOOK_EVERY)
            self._in_doubt.clear()
            if self._goes_on():
                self._disturbed()

    def _goes_on(self) -> bool:
        """Whether much is computed for nobody."""
        began = time.process_time()
        while self._computes():
            if self._busy():
                self._in_doubt.set()
                return False
            if time.process_time() - began > _CPU_SECONDS:
                return True
            threading.Event().wait(_LOOK_EVERY)
        return False
