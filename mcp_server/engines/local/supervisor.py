"""Owns the process of an engine: starts it on demand and replaces it when it has ended or must end."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lakehouse.errors import EngineUnavailable
from mcp_server.engines.admission import Admission
from mcp_server.engines.call import EngineCall
from mcp_server.engines.local.process import Death, Launch, Process
from mcp_server.engines.local.spec import EngineSpec
from mcp_server.engines.local.verdicts import is_starved
from mcp_server.engines.wire import Frame

log = logging.getLogger(__name__)

_INTERRUPT_EVERY = 0.2
_HELD_SHARE = 0.7
"""Share of the memory ceiling that a process may hold while nothing runs before it is replaced."""
_RESERVED_SHARE = 0.8
"""Share of the limit of its memory that a process may have reserved while nothing runs: what its allocator has
reserved it does not give back, and the limit counts it. Beyond it a thread or a buffer may not be had.
"""
_LITTER_SHARE = 0.5
"""Share of the cap on temporary files that may remain while nothing runs: no statement pays for earlier ones."""


class Supervisor:
    """One process at a time. `plan` returns the launch of the next one. Thread-safe.

    `process` is read and written under the `changed` of `admission`, which is notified of its changes.
    """

    def __init__(self, spec: EngineSpec, admission: Admission, plan: Callable[[], Launch]) -> None:
        self.process: Process | None = None
        self._spec = spec
        self._admission = admission
        self._changed = admission.changed
        self._plan = plan
        self._warned: set[str] = set()

    @property
    def process_id(self) -> int | None:
        """The id of the engine's process, None while there is none."""
        with self._changed:
            return self.process.pid if self.process is not None and not self.process.doomed else None

    @property
    def is_starting(self) -> bool:
        """Whether a process exists that is not ready yet."""
        with self._changed:
            return self.process is not None and not self.process.ready

    def start(self) -> None:
        """Wait until a process is ready. Raises EngineUnavailable with the reason where it fails to start."""
        with self._changed:
            process = self._ensure_process()
            self._changed.wait_for(lambda: process.ready or process.death is not None)
            self._check_started(process)

    def await_process(self, call: EngineCall) -> Process:
        """Return a ready process, started on demand. Raises EngineUnavailable where it fails or takes too long."""
        with self._changed:
            process = self._ensure_process()
            if self._admission.wait_for(call, lambda: process.ready or process.death is not None):
                self._check_started(process)
                return process
        if call.cancelled:
            raise call.to_error("")
        raise EngineUnavailable(
            f"The engine is still starting after {call.seconds:g} s. Ask again in half a minute; nothing is lost."
        )

    def send_call(self, process: Process, call: EngineCall) -> Frame | Death:
        """Send a call and wait for its answer or the death of the process.

        Raises QueryCancelled or QueryTimedOut once the call is stopped.
        """
        process.submit(call.id, call.op, call.fields)
        with self._changed:
            if self._admission.wait_for(call, lambda: call.id in process.replies or process.death is not None):
                answer = process.take_answer(call.id)
                if isinstance(answer, Frame) and is_starved(answer):
                    return self._replace_starved(process, call)
                return answer
        raise call.to_error(self._stop_call(process, call))

    def recycle_process(self) -> None:
        """Replace a process that still computes an ended call, or holds too much memory or disk while idle."""
        with self._changed:
            process = self.process
            if process is None or process.doomed or self._admission.is_closed:
                return
            if process.restless:
                log.info("The engine goes on with what has ended: a new process takes over.")
                process.kill(min(process.restless))
                self._replace_process(process)
            elif self._admission.is_idle and (excess := self._describe_excess(process)):
                log.info("The engine %s while idle: a new process takes over.", excess)
                process.retire()
                self._replace_process(process)

    def close(self) -> None:
        """End the process and everything that it started, once the admission is closed."""
        with self._changed:
            process = self.process
        if process is not None:
            process.close()

    def _ensure_process(self) -> Process:
        """Return the living process, started where there is none. Holds `changed`."""
        self._admission.raise_if_closed()
        if self.process is None or self.process.doomed:
            self.process = Process(self._plan(), self._changed, self.recycle_process)
        return self.process

    def _check_started(self, process: Process) -> None:
        """Raise where the process failed to start; log each of its warnings once."""
        if process.failure is not None:
            raise EngineUnavailable(f"The {self._spec.kind} engine did not start: {process.failure}")
        for warning in set(process.warnings) - self._warned:
            log.warning(warning)
            self._warned.add(warning)

    def _replace_starved(self, process: Process, call: EngineCall) -> Death:
        """Replace a process that has no memory left: every later call would fail in it. Holds `changed`.

        The call runs again, alone, where another one may have taken the memory.
        """
        death = process.death or process.give_up(call.id)
        self._replace_process(process)
        return death

    def _stop_call(self, process: Process, call: EngineCall) -> str:
        """Interrupt a call until it has ended, else end its process. Returns a note for the caller's error."""
        for _ in range(round(self._spec.stop_seconds / _INTERRUPT_EVERY)):
            process.interrupt(call.id)
            with self._changed:
                if self._changed.wait_for(lambda: process.is_done(call.id), _INTERRUPT_EVERY):
                    goes_on = call.id in process.restless
                    return " The engine went on computing all the same and was restarted." if goes_on else ""
        if self._spec.parting_seconds:
            process.abandon(call.id)
            return f" The server did not let go of it within {self._spec.stop_seconds:g} s; it is asked until it does."
        process.kill(call.id)
        with self._changed:
            self._replace_process(process)
        return f" The engine did not let go of it within {self._spec.stop_seconds:g} s and was restarted."

    def _describe_excess(self, process: Process) -> str:
        """Describe what an idle process holds too much of; empty where it does not."""
        ceiling = self._spec.memory_mb
        if ceiling is not None and process.held > _HELD_SHARE * (ceiling << 20):
            return f"holds {process.held >> 20} MiB"
        if ceiling is not None and (reserved := process.reserved_bytes) > _RESERVED_SHARE * (ceiling << 20):
            return f"has {reserved >> 20} MiB reserved"
        most = self._spec.most_answers
        if most is not None and process.answers >= most:
            return f"has answered {process.answers:,} times, and keeps some memory of each"
        if (left := process.temp_bytes) > _LITTER_SHARE * (process.temp_mb << 20):
            return f"keeps {left >> 20} MiB of temporary files"
        return ""

    def _replace_process(self, process: Process) -> None:
        """Start the successor of a process that is ending. Holds `changed`."""
        if self.process is process and not self._admission.is_closed:
            self._ensure_process()
