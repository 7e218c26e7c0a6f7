"""Whether this process still has room: for memory, a thread and a file.

A process without is no use to any statement, and its libraries say so in many words: "can't start new thread", "Stream
removed", "Broken pipe". So a failure that no statement is known for is judged by trying, not by its words.
"""

from __future__ import annotations

import _thread
import mmap
import os
import threading

_ROOM_BYTES = 32 << 20
"""Memory that a statement needs at least: stacks of threads and buffers of a connection."""
_THREAD_SECONDS = 5.0
_ROOM_FILES = 16
"""Files and sockets that a statement needs at least."""


def has_room() -> bool:
    """Whether memory can be had, a thread can be started and a file be opened."""
    try:
        mmap.mmap(-1, _ROOM_BYTES, **_PRIVATE).close()
        _open_files()
        return _can_start_thread()
    except (OSError, MemoryError, RuntimeError):
        return False


def _can_start_thread() -> bool:
    """Start a thread. `Thread.start` would wait for ever for one that finds no memory at its very beginning."""
    running = threading.Lock()
    running.acquire()
    _thread.start_new_thread(running.release, ())
    return running.acquire(timeout=_THREAD_SECONDS)


def _open_files() -> None:
    """Open as many files as a statement needs, and close them. Raises OSError where there may not be so many."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_ROOM_FILES))
    finally:
        for descriptor in opened:
            os.close(descriptor)


_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
"""Memory that counts towards the ceiling; what is shared does not."""
