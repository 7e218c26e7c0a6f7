"""What a child process gives up before it opens an engine: memory without bound, and outliving its parent.

Used in the child only, before its first thread starts and before any driver is imported. All of it is
Linux; elsewhere each function says so in a warning, and the process's end with its parent rests on
the connection alone, whose end it reads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_LINUX = sys.platform == "linux"

# <linux/prctl.h>
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Be killed when `parent` (its process id, or rather its thread that started this process) ends."""
    if not _LINUX:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def outlive_parent() -> None:
    """Take `die_with_parent` back: this process reads the end of its connection, and ends by itself."""
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, 0)


def limit_memory(mebibytes: int) -> str | None:
    """Let an allocation beyond the ceiling fail, which ends the engine. Returns a warning where it cannot be set.

    RLIMIT_DATA counts private writable memory, thread stacks included, and not mapped files.
    """
    if not _LINUX:
        return f"The memory ceiling of {mebibytes} MiB is not enforced on {sys.platform}: watch the engine's memory."
    import resource

    ceiling = mebibytes << 20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))
    return None
