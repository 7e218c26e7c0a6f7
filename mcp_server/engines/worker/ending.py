"""How this process ends: with all that it started, and as the engine's own process has ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from subprocess import Popen


def follow(engine: Popen[bytes]) -> None:
    """End as the engine's own process ended."""

    def watch() -> None:
        os._exit(engine.wait() or 1)

    threading.Thread(target=watch, name="engine watch", daemon=True).start()


def end_stuck() -> NoReturn:
    """End because the engine does nothing for what it was asked; the server runs that again, in another process."""
    print("the engine computed nothing for what it was asked", file=sys.stderr, flush=True)
    end_all()


def end_all() -> NoReturn:
    """End this process and everything that it started: they are one process group."""
    os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(0)
