"""SQLite backend: one file in the state folder, readable by its owner only, shared by processes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imdb_lakehouse.bridge.store.records import (
    ABOVE_ALL,
    Record,
    RecordKind,
    StoreUnavailableError,
    TakenError,
    encode_bodies,
)
from lakehouse.sqlite_file import create_database

FILE_NAME = "conversations.sqlite"

_BUSY_SECONDS = 30.0
"""How long a transaction waits for a lock; a transaction takes milliseconds."""

_SCHEMA = """
CREATE TABLE records (
    conversation TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL,
    at REAL NOT NULL, expires REAL NOT NULL, body TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1,
    rank TEXT NOT NULL DEFAULT '', text TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (conversation, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX records_that_expire ON records (expires);
CREATE INDEX records_by_rank ON records (owner, kind, rank);
CREATE INDEX shares ON records (id) WHERE kind = 'share';
PRAGMA user_version = 1;
"""

_UPGRADE = (
    "DROP INDEX records_of_owner",
    "ALTER TABLE records ADD COLUMN rank TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE records ADD COLUMN text TEXT NOT NULL DEFAULT ''",
    """
    UPDATE records
    SET
        rank = printf('0.%017d.%s', CAST(at * 1e6 AS INTEGER), conversation),
        text = lower(json_extract(body, '$.title'))
    WHERE kind = 'conversation'
    """,
    "CREATE INDEX records_by_rank ON records (owner, kind, rank)",
    "CREATE INDEX shares ON records (id) WHERE kind = 'share'",
    "PRAGMA user_version = 1",
)
"""Makes a file of version 0, whose conversations could only be listed by age, one of version 1."""


class SqliteRecords:
    """The records of a state folder. The file is created on first use. An etag is a version number."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._kept: sqlite3.Connection | None = None
        self._keeping = threading.Lock()

    def add(self, records: Sequence[Record], now: float) -> None:
        rows = [
            (one.conversation, one.id, one.kind, one.owner, one.at, one.expires, body, one.rank, one.text)
            for one, body in zip(records, encode_bodies(records), strict=True)
        ]
        with self._open_transaction() as database:
            expired = database.execute("DELETE FROM records WHERE expires <= ?", [now]).rowcount
            try:
                database.executemany(
                    "INSERT INTO records (conversation, id, kind, owner, at, expires, body, rank, text) "
                    "VALUES (?,?,?,?,?,?,?,?,?)",
                    rows,
                )
            except sqlite3.IntegrityError as error:
                raise TakenError from error
        if expired:
            self._empty_log()

    def replace(self, record: Record, now: float) -> Record | None:
        [body] = encode_bodies([record])
        with self._open_transaction() as database:
            changed = database.execute(
                "UPDATE records SET body = ?, rank = ?, text = ?, version = version + 1 "
                "WHERE conversation = ? AND id = ? AND version = ? AND expires > ?",
                [body, record.rank, record.text, record.conversation, record.id, int(record.etag), now],
            ).rowcount
        return replace(record, body=json.loads(body), etag=str(int(record.etag) + 1)) if changed else None

    def find_records(
        self, conversation: str, owner: str, kind: RecordKind, now: float, record_id: str | None = None
    ) -> list[Record]:
        with self._open_transaction() as database:
            rows = database.execute(
                "SELECT * FROM records WHERE conversation = ? AND owner = ? AND kind = ? AND expires > ? "
                "AND id = coalesce(?, id) ORDER BY id",
                [conversation, owner, kind, now, record_id],
            ).fetchall()
        return [_to_record(row) for row in rows]

    def find_by_id(self, kind: RecordKind, record_id: str, now: float) -> Record | None:
        with self._open_transaction() as database:
            row = database.execute(
                "SELECT * FROM records WHERE id = ? AND kind = ? AND expires > ?", [record_id, kind, now]
            ).fetchone()
        return _to_record(row) if row else None

    def list_ranked(
        self, owner: str, kind: RecordKind, now: float, *, most: int, below: str | None = None, text: str = ""
    ) -> list[Record]:
        with self._open_transaction() as database:
            rows = database.execute(
                "SELECT * FROM records WHERE owner = ? AND kind = ? AND expires > ? AND rank < ? "
                "AND instr(text, ?) > 0 ORDER BY rank DESC LIMIT ?",
                [owner, kind, now, below or ABOVE_ALL, text, most],
            ).fetchall()
        return [_to_record(row) for row in rows]

    def remove(self, conversation: str, record_ids: Sequence[str] | None = None) -> None:
        with self._open_transaction() as database:
            if record_ids is None:
                database.execute("DELETE FROM records WHERE conversation = ?", [conversation])
            else:
                database.executemany(
                    "DELETE FROM records WHERE conversation = ? AND id = ?", [(conversation, one) for one in record_ids]
                )
        self._empty_log()

    def close(self) -> None:
        """Close the connection that stays open between calls."""
        with self._keeping:
            if self._kept is not None:
                self._kept.close()
            self._kept = None

    def _empty_log(self) -> None:
        """Empty the log: what was deleted from the database can still be read there."""
        with self._open_transaction() as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def _open_transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction on a new connection, so that any thread may call; durable when it ends."""
        try:
            if not self._file.exists():
                self.close()
                create_database(self._file, _SCHEMA)
            self._keep_open()
            with contextlib.closing(sqlite3.connect(self._file, timeout=_BUSY_SECONDS)) as database:
                database.execute("PRAGMA synchronous = FULL")  # a key lost in a power failure would be charged twice
                _upgrade(database)
                database.execute("PRAGMA secure_delete = ON")  # not the default of every build
                with database:
                    yield database
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None  # without the path
            raise StoreUnavailableError(
                f"Conversations cannot be kept ({reason or error}). {FILE_NAME} in the state folder has to be readable "
                "and writable, with room on its disk, or to be taken away where it is damaged."
            ) from error

    def _keep_open(self) -> None:
        """Keep one connection open and idle: closing the last one writes the whole log into the database, with fsyncs.

        A commit took 25 ms so, and 3 ms with another connection open (docs/facts.md).
        """
        with self._keeping:
            if self._kept is None:
                kept = sqlite3.connect(self._file, check_same_thread=False)
                try:
                    kept.execute("PRAGMA schema_version").fetchone()  # only a connection that has read counts
                except sqlite3.Error:
                    kept.close()
                    raise
                self._kept = kept


def _upgrade(database: sqlite3.Connection) -> None:
    """Upgrade a file that an earlier version of this program made. Of several processes at once, one does it."""
    if _read_version(database) == 1:
        return
    with database:
        database.execute("BEGIN IMMEDIATE")
        if _read_version(database) == 0:
            for statement in _UPGRADE:
                database.execute(statement)


def _read_version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _to_record(row: Sequence[Any]) -> Record:
    conversation, record_id, kind, owner, at, expires, body, version, rank, text = row
    return Record(conversation, record_id, kind, owner, at, expires, json.loads(body), str(version), rank, text)
