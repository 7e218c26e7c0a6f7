"""An engine behind a child process: whom to let in, and what to do when a query is stopped or the process dies.

`embedded.py`, `spark.py` and `connect.py` say what to start; what is here is the same for all.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lakehouse.delta import LogAudit, LogFolder, LogObjects, TableLog, read_snapshot, version_at
from lakehouse.errors import EngineUnavailable, LakeError
from lakehouse.gateway import Gateway
from lakehouse.manifest import Column
from lakehouse.outlet import AUTHORITIES
from lakehouse.session import CAPABILITIES, Stage
from lakehouse.settings import Runtime, child_environment
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.call import Call, is_starved, raise_failure, raise_verdict
from mcp_server.engines.process import Death, Launch, Process
from mcp_server.engines.recent import Recent
from mcp_server.engines.registry import Catalog
from mcp_server.engines.statistics import FileStatistics, Statistics
from mcp_server.engines.store_server import StoreServer
from mcp_server.engines.wire import Frame
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, TableInfo, Version
from mcp_server.settings import Settings

log = logging.getLogger(__name__)

_INTERRUPT_EVERY = 0.2
_TIMES_A_BYSTANDER = 2
"""How often a query may lose its process to another one; then it gets the next one to itself."""
_HELD_SHARE = 0.7
"""Share of the memory ceiling that a process may hold while nothing runs before it is replaced."""
_LITTER_SHARE = 0.5
"""Share of the cap on temporary files that may lie there while nothing runs: no statement pays for those before it."""
_EARLY_CANCELS = 256
_READINGS = 512
"""Readings to remember: the same text over the same tables of the same edition of a lake is read alike."""
_SPARE_THREADS = 4
"""A server of others may let go of a query long after nobody waits for it; meanwhile it holds a thread."""


@dataclass(frozen=True)
class EngineSpec:
    """What to start. `memory_mb` is the ceiling of the child itself, None where the engine keeps its own.

    `config` goes to `open_session`, `environment` to the child, `isolation` is the setting's value.
    `start_seconds` is how long the start may take, a first download of jars included; `stop_seconds` how
    long the engine may take to let go of a query before its process is killed for it. `plain_paths` is
    for an engine that does not find paths with blanks or letters beyond ASCII. `reads_lake_only` is for
    an engine that needs no file but its lake's and its libraries'; `caches` are the folders that it may write besides
    its temporary one. `catalog` is where tables get their names. `parting_seconds` is how long the child may take to
    stop what it runs on a server that lives on; 0 where the engine ends with it. `queries` is how many may run at once.
    `serves_storage` is for an engine that gets the files of a lake in object storage from this process, and has neither
    a network nor credentials. `secret` is never shown.
    """

    kind: Runtime
    config: Mapping[str, str]
    environment: Mapping[str, str]
    memory_mb: int | None
    isolation: str
    start_seconds: float
    stop_seconds: float
    plain_paths: bool
    reads_lake_only: bool
    caches: tuple[str, ...]
    catalog: Catalog
    queries: int
    parting_seconds: float = 0
    serves_storage: bool = False
    secret: str = field(default="", repr=False)


class Tables(Protocol):
    """What a lake holds and where; `edition` is another number once that has changed."""

    @property
    def lake(self) -> Lake: ...

    @property
    def edition(self) -> int: ...

    def tables(self) -> tuple[TableInfo, ...]: ...

    def locations(self, names: Iterable[str] | None = None) -> dict[str, str]: ...


class LocalEngine:
    """Keeps the Engine contract with one child process at a time, started when it is first needed."""

    def __init__(self, spec: EngineSpec, tables: Tables, settings: Settings) -> None:
        self.name: str = spec.kind
        self.schema = settings.schema_name
        self.capabilities = CAPABILITIES[spec.kind]
        self._spec = spec
        self.settings = settings
        self._catalog = tables
        self._is_remote = tables.lake.kind is LakeKind.URL
        # For a server that reads storage itself. Other logs are looked through in the engine's process.
        self._audit = LogAudit(tables.lake) if self._is_remote and not spec.serves_storage else None
        self._statistics = Statistics(tables.lake if self._is_remote else None)
        self._readings = Recent[tuple[object, ...], EngineReading](_READINGS)
        self._changed = threading.Condition()
        # All that follows is read and written under `_changed`.
        self._process: Process | None = None
        self._closed = False
        self._calls: dict[str, Call] = {}
        self._early_cancels: OrderedDict[str, None] = OrderedDict()
        self._inside = 0
        self._wanting_alone = 0
        self._someone_alone = False
        self._warned: set[str] = set()

    def start(self) -> None:
        """Make the engine ready. Raises LakeError where there is no lake, EngineUnavailable with the reason."""
        with self._changed:
            process = self._current()
            self._changed.wait_for(lambda: process.ready or process.death is not None)
            self._greet(process)

    @property
    def lake(self) -> Lake:
        return self._catalog.lake

    @property
    def process_id(self) -> int | None:
        """The process that the engine runs in, None while there is none."""
        with self._changed:
            return self._process.pid if self._process is not None and not self._process.doomed else None

    def tables(self) -> tuple[TableInfo, ...]:
        """All tables and views of the lake, read from the lake: the engine is not needed for it."""
        return self._catalog.tables()

    def refresh(self) -> tuple[TableInfo, ...]:
        """The same: a look at the lake tells whether it has changed, so nothing old is ever kept."""
        return self.tables()

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        """Run a checked query to its end, its deadline or its cancellation."""
        within = None if caps is None else [caps.payload_bytes, caps.cell_chars]
        fields = {"fetch": query.limit.fetch, "caps": within} | self._about(query.sql, query.tables)
        return self._rows(Call(query_id, "run", fields, query.deadline_seconds))

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        """The engine's plan of a checked query, with names in the place of locations."""
        within = (caps.payload_bytes, caps.cell_chars)
        fields = {"mode": mode, "caps": within} | self._about(query.sql, query.tables)
        return self._rows(Call(query_id, "explain", fields, query.deadline_seconds))

    def read(self, sql: str, tables: frozenset[str], stage: Stage, query_id: str) -> EngineReading | None:
        """What the engine itself reads in a text, at one of the stages that it has."""
        if stage not in self.capabilities.readings:
            return None
        about = self._about(sql, tables)
        key = (sql, stage, about["edition"], frozenset(about["tables"].items()))
        if (known := self._readings.get(key)) is not None:
            return known
        call = Call(f"{query_id}.{stage}", "read", {"stage": stage} | about, self.settings.query_timeout_seconds)
        found = self._perform(call).fields
        reading = EngineReading(stage, *(frozenset(found[name]) for name in ("tables", "functions", "kinds")))
        self._readings.put(key, reading)
        return reading

    def estimate(self, query: CheckedQuery) -> Estimate:
        """What a query would read, whole files after pruning. Raises LakeError where a table's log cannot be read."""
        return self._statistics.estimate(query, self._catalog.locations(table.lower() for table in query.tables))

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Least and greatest value of each integer column that all files of a table tell.

        Raises LakeError, QueryFailed where there is no such version.
        """
        found = self._statistics_of(table, version)
        return {} if found is None else found.bounds

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        """The columns of a version of a table. Raises as `bounds` does."""
        found = self._statistics_of(table, version)
        return None if found is None else found.columns

    def _statistics_of(self, table: str, version: Version | None) -> FileStatistics | None:
        info = next((each for each in self._catalog.tables() if each.name.lower() == table.lower()), None)
        if info is None or info.problem:
            return None
        location = self._catalog.locations([table.lower()])[info.name]
        if isinstance(version, datetime):
            version = version_at(self._open_log(location), version)  # as the engine's own process understands a moment
        try:
            return self._statistics.of(info.name, location, info.version if version is None else version)
        except LakeError:
            if isinstance(version, int):
                read_snapshot(self._open_log(location), version)  # says which versions there are
            raise

    def _open_log(self, location: str) -> TableLog:
        if self._is_remote:
            return LogObjects(self.lake.objects_of_any_size, self.lake.table_path(location))
        return LogFolder(location)

    def cancel(self, query_id: str) -> None:
        """Stop a query, also one that is only about to come: its id is remembered for a while."""
        with self._changed:
            running = [call for call in self._calls.values() if call.query_id == query_id]
            for call in running:
                call.cancelled = True
            if running:
                self._changed.notify_all()
                return
            self._early_cancels[query_id] = None
            while len(self._early_cancels) > _EARLY_CANCELS:
                self._early_cancels.popitem(last=False)

    def waits_for(self, query_id: str) -> str:
        """A process that takes the place of one that has ended."""
        with self._changed:
            underway = any(call.query_id == query_id for call in self._calls.values())
            starting = self._process is not None and not self._process.ready
        return "the engine starts anew" if underway and starting else ""

    def close(self) -> None:
        """End the process and everything that it started. Calls under way raise EngineUnavailable."""
        with self._changed:
            self._closed = True
            process = self._process
            self._changed.notify_all()
        if process is not None:
            process.close()

    def _about(self, sql: str, tables: Iterable[str]) -> dict[str, Any]:
        """A statement, the tables that it reads, and the state of the lake that they belong to."""
        locations = self._catalog.locations(tables)
        if self._audit is not None:
            for location in locations.values():
                self._audit.check(location)
        return {"sql": sql, "tables": locations, "edition": self._catalog.edition}

    def _rows(self, call: Call) -> ResultSet:
        frame = self._perform(call)
        import pyarrow as pa

        with pa.ipc.open_stream(pa.py_buffer(frame.payload)) as stream:
            missing = {(row, column): chars for row, column, chars in frame.fields["missing"]}
            return ResultSet(
                stream.read_all(), tuple(frame.fields["types"]), rows=frame.fields["rows"], missing=missing
            )

    def _perform(self, call: Call) -> Frame:
        deaths: list[Death] = []
        with self._known(call):
            while True:
                alone = self._judge(call, deaths)
                with self._turn(call, alone):
                    process = self._ready(call)
                    outcome = self._answer(process, call)
                if isinstance(outcome, Frame):
                    raise_failure(outcome, call, self.settings.engine_memory_mb)
                    return outcome
                deaths.append(outcome)

    def _judge(self, call: Call, deaths: Sequence[Death]) -> bool:
        """Whether to try alone, after the processes that died under a call; raises where it is to blame.

        Who was alone is to blame. Of several nobody can tell, so each is tried by itself: the ones that
        were only near get their answer, and the one to blame ends nothing but itself. A process that was killed for
        another query counts against nobody: its bystanders are run again as long as their time lasts.
        """
        with self._changed:
            if deaths and self._closed:
                raise EngineUnavailable("The engine was closed while the query ran.")
        unforeseen = [death for death in deaths if death.killed_for is None]
        if len(unforeseen) > 1 or any(death.unanswered <= {call.id} for death in unforeseen):
            raise_verdict(unforeseen[-1], self.settings.engine_memory_mb)
        return bool(unforeseen) or len(deaths) >= _TIMES_A_BYSTANDER

    def _answer(self, process: Process, call: Call) -> Frame | Death:
        """Send a call and wait for its answer, or for the end of the process."""
        process.submit(call.id, call.op, call.fields)
        with self._changed:
            if self._wait(call, lambda: call.id in process.replies or process.death is not None):
                answer = process.take(call.id)
                if isinstance(answer, Frame) and is_starved(answer):
                    return self._give_up(process, call)
                return answer
        raise call.stopped(self._stop(process, call))

    def _give_up(self, process: Process, call: Call) -> Death:
        """Replace a process that has no memory left: as it is, everything that comes next would fail. Holds `_changed`.

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

    def _wait(self, call: Call, happened: Callable[[], bool]) -> bool:
        """Wait, holding `_changed`; False where the call was cancelled or its time is over before."""
        self._changed.wait_for(lambda: call.cancelled or happened(), call.remaining)
        return happened()

    @contextmanager
    def _known(self, call: Call) -> Iterator[None]:
        """Let a call be cancelled by its id, from before it begins."""
        with self._changed:
            if call.id in self._calls:
                raise ValueError(f"The query id {call.id} is in use.")
            if call.query_id in self._early_cancels:
                del self._early_cancels[call.query_id]
                call.cancelled = True
            self._calls[call.id] = call
        try:
            yield
        finally:
            with self._changed:
                del self._calls[call.id]
                self._recycle()

    @contextmanager
    def _turn(self, call: Call, alone: bool) -> Iterator[None]:
        """Wait for a place: one of those that the engine has, or the engine to itself."""
        with self._changed:
            self._wanting_alone += alone
            try:
                if not self._wait(call, lambda: self._has_place(alone)):
                    raise call.stopped(" It was still waiting for other queries.")
                self._inside += 1
                self._someone_alone = alone
            finally:
                self._wanting_alone -= alone
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._someone_alone = False
                self._changed.notify_all()

    def _has_place(self, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        blocked = self._someone_alone or self._wanting_alone
        return not blocked and self._inside < self._spec.queries

    def _ready(self, call: Call) -> Process:
        """The process, started if need be. Raises EngineUnavailable where it cannot be, or not in time."""
        with self._changed:
            process = self._current()
            if self._wait(call, lambda: process.ready or process.death is not None):
                self._greet(process)
                return process
        if call.cancelled:
            raise call.stopped("")
        raise EngineUnavailable(
            f"The engine is still starting after {call.seconds:g} s. Ask again in half a minute; nothing is lost."
        )

    def _current(self) -> Process:
        """The living process, or a new one in the place of a dead one."""
        if self._closed:
            raise EngineUnavailable("The engine is closed: the server is ending.")
        if self._process is None or self._process.doomed:
            self._process = Process(self._plan(), self._changed, self._recycle)
        return self._process

    def _plan(self) -> Launch:
        opening = {
            "kind": self._spec.kind,
            "config": dict(self._spec.config),
            "memory_mb": self._spec.memory_mb,
            "isolation": self._spec.isolation,
            "is_remote": self._is_remote and self._spec.serves_storage,
            "schema": self.schema,
            "catalog": self._spec.catalog,
            "parting": self._spec.parting_seconds / 2,  # then it ends its sessions, which takes time as well
            "secret": self._spec.secret,
            "plain_paths": self._spec.plain_paths,
            "files": self._fence(),
            "lake": self.lake.address,
            "tables": self._catalog.locations(),
            "edition": self._catalog.edition,
            "threads": self._spec.queries * (_SPARE_THREADS if self._spec.parting_seconds else 1),
        }
        store = StoreServer(self.lake) if self._is_remote and self._spec.serves_storage else None
        gateway = Gateway(store.answer) if store is not None else None
        environment = child_environment(storage=store is None) | {"TZ": "UTC"} | dict(self._spec.environment)
        opening["gateway"] = gateway.descriptor if gateway is not None else None
        return Launch(
            environment,
            opening,
            self.settings.state,
            self._spec.start_seconds,
            self.settings.engine_temp_mb,
            self._spec.parting_seconds,
            gateway,
            store,
        )

    def _fence(self) -> dict[str, Any] | None:
        """What the process may read (None: anything) and write besides temporary files; None where it has no fence."""
        if self.settings.engine_isolation == "off":
            return None
        if self._is_remote and self._spec.serves_storage:
            places = list(AUTHORITIES)
        elif self.lake.directory is not None:
            places = self._places(self.lake.directory)
        else:
            return None
        return {
            "readable": places if self._spec.reads_lake_only else None,
            "writable": list(self._spec.caches),
            "required": self.settings.engine_isolation == "required",
        }

    def _places(self, folder: Path) -> list[str]:
        """Where the lake really is; a table in it may be a link to another disk."""
        places = [str(folder), *self._catalog.locations().values()]
        return sorted({str(Path(place).resolve()) for place in places})

    def _greet(self, process: Process) -> None:
        """Raise where it never became ready; pass its warnings on, each of them once."""
        if process.failure is not None:
            raise EngineUnavailable(f"The {self.name} engine did not start: {process.failure}")
        for warning in set(process.warnings) - self._warned:
            log.warning(warning)
            self._warned.add(warning)

    def _recycle(self) -> None:
        """Replace a process that goes on with what has ended, or holds much memory while idle. Holds `_changed`."""
        process, ceiling = self._process, self._spec.memory_mb
        if process is None or process.doomed or self._closed:
            return
        if process.restless:
            log.info("The engine goes on with what has ended: a new process takes over.")
            process.kill(min(process.restless))
            self._replace(process)
        elif not self._calls and (excess := self._excess(process, ceiling)):
            log.info("The engine %s while idle: a new process takes over.", excess)
            process.retire()
            self._replace(process)

    def _excess(self, process: Process, ceiling: int | None) -> str:
        """What an idle process holds too much of, empty where it does not."""
        if ceiling is not None and process.held > _HELD_SHARE * (ceiling << 20):
            return f"holds {process.held >> 20} MiB"
        if (left := process.temp_bytes) > _LITTER_SHARE * (self.settings.engine_temp_mb << 20):
            return f"keeps {left >> 20} MiB of temporary files"
        return ""

    def _replace(self, process: Process) -> None:
        """Start the process that takes the place of one that was told to end. Holds `_changed`."""
        if self._process is process and not self._closed:
            self._current()
