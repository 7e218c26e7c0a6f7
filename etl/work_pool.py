"""Threads whose work ends early once nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import TracebackType


class WorkPool(ThreadPoolExecutor):
    """A pool whose work asks now and then whether it is still wanted. As a context manager it is closed in the end."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._given_up = threading.Event()

    def close(self) -> None:
        """End the work, whether it is done or not, and wait for the threads."""
        self._given_up.set()
        self.shutdown(cancel_futures=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def raise_if_closed(self) -> None:
        """Raise CancelledError if the pool is closed. Called within the work."""
        if self._given_up.is_set():
            raise CancelledError

    def make_interruptible(self, on_progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """Return a callback for the bytes and rows done so far that raises CancelledError once the pool is closed."""

        def report_progress(done_bytes: int, rows: int) -> None:
            self.raise_if_closed()
            on_progress(done_bytes, rows)

        return report_progress
