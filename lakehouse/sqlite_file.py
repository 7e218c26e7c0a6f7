"""SQLite files that several processes share: there with all their tables, or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path


def create_database(file: Path, schema: str) -> None:
    """Make a database for its owner alone where there is none; one process makes it, others wait for that one.

    It is in WAL mode from the beginning, so that no connection has to change the mode of a file that others have open.
    Raises OSError, sqlite3.Error.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            return
        new = file.with_suffix(".new")
        # What is left of a file that was taken away must not be read as this one's.
        for left in (new, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm"))):
            left.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(new)) as database:
            database.executescript("PRAGMA journal_mode = WAL; BEGIN;" + schema + "COMMIT;")
        os.replace(new, file)
    finally:
        os.close(lock)
