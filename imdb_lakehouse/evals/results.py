"""The file of results: one self-contained line per attempt, on disk before the next question is asked.

An interrupted run resumes: attempts in the file are not repeated, and an incomplete last line is removed. `FILE.state`
has the maximum cost of the running question; a question that was killed counts at that maximum.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ai_functions.types import NANOS_PER_DOLLAR
from imdb_lakehouse.evals.score import UNDECIDED
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.system import lock_file

AttemptRecord = Mapping[str, Any]
Key = tuple[str, int]
"""A question's id and the number of the attempt."""


class ResultFile:
    """Results of one run: one model, lake, file of questions and set of settings. Locked by one process."""

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        """Open or create the file. Raises UsageError if it has another run, LakehouseError if it is locked."""
        self.path = path
        self.run = dict(run)
        self.is_repaired = False
        self._state = path.with_name(f"{path.name}.state")
        self._file = _open_locked(path)
        try:
            self._records = self._read_records()
            self._lost, under_way = self._read_state()
        except BaseException:
            self.close()
            raise
        if under_way is not None and len(self._records) <= under_way["lines"]:
            self._lost += under_way["nanos"]
            self._write_state(None)

    def close(self) -> None:
        """Close the file and release its lock."""
        os.close(self._file)

    def specify_run(self, more: Mapping[str, Any]) -> None:
        """Add settings that identify the run. Raises UsageError if the file has another run."""
        for record in self._records:
            self._check_run(record["run"], more)
        self.run |= more

    @property
    def latest(self) -> dict[Key, AttemptRecord]:
        """The last record of every attempt."""
        return {(record["id"], record["attempt"]): record for record in self._records}

    def is_done(self, key: Key) -> bool:
        """Return whether an attempt has been judged."""
        record = self.latest.get(key)
        return record is not None and record["verdict"] not in UNDECIDED

    @property
    def spent(self) -> int:
        """Cost of all questions of this file in nano-dollars; killed ones count at their maximum."""
        usd: float = sum(record["model_usd"] + record["ai_usd"] for record in self._records)
        return round(usd * NANOS_PER_DOLLAR) + self._lost

    def begin_attempt(self, key: Key, nanos: int) -> None:
        """AttemptRecord the maximum cost of a question, in nano-dollars, before it is asked."""
        self._write_state({"id": key[0], "attempt": key[1], "nanos": nanos, "lines": len(self._records)})

    def end_attempt(self, record: AttemptRecord) -> None:
        """Append the result of the question."""
        line = (json.dumps({**record, "run": self.run}, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)
        self._records.append(record)
        self._write_state(None)

    def add_lost(self, nanos: int) -> None:
        """Add the cost of a question without a result, in nano-dollars."""
        self._lost += nanos
        self._write_state(None)

    def _read_records(self) -> list[AttemptRecord]:
        content = _read_content(self._file)
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self.is_repaired = True
            os.ftruncate(self._file, whole)
        return list(self._parse_records(content[:whole]))

    def _parse_records(self, content: bytes) -> Iterator[AttemptRecord]:
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                record = json.loads(line)
                (record["id"], record["attempt"], record["verdict"], record["model_usd"], record["ai_usd"])
                run = record["run"]
            except (ValueError, LookupError, TypeError) as error:
                raise UsageError(f"{self.path}, line {number}: this is no result. Give another --out.") from error
            self._check_run(run, self.run)
            yield record

    def _check_run(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        differing = [name for name in new if old.get(name) != new[name]]
        if differing:
            shown = "; ".join(f"{name} was {old.get(name)}, is {new[name]}" for name in differing)
            raise UsageError(
                f"{self.path} holds results of another run: {shown}. Give another --out, or set these as they were."
            )

    def _read_state(self) -> tuple[int, AttemptRecord | None]:
        try:
            found = json.loads(self._state.read_text("utf-8"))
            return int(found["lost_nanos"]), found["under_way"]
        except FileNotFoundError:
            return 0, None
        except (ValueError, LookupError, TypeError) as error:
            raise UsageError(
                f"{self._state} is damaged, so that nobody knows what was spent. Give another --out."
            ) from error

    def _write_state(self, under_way: AttemptRecord | None) -> None:
        new = self._state.with_name(f"{self._state.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump({"lost_nanos": self._lost, "under_way": under_way}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._state)


def _open_locked(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise UsageError(f"The results {path} cannot be written: {error.strerror}.") from error
    if not lock_file(file, wait=False):
        os.close(file)
        raise LakehouseError(f"Another run is writing {path}. Wait for its end, or give another --out.")
    return file


def _read_content(file: int) -> bytes:
    parts = []
    position = 0
    while part := os.pread(file, 1 << 20, position):
        parts.append(part)
        position += len(part)
    return b"".join(parts)
