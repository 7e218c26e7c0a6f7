"""Real `imdb-mcp` processes: started, watched, and looked at from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil

COMMAND = (sys.executable, "-m", "mcp_server")


def environment(state: Path, **more: str) -> dict[str, str]:
    """This process's environment with a state folder of the test's own, and warnings as in the tests."""
    return {**os.environ, "IMDB_STATE_DIR": str(state), **more}


def until(
    condition: Callable[[], object], seconds: float = 60, what: str = "the condition", pause: float = 0.02
) -> None:
    """Poll until `condition` holds, with a pause between, longer after a long look. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(max(pause, 2 * (time.monotonic() - began)))


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below one, as of now."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def busy(processes: list[psutil.Process]) -> bool:
    """Whether any of them computes right now, and does not only wait. Looks for a tenth of a second."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.cpu_percent(0.1) > 20:
                return True
    return False


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them have ended; a zombie has."""
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


def started(*arguments: str, state: Path, **more: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """An `imdb-mcp` process with pipes. It is killed at the end, whatever happened."""
    return python(*COMMAND[1:], *arguments, state=state, **more)


@contextmanager
def served(lake: Path, state: Path, **more: str) -> Iterator[str]:
    """The URL of an `imdb-mcp` process that serves a lake over HTTP."""
    with started("serve", "--lake", str(lake), "--transport", "http", "--port", "0", state=state, **more) as process:
        assert process.stderr is not None
        yield process.stderr.readline().decode().split()[-1]


@contextmanager
def python(*arguments: str, state: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process with pipes. It is killed at the end, whatever happened."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(state, **more),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
