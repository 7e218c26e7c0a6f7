"""Shows long work: a progress bar on a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

from lakehouse.escaping import escape_controls

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_INTERVAL_SECONDS = 10.0


class Surviving(io.TextIOBase):
    """A stream that goes quiet once nobody reads it: a pipe that is closed, a terminal that is gone, a full disk."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._encoding = stream.encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # what rich asks for
        return self._encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            act(self._stream)
        except (OSError, ValueError):  # ValueError: it was closed in this process
            self._leave(self._stream)

    def _leave(self, stream: TextIO) -> None:
        """Python flushes its own streams at the end, and would fail once more: what is left goes nowhere."""
        self._stream = None
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class Stage:
    """One stage under way. `advance` takes totals so far, not differences."""

    def __init__(self, reporter: Reporter, title: str, total_bytes: int | None) -> None:
        self.title = title
        self.rows = 0
        self._reporter = reporter
        self._total_bytes = total_bytes
        self._started = self._said = time.monotonic()
        bar = reporter.bar
        self._task: TaskID | None = None if bar is None else bar.add_task(title, total=total_bytes)

    def advance(self, done_bytes: int, rows: int, note: str = "") -> None:
        """Say how many bytes and rows are done; `note` is shown behind."""
        self.rows = rows
        now = time.monotonic()
        if self._reporter.bar is not None and self._task is not None:
            completed = done_bytes if self._total_bytes else None
            self._reporter.bar.update(self._task, completed=completed, description=f"{self.title}{note}")
        elif now - self._said >= PLAIN_INTERVAL_SECONDS:
            self._said = now
            share = f", {100 * done_bytes / self._total_bytes:.0f} %" if self._total_bytes else ""
            self._reporter.say(f"{self.title}: {rows:,} rows{share}{note} …")

    def finish(self) -> None:
        """Say what the whole stage did."""
        seconds = time.monotonic() - self._started
        if self._reporter.bar is not None and self._task is not None:
            self._reporter.bar.remove_task(self._task)
        rate = f"{self.rows:,} rows, {self.rows / max(seconds, 1e-3):,.0f} rows/s, " if self.rows else ""
        self._reporter.say(f"{self.title}: {rate}{seconds:.1f} s")


class Reporter:
    """Where stages report to. Safe for several threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = Surviving(stream or sys.stderr)
        self.bar: Progress | None = None
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[Reporter]:
        """Draw bars while inside, where the stream is a terminal."""
        if not self.stream.isatty():
            yield self
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(file=cast("TextIO", self.stream))
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            self.bar = bar
            try:
                yield self
            finally:
                self.bar = None

    @contextmanager
    def stage(self, title: str, total_bytes: int | None = None) -> Iterator[Stage]:
        """A stage from its beginning to its end. A stage that fails says nothing; the error does."""
        stage = Stage(self, title, total_bytes)
        yield stage
        stage.finish()

    def say(self, line: str) -> None:
        """One line of plain text."""
        line = escape_controls(line)
        with self._lock:
            if self.bar is not None:
                self.bar.console.print(line, highlight=False)
            else:
                # One write for each line, so that no reader sees half of one.
                self.stream.write(f"{line}\n")
                self.stream.flush()
