"""Files of the state folder that many begin at once: nobody is told that they are locked, and none is half made."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mcp_server.handles import Handles
from tests.conftest import ROOT

THREADS, PROCESSES = 24, 3

ADD = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from mcp_server.handles import Handles
sys.stdin.readline()
handles = Handles(Path(sys.argv[1]), 60)
with ThreadPoolExecutor({THREADS}) as threads:
    print(*threads.map(lambda _: handles.add("caller"), range({THREADS})))
"""


def test_the_first_handles_of_many_threads_are_all_kept(tmp_path: Path) -> None:
    handles = Handles(tmp_path / "state", 60)
    together = threading.Barrier(THREADS)

    def add(_: int) -> str:
        together.wait()
        return handles.add("caller")

    with ThreadPoolExecutor(THREADS) as threads:
        added = list(threads.map(add, range(THREADS)))

    assert handles.live() == {*added}
    assert len({*added}) == THREADS


def test_the_first_handles_of_many_processes_are_all_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ADD, str(tmp_path / "state")]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    added = [handle for process in started for handle in process.communicate(timeout=60)[0].split()]

    assert len({*added}) == PROCESSES * THREADS
    found = Handles(tmp_path / "state", 60)
    assert all(found.find(handle, "caller") for handle in added)
