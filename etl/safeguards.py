"""What surrounds a load: one at a time, a folder to work in, and clear words for a full disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from etl.tables import remove_orphans
from lakehouse.errors import LakeError, LakehouseError
from lakehouse.settings import Settings
from lakehouse.storage import Lake

LOCK_NAME = "_load.lock"
WORK_NAME = "_work"


@contextlib.contextmanager
def exclusive(lake: Lake, settings: Settings) -> Iterator[None]:
    """One load at a time. The system drops the lock when a process ends, however it ends."""
    from filelock import FileLock, Timeout

    if lake.directory is not None:
        path = lake.directory / LOCK_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        # Storage has no locks: loads of one machine exclude each other, those of two machines do not.
        path = settings.state / f"load-{hashlib.sha256(lake.address.encode()).hexdigest()[:16]}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise LakeError(f"Another load into {lake} is running. Wait for it to end, then try again.") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def work_folder(lake: Lake, settings: Settings) -> Iterator[Path]:
    """An empty folder for what only this run needs, after removing what a killed run left behind."""
    if lake.directory is None:
        folder = settings.state / WORK_NAME
    else:
        folder = lake.directory / WORK_NAME
        for log in lake.directory.glob("*/_delta_log"):
            remove_orphans(log.parent)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def clear_storage_errors(lake: Lake) -> Iterator[None]:
    """A full disk or a lake that cannot be written, said in one sentence whichever library met it."""
    try:
        yield
    except LakehouseError:
        raise
    except Exception as error:
        text = str(error)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text:
            raise LakeError(
                f"The disk of {lake} is full. Make room and load again; the lake before is unchanged."
            ) from error
        if isinstance(error, PermissionError) or "Permission denied" in text:
            raise LakeError(f"{lake} cannot be written: permission denied. Choose another --lake.") from error
        raise
