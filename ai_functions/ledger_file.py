"""The file that the ledger lies in: SQLite, one transaction at a time, on the disk before anything is spent."""

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
    """The ledger of a folder. Safe for several threads and processes. Nothing is made or opened before the first use.

    Each transaction is `BEGIN IMMEDIATE`: no other one, of whatever process, overlaps it. `synchronous = FULL` has it
    on the disk when it ends (sqlite.org/pragma.html: in WAL mode, NORMAL may lose the last ones with the power).
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / LEDGER_NAME
        self._lock = threading.Lock()
        # Both are read and written under `_lock`.
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; an exception undoes it. Raises AiUnavailable where the file cannot be trusted."""
        try:
            with self._lock:
                database = self._connect()
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    if database.in_transaction:  # a full disk has undone it already
                        database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.close()  # which undoes what is open; the next one looks at the file anew
            raise _unavailable(error) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._disconnect()

    def _connect(self) -> sqlite3.Connection:
        """The connection of this process, made anew where the file is another one."""
        if not self._file.exists():
            create_database(self._file, _SCHEMA)
        found = self._file.stat()
        if found.st_size == 0:
            raise sqlite3.DatabaseError("it is empty")
        if self._connection is None or found.st_ino != self._inode:
            self._disconnect()
            self._connection = _open(self._file)
            self._inode = found.st_ino
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _open(file: Path) -> sqlite3.Connection:
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


def _unavailable(error: sqlite3.Error | OSError) -> AiUnavailable:
    reason = error.strerror if isinstance(error, OSError) else None  # without the path, which is nobody's business
    why = (reason or str(error)).replace("\n", " ")
    return AiUnavailable(
        f"AI functions are off: what they spend cannot be written down ({why}). Only whoever runs the server can mend "
        f"that: {LEDGER_NAME} in the state folder has to be readable and writable, with room on its disk, or to be "
        "taken away where it is damaged. Ask without AI functions meanwhile."
    )
