"""The Engine protocol over a child process, and which query is to blame when the process dies.

`embedded.py`, `spark.py` and `connect.py` specify the process to start; this module is common to all three.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lakehouse.delta import Commit, LogAudit
from lakehouse.errors import EngineUnavailable, UsageError
from lakehouse.manifest import Column
from lakehouse.session import CAPABILITIES, Stage
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.admission import Admission
from mcp_server.engines.call import EngineCall
from mcp_server.engines.local.launch import plan_launch
from mcp_server.engines.local.process import Death
from mcp_server.engines.local.spec import EngineSpec
from mcp_server.engines.local.supervisor import Supervisor
from mcp_server.engines.local.verdicts import raise_failure, raise_verdict
from mcp_server.engines.recent import Recent
from mcp_server.engines.table_statistics import TableStatistics
from mcp_server.engines.tables import TableMetadata, Tables
from mcp_server.engines.wire import Frame
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, TableInfo, Version
from mcp_server.settings import Settings

_TIMES_A_BYSTANDER = 2
"""How often a query may lose its process to another query before it runs alone in the next one."""
_READINGS = 512
"""Size of the cache of readings: a text over the same tables of the same edition of a lake has one reading."""


class LocalEngine:
    """Implements the Engine protocol with one child process at a time, started on first use."""

    def __init__(
        self, spec: EngineSpec, tables: Tables, settings: Settings, facts: TableMetadata | None = None
    ) -> None:
        """`facts` is for tables whose logs cannot be read here. Raises UsageError where no child can be started."""
        if os.name == "nt":  # it inherits sockets and a lock by their descriptors
            raise UsageError(
                f"The {spec.kind} engine needs Linux or macOS. On Windows run this program in WSL, or use --engine "
                "databricks."
            )
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
        """Start the engine. Raises LakeError where there is no lake, EngineUnavailable with the reason."""
        self._supervisor.start()

    @property
    def lake(self) -> Lake:
        return self._catalog.lake

    @property
    def process_id(self) -> int | None:
        """The id of the engine's process, None while there is none."""
        return self._supervisor.process_id

    def tables(self) -> tuple[TableInfo, ...]:
        """Return all tables and views, read from the lake without the engine."""
        return self._catalog.tables()

    def refresh(self) -> tuple[TableInfo, ...]:
        """Return all tables as they are now; `tables()` may be a few seconds behind in a lake of many folders."""
        return self._catalog.refresh()

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        """Run a checked query until it ends, reaches its deadline or is cancelled."""
        within = None if caps is None else [caps.payload_bytes, caps.cell_chars]
        extra = (0, 0) if caps is None else (caps.kept_rows + 1, caps.kept_bytes)
        fields = {"fetch": query.limit.fetch, "caps": within, "extra": extra} | self._describe_statement(
            query.sql, query.tables
        )
        return self._fetch_rows(EngineCall(query_id, "run", fields, query.deadline_seconds))

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        """Return the engine's plan of a checked query, with table names in place of locations."""
        within = (caps.payload_bytes, caps.cell_chars)
        fields = {"mode": mode, "caps": within} | self._describe_statement(query.sql, query.tables)
        return self._fetch_rows(EngineCall(query_id, "explain", fields, query.deadline_seconds))

    def read(self, sql: str, tables: frozenset[str], stage: Stage, query_id: str) -> EngineReading | None:
        """Return what the engine itself reads in a text, None at a stage that it does not support."""
        if stage not in self.capabilities.readings:
            return None
        about = self._describe_statement(sql, tables)
        key = (sql, stage, about["edition"], frozenset(about["tables"].items()))
        if (known := self._readings.get(key)) is not None:
            return known
        call = EngineCall(f"{query_id}.{stage}", "read", {"stage": stage} | about, self.settings.query_timeout_seconds)
        found = self._perform_call(call).fields
        reading = EngineReading(stage, *(frozenset(found[name]) for name in ("tables", "functions", "kinds")))
        self._readings.put(key, reading)
        return reading

    def estimate(self, query: CheckedQuery) -> Estimate:
        """Estimate what a query would read: whole files after pruning. Raises LakeError on an unreadable table log."""
        return self._facts.estimate(query)

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Return the minimum and maximum of each integer column that has statistics in all files of a table.

        Raises LakeError, QueryFailed where there is no such version.
        """
        return self._facts.bounds(table, version)

    def null_shares(self, table: str) -> Mapping[str, float]:
        """Return the share of nulls of each column that has statistics in all files. Raises LakeError."""
        return self._facts.null_shares(table)

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        """Return the columns of a version of a table. Raises as `bounds` does."""
        return self._facts.columns(table, version)

    def history(self, table: str, most: int) -> list[Commit] | None:
        """Return the newest versions that may be read, the last one first. Raises LakeError."""
        return self._facts.history(table, most)

    def cancel(self, query_id: str) -> None:
        """Cancel a query. The id of a query that has not arrived yet is remembered for a while."""
        self._admission.cancel(query_id)

    def waits_for(self, query_id: str) -> str:
        """Say that the query waits for the process that replaces one that has ended."""
        is_underway = self._admission.find_call(query_id) is not None
        return "the engine starts again" if is_underway and self._supervisor.is_starting else ""

    def close(self) -> None:
        """End the process and everything that it started. Running calls raise EngineUnavailable."""
        self._admission.close()
        self._supervisor.close()

    def _describe_statement(self, sql: str, tables: Iterable[str]) -> dict[str, Any]:
        """Return the statement, the locations of its tables, and the edition of the lake that they belong to."""
        locations = self._catalog.registrations(tables)
        if self._audit is not None:
            for location in locations.values():
                self._audit.check(location)
        return {"sql": sql, "tables": locations, "edition": self._catalog.edition}

    def _fetch_rows(self, call: EngineCall) -> ResultSet:
        frame = self._perform_call(call)
        import pyarrow as pa

        with pa.ipc.open_stream(pa.py_buffer(frame.payload)) as stream:
            missing = {(row, column): chars for row, column, chars in frame.fields["missing"]}
            return ResultSet(
                stream.read_all(),
                tuple(frame.fields["types"]),
                rows=frame.fields["rows"],
                is_all=frame.fields["is_all"],
                missing=missing,
            )

    def _perform_call(self, call: EngineCall) -> Frame:
        try:
            with self._admission.register_call(call):
                return self._run_until_answered(call)
        finally:
            self._supervisor.recycle_process()

    def _run_until_answered(self, call: EngineCall) -> Frame:
        deaths: list[Death] = []
        while True:
            alone = self._judge_deaths(call, deaths)
            with self._admission.hold_place(call, alone=alone):
                process = self._supervisor.await_process(call)
                outcome = self._supervisor.send_call(process, call)
            if isinstance(outcome, Frame):
                raise_failure(outcome, call, self._spec.ceiling_mb)
                return outcome
            deaths.append(outcome)

    def _judge_deaths(self, call: EngineCall, deaths: Sequence[Death]) -> bool:
        """Decide from the deaths of its processes whether a call must run alone; raise where it is to blame.

        A call that ran alone is to blame. Among several the culprit is unknown, so each is retried alone: the
        bystanders get their answer, and the culprit ends nothing but its own process. A process that was killed for
        another query counts against no call: its bystanders run again as long as their time lasts.
        """
        if deaths and self._admission.is_closed:
            raise EngineUnavailable("The engine was closed while the query ran.")
        unforeseen = [death for death in deaths if death.killed_for is None]
        if len(unforeseen) > 1 or any(death.unanswered <= {call.id} for death in unforeseen):
            raise_verdict(unforeseen[-1], self._spec.ceiling_mb)
        return bool(unforeseen) or len(deaths) >= _TIMES_A_BYSTANDER
