"""Receives the server's orders and runs statements concurrently, each in a session of its own."""

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
from mcp_server.engines.opening import CatalogOwner, FirstFrame
from mcp_server.engines.pinned import Hold
from mcp_server.engines.rest import Rest
from mcp_server.engines.wire import MAX_RESULT_BYTES, Frame, Wire
from mcp_server.engines.worker.ending import end_all, end_stuck
from mcp_server.engines.worker.locations import TableLocations
from mcp_server.engines.worker.operations import Operation, Operations, Reply
from mcp_server.engines.worker.registry import Registry
from mcp_server.engines.worker.room import has_room
from mcp_server.engines.worker.running import LOOK_EVERY, Running, RunningStatements
from mcp_server.engines.worker.sessions import PooledSession, Sessions

_LAST_MOMENTS = 20.0
"""How long a JVM may take to shut down, in seconds; its hooks delete files."""

_LOST_REGISTRATIONS = frozenset({"TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND"})
"""Conditions of a statement whose tables are no longer registered: the guard has found them in the lake."""


class Worker:
    """Runs the statements of one engine and answers each by its id."""

    def __init__(self, wire: Wire, engine: EngineSession, settings: FirstFrame, hold: Hold) -> None:
        self._wire = wire
        self._engine = engine
        self._hold = hold
        self._secret = settings["secret"]
        self._waits_for_others = "://" in settings["lake"]  # an engine may do nothing while a store takes its time
        self._locations = TableLocations(settings["lake"], settings["work_dir"], plain=settings["plain_paths"])
        self._catalog: CatalogOwner = settings["catalog"]
        registry = Registry(self._catalog, settings["schema"], self._locations.make_readable)
        self._sessions = Sessions(engine, registry)
        self._operations = Operations(engine, self._locations, settings["schema"])
        self._threads = start_threads(settings["threads"])
        self._running = RunningStatements(engine)
        self._rest = self._watch_rest()

    def warm_up(self, tables: Mapping[str, str], edition: int) -> None:
        """Check that the engine answers, and do the work that the first statement would otherwise wait for.

        Skipped for a remote server: it may have to start, and no caller who pays for it has sent a query yet.
        """
        self._running.start_interrupting()
        if self._engine.capabilities.shared:
            return
        session = self._sessions.prepare(tables, edition)
        run_query(session.spark, "SELECT 1", 1, MAX_RESULT_BYTES)
        self._sessions.give_back(session, "SELECT 1", intact=True)

    def serve(self) -> None:
        """Handle the server's orders until the connection ends."""
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
        """Clean up on a server that outlives this process: stop the queries within `seconds`, then end the sessions.

        Ending a session ends a query in it that has not stopped by then.
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
        # Memory in use while nothing runs is memory that the engine does not return.
        running = Running(held=0 if len(self._running) else _resident_bytes())
        self._running.add(frame.fields["id"], running)
        if self._rest is not None:
            self._rest.watch()
        self._threads.submit(self._perform_or_end, frame, running, operation)

    def _perform_or_end(self, frame: Frame, running: Running, operation: Operation) -> None:
        """Answer, or end this process: the caller must not wait for an answer that cannot be made."""
        try:
            self._perform(frame, running, operation)
        except BaseException as error:  # noqa: BLE001  (for want of memory, mostly)
            print(f"{type(error).__name__}: a query could not be answered", file=sys.stderr, flush=True)
            end_all()

    def _perform(self, frame: Frame, running: Running, operation: Operation) -> None:
        call, is_shared = frame.fields["id"], self._engine.capabilities.shared
        answer = self._attempt(frame, running, operation)
        if isinstance(answer, Failure) and self._is_forgotten(answer):
            self._sessions.forget()  # nothing of the statement has run
            answer = self._attempt(frame, running, operation)
        if isinstance(answer, Failure):
            if running.stopped.is_set():
                self._await_rest(call, running)
            answer = self._judge_exhaustion(answer)
            if answer.kind == "lost":
                if not is_shared:
                    self._end_with_engine()
                self._sessions.forget()
            answer = Reply("error", vars(answer))
        self._running.remove(call)
        self._wire.send(answer.op, answer.payload, id=call, held=running.held, **answer.fields)

    def _judge_exhaustion(self, failure: Failure) -> Failure:
        """Return a failure as one of this process, which is then replaced, where it is no failure of the statement."""
        if self._engine.capabilities.shared:  # the server has no memory: nothing here is to blame
            return replace(failure, kind="memory") if failure.kind == "starved" else failure
        is_unnamed = failure.kind == "lake" or (failure.kind == "failed" and failure.lacking)
        # An engine within this process loses its connection only where something of the process is used up.
        is_cut_off = failure.kind == "lost" and self._engine.process is None
        if is_cut_off or (is_unnamed and not has_room()):
            return replace(failure, kind="starved", lacking=False)
        return failure

    def _is_forgotten(self, failure: Failure) -> bool:
        """Whether a server of others has ended the session, or was restarted and has lost the registered tables.

        Only the second shows where no session was left: a new one is opened as if nothing had happened.
        """
        if not self._engine.capabilities.shared:
            return False
        has_lost_tables = self._catalog == "server" and failure.condition in _LOST_REGISTRATIONS
        return failure.kind == "forgotten" or has_lost_tables

    def _watch_rest(self) -> Rest | None:
        """Report ended calls that the engine still computes to the server; None where the engine tracks this itself."""
        if self._engine.at_work is None:
            return None
        return Rest(
            self._engine.at_work,
            self._running.list_awaited,
            lambda calls: self._wire.send("restless", calls=sorted(calls)),
            lambda: None if self._waits_for_others else end_stuck(),
        )

    def _await_rest(self, call: str, running: Running) -> None:
        """Wait until the engine has stopped computing a call; the server kills this process where it never does."""
        while self._engine.lingers(call):
            threading.Event().wait(LOOK_EVERY)
        if self._rest is not None:
            running.session = None  # it has ended: there is nothing left in it to interrupt
            self._rest.await_rest(call)

    def _attempt(self, frame: Frame, running: Running, operation: Operation) -> Reply | Failure:
        """Perform the operation in a session, which is reused unless the call was stopped or something broke."""
        try:
            with self._hold(frame.fields["sql"], frame.fields["tables"]) as held:
                fields = {**frame.fields, "sql": held.sql, "tables": held.tables}
                return self._attempt_held(frame._replace(fields=fields), running, operation)
        except Exception as error:  # noqa: BLE001  (every failure is an answer; the server raises it)
            return self._explain_failure(error, frame)

    def _attempt_held(self, frame: Frame, running: Running, operation: Operation) -> Reply | Failure:
        call, tables = frame.fields["id"], frame.fields["tables"]
        pooled: PooledSession | None = None
        answer: Reply | Failure = Failure("interrupted", "stopped before it began")
        try:
            if not running.stopped.is_set():
                pooled = self._sessions.borrow(tables, frame.fields["edition"])
                with self._engine.tagged(pooled.spark, call):
                    running.session = pooled.spark
                    if not running.stopped.is_set():
                        answer = operation(frame, running, pooled.spark)
        except Exception as error:  # noqa: BLE001  (every failure is an answer; the server raises it)
            answer = self._explain_failure(error, frame)
        if pooled is not None:
            broken = running.stopped.is_set() or (isinstance(answer, Failure) and answer.kind != "failed")
            self._sessions.give_back(pooled, frame.fields["sql"], intact=not broken)
        return answer

    def _explain_failure(self, error: Exception, frame: Frame) -> Failure:
        return explain_failure(error, self._locations.list_replacements(frame.fields["tables"]), self._secret)

    def _end_with_engine(self) -> NoReturn:
        """End with the engine: its exit code tells the server more than its last answer."""
        if self._engine.process is not None:
            with contextlib.suppress(TimeoutExpired):
                self._engine.process.wait(_LAST_MOMENTS)
                threading.Event().wait(1)  # `follow_engine_process` ends this process with the engine's code
        end_all()


def start_threads(number: int) -> ThreadPoolExecutor:
    """Return a pool whose threads have all started: later there may be no memory for one, and a call would hang."""
    threads, all_there = ThreadPoolExecutor(number, thread_name_prefix="query"), threading.Barrier(number)
    for _ in range(number):
        threads.submit(all_there.wait)
    return threads


def _resident_bytes() -> int:
    """Return the resident memory in bytes; 0 where the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
