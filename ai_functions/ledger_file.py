"""The SQLite file of the ledger: one transaction at a time, written to disk before anything is spent."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ai_functions.types import AiUnavailable
from lakehouse.sqlite_file import create_database

LEDGER_NAME = "ai_ledger.sqlite"

_BUSY_SECONDS = 30.0
"""How long a transaction waits for those of other processes; one takes milliseconds."""

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, caller TEXT NOT NULL, query TEXT NOT NULL, at REAL NOT NULL,
    reserved INTEGER NOT NULL CHECK (reserved >= 0), nanos INTEGER NOT NULL CHECK (nanos >= 0),
    settled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX calls_of_caller ON calls (caller, at);
CREATE TABLE queries (
    caller TEXT NOT NULL, query TEXT NOT NULL, at REAL NOT NULL, nanos INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (caller, query)
) STRICT, WITHOUT ROWID;
CREATE INDEX queries_of_caller ON queries (caller, at);
CREATE TABLE totals (
    period TEXT NOT NULL, caller TEXT NOT NULL, nanos INTEGER NOT NULL, PRIMARY KEY (period, caller)
) STRICT, WITHOUT ROWID;
CREATE TABLE told (
    budget TEXT NOT NULL, caller TEXT NOT NULL, period TEXT NOT NULL, percent INTEGER NOT NULL,
    PRIMARY KEY (budget, caller, period, percent)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


class LedgerFile:
    """The ledger file of a folder. Safe for several threads and processes. Created and opened on first use.

    Each transaction is `BEGIN IMMEDIATE`, so none of any process overlaps it. With `synchronous = FULL` it is on disk
    when it ends (sqlite.org/pragma.html: in WAL mode, NORMAL may lose the last ones in a power failure).
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / LEDGER_NAME
        self._lock = threading.Lock()
        # Both are read and written under `_lock`.
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction, which an exception rolls back. Raises AiUnavailable where the file is unusable."""
        try:
            with self._lock:
                database = self._connect_file()
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    if database.in_transaction:  # a full disk has undone it already
                        database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.close()  # rolls back; the next transaction opens the file again
            raise _as_unavailable(error) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close_connection()

    def _connect_file(self) -> sqlite3.Connection:
        """The connection of this process, reopened where the file was replaced."""
        if not self._file.exists():
            create_database(self._file, _SCHEMA)
        found = self._file.stat()
        if found.st_size == 0:
            raise sqlite3.DatabaseError("it is empty")
        if self._connection is None or found.st_ino != self._inode:
            self._close_connection()
            self._connection = _open_database(self._file)
            self._inode = found.st_ino
        return self._connection

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _open_database(file: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(file))}?mode=rw"
    database = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA synchronous = FULL")
        if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise sqlite3.DatabaseError("it is not a ledger of this version")
        wrong = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if wrong != "ok":
            raise sqlite3.DatabaseError(str(wrong))
    except sqlite3.Error:
        database.close()
        raise
    return database


def _as_unavailable(error: sqlite3.Error | OSError) -> AiUnavailable:
    reason = error.strerror if isinstance(error, OSError) else None  # without the path, which is nobody's business
    why = (reason or str(error)).replace("\n", " ")
    return AiUnavailable(
        f"AI functions are off: what they spend cannot be written down ({why}). Only whoever runs the server can mend "
        f"that: {LEDGER_NAME} in the state folder has to be readable and writable, with room on its disk, or to be "
        "taken away where it is damaged. Ask without AI functions meanwhile."
    )
