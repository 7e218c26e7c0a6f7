"""The audit log: one JSON line for every tool call, whatever became of it.

A line is appended with a single write to a file opened for appending, so several servers may share one
file and no line is torn. The file is opened anew for every line: rotate it by renaming it (logrotate's
`create` mode), no signal is needed. It is readable by its owner alone.

A call whose line cannot be written is not answered: an audit that fails silently is worth nothing.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.errors import LakehouseError

log = logging.getLogger(__name__)

MAX_TEXT_CHARS = 65_536
"""Longest text that a line holds: more than any statement that the guard lets through."""


class AuditUnwritableError(LakehouseError):
    """The audit line of a call could not be written, so the call is not answered."""

    mendable = True  # not by the caller, but the caller must know why every call fails


@dataclass
class AuditEvent:
    """What is known of one tool call. It fills as the call goes on and is written when it ends.

    `sql_sent` is the caller's statement, `arguments` what else was given, `sql_run` what ran in the
    engine, statement by statement. `verdict` is `ok`, `running` (answered with a handle; the end leaves a line of
    its own), `refused` (by the guard), `failed`, `cancelled`, `bad_request` or `error` (a defect); `code` says more.
    `result_bytes` is the size of the answer's rows, `ai_calls` and `ai_usd` what its AI functions asked and cost.
    """

    tool: str
    caller: str
    engine: str
    correlation_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    sql_sent: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sql_run: list[str] = field(default_factory=list)
    query_ids: list[str] = field(default_factory=list)
    reasoning: str | None = None
    verdict: str = "ok"
    code: str = ""
    rows: int = 0
    result_bytes: int = 0
    ai_calls: int = 0
    ai_usd: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def line(self) -> bytes:
        """The event as one line of JSON, in ASCII, so that no text of a caller can break a line or an encoding."""
        entry: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "correlation_id": self.correlation_id,
            "tool": _cut(self.tool),
            "caller": self.caller,
            "engine": self.engine,
            "verdict": self.verdict,
            "code": self.code,
            "sql_sent": _cut(self.sql_sent),
            "arguments": _cut(json.dumps(self.arguments, default=str)),
            "sql_run": [_cut(text) for text in self.sql_run],
            "reasoning": _cut(self.reasoning),
            "query_ids": self.query_ids,
            "rows": self.rows,
            "bytes": self.result_bytes,
            "ai_calls": self.ai_calls,
            "ai_usd": self.ai_usd,
            "ms": round((time.monotonic() - self.started) * 1000),
        }
        return json.dumps(entry, ensure_ascii=True).encode("ascii") + b"\n"


class AuditLog:
    """The file that events are appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def require_writable(self) -> None:
        """Raise AuditUnwritableError where a line could not be written, before any work is done for it."""
        os.close(self._open())

    def write(self, event: AuditEvent) -> None:
        """Append the event. Raises AuditUnwritableError where it is not wholly on its way to the disk."""
        line = event.line()
        descriptor = self._open()
        try:
            written = os.write(descriptor, line)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            os.close(descriptor)
        if written != len(line):
            raise self._failed(OSError(0, f"only {written} of {len(line)} bytes were taken"))

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> AuditUnwritableError:
        log.error("The audit log %s cannot be written: %s. No call is answered until it can.", self._path, error)
        return AuditUnwritableError(
            f"This call is not answered, because its audit record cannot be written ({error.strerror}). "
            "Only whoever runs the server can mend that; its log names the file."
        )


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_TEXT_CHARS:
        return text
    return f"{text[:MAX_TEXT_CHARS]}…[+{len(text) - MAX_TEXT_CHARS} chars]"
