"""What tests see of an engine: its rows, its process, and what that computes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from mcp_server.engines import Engine
from mcp_server.engines.local import LocalEngine

ENDLESS = "SELECT sum(id % 7) AS s FROM range(0, 100000000000, 1, 5000)"


def rows(engine: Engine, query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.execute(query, os.urandom(6).hex()).table.to_pylist()
    return found


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds, or fail. A look that takes long is followed by a longer pause."""
    give_up = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        assert time.monotonic() < give_up, "it never came true"
        threading.Event().wait(max(0.05, 2 * (time.monotonic() - began)))


def children() -> list[psutil.Process]:
    """What this process started and what that started, the dead who wait for burial left out."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def worker_of(engine: LocalEngine) -> psutil.Process:
    engine.start()
    assert engine.process_id is not None
    return psutil.Process(engine.process_id)


def cpu_seconds(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(sum(member.cpu_times()[:2]) for member in family)


def idles(process: psutil.Process) -> None:
    """Wait until a process and its children use less than a tenth of a processor."""

    def still() -> bool:
        before = cpu_seconds(process)
        threading.Event().wait(0.5)
        return cpu_seconds(process) - before < 0.05

    eventually(still)


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
