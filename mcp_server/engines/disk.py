"""What an engine's process may write: temporary files up to a cap, whichever engine it is and however many statements.

Sail has a limit of its own, for a session; Spark has none, and what a statement shuffled lies there until the JVM
collects garbage. So the folder is looked at from outside, and a process that writes too much is ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY = 0.2
"""In seconds. A disk writes some hundred MB in that time: the cap is exceeded by no more."""


def used_bytes(folder: str | Path) -> int:
    """Room that all files below a folder take on their disk. What goes away meanwhile counts nothing."""
    total = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += _allocated(entry)
        except OSError:
            continue
    return total


def _allocated(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0


@contextmanager
def capped(folder: Path, most_bytes: int, exceeded: Callable[[], None]) -> Iterator[None]:
    """Watch a folder while inside, and call `exceeded`, once, when more than so many bytes lie in it."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY):
            if used_bytes(folder) > most_bytes:
                exceeded()
                return

    thread = threading.Thread(target=watch, name="engine disk", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
