"""Keeps the process of an engine: starts it when it is needed, and replaces it when it has ended or must."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lakehouse.errors import EngineUnavailable
from mcp_server.engines.admission import Admission
from mcp_server.engines.call import Call
from mcp_server.engines.local.process import Death, Launch, Process
from mcp_server.engines.local.spec import EngineSpec
from mcp_server.engines.local.verdicts import is_starved
from mcp_server.engines.wire import Frame

log = logging.getLogger(__name__)

_INTERRUPT_EVERY = 0.2
_HELD_SHARE = 0.7
"""Share of the memory ceiling that a process may hold while nothing runs before it is replaced."""
_LITTER_SHARE = 0.5
"""Share of the cap on temporary files that may lie there while nothing runs: no statement pays for those before it."""


class Supervisor:
    """One process at a time. `plan` says how to start the next one. Safe for several threads.

    `process` is read and written under the `changed` of `admission`, which is notified of all that happens to it.
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
        """The process that the engine runs in, None while there is none."""
        with self._changed:
            return self.process.pid if self.process is not None and not self.process.doomed else None

    @property
    def is_starting(self) -> bool:
        """Whether a process is about to be ready."""
        with self._changed:
            return self.process is not None and not self.process.ready

    def start(self) -> None:
        """Wait until there is a process. Raises EngineUnavailable with the reason why there is none."""
        with self._changed:
            process = self._current()
            self._changed.wait_for(lambda: process.ready or process.death is not None)
            self._greet(process)

    def await_process(self, call: Call) -> Process:
        """The process, started if need be. Raises EngineUnavailable where it cannot be, or not in time."""
        with self._changed:
            process = self._current()
            if self._admission.wait_for(call, lambda: process.ready or process.death is not None):
                self._greet(process)
                return process
        if call.cancelled:
            raise call.stopped("")
        raise EngineUnavailable(
            f"The engine is still starting after {call.seconds:g} s. Ask again in half a minute; nothing is lost."
        )

    def ask(self, process: Process, call: Call) -> Frame | Death:
        """Send a call and wait for its answer, or for the end of the process.

        Raises QueryCancelled or QueryTimedOut once the call is stopped.
        """
        process.submit(call.id, call.op, call.fields)
        with self._changed:
            if self._admission.wait_for(call, lambda: call.id in process.replies or process.death is not None):
                answer = process.take(call.id)
                if isinstance(answer, Frame) and is_starved(answer):
                    return self._give_up(process, call)
                return answer
        raise call.stopped(self._stop(process, call))

    def recycle(self) -> None:
        """Replace a process that goes on with what has ended, or holds much memory while idle."""
        with self._changed:
            process = self.process
            if process is None or process.doomed or self._admission.is_closed:
                return
            if process.restless:
                log.info("The engine goes on with what has ended: a new process takes over.")
                process.kill(min(process.restless))
                self._replace(process)
            elif self._admission.is_idle and (excess := self._describe_excess(process)):
                log.info("The engine %s while idle: a new process takes over.", excess)
                process.retire()
                self._replace(process)

    def close(self) -> None:
        """End the process and everything that it started, once nobody is admitted any more."""
        with self._changed:
            process = self.process
        if process is not None:
            process.close()

    def _current(self) -> Process:
        """The living process, or a new one in the place of a dead one. Holds `changed`."""
        self._admission.raise_if_closed()
        if self.process is None or self.process.doomed:
            self.process = Process(self._plan(), self._changed, self.recycle)
        return self.process

    def _greet(self, process: Process) -> None:
        """Raise where it never became ready; pass its warnings on, each of them once."""
        if process.failure is not None:
            raise EngineUnavailable(f"The {self._spec.kind} engine did not start: {process.failure}")
        for warning in set(process.warnings) - self._warned:
            log.warning(warning)
            self._warned.add(warning)

    def _give_up(self, process: Process, call: Call) -> Death:
        """Replace a process that has no memory left: as it is, everything that comes next would fail. Holds `changed`.

        A statement that found it so is run again, and alone, where another may have taken the memory.
        """
        death = process.death or process.give_up(call.id)
        self._replace(process)
        return death

    def _stop(self, process: Process, call: Call) -> str:
        """Interrupt until the engine has let go, or else end its process. Returns what to say of it."""
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
            self._replace(process)
        return f" The engine did not let go of it within {self._spec.stop_seconds:g} s and was restarted."

    def _describe_excess(self, process: Process) -> str:
        """What an idle process holds too much of, empty where it does not."""
        ceiling = self._spec.memory_mb
        if ceiling is not None and process.held > _HELD_SHARE * (ceiling << 20):
            return f"holds {process.held >> 20} MiB"
        if (left := process.temp_bytes) > _LITTER_SHARE * (process.temp_mb << 20):
            return f"keeps {left >> 20} MiB of temporary files"
        return ""

    def _replace(self, process: Process) -> None:
        """Start the process that takes the place of one that was told to end. Holds `changed`."""
        if self.process is process and not self._admission.is_closed:
            self._current()
