"""The Databricks engine: a SQL warehouse, through databricks-sql-connector in the server's own process.

Nothing connects before a statement needs it: a warehouse that is asked anything starts, and is paid for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

from lakehouse.breaker import Breaker
from lakehouse.errors import EngineUnavailable, QueryFailed, UsageError
from lakehouse.session import CAPABILITIES, Stage
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.call import Call
from mcp_server.engines.databricks_auth import IDENTITY_SERVICE, SignIn, workspace
from mcp_server.engines.databricks_errors import hide_addresses
from mcp_server.engines.databricks_pool import Pool
from mcp_server.engines.databricks_runs import Lane, Run, StoppedError
from mcp_server.engines.databricks_session import Warehouse, load_connector
from mcp_server.engines.remote_catalog import LISTING_ROWS, Listing, RemoteCatalog, listing_caps, quoted, read_listing
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, ScanEstimate, TableInfo, Version
from mcp_server.results.cutting import cut, plan_of
from mcp_server.settings import Settings

IDLE_SECONDS = 60.0
_STOP_SECONDS = 5.0
"""How long a caller waits for the warehouse to confirm that it has stopped a statement."""
_EARLY_CANCELS = 256
_PLAN_ROWS = 1_000
_EXPLAIN = {"simple": "", "extended": "EXTENDED ", "codegen": "CODEGEN ", "cost": "COST ", "formatted": "FORMATTED "}


class DatabricksEngine:
    """Keeps the Engine contract with a SQL warehouse.

    Raises UsageError, naming the settings, where the lake is no `catalog.schema` or the settings do not say where the
    warehouse is and how to sign in. `uri` and `identity_service` lead to stand-ins of both in tests.
    """

    name = "databricks"

    def __init__(
        self,
        lake: Lake,
        settings: Settings,
        *,
        uri: str | None = None,
        identity_service: str = IDENTITY_SERVICE,
        idle_seconds: float = IDLE_SECONDS,
        breaker: Breaker | None = None,
    ) -> None:
        if lake.kind is not LakeKind.CATALOG:
            raise UsageError(
                f"--lake {lake} is no schema of a catalogue, and a warehouse reads nothing else. "
                "Give it as catalog.schema, such as --lake main.imdb."
            )
        if not settings.databricks_http_path:
            raise UsageError(
                "The databricks engine needs DATABRICKS_HTTP_PATH: see the warehouse's connection details "
                "(/sql/1.0/warehouses/…)."
            )
        self.capabilities = CAPABILITIES["databricks"]
        self.schema = lake.address
        self.lake = lake
        self._settings = settings
        catalog, schema = lake.address.split(".")
        self._warehouse = Warehouse(
            host=urlsplit(workspace(settings.databricks_host)).netloc,
            http_path=settings.databricks_http_path,
            catalog=catalog,
            schema=schema,
            statement_seconds=int(settings.query_timeout_seconds) + 60,
            uri=uri,
        )
        self._pool = Pool(idle_seconds)
        self._lane = Lane(
            self._warehouse,
            SignIn(settings, identity_service=identity_service),
            self._pool,
            breaker or Breaker("The warehouse"),
        )
        self._catalog = RemoteCatalog(lake.address, self._rows)
        self._changed = threading.Condition()
        # All that follows is read and written under `_changed`.
        self._runs: dict[str, Run] = {}
        self._early_cancels: OrderedDict[str, None] = OrderedDict()
        self._inside = 0
        self._closed = False

    def start(self) -> None:
        """Load the connector. The warehouse is left alone: it starts with the first statement."""
        load_connector()

    def tables(self) -> tuple[TableInfo, ...]:
        """All tables and views that the sign-in may read. Asks the warehouse, once."""
        return self._catalog.tables()

    def refresh(self) -> tuple[TableInfo, ...]:
        """The same, asked anew."""
        return self._catalog.refresh()

    def read(self, sql: str, tables: frozenset[str], stage: Stage, query_id: str) -> EngineReading | None:  # noqa: ARG002
        """None: a warehouse tells what it reads only by EXPLAIN, which itself runs what some statements hide."""
        return None

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        """Run a checked query to its end, its deadline or its cancellation."""
        try:
            return self._perform(Call(query_id, "run", {}, query.deadline_seconds), query.sql, query.limit.fetch, caps)
        except QueryFailed as error:
            self._catalog.learn_from(error)
            raise

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        """The warehouse's plan of a checked query, without locations."""
        sql = f"EXPLAIN {_EXPLAIN[mode]}{query.sql}"
        found = self._perform(Call(query_id, "explain", {}, query.deadline_seconds), sql, _PLAN_ROWS)
        plan = hide_addresses("\n".join(str(line) for line in found.table.column(0).to_pylist()))
        return cut(plan_of(plan), caps, lambda: None)

    def estimate(self, query: CheckedQuery) -> Estimate:
        """The size of each table that a query names, by DESCRIBE DETAIL: `exact` is False.

        What a view reads is not known without running it, so a view is no scan of the estimate; nor is a table
        of another format than Delta.
        """
        named = [table for table in self.tables() if table.name.lower() in query.tables and table.kind == "table"]
        return Estimate(tuple(scan for table in named for scan in self._detail(table.name)), exact=False)

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:  # noqa: ARG002
        """Nothing: the files' statistics are the warehouse's own."""
        return {}

    def columns(self, table: str, version: Version) -> None:
        """Nothing: the warehouse resolves the names and types of its old versions itself."""

    def cancel(self, query_id: str) -> None:
        """Stop a query, also one that is only about to come: its id is remembered for a while."""
        with self._changed:
            run = self._runs.get(query_id)
            if run is not None:
                run.call.cancelled = True
                run.stop.set()
                self._changed.notify_all()
                return
            self._early_cancels[query_id] = None
            while len(self._early_cancels) > _EARLY_CANCELS:
                self._early_cancels.popitem(last=False)

    def waits_for(self, query_id: str) -> str:
        """What the warehouse lets a query wait for."""
        with self._changed:
            run = self._runs.get(query_id)
        return run.waiting_for if run is not None else ""

    def close(self) -> None:
        """Stop what runs and close all sessions. Calls under way raise EngineUnavailable."""
        with self._changed:
            self._closed = True
            for run in self._runs.values():
                run.stop.set()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._inside == 0, _STOP_SECONDS)
        self._pool.close()

    def _rows(self, sql: str) -> Listing:
        """The rows of a statement of the server's own."""
        call = Call(f"own-{uuid4().hex[:12]}", "run", {}, self._settings.query_timeout_seconds)
        return read_listing(self._perform(call, sql, LISTING_ROWS, listing_caps()))

    def _detail(self, name: str) -> Iterator[ScanEstimate]:
        sql = f"DESCRIBE DETAIL {quoted(self._warehouse.catalog, self._warehouse.schema, name)}"
        call = Call(f"own-{uuid4().hex[:12]}", "run", {}, self._settings.query_timeout_seconds)
        try:
            (row,) = self._perform(call, sql, 2).table.select(["numFiles", "sizeInBytes"]).to_pylist()
        except QueryFailed:
            return  # no Delta table, or its details are not ours to see
        files, size = row["numFiles"], row["sizeInBytes"]
        if files is not None and size is not None:
            yield ScanEstimate(name.lower(), None, files, files, size, size, None)

    def _perform(self, call: Call, sql: str, most_rows: int, caps: Caps | None = None) -> ResultSet:
        """Let a statement run in a thread of its own, and leave it there where its time is over."""
        run = Run(call, sql, most_rows, caps)
        with self._known(run), self._changed:
            self._take_place(run)
            threading.Thread(target=self._work, args=[run], name=f"warehouse {call.id}", daemon=True).start()
            self._changed.wait_for(lambda: run.done or run.stop.is_set(), call.remaining)
            if not run.done:
                run.stop.set()
                self._changed.wait_for(lambda: run.done, _STOP_SECONDS)
            return self._outcome(run)

    def _outcome(self, run: Run) -> ResultSet:
        """The result, or the error to raise. Holds `_changed`."""
        if run.result is not None and not run.call.cancelled:
            return run.result
        if run.error is not None and not isinstance(run.error, StoppedError):
            raise run.error
        if self._closed:
            raise EngineUnavailable("The engine was closed while the query ran.")
        if run.waiting_for and not run.call.cancelled:
            raise EngineUnavailable(f"{run.waiting_for}, for {run.call.seconds:g} s now. Ask again in half a minute.")
        raise run.call.stopped("" if run.done else " The warehouse has not confirmed it yet and is asked again.")

    def _work(self, run: Run) -> None:
        try:
            run.result = self._lane.perform(run)
        except BaseException as error:  # noqa: BLE001  (raised again in the thread of who asked)
            run.error = error
        finally:
            with self._changed:
                run.done = True
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def _known(self, run: Run) -> Iterator[None]:
        """Let a statement be cancelled by its id, from before it begins."""
        identifier = run.call.id
        with self._changed:
            if identifier in self._runs:
                raise ValueError(f"The query id {identifier} is in use.")
            if identifier in self._early_cancels:
                del self._early_cancels[identifier]
                run.call.cancelled = True
                run.stop.set()
            self._runs[identifier] = run
        try:
            yield
        finally:
            with self._changed:
                del self._runs[identifier]

    def _take_place(self, run: Run) -> None:
        """Wait for one of `max_concurrent_queries` places. Holds `_changed`."""
        free = self._changed.wait_for(
            lambda: run.stop.is_set() or self._closed or self._inside < self._settings.max_concurrent_queries,
            run.call.remaining,
        )
        if self._closed:
            raise EngineUnavailable("The engine is closed: the server is ending.")
        if run.stop.is_set() or not free:
            raise run.call.stopped("" if run.stop.is_set() else " It was still waiting for other queries.")
        self._inside += 1
