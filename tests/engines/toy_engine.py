"""A toy: DuckDB as an engine, the worked example of docs/new-engine.md.

It copies a lake's tables into a database of its own, in memory, and answers there. What it needs of the project is
what any engine in the server's own process needs: `Admission`, `LakeCatalog`, `TableStatistics` and `cut`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import duckdb
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from lakehouse.errors import EngineUnavailable, QueryFailed
from lakehouse.manifest import Column
from lakehouse.session import Capabilities, Stage
from lakehouse.storage import Lake
from mcp_server.engines.admission import Admission
from mcp_server.engines.call import EngineCall
from mcp_server.engines.catalog import LakeCatalog
from mcp_server.engines.remote.arrow import spark_types
from mcp_server.engines.table_statistics import TableStatistics
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, TableInfo, Version
from mcp_server.results.cutting import cut, plan_of
from mcp_server.settings import Settings

T = TypeVar("T")

_INTERRUPT_EVERY = 0.05
"""An interrupt that comes before the statement is lost: it is repeated until the statement has ended."""


class ToyEngine:
    """Keeps the Engine contract with DuckDB, in this process."""

    name = "toy"
    capabilities = Capabilities(
        dialect="spark",  # it runs what was sent, and no rewrite
        readings=(),
        optimize=False,
        ordered_write=False,
        metered=False,
        shared=False,
        pinned_logs=False,
        object_storage=False,
    )

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.lake = lake
        self.schema = settings.schema_name
        self._tables = LakeCatalog(lake, plain_names=True)
        self._statistics = TableStatistics(self._tables)
        self._admission = Admission(settings.max_concurrent_queries)
        self._database = duckdb.connect()
        self._loading = threading.Lock()
        self._loaded = 0

    # The lake: everything here is read from the lake itself, so no engine is asked.

    def tables(self) -> tuple[TableInfo, ...]:
        # A version would be pinned by the guard in each statement, and DuckDB knows no VERSION AS OF.
        return tuple(replace(table, version=None) for table in self._tables.tables())

    def refresh(self) -> tuple[TableInfo, ...]:
        return self.tables()  # the catalogue looks at the lake each time

    def estimate(self, query: CheckedQuery) -> Estimate:
        return self._statistics.estimate(query)

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        return self._statistics.bounds(table, version)

    def history(self, table: str, most: int) -> None:
        """It keeps no versions."""

    def null_shares(self, table: str) -> Mapping[str, float]:
        return self._statistics.null_shares(table)

    def columns(self, table: str, version: Version) -> tuple[Column, ...] | None:
        return self._statistics.columns(table, version)

    # Statements: each is a call that is admitted, runs in a thread, and ends in time.

    def start(self) -> None:
        with self._connected():
            pass

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        def run(connection: DuckDBPyConnection) -> ResultSet:
            found = connection.sql(query.sql)
            table = found.limit(query.limit.fetch).to_arrow_table().rename_columns(found.columns)
            return ResultSet(table, spark_types(table.schema))

        found = self._perform(EngineCall(query_id, "run", {}, query.deadline_seconds), run)
        return found if caps is None else cut(found, caps, lambda: None)

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        def plan(connection: DuckDBPyConnection) -> str:
            return connection.sql(query.sql).explain()

        found = self._perform(EngineCall(query_id, "explain", {}, query.deadline_seconds), plan)
        return cut(plan_of(found), caps, lambda: None)

    def read(self, sql: str, tables: frozenset[str], stage: Stage, query_id: str) -> EngineReading | None:
        return None  # as `capabilities.readings` says

    def cancel(self, query_id: str) -> None:
        self._admission.cancel(query_id)

    def waits_for(self, query_id: str) -> str:
        return ""

    def close(self) -> None:
        self._admission.close(seconds=5)
        self._database.close()

    def _perform(self, call: EngineCall, work: Callable[[DuckDBPyConnection], T]) -> T:
        """Do the work of a call in a thread, and interrupt it once it is cancelled or its time is over."""
        with (
            self._admission.register_call(call),
            self._admission.hold_place(call),
            self._connected() as connection,
            ThreadPoolExecutor(1, "toy") as threads,
        ):
            running = threads.submit(work, connection)
            running.add_done_callback(self._tell)
            with self._admission.changed:
                self._admission.wait_for(call, lambda: running.done() or self._admission.is_closed)
            while not running.done():
                connection.interrupt()
                wait([running], _INTERRUPT_EVERY)
            try:
                return running.result()
            except duckdb.InterruptException as error:
                if self._admission.is_closed:
                    raise EngineUnavailable("The engine was closed while the query ran.") from error
                raise call.to_error("") from error
            except duckdb.Error as error:
                raise QueryFailed(str(error).splitlines()[0]) from error

    def _tell(self, _: Future[T]) -> None:
        with self._admission.changed:
            self._admission.changed.notify_all()

    @contextmanager
    def _connected(self) -> Iterator[DuckDBPyConnection]:
        """A connection of a statement's own, which knows the tables as the lake is now."""
        with self._loading:
            locations = self._tables.locations()
            if self._loaded != self._tables.edition:
                self._load(locations)
                self._loaded = self._tables.edition
        with self._database.cursor() as connection:
            connection.execute(f"USE {self.schema}; SET TimeZone = 'UTC'")
            yield connection

    def _load(self, locations: Mapping[str, str]) -> None:
        self._database.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")
        for table in self._tables.tables():
            if not table.problem:
                rows = DeltaTable(locations[table.name], version=table.version).to_pyarrow_table()
                self._database.register("incoming", rows)
                self._database.execute(f'CREATE OR REPLACE TABLE {self.schema}."{table.name}" AS FROM incoming')
                self._database.unregister("incoming")
