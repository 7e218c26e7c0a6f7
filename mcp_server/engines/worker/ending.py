"""Ends this process with everything that it started, or with the exit code of the engine's own process."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from lakehouse.system import kill_own_group

if TYPE_CHECKING:
    from subprocess import Popen


def follow_engine_process(engine: Popen[bytes]) -> None:
    """End this process, in a thread, with the exit code of the engine's process."""

    def watch() -> None:
        os._exit(engine.wait() or 1)

    threading.Thread(target=watch, name="engine watch", daemon=True).start()


def end_stuck() -> NoReturn:
    """End because the engine computes nothing for its statements; the server reruns them in another process."""
    print("the engine computed nothing for what it was asked", file=sys.stderr, flush=True)
    end_all()


def end_all() -> NoReturn:
    """Kill this process and everything that it started."""
    kill_own_group()
