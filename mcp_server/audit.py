"""The audit log: one JSON line for every tool call, whatever became of it.

A line is appended with a single write to a file opened for appending, under the file's lock, so several servers may
share one file: no line is torn, and only one of them rotates it. The file is opened again for every line, so an
external rotation by renaming (logrotate's `create` mode) needs no signal. Only its owner can read it.

A call whose line cannot be written is not answered: an audit that fails silently is worth nothing. How much a caller
can have written is bounded: by the size of a line, which is small for a call that was refused, and by rotation.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lakehouse.errors import LakehouseError
from lakehouse.system import lock_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _LineRoom:
    """Longest texts of a line, in bytes of JSON."""

    sql_sent: int
    arguments: int
    reasoning: int
    sql_run: int = 0


_RAN: Final = _LineRoom(sql_sent=128 * 1024, arguments=8 * 1024, reasoning=32 * 1024, sql_run=256 * 1024)
"""Where something ran, its statement is kept whole: the guard lets no longer one through (`IMDB_MAX_SQL_BYTES`)."""
_DID_NOT_RUN: Final = _LineRoom(sql_sent=4 * 1024, arguments=2 * 1024, reasoning=1024)
"""What was refused, or never began, cost its caller nothing, and fills no disk."""
_FREE_BYTES: Final = 64 * 1024
"""With less room on the disk no call is begun: its work would be for nothing, because its line would not fit."""


class AuditUnwritableError(LakehouseError):
    """The audit line of a call could not be written, so the call is not answered."""

    mendable = True  # not by the caller, but the caller must know why every call fails


@dataclass
class AuditEvent:
    """What is known of one tool call. It fills as the call goes on and is written when it ends.

    `sql_sent` is the caller's statement, `arguments` what else was given, `ignored` the names of those arguments that
    the tool does not have, `sql_run` what ran in the engine, statement by statement. `verdict` is `ok`, `running`
    (answered with a handle; the end leaves a line of its own), `refused` (by the guard), `failed`, `cancelled`,
    `bad_request` or `error` (a defect); `code` says more. `result_bytes` is the size of the answer's rows,
    `warnings` the codes of what it warned of, `ai_calls` and `ai_usd` what its AI functions asked and cost.
    """

    tool: str
    caller: str
    engine: str
    correlation_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    sql_sent: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    sql_run: list[str] = field(default_factory=list)
    query_ids: list[str] = field(default_factory=list)
    reasoning: str | None = None
    verdict: str = "ok"
    code: str = ""
    rows: int = 0
    result_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    ai_calls: int = 0
    ai_usd: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def to_line(self) -> bytes:
        """Format the event as one line of ASCII JSON, so that no text of a caller breaks a line or an encoding."""
        room = _RAN if self.sql_run else _DID_NOT_RUN
        entry: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "correlation_id": self.correlation_id,
            "tool": self.tool[:100],
            "caller": self.caller,
            "engine": self.engine,
            "verdict": self.verdict,
            "code": self.code,
            "sql_sent": _fit_text(self.sql_sent, room.sql_sent),
            "arguments": _fit_text(_encode_arguments(self.arguments, room.arguments), room.arguments),
            "ignored": [name[:60] for name in self.ignored[:8]],
            "reasoning": _fit_text(self.reasoning, room.reasoning),
            "sql_run": _fit_texts(self.sql_run, room.sql_run),
            "query_ids": self.query_ids,
            "rows": self.rows,
            "bytes": self.result_bytes,
            "warnings": self.warnings,
            "ai_calls": self.ai_calls,
            "ai_usd": self.ai_usd,
            "ms": round((time.monotonic() - self.started) * 1000),
        }
        return json.dumps(entry, ensure_ascii=True).encode("ascii") + b"\n"


class AuditLog:
    """The file that events are appended to.

    A file of `most_bytes` is renamed to `….1`, an older one to `….2`, and so on; `most_files` are kept in all, and with
    0 none is ever renamed.
    """

    def __init__(self, path: Path, most_bytes: int, most_files: int) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._unanswered = 0

    def require_writable(self) -> None:
        """Raise AuditUnwritableError where a line could not be written, before any work is done for it."""
        with self._explain_failures():
            descriptor = self._open_file()
            try:
                disk = os.fstatvfs(descriptor)
            finally:
                os.close(descriptor)
            if disk.f_blocks and disk.f_bavail * disk.f_frsize < _FREE_BYTES:  # some systems do not count
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, event: AuditEvent) -> None:
        """Append the event. Raises AuditUnwritableError where it is not wholly on its way to the disk."""
        line = event.to_line()
        with self._explain_failures(), self._lock_file() as descriptor:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):  # what the file had room for; half a line spoils the next one
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._unanswered:
            log.warning("The audit log can be written again; %d calls were not answered.", self._unanswered)
            self._unanswered = 0

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        """Lock the file, after rotating it where it is full. Yields its descriptor."""
        while True:
            descriptor = self._open_file()
            try:
                lock_file(descriptor)  # given back when it is closed
                if not self._is_current(descriptor):
                    continue  # another server has renamed it meanwhile
                if self._most_files and os.fstat(descriptor).st_size >= self._most_bytes:
                    self._rotate_files()
                    continue
                yield descriptor
            finally:
                os.close(descriptor)
            return

    def _rotate_files(self) -> None:
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._most_files))]
        if len(names) == 1:
            self._path.unlink()
        for older, newer in zip(names[::-1], names[-2::-1], strict=False):
            with suppress(FileNotFoundError):
                os.replace(newer, older)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _open_file(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @contextmanager
    def _explain_failures(self) -> Iterator[None]:
        """Raise AuditUnwritableError for an OSError. The log has the first one of many, and their end."""
        try:
            yield
        except OSError as error:
            why = "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else str(error.strerror)
            if not self._unanswered:
                log.error("The audit log %s cannot be written: %s. No call is answered until it can.", self._path, why)  # noqa: TRY400  (its text says all)
            self._unanswered += 1
            raise AuditUnwritableError(
                f"This call is not answered, because its audit record cannot be written ({why}). Only whoever runs the "
                "server can mend that, by making room or giving it rights; its log names the file. Then calls are "
                "answered again, without a restart."
            ) from error


def _encode_arguments(arguments: Mapping[str, Any], most: int) -> str:
    """Encode arguments as JSON, and stop soon after `most` characters."""
    parts: list[str] = []
    size = 0
    for part in json.JSONEncoder(default=str).iterencode(arguments):
        parts.append(part)
        size += len(part)
        if size > most:
            break
    return "".join(parts)


def _fit_text(text: str | None, most: int) -> str | None:
    """Cut a text to about `most` bytes of JSON, followed by the number of characters left out."""
    if text is None:
        return None
    kept = text[:most]
    while len(json.dumps(kept)) > most:  # an escape takes up to twelve bytes
        kept = kept[: len(kept) // 2]
    return kept if len(kept) == len(text) else f"{kept}…[+{len(text) - len(kept)} chars]"


def _fit_texts(texts: list[str], most: int) -> list[str]:
    """Keep the first texts that fit into `most` bytes of JSON, followed by the number left out."""
    fitting: list[str] = []
    for text in texts:
        most -= len(json.dumps(text))
        if most < 0:
            return [*fitting, f"…[+{len(texts) - len(fitting)} statements]"]
        fitting.append(text)
    return fitting
