"""Progress of long work: a bar on a terminal, plain lines elsewhere. Written to stderr."""

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


class TolerantStream(io.TextIOBase):
    """A stream that drops output after a write failed: a closed pipe or terminal, or a full disk."""

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
        self._write_safely(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._write_safely(lambda stream: stream.flush())

    def _write_safely(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            act(self._stream)
        except (OSError, ValueError):  # ValueError: it was closed in this process
            self._detach_stream(self._stream)

    def _detach_stream(self, stream: TextIO) -> None:
        """Redirect the stream to the null device: Python flushes its streams at exit, and would fail again."""
        self._stream = None
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class ProgressStage:
    """A running stage. `advance` takes totals so far, not differences."""

    def __init__(self, reporter: ProgressReporter, title: str, total_bytes: int | None) -> None:
        self.title = title
        self.rows = 0
        self._reporter = reporter
        self._total_bytes = total_bytes
        self._started = self._last_printed = time.monotonic()
        bar = reporter.bar
        self._task: TaskID | None = None if bar is None else bar.add_task(title, total=total_bytes)

    def advance(self, done_bytes: int, rows: int, note: str = "") -> None:
        """Report the bytes and rows done so far; `note` is appended."""
        self.rows = rows
        now = time.monotonic()
        if self._reporter.bar is not None and self._task is not None:
            completed = done_bytes if self._total_bytes else None
            self._reporter.bar.update(self._task, completed=completed, description=f"{self.title}{note}")
        elif now - self._last_printed >= PLAIN_INTERVAL_SECONDS:
            self._last_printed = now
            share = f", {100 * done_bytes / self._total_bytes:.0f} %" if self._total_bytes else ""
            self._reporter.print_line(f"{self.title}: {rows:,} rows{share}{note} …")

    def finish(self) -> None:
        """Report the totals of the stage."""
        seconds = time.monotonic() - self._started
        if self._reporter.bar is not None and self._task is not None:
            self._reporter.bar.remove_task(self._task)
        rate = f"{self.rows:,} rows, {self.rows / max(seconds, 1e-3):,.0f} rows/s, " if self.rows else ""
        self._reporter.print_line(f"{self.title}: {rate}{seconds:.1f} s")


class ProgressReporter:
    """Reports stages. Safe for several threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = TolerantStream(stream or sys.stderr)
        self.bar: Progress | None = None
        self._lock = threading.Lock()

    @contextmanager
    def draw_bars(self) -> Iterator[ProgressReporter]:
        """Draw bars inside the context if the stream is a terminal."""
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
    def open_stage(self, title: str, total_bytes: int | None = None) -> Iterator[ProgressStage]:
        """Run a stage. A stage that fails reports nothing; its error does."""
        stage = ProgressStage(self, title, total_bytes)
        yield stage
        stage.finish()

    def print_line(self, line: str) -> None:
        """Print a line of plain text, with control characters escaped."""
        line = escape_controls(line)
        with self._lock:
            if self.bar is not None:
                self.bar.console.print(line, highlight=False)
            else:
                # One write for each line, so that concurrent writers do not mix lines.
                self.stream.write(f"{line}\n")
                self.stream.flush()
