"""A program in a terminal of its own: what it shows is waited for, what is typed it gets as from a keyboard."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psutil

from tests.server.processes import until

CTRL_C, CTRL_D, PREVIOUS, TAB = "\x03", "\x04", "\x10", "\t"
_ATTACH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
_SECONDS = 60.0


class Terminal:
    """`pid` is the program's."""

    def __init__(self, process: subprocess.Popen[bytes], keyboard: int) -> None:
        self._process, self._keyboard = process, keyboard
        self._unread = ""
        self.pid = process.pid

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C once the program waits for a key: readline overhears one that comes while it shows a letter."""
        until(lambda: psutil.Process(self.pid).status() == psutil.STATUS_SLEEPING, what="a program that waits")
        self.type(CTRL_C)

    def enter(self, line: str) -> None:
        self.type(f"{line}\r")

    def expect(self, text: str) -> str:
        """What is shown up to a text, once that is there."""
        deadline = time.monotonic() + _SECONDS
        while text not in self._unread:
            left = deadline - time.monotonic()
            more = self._read(left)
            assert more, f"the program ended before it showed {text!r}: {self._unread!r}"
            self._unread += more
        before, _, self._unread = self._unread.partition(text)
        return before

    def end(self) -> int:
        """The exit code of a program that is about to leave. What it still shows is read, for else it would wait."""
        while self._read(_SECONDS):
            pass
        return self._process.wait(timeout=_SECONDS)

    def _read(self, seconds: float) -> str:
        """What is shown next; nothing at the end of the program."""
        ready, _, _ = select.select([self._keyboard], [], [], max(seconds, 0))
        assert ready, f"nothing more was shown after {self._unread!r}"
        try:
            shown = os.read(self._keyboard, 65_536).decode(errors="replace")
        except OSError:  # Linux says so at the end of the other side
            return ""
        return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown).replace("\r", "")


@contextmanager
def terminal(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Python with arguments in a terminal of 100 columns. It is killed at the end, whatever happened."""
    keyboard, screen = os.openpty()
    termios.tcsetwinsize(keyboard, (40, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", _ATTACH, *arguments],
        stdin=screen, stdout=screen, stderr=screen, env={**environment, "TERM": "dumb"}, start_new_session=True,
    )  # fmt: skip
    os.close(screen)  # so that its end is seen
    try:
        yield Terminal(process, keyboard)
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)
