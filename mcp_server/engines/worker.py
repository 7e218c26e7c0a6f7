"""The child process: holds a driver and its session, and runs what the server sends it.

    python -P -m mcp_server.engines.worker <socket's descriptor> <parent's process id>

Started by `process.py` and by nobody else. The first frame says which engine to open; everything that
this process gives up, it gives up before a driver is imported and before its first thread starts.
Whatever ends the connection ends this process and all that it started.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any, NoReturn

from lakehouse import isolation
from lakehouse.errors import LakehouseError, QueryCancelled, UsageError
from lakehouse.session import EngineSession, open_session, run_query
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines import fence, sandbox
from mcp_server.engines.databricks_errors import hide_addresses
from mcp_server.engines.failures import Failure, explain_failure, hide_paths, spellings
from mcp_server.engines.pinned import FOLDER, FolderSource, Hold, PinnedLogs, StorageSource, audited
from mcp_server.engines.readings import READERS
from mcp_server.engines.registry import Registry
from mcp_server.engines.rest import Rest
from mcp_server.engines.sessions import Lent, Sessions
from mcp_server.engines.wire import MAX_RESULT_BYTES, Frame, Wire
from mcp_server.models import Caps, ResultSet
from mcp_server.results.cutting import cut, plan_of, to_stream

if TYPE_CHECKING:
    from subprocess import Popen

    from pyspark.sql import SparkSession

_PLAIN = re.compile(r"[\w/.,:;=@+!$&()'-]+", re.ASCII)
"""Paths that Sail finds; it encodes any other letter twice (each one tried: docs/engines.md)."""

_LAST_MOMENTS = 20.0
"""How long a JVM that is going down may take, in seconds; its hooks delete files."""

_STACK_BYTES = 2 << 20
"""What a thread of Python's reserves of the memory ceiling; by default 8 MiB, and gRPC has several for each query."""

_LOOK_EVERY = 0.1
"""How often to look, in seconds, whether a query that was stopped has let go of its threads."""

_SHARED_LAKE = (
    "IMDB_ENGINE_ISOLATION=off: every user of this machine can reach the embedded engine, which asks for no password "
    "and reads the lake's store."
)

_EXPLAIN = {"simple": "", "extended": "EXTENDED ", "codegen": "CODEGEN ", "cost": "COST ", "formatted": "FORMATTED "}


@dataclass
class Running:
    """A statement under way. `stopped` was asked for; `session` is where it can be interrupted, once it has one.

    `held` are the bytes of memory that were in use when it began and nothing else ran.
    """

    held: int
    stopped: threading.Event = field(default_factory=threading.Event)
    session: SparkSession | None = None

    def raise_if_stopped(self) -> None:
        if self.stopped.is_set():
            raise QueryCancelled("The query was stopped while its rows were read.")


@dataclass(frozen=True)
class Reply:
    """What a statement gave: a frame's `op`, its fields and its payload."""

    op: str
    fields: Mapping[str, Any]
    payload: Any = b""


class Worker:
    """Runs statements side by side, each in a session of its own, and answers each under its id."""

    def __init__(self, wire: Wire, engine: EngineSession, settings: Mapping[str, Any], hold: Hold) -> None:
        self._wire = wire
        self._engine = engine
        self._hold = hold
        self._schema: str = settings["schema"]
        self._remote = engine.kind == "connect"
        self._secret: str = settings["secret"]
        self._waits_for_others = "://" in settings["lake"]  # an engine may do nothing while a store takes its time
        self._places = Places(settings["lake"], settings["work_dir"], plain=settings["plain_paths"])
        self._sessions = Sessions(engine, Registry(settings["catalog"], self._schema, self._places.readable))
        self._threads = started_threads(settings["threads"])
        self._running: dict[str, Running] = {}
        self._stopping = threading.Event()
        self._rest = self._watch_rest()

    def warm_up(self, tables: Mapping[str, str], edition: int) -> None:
        """Prove that the engine answers, and pay for what the first statement would have to wait for.

        A server of others is left alone: it may have to start for that, and whoever pays for it has not asked yet.
        """
        threading.Thread(target=self._interrupt_all, name="interrupts", daemon=True).start()
        if self._remote:
            return
        session = self._sessions.prepare(tables, edition)
        run_query(session.spark, "SELECT 1", 1, MAX_RESULT_BYTES)
        self._sessions.give_back(session, "SELECT 1", intact=True)

    def serve(self) -> None:
        """Take orders until the connection ends."""
        orders: Mapping[str, Callable[[Frame], None]] = {
            "run": lambda frame: self._begin(frame, self._run),
            "explain": lambda frame: self._begin(frame, self._explain),
            "read": lambda frame: self._begin(frame, self._read),
            "interrupt": lambda frame: self._stop(frame.fields["id"]),
        }
        while (frame := self._wire.receive()) is not None:
            orders[frame.op](frame)

    def part(self, seconds: float) -> None:
        """Leave nothing behind on a server that lives on: stop what runs, for at most so long, and end the sessions.

        With a session ends what runs in it, should it not have let go of a query before.
        """
        for call in list(self._running):
            self._stop(call)
        give_up = time.monotonic() + seconds
        while self._running and time.monotonic() < give_up:
            threading.Event().wait(_LOOK_EVERY)
        for running in list(self._running.values()):
            if running.session is not None:
                self._engine.close(running.session)
        self._sessions.forget()

    def _begin(self, frame: Frame, work: Callable[[Frame, SparkSession], Reply]) -> None:
        # Memory held although nothing runs is what the engine does not give back.
        running = Running(held=0 if self._running else _resident_bytes())
        self._running[frame.fields["id"]] = running
        if self._rest is not None:
            self._rest.watch()
        self._threads.submit(self._perform_or_end, frame, running, work)

    def _perform_or_end(self, frame: Frame, running: Running, work: Callable[[Frame, SparkSession], Reply]) -> None:
        """Answer, or end this process: whoever asked must not wait for an answer that cannot be made."""
        try:
            self._perform(frame, running, work)
        except BaseException as error:  # noqa: BLE001  (for want of memory, mostly)
            print(f"{type(error).__name__}: a query could not be answered", file=sys.stderr, flush=True)
            _end_all()

    def _perform(self, frame: Frame, running: Running, work: Callable[[Frame, SparkSession], Reply]) -> None:
        call = frame.fields["id"]
        answer = self._attempt(frame, running, work)
        if isinstance(answer, Failure) and answer.kind == "forgotten" and self._remote:
            # The server has ended the session, or has been started anew: nothing of the statement has run.
            self._sessions.forget()
            answer = self._attempt(frame, running, work)
        if isinstance(answer, Failure):
            if running.stopped.is_set():
                self._await_rest(call, running)
            if (
                answer.kind == "starved" and self._remote
            ):  # it is the server that has no memory: nothing here is to blame
                answer = replace(answer, kind="memory")
            if answer.kind == "lost":
                if not self._remote:
                    self._end_with_engine()
                self._sessions.forget()
            answer = Reply("error", vars(answer))
        del self._running[call]
        self._wire.send(answer.op, answer.payload, id=call, held=running.held, **answer.fields)

    def _watch_rest(self) -> Rest | None:
        """Tell the server where the engine goes on with what has ended; None where the engine itself knows that."""
        if self._engine.at_work is None:
            return None
        return Rest(
            self._engine.at_work,
            lambda: {call: not running.stopped.is_set() for call, running in list(self._running.items())},
            lambda calls: self._wire.send("restless", calls=sorted(calls)),
            lambda: None if self._waits_for_others else _end_stuck(),
        )

    def _await_rest(self, call: str, running: Running) -> None:
        """Wait until the engine has let go of what was stopped; in the end the server kills this process for it."""
        while self._engine.lingers(call):
            threading.Event().wait(_LOOK_EVERY)
        if self._rest is not None:
            running.session = None  # it has ended: there is nothing left in it to interrupt
            self._rest.await_rest(call)

    def _attempt(self, frame: Frame, running: Running, work: Callable[[Frame, SparkSession], Reply]) -> Reply | Failure:
        """Do the work in a session, which others get afterwards unless it was stopped or something broke."""
        try:
            with self._hold(frame.fields["sql"], frame.fields["tables"]) as held:
                fields = {**frame.fields, "sql": held.sql, "tables": held.tables}
                return self._attempt_held(frame._replace(fields=fields), running, work)
        except Exception as error:  # noqa: BLE001  (every failure is an answer; the server raises it)
            return explain_failure(error, self._places.names(frame.fields["tables"]), self._secret)

    def _attempt_held(
        self, frame: Frame, running: Running, work: Callable[[Frame, SparkSession], Reply]
    ) -> Reply | Failure:
        call, tables = frame.fields["id"], frame.fields["tables"]
        lent: Lent | None = None
        answer: Reply | Failure = Failure("interrupted", "stopped before it began")
        try:
            if not running.stopped.is_set():
                lent = self._sessions.borrow(tables, frame.fields["edition"])
                with self._engine.tagged(lent.spark, call):
                    running.session = lent.spark
                    if not running.stopped.is_set():
                        answer = work(frame, lent.spark)
        except Exception as error:  # noqa: BLE001  (every failure is an answer; the server raises it)
            answer = explain_failure(error, self._places.names(tables), self._secret)
        if lent is not None:
            broken = running.stopped.is_set() or (isinstance(answer, Failure) and answer.kind != "failed")
            self._sessions.give_back(lent, frame.fields["sql"], intact=not broken)
        return answer

    def _end_with_engine(self) -> NoReturn:
        """End because the engine does: how it ended tells the server more than what it said meanwhile."""
        if self._engine.process is not None:
            with contextlib.suppress(TimeoutExpired):
                self._engine.process.wait(_LAST_MOMENTS)
                threading.Event().wait(1)  # `_follow` ends this process with the engine's code
        _end_all()

    def _run(self, frame: Frame, session: SparkSession) -> Reply:
        rows = run_query(session, frame.fields["sql"], frame.fields["fetch"], MAX_RESULT_BYTES)
        return self._reply(frame, ResultSet(rows.table, rows.types))

    def _reply(self, frame: Frame, found: ResultSet) -> Reply:
        """The rows of a result within the caps that were asked for, if any were."""
        if (caps := frame.fields.get("caps")) is not None:
            found = cut(found, Caps(*caps), self._running[frame.fields["id"]].raise_if_stopped)
        missing = [(*place, chars) for place, chars in found.missing.items()]
        return Reply("result", {"types": found.types, "rows": found.rows, "missing": missing}, to_stream(found.table))

    def _explain(self, frame: Frame, session: SparkSession) -> Reply:
        mode = _EXPLAIN[frame.fields["mode"]]
        plan = "\n".join(str(row[0]) for row in session.sql(f"EXPLAIN {mode}{frame.fields['sql']}").collect())
        plan = hide_paths(plan, self._places.names(frame.fields["tables"]))
        return self._reply(frame, plan_of(hide_addresses(plan) if self._remote else plan))

    def _read(self, frame: Frame, session: SparkSession) -> Reply:
        known = {
            self._places.readable(at): f"{self._schema}.{name}".lower() for name, at in frame.fields["tables"].items()
        }
        found = READERS[self._engine.kind][frame.fields["stage"]](session, frame.fields["sql"], known)
        return Reply("reading", found.fields())

    def _stop(self, call: str) -> None:
        running = self._running.get(call)
        if running is not None:
            running.stopped.set()
            self._stopping.set()

    def _interrupt_all(self) -> None:
        """Interrupt what is to stop, again and again until it has: an interrupt that comes too early is lost.

        In a thread of its own, because an engine that is slow to answer must not delay the orders.
        """
        while True:
            self._stopping.wait()
            self._stopping.clear()
            for call, running in list(self._running.items()):
                if running.stopped.is_set():
                    self._interrupt(call, running)
                    self._stopping.set()
            if self._stopping.is_set():
                threading.Event().wait(_LOOK_EVERY)

    def _interrupt(self, call: str, running: Running) -> None:
        session = running.session
        if session is not None:
            try:
                self._engine.interrupt(session, call)
            except Exception as error:  # noqa: BLE001  (it is tried again; the server kills in the end)
                print(f"interrupt failed: {type(error).__name__}", file=sys.stderr)


def started_threads(number: int) -> ThreadPoolExecutor:
    """A pool whose threads have all begun: later there may be no memory for one, and a call would get no answer."""
    threads, all_there = ThreadPoolExecutor(number, thread_name_prefix="query"), threading.Barrier(number)
    for _ in range(number):
        threads.submit(all_there.wait)
    return threads


class Places:
    """Where tables are, for the engine to read and for nobody to see."""

    def __init__(self, lake: str, work_dir: str, *, plain: bool) -> None:
        self._lake = lake
        self._work_dir = work_dir
        self._plain = plain
        self._aliases: dict[str, str] = {}
        self._linking = threading.Lock()

    def readable(self, location: str) -> str:
        """The location, or a link to it where the engine does not find paths of such letters."""
        if not self._plain or "://" in location or _PLAIN.fullmatch(location):
            return location
        with self._linking:
            if location not in self._aliases:
                alias = os.path.join(self._work_dir, f"table-{len(self._aliases)}")
                os.symlink(location, alias)
                self._aliases[location] = alias
            return self._aliases[location]

    def names(self, tables: Mapping[str, str]) -> dict[str, str]:
        """What to write in the place of each location in a text."""
        known = [(location, name) for name, location in tables.items()]
        links = [(self._aliases[location], name) for location, name in known if location in self._aliases]
        return spellings([*known, *links, (self._lake, "<lake>"), (self._work_dir, "<temporary>")])


def _resident_bytes() -> int:
    """Memory in use, in bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _restrict(settings: Mapping[str, Any]) -> list[str]:
    """Give up what the settings say, and return what could not be given up as warnings."""
    warnings: list[str | None] = []
    if settings["memory_mb"] is not None:
        warnings.append(sandbox.limit_memory(settings["memory_mb"]))
    warnings.append(_isolate(settings))
    if settings["files"] is not None:
        tempfile.tempdir = settings["work_dir"]  # what libraries write must have a place within the fence
        files = settings["files"]
        warning = fence.limit_files(files["readable"], [settings["work_dir"], *files["writable"]])
        if warning and files["required"]:
            raise UsageError(warning)
        warnings.append(warning)
    return [warning for warning in warnings if warning]


def _open_logs(settings: Mapping[str, Any]) -> tuple[Hold, str]:
    """What makes the logs of tables ready, and the folder for the engine's temporary files.

    The embedded engine may read the logs that it gets and not write them: the threads that do are started before that
    right is given up.
    """
    work_dir: str = settings["work_dir"]
    lake = Lake.parse(settings["lake"])
    if settings["kind"] != "embedded":
        return audited(lake), work_dir
    source = StorageSource(lake) if lake.kind is LakeKind.URL else FolderSource(lake.address)
    logs = PinnedLogs(os.path.join(work_dir, FOLDER), source)
    temporary = os.path.join(work_dir, "temporary")
    os.makedirs(temporary, exist_ok=True)
    if settings["files"] is not None:
        tempfile.tempdir = temporary
        fence.limit_files([*settings["files"]["readable"], work_dir], [temporary, *settings["files"]["writable"]])
    return logs.hold, temporary


def _isolate(settings: Mapping[str, Any]) -> str | None:
    """Have a network of one's own, with a way to the lake's files alone. Returns a warning where there is none.

    Raises UsageError where there has to be one: whoever reaches the engine's port reads the lake.
    """
    warning = _leave_network(settings)
    if settings["gateway"] is not None:
        isolation.use_storage(isolation.open_way_out(settings["gateway"]))
    return warning


def _leave_network(settings: Mapping[str, Any]) -> str | None:
    is_remote: bool = settings["is_remote"]
    if settings["isolation"] == "off":
        return _SHARED_LAKE if is_remote and settings["kind"] == "embedded" else None
    try:
        isolation.isolate_network()
    except isolation.IsolationError as error:
        if settings["isolation"] == "required" or is_remote:
            raise UsageError(
                f"The engine cannot have a network of its own: {error}. Without one, other users of this machine could "
                "reach it, and read the lake through it. Allow user namespaces, or set IMDB_ENGINE_ISOLATION="
                f"{'off' if is_remote else 'auto'} where the machine has no other users."
            ) from error
        return (
            f"The engine shares the machine's network: {error}. Other users of this machine could reach it; "
            "IMDB_ENGINE_ISOLATION=off silences this."
        )
    return None


def _follow(engine: Popen[bytes]) -> None:
    """End as the engine's own process ended."""

    def watch() -> None:
        os._exit(engine.wait() or 1)

    threading.Thread(target=watch, name="engine watch", daemon=True).start()


def _end_stuck() -> NoReturn:
    """End because the engine does nothing for what it was asked; the server runs that again, in another process."""
    print("the engine computed nothing for what it was asked", file=sys.stderr, flush=True)
    _end_all()


def _end_all() -> NoReturn:
    """End this process and everything that it started: they are one process group."""
    os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(0)


def main(descriptor: int, parent: int) -> None:
    sandbox.die_with_parent(parent)
    wire = Wire(socket.socket(fileno=descriptor))
    opening = wire.receive()
    if opening is None:
        _end_all()
    settings = opening.fields
    if settings["parting"]:
        sandbox.outlive_parent()  # long enough to stop what runs on a server of others
    threading.stack_size(_STACK_BYTES)
    try:
        warnings = _restrict(settings)
        # PySpark logs every failed statement with its whole stack; the server gets the sentence.
        logging.getLogger("SQLQueryContextLogger").disabled = True
        logging.getLogger("DataFrameQueryContextLogger").disabled = True
        hold, work_dir = _open_logs(settings)
        with open_session(settings["kind"], config=settings["config"], work_dir=work_dir) as engine:
            if engine.process is not None:
                _follow(engine.process)
            worker = Worker(wire, engine, settings, hold)
            worker.warm_up(settings["tables"], settings["edition"])
            wire.send("ready", warnings=warnings)
            worker.serve()
            if settings["parting"]:
                worker.part(settings["parting"])
            _end_all()
    except LakehouseError as error:
        wire.send("failed", text=str(error))
    except Exception as error:  # noqa: BLE001  (the server must know why the engine did not start)
        text = explain_failure(error, spellings([(settings["lake"], "<lake>")]), settings["secret"]).text
        wire.send("failed", text=f"{type(error).__name__}: {text}")
    wire.receive()  # the server reads the reason, then closes
    _end_all()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
