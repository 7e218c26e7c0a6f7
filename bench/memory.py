"""Processor time and the peak of resident memory of a process and its children, as Linux itself keeps them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

_RESET_PEAK = "5"
"""What /proc/PID/clear_refs takes to set the peak (VmHWM) to what is resident now (proc(5))."""


def reset_peaks(pid: int) -> None:
    """Forget the peaks of a process and its children so far."""
    for member in _list_members(pid):
        with suppress(OSError):
            Path(f"/proc/{member}/clear_refs").write_text(_RESET_PEAK)


def read_peaks(pid: int) -> int:
    """Bytes: the sum of the peaks of a process and its children since they were reset; an upper bound of what all
    held at one moment. Zero where there is no /proc."""
    total = 0
    for member in _list_members(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) << 10
    return total


def read_processor_seconds(pid: int) -> float:
    """Processor time that a process and its living children have spent so far, in seconds."""
    total = 0.0
    for member in _list_members(pid):
        with suppress(psutil.NoSuchProcess):
            spent = psutil.Process(member).cpu_times()
            total += spent.user + spent.system
    return total


def _list_members(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []
