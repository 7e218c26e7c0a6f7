"""Temporary folders of a process, which the next process removes where it could not."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lakehouse.system import lock_file

_PLAIN = re.compile(r"[\w/.-]+", re.ASCII)


@contextlib.contextmanager
def work_folder(state: Path, prefix: str, *, for_engine: bool = True) -> Iterator[tuple[Path, int]]:
    """A folder for temporary files, and the descriptor of the lock that marks it as in use.

    It is in `state`; one `for_engine` is elsewhere where the embedded engine could not read that path.

    A child that inherits the descriptor holds the lock too. The system releases it when the last of them has ended;
    folders of this prefix without a locked lock are removed.
    """
    # In the state folder of macOS ("Application Support") the embedded engine would not find its links.
    parent = state if not for_engine or _PLAIN.fullmatch(str(state)) else Path(tempfile.gettempdir())
    for left in parent.glob(f"{prefix}*"):
        with _lock_folder(left) as lock:
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with _lock_folder(work) as lock:
            if lock is None:
                raise BlockingIOError(errno.EAGAIN, "in use by another process", str(work))
            yield work, lock
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[int | None]:
    """Lock a folder and yield the descriptor, or None where another process holds the lock."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        is_ours = False
        with contextlib.suppress(OSError):  # the file system has no locks
            is_ours = lock_file(descriptor, wait=False)
        yield descriptor if is_ours else None
    finally:
        os.close(descriptor)
