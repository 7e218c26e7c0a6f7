"""SQLite files that several processes share, created with all tables or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from lakehouse.system import lock_file


def create_database(file: Path, schema: str) -> None:
    """Create a database for its owner alone, unless it exists. Other processes wait for the one that creates it.

    It is created in WAL mode, so that no connection has to change the mode of a file that others have open.
    Raises OSError, sqlite3.Error.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock_file(lock)
        if file.exists():
            return
        new = file.with_suffix(".new")
        # Remains of a database that was removed must not be read as part of this one.
        for left in (new, *(file.with_name(file.name + ending) for ending in ("-wal", "-shm"))):
            left.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.closing(sqlite3.connect(new)) as database:
            database.executescript("PRAGMA journal_mode = WAL; BEGIN;" + schema + "COMMIT;")
        os.replace(new, file)
    finally:
        os.close(lock)
