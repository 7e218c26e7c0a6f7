"""The server's side of an engine's process: starts it, exchanges frames with it, and cleans up after it.

One thread lives as long as the process: it starts the process, reads its frames and reaps it. It has to
be one thread, because Linux ties the parent-death signal to the thread that started the child.
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
from lakehouse.system import GROUP_OPTIONS, kill_group
from lakehouse.work_folders import work_folder
from mcp_server.engines.disk import cap_folder, used_bytes
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
"""How a line begins where a thread ended for lack of memory; its query would wait forever."""
_JVM_OUT_OF_MEMORY = frozenset({3, 52})  # -XX:+ExitOnOutOfMemoryError, SparkExitCode.OOM


@dataclass(frozen=True)
class Launch:
    """How to start a process: its `environment`, the content of its first frame, and how long the start may take.

    `temp_mb` caps the files in its work folder, in MiB. `parting_seconds` is how long it may take, after its connection
    has ended, to stop what it runs elsewhere. `gateway` leads to the files of a lake in object storage and ends with
    the process; `store` answers there.
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
    """How a process ended. `unanswered` are its open calls; `killed_for` is the call that it was killed for.

    `temp_mb` is the cap on temporary files where it was ended for writing more, else None.
    """

    reason: str
    out_of_memory: bool
    temp_mb: int | None
    unanswered: frozenset[str]
    killed_for: str | None


class Process:
    """One child from its start to its end. `changed` is notified of every change to the attributes below.

    Read under `changed`: `ready`, `death`, `failure` (why it never became ready), `replies` by call,
    `held` (bytes in use while nothing ran), `answers` (how many were no errors), `restless` (calls that have ended,
    one of which it still computes), `warnings`. `unasked` is called under `changed` on a frame that answers no call.
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
        self.answers = 0
        self._overfull = False
        self._work: Path | None = None
        self._starved = False
        self._closing = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._child: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._life = threading.Thread(target=self._run_lifetime, name="engine", daemon=True)
        self._life.start()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    @property
    def doomed(self) -> bool:
        """Whether the process has ended or is ending: it takes no more calls."""
        return self._closing or self._overfull or self._killed_for is not None or self.death is not None

    @property
    def temp_mb(self) -> int:
        """The cap on the files in its work folder, in MiB."""
        return self._launch.temp_mb

    @property
    def temp_bytes(self) -> int:
        """The size of the files in its work folder."""
        return used_bytes(self._work) if self._work is not None else 0

    @property
    def reserved_bytes(self) -> int:
        """The memory that counts towards its limit, in use or not; 0 where the system does not report it."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
                return int(statm.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def submit(self, call: str, op: str, fields: Mapping[str, Any]) -> None:
        """Send a call; its answer appears in `replies`, or the end of the process in `death`."""
        with self._changed:
            if self.death is not None:
                return  # the caller waits for either and sees it
            self._unanswered.add(call)
        self._send_order(op, id=call, **fields)

    def interrupt(self, call: str) -> None:
        """Ask the engine to stop a call. The request may have no effect, so repeat it until the call is answered."""
        self._send_order("interrupt", id=call)

    def take_answer(self, call: str) -> Frame | Death:
        """Remove and return the answer to a call, or the death of the process. Raises LookupError without either."""
        answer = self.replies.pop(call, None) or self.death
        if answer is None:
            raise LookupError(call)
        return answer

    def is_done(self, call: str) -> bool:
        """Whether a stopped call has ended. Drops its reply."""
        return self.replies.pop(call, None) is not None or self.death is not None

    def abandon(self, call: str) -> None:
        """Drop the answer to a call, whenever it arrives."""
        self._unanswered.discard(call)
        self.replies.pop(call, None)

    def kill(self, call: str) -> None:
        """End the process because `call` cannot be stopped otherwise."""
        self._killed_for = call
        self._signal_group()

    def give_up(self, call: str) -> Death:
        """End the process, which had no memory left for `call`. Holds `changed`.

        Calls before or beside it may have taken the memory and count as unanswered.
        """
        self.kill(call)
        return Death(
            "it had no memory left", True, None, frozenset({call} | self._unanswered | self._list_earlier_calls()), None
        )

    def retire(self) -> None:
        """End the process without waiting for it."""
        self._closing = True
        if self._launch.parting_seconds and self._wire is not None:
            self._wire.close()  # `_run` waits until it has parted
        else:
            self._signal_group()

    def close(self, timeout: float = 10.0) -> None:
        """End the process and wait until it and all that it started are gone."""
        self.retire()
        self._life.join(timeout)

    def _send_order(self, op: str, **fields: Any) -> None:
        if self._wire is not None:
            with contextlib.suppress(OSError):  # it has ended: `death` says so
                self._wire.send(op, **fields)

    def _signal_group(self) -> None:
        child = self._child
        # Not yet reaped, so its number cannot belong to another process.
        if child is not None and child.returncode is None:
            kill_group(child.pid)

    def _end_overfull(self) -> None:
        """End the process because its temporary files exceed the cap. Its folder is deleted with it."""
        log.warning("The engine's temporary files exceed %d MiB (IMDB_ENGINE_TEMP_MB): it ends.", self._launch.temp_mb)
        self._overfull = True
        self._signal_group()

    def _run_lifetime(self) -> None:
        try:
            with work_folder(self._launch.state, _WORK_PREFIX) as (work, lock):
                self._run_child(work, lock)
        except OSError as error:
            self.failure = self.failure or f"{error.strerror or error} ({error.filename or 'its process'})"
        finally:
            if self._launch.gateway is not None:
                self._launch.gateway.close()
            with self._changed:
                self.death = self.death or self._describe_death(None)
                self._changed.notify_all()

    def _run_child(self, work: Path, lock: int) -> None:
        ours, theirs = socket.socketpair()
        descriptor, gateway = theirs.fileno(), self._launch.gateway
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER, str(descriptor), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self._launch.environment),
            pass_fds=(descriptor, lock) if gateway is None else (descriptor, lock, gateway.descriptor),
            **GROUP_OPTIONS,  # Ctrl-C in the server's terminal is the server's to handle
        )
        theirs.close()
        if gateway is not None:
            gateway.hand_over()
        if self._launch.store is not None:
            self._launch.store.logs = work / FOLDER
        self._child, self._wire = child, Wire(ours)
        drain = threading.Thread(target=self._drain_output, args=(child.stdout,), name="engine log", daemon=True)
        drain.start()
        try:
            if self._closing:
                self._signal_group()
            self._work = work
            with cap_folder(work, self._launch.temp_mb << 20, self._end_overfull):
                self._exchange_frames(self._wire, work)
        finally:
            self._wire.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(self._launch.parting_seconds)
            self._signal_group()
            code = child.wait()
            drain.join(2.0)  # its last output says why it ended
            with self._changed:
                self.death = self._describe_death(code)
                if not self.ready:
                    self.failure = self.failure or self.death.reason
                self.ready = False
                self._changed.notify_all()

    def _exchange_frames(self, wire: Wire, work: Path) -> None:
        """Open the engine, then handle frames until the connection ends."""
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
                self._handle_frame(frame)
                self._changed.notify_all()

    def _handle_frame(self, frame: Frame) -> None:
        if frame.op == "restless":
            self.restless = frozenset(frame.fields["calls"])
            self._unasked()
            return
        call = frame.fields["id"]
        self.held = frame.fields["held"]
        if call in self._unanswered:
            self._unanswered.discard(call)
            self.answers += frame.op != "error"
            self.replies[call] = frame

    def _describe_death(self, code: int | None) -> Death:
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
        left = self._unanswered | (self._list_earlier_calls() if self._starved else set())
        return Death(reason, aborted or self._starved, temp_mb, frozenset(left), self._killed_for)

    def _list_earlier_calls(self) -> set[str]:
        """Return a placeholder for the answered statements, which may have taken the memory; empty before the first."""
        return {"earlier calls"} if self.answers else set()

    def _drain_output(self, output: IO[bytes]) -> None:
        """Read the child's output, whose pipe would otherwise fill and block it, and keep the last lines."""
        with output:
            while line := output.readline(_LINE_CHARS):
                text = line.decode("utf-8", "replace").rstrip()
                self._tail.append(text)
                if _STARVED_TEXT.match(text):
                    self._starved = True
                    self._signal_group()
                log.debug("engine: %s", text)
