"""Caps the temporary files of an engine's process, for every engine and any number of statements.

Sail has a limit of its own, per session; Spark has none, and its shuffle files remain until the JVM collects garbage.
So the folder is polled from outside, and a process that writes too much is ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY = 0.2
"""Poll interval in seconds. A disk writes some hundred MB in that time, which bounds the excess."""


def used_bytes(folder: str | Path) -> int:
    """Return the disk space of all files below a folder. Files that disappear meanwhile are not counted."""
    total = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += _get_allocated(entry)
        except OSError:
            continue
    return total


def _get_allocated(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0


@contextmanager
def cap_folder(folder: Path, most_bytes: int, exceeded: Callable[[], None]) -> Iterator[None]:
    """Watch a folder while the block runs, and call `exceeded` once when it holds more than `most_bytes`."""
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
