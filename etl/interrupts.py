"""Interrupts of a command that no library loses.

Python raises KeyboardInterrupt wherever the main thread is. Within a finalizer, a callback of a weak reference (each
import runs some) or a bare `except` it is dropped, and the command would go on and publish.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

_interrupted = threading.Event()


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM, by which service managers stop a program, raise KeyboardInterrupt and be remembered.

    The handlers stay. An error that follows a signal becomes KeyboardInterrupt: the embedded engine ends by SIGINT too,
    and the statement under way fails.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        yield
    except Exception as error:
        if not _interrupted.is_set():
            raise
        log.debug("ended by the interrupt", exc_info=error)
        raise KeyboardInterrupt from error


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt once a signal has come."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _interrupted.set()
    # What the interrupt leaves half made fails again when it is finalized, or when its thread ends.
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_failure
    raise KeyboardInterrupt


def _log_unraisable(failure: sys.UnraisableHookArgs) -> None:
    log.debug("ended by the interrupt: %r", failure.object, exc_info=failure.exc_value)


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    log.debug("ended by the interrupt: %s", failure.thread, exc_info=failure.exc_value)
