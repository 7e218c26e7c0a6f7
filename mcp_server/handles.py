"""Handles of statements that outlived the call that started them: whose they are, and where their result lies.

SQLite keeps the id, the caller, the state and the server process; the result stays with that process. All
servers of a state folder share the file, so that any of them can tell what became of a handle. A process
holds a lock as long as it lives, so that a handle whose process has ended is known to be lost.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lakehouse.errors import LakehouseError
from lakehouse.sqlite_file import create_database
from lakehouse.system import lock_file

State = Literal["running", "done", "failed", "cancelled"]
Whereabouts = Literal["here", "elsewhere", "lost"]

MOST_KEPT = 200
"""Handles that one caller may have at once; the oldest that have ended make room."""

_SCHEMA = """
CREATE TABLE handles (
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, state TEXT NOT NULL, server TEXT NOT NULL,
    begun REAL NOT NULL, expires REAL
) STRICT;
"""


class HandlesUnusableError(LakehouseError):
    """The file of handles cannot be read or written."""

    mendable = True  # not by the caller, who must know why no handle is given


@dataclass(frozen=True)
class HandleEntry:
    """What is known of a handle. `where` is this process, another living one, or one that has ended."""

    state: State
    where: Whereabouts


class Handles:
    """The handles of all servers of a state folder, as one of them sees them. Nothing is made before the first one."""

    def __init__(self, folder: Path, keep_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._file = folder / "handles.sqlite"
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._server = secrets.token_hex(8)
        self._lock: int | None = None
        self._opening = threading.Lock()

    def add(self, caller: str) -> str:
        """Add a handle for a running statement. Raises HandlesUnusableError."""
        self._hold_lock()
        handle = secrets.token_hex(8)
        with self._open_transaction() as database:
            database.execute("DELETE FROM handles WHERE expires < ?", [self._clock()])
            database.execute(
                "DELETE FROM handles WHERE id IN (SELECT id FROM handles WHERE caller = ? AND expires IS NOT NULL "
                "ORDER BY begun DESC LIMIT -1 OFFSET ?)",
                [caller, MOST_KEPT - 1],
            )
            database.execute(
                "INSERT INTO handles VALUES (?, ?, 'running', ?, ?, NULL)",
                [handle, caller, self._server, self._clock()],
            )
        return handle

    def settle(self, handle: str, state: State) -> None:
        """Note how a statement ended; from now on its time runs. Raises HandlesUnusableError."""
        with self._open_transaction() as database:
            database.execute(
                "UPDATE handles SET state = ?, expires = ? WHERE id = ?",
                [state, self._clock() + self._keep_seconds, handle],
            )

    def find(self, handle: str, caller: str) -> HandleEntry | None:
        """Find a caller's handle. Returns None for one that never existed, has expired, or belongs to another caller.

        Raises HandlesUnusableError.
        """
        if not self._file.exists():
            return None
        with self._open_transaction() as database:
            row = database.execute(
                "SELECT state, server FROM handles WHERE id = ? AND caller = ? AND (expires IS NULL OR expires >= ?)",
                [handle, caller, self._clock()],
            ).fetchone()
        if row is None:
            return None
        state, server = row
        return HandleEntry(state, self._locate_server(server))

    def live(self) -> frozenset[str]:
        """Return the handles of this process that have not expired. Raises HandlesUnusableError."""
        if not self._file.exists():
            return frozenset()
        with self._open_transaction() as database:
            rows = database.execute(
                "SELECT id FROM handles WHERE server = ? AND (expires IS NULL OR expires >= ?)",
                [self._server, self._clock()],
            ).fetchall()
        return frozenset(row[0] for row in rows)

    def close(self) -> None:
        """Release the lock: the handles of this process are lost from now on."""
        with self._opening:
            if self._lock is not None:
                with contextlib.suppress(OSError):
                    self._lock_file(self._server).unlink()
                os.close(self._lock)
                self._lock = None

    def _locate_server(self, server: str) -> Whereabouts:
        if server == self._server:
            return "here"
        try:
            descriptor = os.open(self._lock_file(server), os.O_RDWR)
        except FileNotFoundError:
            return "lost"
        try:
            return "lost" if lock_file(descriptor, shared=True, wait=False) else "elsewhere"
        finally:
            os.close(descriptor)

    def _hold_lock(self) -> None:
        with self._opening:
            if self._lock is not None:
                return
            path = self._lock_file(self._server)
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._remove_dead_locks(path.parent)
                while self._lock is None:
                    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                    lock_file(descriptor)
                    if path.exists():  # nobody swept it away before it was locked
                        self._lock = descriptor
                    else:
                        os.close(descriptor)
            except OSError as error:
                raise self._make_unusable_error(error.strerror or str(error)) from error

    def _remove_dead_locks(self, folder: Path) -> None:
        """Remove the locks of processes that have ended."""
        for left in folder.glob("*.lock"):
            if self._locate_server(left.stem) == "lost":
                with contextlib.suppress(OSError):  # somebody else was faster
                    left.unlink()

    def _lock_file(self, server: str) -> Path:
        return self._folder / "servers" / f"{server}.lock"

    @contextlib.contextmanager
    def _open_transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction on a connection of its own, so that any thread may use it."""
        try:
            if not self._file.exists():
                create_database(self._file, _SCHEMA)
            with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as database, database:
                yield database
        except (sqlite3.Error, OSError) as error:
            raise self._make_unusable_error(str(error)) from error

    def _make_unusable_error(self, why: str) -> HandlesUnusableError:
        return HandlesUnusableError(
            f"Handles of long queries cannot be kept ({why}). Only whoever runs the server can mend that: "
            f"{self._file.name} in the state folder has to be readable and writable, or to be taken away where it is "
            "damaged. Meanwhile ask for less, so that the answer comes in time."
        )
