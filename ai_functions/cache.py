"""Answers that were paid for once, in a Delta table of their own beside the lake, or in the state folder.

A key is made of everything that the model is told, so that an entry is never wrong, only old. The table is no part of
the manifest and its name begins with `_`, so SQL knows nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai_functions.types import AiUnavailable, Facts, Usage
from lakehouse.backoff import pause

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

    from ai_functions.settings import AiSettings
    from lakehouse.storage import Lake

log = logging.getLogger(__name__)

BESIDE_LAKE = "_ai_cache"
IN_STATE = "ai_cache"

_REMEMBERED = 10_000
"""Entries kept in memory, about 1 KiB each."""

_MOST_FILES = 64
"""Number of data files above which they are compacted: each query adds one, and a look-up opens all of them."""

_FILE_BYTES = 32 * 1024 * 1024
_KEPT_HOURS = 1
"""How long compacted files are kept for their readers; a look-up takes less than a second."""

_PROPERTIES = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.enableExpiredLogCleanup": "true",
    "delta.dataSkippingStatsColumns": "subject",
}
"""Each answer may be a commit; old versions are never read, and a log of 30 days would be slow to list.

Only statistics of `subject` skip files, and those of each other column cost an expression per file and look-up: 38 ms
of 50 with 40 files.
"""

_ATTEMPTS = 8


@dataclass(frozen=True)
class CacheKey:
    """The key of an answer: `subject` is the key of its facts, `digest` the hash of all parts."""

    function: str
    version: str
    model: str
    subject: str
    digest: str

    @classmethod
    def of(cls, function: str, version: str, model: str, facts: Facts) -> CacheKey:
        """The key of applying a function, at a version of its prompt, with a model, to facts."""
        told = [function, version, model, facts.key, facts.record]
        text = json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return cls(function, version, model, facts.key, hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class Cached:
    """An answer with its cost when it was made: `created` in seconds since 1970, `nanos` in nano-dollars."""

    text: str
    usage: Usage | None
    nanos: int
    created: float


class Cache:
    """The stored answers. Safe for several threads and processes; opens nothing before its first use.

    `read` are the tables to look in, `write` is the one of them to append to. Answers expire after `days`, or never
    where that is None. `clock` returns the seconds since 1970.
    """

    def __init__(
        self,
        read: Sequence[Path],
        write: Path,
        *,
        days: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tables = [_AnswerTable(path) for path in read]
        self._target = next(table for table in self._tables if table.path == write)
        self._seconds = None if days is None else days * 86_400
        self._clock = clock
        self._lock = threading.Lock()
        # Both are read and written under `_lock`.
        self._recent: OrderedDict[str, Cached] = OrderedDict()
        self._failure: AiUnavailable | None = None

    @classmethod
    def for_lake(cls, lake: Lake | None, settings: AiSettings) -> Cache:
        """The cache of a lake: beside its tables where that folder is writable, else in the state folder.

        A cache beside the lake that is not writable is still read.
        """
        own = settings.state / IN_STATE
        folder = None if lake is None else lake.directory
        if folder is None or not folder.is_dir():
            return cls([own], own, days=settings.ai_cache_days)
        shared = folder / BESIDE_LAKE
        writable = os.access(shared if shared.exists() else folder, os.W_OK | os.X_OK)
        return cls([shared, own], shared if writable else own, days=settings.ai_cache_days)

    def look_up(self, keys: Iterable[CacheKey]) -> dict[CacheKey, Cached]:
        """Look up the answers to `keys`, as stored by any process. Raises AiUnavailable."""
        wanted = {key.digest: key for key in keys}
        found = self._find_remembered(wanted)
        for table in self._tables:
            missing = [key for digest, key in wanted.items() if digest not in found]
            if missing:
                fresh = {digest: entry for digest, entry in table.find(missing).items() if self._is_fresh(entry)}
                self._remember_entries(fresh)
                found |= fresh
        return {wanted[digest]: entry for digest, entry in found.items()}

    def store(self, entries: Mapping[CacheKey, Cached]) -> None:
        """Store answers, visible to all processes when this returns.

        Raises AiUnavailable where they cannot be written; they will have to be paid for again.
        """
        if not entries:
            return
        try:
            self._target.append(entries)
        except AiUnavailable as error:
            with self._lock:
                self._failure = error
            raise
        self._remember_entries({key.digest: entry for key, entry in entries.items()})

    def check(self) -> None:
        """Raise AiUnavailable where any answer could not be stored, for runs that pay only for what is kept."""
        with self._lock:
            failure = self._failure
        if failure is not None:
            raise failure

    def _is_fresh(self, entry: Cached) -> bool:
        return self._seconds is None or entry.created > self._clock() - self._seconds

    def _find_remembered(self, digests: Iterable[str]) -> dict[str, Cached]:
        with self._lock:
            known = {digest: self._recent[digest] for digest in digests if digest in self._recent}
            for digest in known:
                self._recent.move_to_end(digest)
        return {digest: entry for digest, entry in known.items() if self._is_fresh(entry)}

    def _remember_entries(self, entries: Mapping[str, Cached]) -> None:
        with self._lock:
            self._recent.update(entries)
            while len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)


class _AnswerTable:
    """One Delta table of answers, created with its first entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        # All are read and written under `_lock`; a DeltaTable cannot be used by two threads at once.
        self._opened: DeltaTable | None = None
        self._held = -1
        self._let_go: Callable[[], object] = lambda: None

    def find(self, keys: Sequence[CacheKey]) -> dict[str, Cached]:
        """Find the entries of these keys, the newest where several processes stored one."""
        from deltalake.exceptions import DeltaError
        from pyarrow import ArrowException

        try:
            rows = self._read_rows(keys)
        except (DeltaError, ArrowException, OSError) as error:
            raise self._as_unavailable("read", error) from error
        return {row["key"]: _read_entry(row) for row in sorted(rows, key=lambda row: row["created_at"])}

    def append(self, entries: Mapping[CacheKey, Cached]) -> None:
        """Add entries in one commit."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        rows = _as_arrow(entries)
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    self._commit_rows(rows)
                    break
                except DeltaError as error:  # two made the table, its log was written too often at once, or it is new
                    with self._lock:
                        self._opened = None
                    if attempt == _ATTEMPTS - 1 or not (isinstance(error, CommitFailedError) or attempt == 0):
                        raise
                    time.sleep(pause(attempt))
            self._compact_files()
        except (DeltaError, OSError) as error:
            raise self._as_unavailable("written", error) from error

    def _commit_rows(self, rows: pa.Table) -> None:
        """Commit rows through the open table: by its path, the whole log would be read again (13 ms)."""
        from deltalake import write_deltalake

        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            # Not brought up to date: an append goes on top of whatever others have committed meanwhile.
            target = self._open_table(update=False) or str(self.path)
            write_deltalake(
                target, rows, mode="append", name="ai_cache", description=__doc__, configuration=_PROPERTIES
            )

    def _read_rows(self, keys: Sequence[CacheKey]) -> list[dict[str, Any]]:
        import pyarrow.compute as pc
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        # Through deltalake's own file system, which is written in Python, Arrow's threads may still read when the
        # interpreter ends, and abort it (deltalake 1.6, pyarrow 26: 9 times in 10).
        files = SubTreeFileSystem(str(self.path), LocalFileSystem())
        with self._lock:
            table = self._open_table(update=True)
            if table is None:
                return []
            data = table.to_pyarrow_dataset(filesystem=files)
        subjects = [key.subject for key in keys]
        # Hashes are everywhere; subjects come in order where a batch stored them, so that most files are left out.
        near = (pc.field("subject") >= min(subjects)) & (pc.field("subject") <= max(subjects))
        rows = data.to_table(filter=near & pc.field("key").isin([key.digest for key in keys]))
        found: list[dict[str, Any]] = rows.to_pylist()
        return found

    def _open_table(self, *, update: bool) -> DeltaTable | None:
        """The table, or None where there is none yet. Call it with `_lock` held."""
        from deltalake import DeltaTable

        log_folder = self.path / "_delta_log"
        if not log_folder.exists():
            self._opened = None
        elif self._opened is None or not os.path.samestat(log_folder.stat(), os.fstat(self._held)):
            self._hold_folder(log_folder)  # the first, or put in another's place
            self._opened = DeltaTable(str(self.path))
        elif update:
            self._opened.update_incremental()
        return self._opened

    def _hold_folder(self, log_folder: Path) -> None:
        """Keep the folder open, so that one that replaces it cannot reuse its inode number."""
        self._let_go()
        self._held = os.open(log_folder, os.O_RDONLY | os.O_DIRECTORY)
        self._let_go = weakref.finalize(self, os.close, self._held)

    def _compact_files(self) -> None:
        """Compact many small files, and remove those that were compacted before."""
        from deltalake.exceptions import CommitFailedError

        with self._lock:
            table = self._open_table(update=False)  # as of its own commit, which is the newest that it has to know
            if table is None or len(table.file_uris()) <= _MOST_FILES:
                return
            with suppress(CommitFailedError):  # another process is doing it
                table.optimize.compact(target_size=_FILE_BYTES)
                table.vacuum(_KEPT_HOURS, dry_run=False, enforce_retention_duration=False)

    def _as_unavailable(self, done: str, error: Exception) -> AiUnavailable:
        log.warning("the cache of AI answers could not be %s: %s", done, str(error).split("\n", 1)[0])
        where = "beside the lake" if self.path.name == BESIDE_LAKE else "in the state folder"
        # The error's own words hold the path, which is in the log.
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        return AiUnavailable(
            f"AI functions are off: the answers that were paid for cannot be {done} ({why}). Only whoever runs the "
            f"server can mend that: {self.path.name} {where} has to be readable and writable, with room on its disk, "
            "or to be taken away where it is damaged. Ask without AI functions meanwhile."
        )


def _as_arrow(entries: Mapping[CacheKey, Cached]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("function", pa.string(), nullable=False),
            pa.field("prompt_version", pa.string(), nullable=False),
            pa.field("model", pa.string(), nullable=False),
            pa.field("subject", pa.string(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("input_tokens", pa.int64()),
            pa.field("output_tokens", pa.int64()),
            pa.field("nanos", pa.int64(), nullable=False),
            pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        ]
    )
    rows = [
        {
            "key": key.digest,
            "function": key.function,
            "prompt_version": key.version,
            "model": key.model,
            "subject": key.subject,
            "text": entry.text,
            "input_tokens": entry.usage and entry.usage.input_tokens,
            "output_tokens": entry.usage and entry.usage.output_tokens,
            "nanos": entry.nanos,
            "created_at": datetime.fromtimestamp(entry.created, UTC),
        }
        for key, entry in sorted(entries.items(), key=lambda item: item[0].subject)
    ]
    return pa.Table.from_pylist(rows, schema)


def _read_entry(row: Mapping[str, Any]) -> Cached:
    known = row["input_tokens"] is not None and row["output_tokens"] is not None
    usage = Usage(row["input_tokens"], row["output_tokens"]) if known else None
    return Cached(row["text"], usage, row["nanos"], row["created_at"].timestamp())
