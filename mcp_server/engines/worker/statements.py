"""Takes orders of the server and runs statements side by side, each in a session of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from subprocess import TimeoutExpired
from typing import NoReturn

from lakehouse.session import EngineSession, run_query
from mcp_server.engines.failures import Failure, explain_failure
from mcp_server.engines.opening import FirstFrame
from mcp_server.engines.pinned import Hold
from mcp_server.engines.rest import Rest
from mcp_server.engines.wire import MAX_RESULT_BYTES, Frame, Wire
from mcp_server.engines.worker.ending import end_all, end_stuck
from mcp_server.engines.worker.locations import TableLocations
from mcp_server.engines.worker.operations import Operation, Operations, Reply
from mcp_server.engines.worker.registry import Registry
from mcp_server.engines.worker.running import LOOK_EVERY, Running, RunningStatements
from mcp_server.engines.worker.sessions import Lent, Sessions

_LAST_MOMENTS = 20.0
"""How long a JVM that is going down may take, in seconds; its hooks delete files."""


class Worker:
    """Runs the statements of one engine and answers each under its id."""

    def __init__(self, wire: Wire, engine: EngineSession, settings: FirstFrame, hold: Hold) -> None:
        self._wire = wire
        self._engine = engine
        self._hold = hold
        self._secret = settings["secret"]
        self._waits_for_others = "://" in settings["lake"]  # an engine may do nothing while a store takes its time
        self._locations = TableLocations(settings["lake"], settings["work_dir"], plain=settings["plain_paths"])
        registry = Registry(settings["catalog"], settings["schema"], self._locations.readable)
        self._sessions = Sessions(engine, registry)
        self._operations = Operations(engine, self._locations, settings["schema"])
        self._threads = start_threads(settings["threads"])
        self._running = RunningStatements(engine)
        self._rest = self._watch_rest()

    def warm_up(self, tables: Mapping[str, str], edition: int) -> None:
        """Prove that the engine answers, and pay for what the first statement would have to wait for.

        A server of others is left alone: it may have to start for that, and whoever pays for it has not asked yet.
        """
        self._running.start_interrupting()
        if self._engine.capabilities.shared:
            return
        session = self._sessions.prepare(tables, edition)
        run_query(session.spark, "SELECT 1", 1, MAX_RESULT_BYTES)
        self._sessions.give_back(session, "SELECT 1", intact=True)

    def serve(self) -> None:
        """Take orders until the connection ends."""
        operations: Mapping[str, Operation] = {
            "run": self._operations.run,
            "explain": self._operations.explain,
            "read": self._operations.read,
        }
        while (frame := self._wire.receive()) is not None:
            if frame.op == "interrupt":
                self._running.stop(frame.fields["id"])
            else:
                self._begin(frame, operations[frame.op])

    def part(self, seconds: float) -> None:
        """Leave nothing behind on a server that lives on: stop what runs, for at most so long, and end the sessions.

        With a session ends what runs in it, should it not have let go of a query before.
        """
        for call in self._running.snapshot():
            self._running.stop(call)
        give_up = time.monotonic() + seconds
        while len(self._running) and time.monotonic() < give_up:
            threading.Event().wait(LOOK_EVERY)
        for running in self._running.snapshot().values():
            if running.session is not None:
                self._engine.close(running.session)
        self._sessions.forget()

    def _begin(self, frame: Frame, operation: Operation) -> None:
        # Memory held although nothing runs is what the engine does not give back.
        running = Running(held=0 if len(self._running) else _resident_bytes())
        self._running.add(frame.fields["id"], running)
        if self._rest is not None:
            self._rest.watch()
        self._threads.submit(self._perform_or_end, frame, running, operation)

    def _perform_or_end(self, frame: Frame, running: Running, operation: Operation) -> None:
        """Answer, or end this process: whoever asked must not wait for an answer that cannot be made."""
        try:
            self._perform(frame, running, operation)
        except BaseException as error:  # noqa: BLE001  (for want of memory, mostly)
            print(f"{type(error).__name__}: a query could not be answered", file=sys.stderr, flush=True)
            end_all()

    def _perform(self, frame: Frame, running: Running, operation: Operation) -> None:
        call, is_shared = frame.fields["id"], self._engine.capabilities.shared
        answer = self._attempt(frame, running, operation)
        if isinstance(answer, Failure) and answer.kind == "forgotten" and is_shared:
            # The server has ended the session, or has been started anew: nothing of the statement has run.
            self._sessions.forget()
            answer = self._attempt(frame, running, operation)
        if isinstance(answer, Failure):
            if running.stopped.is_set():
                self._await_rest(call, running)
            if answer.kind == "starved" and is_shared:  # the server has no memory: nothing here is to blame
                answer = replace(answer, kind="memory")
            if answer.kind == "lost":
                if not is_shared:
                    self._end_with_engine()
                self._sessions.forget()
            answer = Reply("error", vars(answer))
        self._running.remove(call)
        self._wire.send(answer.op, answer.payload, id=call, held=running.held, **answer.fields)

    def _watch_rest(self) -> Rest | None:
        """Tell the server where the engine goes on with what has ended; None where the engine itself knows that."""
        if self._engine.at_work is None:
            return None
        return Rest(
            self._engine.at_work,
            self._running.awaited,
            lambda calls: self._wire.send("restless", calls=sorted(calls)),
            lambda: None if self._waits_for_others else end_stuck(),
        )

    def _await_rest(self, call: str, running: Running) -> None:
        """Wait until the engine has let go of what was stopped; in the end the server kills this process for it."""
        while self._engine.lingers(call):
            threading.Event().wait(LOOK_EVERY)
        if self._rest is not None:
            running.session = None  # it has ended: there is nothing left in it to interrupt
            self._rest.await_rest(call)

    def _attempt(self, frame: Frame, running: Running, operation: Operation) -> Reply | Failure:
        """Do the work in a session, which others get afterwards unless it was stopped or something broke."""
        try:
            with self._hold(frame.fields["sql"], frame.fields["tables"]) as held:
                fields = {**frame.fields, "sql": held.sql, "tables": held.tables}
                return self._attempt_held(frame._replace(fields=fields), running, operation)
        except Exception as error:  # noqa: BLE001  (every failure is an answer; the server raises it)
            return self._explain_failure(error, frame)

    def _attempt_held(self, frame: Frame, running: Running, operation: Operation) -> Reply | Failure:
        call, tables = frame.fields["id"], frame.fields["tables"]
        lent: Lent | None = None
        answer: Reply | Failure = Failure("interrupted", "stopped before it began")
        try:
            if not running.stopped.is_set():
                lent = self._sessions.borrow(tables, frame.fields["edition"])
                with self._engine.tagged(lent.spark, call):
                    running.session = lent.spark
                    if not running.stopped.is_set():
                        answer = operation(frame, running, lent.spark)
        except Exception as error:  # noqa: BLE001  (every failure is an answer; the server raises it)
            answer = self._explain_failure(error, frame)
        if lent is not None:
            broken = running.stopped.is_set() or (isinstance(answer, Failure) and answer.kind != "failed")
            self._sessions.give_back(lent, frame.fields["sql"], intact=not broken)
        return answer

    def _explain_failure(self, error: Exception, frame: Frame) -> Failure:
        return explain_failure(error, self._locations.names(frame.fields["tables"]), self._secret)

    def _end_with_engine(self) -> NoReturn:
        """End because the engine does: how it ended tells the server more than what it said meanwhile."""
        if self._engine.process is not None:
            with contextlib.suppress(TimeoutExpired):
                self._engine.process.wait(_LAST_MOMENTS)
                threading.Event().wait(1)  # `follow` ends this process with the engine's code
        end_all()


def start_threads(number: int) -> ThreadPoolExecutor:
    """A pool whose threads have all begun: later there may be no memory for one, and a call would get no answer."""
    threads, all_there = ThreadPoolExecutor(number, thread_name_prefix="query"), threading.Barrier(number)
    for _ in range(number):
        threads.submit(all_there.wait)
    return threads


def _resident_bytes() -> int:
    """Memory in use, in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
