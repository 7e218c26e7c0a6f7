"""The file of results: a line an attempt, complete in itself and on the disk before the next question is asked.

A run that ended in the middle is taken up again: what is in the file is not asked again, and a last line that was torn
is taken away. Beside it, in `FILE.state`, stands what the question under way may cost: one that was killed counts as
that.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ai_functions.types import NANOS_PER_DOLLAR
from evals.score import UNDECIDED
from lakehouse.errors import LakehouseError, UsageError

Record = Mapping[str, Any]
Key = tuple[str, int]
"""A question's id and the number of the attempt."""


class ResultFile:
    """Results of one run: one model, one lake, one file of questions, one set of settings. Held by one process."""

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        """Open or make it. Raises UsageError where it is another run's, LakehouseError where somebody writes it."""
        self.path = path
        self.run = dict(run)
        self.mended = False
        self._state = path.with_name(f"{path.name}.state")
        self._file = _opened(path)
        try:
            self._records = self._read()
            self._lost, under_way = self._read_state()
        except BaseException:
            self.close()
            raise
        if under_way is not None and len(self._records) <= under_way["lines"]:
            self._lost += under_way["nanos"]
            self._write_state(None)

    def close(self) -> None:
        os.close(self._file)

    def specify(self, more: Mapping[str, Any]) -> None:
        """Say what else the run is known by, once that is known. Raises UsageError where it is another run's."""
        for record in self._records:
            self._check(record["run"], more)
        self.run |= more

    @property
    def latest(self) -> dict[Key, Record]:
        """The last line of every attempt."""
        return {(record["id"], record["attempt"]): record for record in self._records}

    def done(self, key: Key) -> bool:
        """Whether an attempt has told something of the model."""
        record = self.latest.get(key)
        return record is not None and record["verdict"] not in UNDECIDED

    @property
    def spent(self) -> int:
        """All that this file's questions have cost, in nano-dollars, those that were killed at their most."""
        usd: float = sum(record["model_usd"] + record["ai_usd"] for record in self._records)
        return round(usd * NANOS_PER_DOLLAR) + self._lost

    def begin(self, key: Key, nanos: int) -> None:
        """Note what a question may cost before it is asked."""
        self._write_state({"id": key[0], "attempt": key[1], "nanos": nanos, "lines": len(self._records)})

    def end(self, record: Record) -> None:
        """Keep what came of it."""
        line = (json.dumps({**record, "run": self.run}, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)
        self._records.append(record)
        self._write_state(None)

    def lose(self, nanos: int) -> None:
        """A question was given up after it had cost so much."""
        self._lost += nanos
        self._write_state(None)

    def _read(self) -> list[Record]:
        content = _content(self._file)
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self.mended = True
            os.ftruncate(self._file, whole)
        return list(self._lines(content[:whole]))

    def _lines(self, content: bytes) -> Iterator[Record]:
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                record = json.loads(line)
                (record["id"], record["attempt"], record["verdict"], record["model_usd"], record["ai_usd"])
                run = record["run"]
            except (ValueError, LookupError, TypeError) as error:
                raise UsageError(f"{self.path}, line {number}: this is no result. Give another --out.") from error
            self._check(run, self.run)
            yield record

    def _check(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        differing = [name for name in new if old.get(name) != new[name]]
        if differing:
            shown = "; ".join(f"{name} was {old.get(name)}, is {new[name]}" for name in differing)
            raise UsageError(
                f"{self.path} holds results of another run: {shown}. Give another --out, or set these as they were."
            )

    def _read_state(self) -> tuple[int, Record | None]:
        try:
            found = json.loads(self._state.read_text("utf-8"))
            return int(found["lost_nanos"]), found["under_way"]
        except FileNotFoundError:
            return 0, None
        except (ValueError, LookupError, TypeError) as error:
            raise UsageError(
                f"{self._state} is damaged, so that nobody knows what was spent. Give another --out."
            ) from error

    def _write_state(self, under_way: Record | None) -> None:
        new = self._state.with_name(f"{self._state.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump({"lost_nanos": self._lost, "under_way": under_way}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._state)


def _opened(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise UsageError(f"The results {path} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise LakehouseError(f"Another run is writing {path}. Wait for its end, or give another --out.") from error
    return file


def _content(file: int) -> bytes:
    parts = []
    position = 0
    while part := os.pread(file, 1 << 20, position):
        parts.append(part)
        position += len(part)
    return b"".join(parts)
