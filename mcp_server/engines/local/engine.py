"""An engine behind a child process: what it is asked for, and who is to blame when the process dies.

`embedded.py`, `spark.py` and `connect.py` say what to start; what is here is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lakehouse.delta import LogAudit
from lakehouse.errors import EngineUnavailable
from lakehouse.manifest import Column
from lakehouse.session import CAPABILITIES, Stage
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.admission import Admission
from mcp_server.engines.call import Call
from mcp_server.engines.local.launch import plan_launch
from mcp_server.engines.local.process import Death
from mcp_server.engines.local.spec import EngineSpec
from mcp_server.engines.local.supervisor import Supervisor
from mcp_server.engines.local.verdicts import raise_failure, raise_verdict
from mcp_server.engines.recent import Recent
from mcp_server.engines.table_statistics import TableStatistics
from mcp_server.engines.tables import TableFacts, Tables
from mcp_server.engines.wire import Frame
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, TableInfo, Version
from mcp_server.settings import Settings

_TIMES_A_BYSTANDER = 2
"""How often a query may lose its process to another one; then it gets the next one to itself."""
_READINGS = 512
"""Readings to remember: the same text over the same tables of the same edition of a lake is read alike."""


class LocalEngine:
    """Keeps the Engine contract with one child process at a time, started when it is first needed."""

    def __init__(self, spec: EngineSpec, tables: Tables, settings: Settings, facts: TableFacts | None = None) -> None:
        """`facts` is for tables whose logs cannot be read here."""
        self.name: str = spec.kind
        self.schema = settings.schema_name
        self.capabilities = CAPABILITIES[spec.kind]
        self._spec = spec
        self.settings = settings
        self._catalog = tables
        reads_storage = tables.lake.kind is LakeKind.URL and not spec.serves_storage
        # For a server that reads storage itself. Other logs are looked through in the engine's process.
        self._audit = LogAudit(tables.lake) if reads_storage else None
        self._facts = facts or TableStatistics(tables)
        self._readings = Recent[tuple[object, ...], EngineReading](_READINGS)
        self._admission = Admission(spec.queries)
        self._supervisor = Supervisor(
            spec, self._admission, lambda: plan_launch(self._spec, tables, settings, self.schema)
        )

    def start(self) -> None:
        """Make the engine ready. Raises LakeError where there is no lake, EngineUnavailable with the reason."""
        self._supervisor.start()

    @property
    def lake(self) -> Lake:
        return self._catalog.lake

    @property
    def process_id(self) -> int | None:
        """The process that the engine runs in, None while there is none."""
        return self._supervisor.process_id

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
        return self._facts.estimate(query)

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Least and greatest value of each integer column that all files of a table tell.

        Raises LakeError, QueryFailed where there is no such version.
        """
        return self._facts.bounds(table, version)

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        """The columns of a version of a table. Raises as `bounds` does."""
        return self._facts.columns(table, version)

    def cancel(self, query_id: str) -> None:
        """Stop a query, also one that is only about to come: its id is remembered for a while."""
        self._admission.cancel(query_id)

    def waits_for(self, query_id: str) -> str:
        """A process that takes the place of one that has ended."""
        is_underway = self._admission.find(query_id) is not None
        return "the engine starts anew" if is_underway and self._supervisor.is_starting else ""

    def close(self) -> None:
        """End the process and everything that it started. Calls under way raise EngineUnavailable."""
        self._admission.close()
        self._supervisor.close()

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
        try:
            with self._admission.registered(call):
                return self._run(call)
        finally:
            self._supervisor.recycle()

    def _run(self, call: Call) -> Frame:
        deaths: list[Death] = []
        while True:
            alone = self._judge(call, deaths)
            with self._admission.turn(call, alone=alone):
                process = self._supervisor.await_process(call)
                outcome = self._supervisor.ask(process, call)
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
        if deaths and self._admission.is_closed:
            raise EngineUnavailable("The engine was closed while the query ran.")
        unforeseen = [death for death in deaths if death.killed_for is None]
        if len(unforeseen) > 1 or any(death.unanswered <= {call.id} for death in unforeseen):
            raise_verdict(unforeseen[-1], self.settings.engine_memory_mb)
        return bool(unforeseen) or len(deaths) >= _TIMES_A_BYSTANDER
