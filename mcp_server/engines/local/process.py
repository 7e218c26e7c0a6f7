"""The server's side of an engine's process: starts it, talks to it, sees it die, and leaves nothing behind.

One thread lives as long as the process does: it starts it, reads what it says and buries it. It has to
be one thread, because Linux ties "die with your parent" to the thread that started the child.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lakehouse.gateway import Gateway
from lakehouse.work_folders import work_folder
from mcp_server.engines.disk import capped, used_bytes
from mcp_server.engines.opening import Opening
from mcp_server.engines.pinned import FOLDER
from mcp_server.engines.store_server import StoreServer
from mcp_server.engines.wire import Frame, Wire

log = logging.getLogger(__name__)

_WORKER = "mcp_server.engines.worker"
_WORK_PREFIX = "imdb-engine-"
_PLAIN = re.compile(r"[\w/.-]+", re.ASCII)
_TAIL_LINES = 40
_LINE_CHARS = 500
_SIGABRT_TEXT = "memory allocation of"
_STARVED_TEXT = re.compile(r"MemoryError\b|RuntimeError: can't start new thread")
"""How a line begins that says why a thread has ended: it had no memory left, and its query would wait for ever."""
_JVM_OUT_OF_MEMORY = frozenset({3, 52})  # -XX:+ExitOnOutOfMemoryError, SparkExitCode.OOM


@dataclass(frozen=True)
class Launch:
    """How to start a process: its `environment`, what its first frame says, and how long that may take.

    `temp_mb` caps the files in its work folder, in MiB. `parting_seconds` is how long it may take to stop what it runs
    elsewhere, once its connection has ended. `gateway` is its way to the files of a lake in object storage, which ends
    with the process; `store` is what answers there.
    """

    environment: Mapping[str, str]
    opening: Opening
    state: Path
    start_seconds: float
    temp_mb: int
    parting_seconds: float = 0
    gateway: Gateway | None = None
    store: StoreServer | None = None


@dataclass(frozen=True)
class Death:
    """How a process ended. `unanswered` are the calls that it left; `killed_for` the one it was killed for.

    `temp_mb` is the cap on temporary files where it was ended for writing more, else None.
    """

    reason: str
    out_of_memory: bool
    temp_mb: int | None
    unanswered: frozenset[str]
    killed_for: str | None


class Process:
    """One child from its start to its end. `changed` is notified whenever something below becomes different.

    Read under `changed`: `ready`, `death`, `failure` (why it never became ready), `replies` by call,
    `held` (bytes that it kept while nothing ran), `restless` (calls that have ended, one of which it goes on with),
    `warnings`. `unasked` is called under `changed` when it says something that is no answer.
    """

    def __init__(self, launch: Launch, changed: threading.Condition, unasked: Callable[[], None]) -> None:
        self.ready = False
        self.failure: str | None = None
        self.death: Death | None = None
        self.replies: dict[str, Frame] = {}
        self.held = 0
        self.restless: frozenset[str] = frozenset()
        self.warnings: tuple[str, ...] = ()
        self._launch = launch
        self._changed = changed
        self._unasked = unasked
        self._unanswered: set[str] = set()
        self._killed_for: str | None = None
        self._answers = 0
        self._overfull = False
        self._work: Path | None = None
        self._starved = False
        self._closing = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._child: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._life = threading.Thread(target=self._live, name="engine", daemon=True)
        self._life.start()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    @property
    def doomed(self) -> bool:
        """Whether it has ended or was told to: no call should go there any more."""
        return self._closing or self._overfull or self._killed_for is not None or self.death is not None

    @property
    def temp_mb(self) -> int:
        """The cap on the files in its work folder, in MiB."""
        return self._launch.temp_mb

    @property
    def temp_bytes(self) -> int:
        """What lies in its work folder now."""
        return used_bytes(self._work) if self._work is not None else 0

    def submit(self, call: str, op: str, fields: Mapping[str, Any]) -> None:
        """Hand over a call; its answer appears in `replies`, or the process's end in `death`."""
        with self._changed:
            if self.death is not None:
                return  # the caller, who waits for either, sees it
            self._unanswered.add(call)
        self._tell(op, id=call, **fields)

    def interrupt(self, call: str) -> None:
        """Ask the engine to stop a call. May come to nothing, so ask until it has answered."""
        self._tell("interrupt", id=call)

    def take(self, call: str) -> Frame | Death:
        """The answer to a call, or else the process's end. Only where there is one of them."""
        answer = self.replies.pop(call, None) or self.death
        if answer is None:
            raise LookupError(call)
        return answer

    def is_done(self, call: str) -> bool:
        """Whether a call that nobody waits for has ended; then all that was kept of it is dropped."""
        return self.replies.pop(call, None) is not None or self.death is not None

    def abandon(self, call: str) -> None:
        """Nobody waits for a call any more; its answer, whenever it comes, is dropped."""
        self._unanswered.discard(call)
        self.replies.pop(call, None)

    def kill(self, call: str) -> None:
        """End the process because `call` cannot be stopped otherwise."""
        self._killed_for = call
        self._signal_group()

    def give_up(self, call: str) -> Death:
        """End the process, which had no memory left for `call`. Holds `changed`.

        Whoever ran before or beside it may have taken the memory, and counts as unanswered.
        """
        self.kill(call)
        return Death("it had no memory left", True, None, frozenset({call} | self._unanswered | self._before()), None)

    def retire(self) -> None:
        """End the process, which nobody needs any more, without waiting for it."""
        self._closing = True
        if self._launch.parting_seconds and self._wire is not None:
            self._wire.close()  # `_run` waits until it has parted
        else:
            self._signal_group()

    def close(self, timeout: float = 10.0) -> None:
        """End the process and wait until it and all that it started are gone."""
        self.retire()
        self._life.join(timeout)

    def _tell(self, op: str, **fields: Any) -> None:
        if self._wire is not None:
            with contextlib.suppress(OSError):  # it has ended: `death` says so
                self._wire.send(op, **fields)

    def _signal_group(self) -> None:
        child = self._child
        # Not yet reaped, so its number cannot belong to another process.
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)

    def _end_overfull(self) -> None:
        """End the process because it wrote more than it may. Its folder goes with it."""
        log.warning("The engine's temporary files exceed %d MiB (IMDB_ENGINE_TEMP_MB): it ends.", self._launch.temp_mb)
        self._overfull = True
        self._signal_group()

    def _live(self) -> None:
        try:
            with work_folder(self._launch.state, _WORK_PREFIX) as (work, lock):
                self._run(work, lock)
        except OSError as error:
            self.failure = self.failure or f"{error.strerror or error} ({error.filename or 'its process'})"
        finally:
            if self._launch.gateway is not None:
                self._launch.gateway.close()
            with self._changed:
                self.death = self.death or self._autopsy(None)
                self._changed.notify_all()

    def _run(self, work: Path, lock: int) -> None:
        ours, theirs = socket.socketpair()
        descriptor, gateway = theirs.fileno(), self._launch.gateway
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER, str(descriptor), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self._launch.environment),
            pass_fds=(descriptor, lock) if gateway is None else (descriptor, lock, gateway.descriptor),
            start_new_session=True,  # Ctrl-C in the server's terminal is the server's to handle
        )
        theirs.close()
        if gateway is not None:
            gateway.hand_over()
        if self._launch.store is not None:
            self._launch.store.logs = work / FOLDER
        self._child, self._wire = child, Wire(ours)
        drain = threading.Thread(target=self._drain, args=(child.stdout,), name="engine log", daemon=True)
        drain.start()
        try:
            if self._closing:
                self._signal_group()
            self._work = work
            with capped(work, self._launch.temp_mb << 20, self._end_overfull):
                self._converse(self._wire, work)
        finally:
            self._wire.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(self._launch.parting_seconds)
            self._signal_group()
            code = child.wait()
            drain.join(2.0)  # what it said last tells why it ended
            with self._changed:
                self.death = self._autopsy(code)
                if not self.ready:
                    self.failure = self.failure or self.death.reason
                self.ready = False
                self._changed.notify_all()

    def _converse(self, wire: Wire, work: Path) -> None:
        """Open the engine, then take in answers until the connection ends."""
        wire.send("open", **self._launch.opening, work_dir=str(work))
        try:
            first = wire.receive(self._launch.start_seconds)
        except TimeoutError:
            self.failure = f"it was not ready after {self._launch.start_seconds:g} s"
            return
        if first is None or first.op != "ready":
            self.failure = first.fields["text"] if first is not None else None
            return
        with self._changed:
            self.warnings = tuple(first.fields["warnings"])
            self.ready = True
            self._changed.notify_all()
        while (frame := wire.receive()) is not None:
            with self._changed:
                self._take(frame)
                self._changed.notify_all()

    def _take(self, frame: Frame) -> None:
        if frame.op == "restless":
            self.restless = frozenset(frame.fields["calls"])
            self._unasked()
            return
        call = frame.fields["id"]
        self.held = frame.fields["held"]
        if call in self._unanswered:
            self._unanswered.discard(call)
            self._answers += frame.op != "error"
            self.replies[call] = frame

    def _autopsy(self, code: int | None) -> Death:
        last_words = "\n".join(self._tail)
        aborted = _SIGABRT_TEXT in last_words or code in {-signal.SIGABRT, *_JVM_OUT_OF_MEMORY}
        if code is None:
            reason = "it was not started"
        elif code < 0:
            reason = f"it was ended by signal {-code} ({signal.strsignal(-code)})"
        else:
            reason = f"it ended with code {code}"
        if not self._closing and self._killed_for is None:
            log.warning("The engine's process is gone: %s. Its last words: %s", reason, list(self._tail)[-3:])
        temp_mb = self._launch.temp_mb if self._overfull else None
        left = self._unanswered | (self._before() if self._starved else set())
        return Death(reason, aborted or self._starved, temp_mb, frozenset(left), self._killed_for)

    def _before(self) -> set[str]:
        """What else may have taken the memory: statements that have been answered since the start."""
        return {"earlier calls"} if self._answers else set()

    def _drain(self, output: IO[bytes]) -> None:
        """Keep the last lines of what the child prints, whose pipe would otherwise fill and stop it."""
        with output:
            while line := output.readline(_LINE_CHARS):
                text = line.decode("utf-8", "replace").rstrip()
                self._tail.append(text)
                if _STARVED_TEXT.match(text):
                    self._starved = True
                    self._signal_group()
                log.debug("engine: %s", text)
