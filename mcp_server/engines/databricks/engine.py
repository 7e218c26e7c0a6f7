"""The Databricks engine: the Engine protocol over a SQL warehouse, and statements whose caller has left.

Nothing connects before a statement needs it: any request starts the warehouse, which then costs money.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from lakehouse.breaker import Breaker
from lakehouse.errors import EngineUnavailable, UsageError
from lakehouse.session import CAPABILITIES, Stage
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.admission import Admission
from mcp_server.engines.call import EngineCall
from mcp_server.engines.databricks.pool import Pool
from mcp_server.engines.databricks.runs import Lane, StoppedError, WarehouseRun
from mcp_server.engines.databricks.session import Warehouse, load_connector
from mcp_server.engines.databricks.sign_in import IDENTITY_SERVICE, SignIn, workspace_url
from mcp_server.engines.explaining import explain_statement
from mcp_server.engines.hiding import hide_addresses
from mcp_server.engines.remote.catalog import RemoteCatalog
from mcp_server.engines.remote.listing import LISTING_ROWS, listing_caps
from mcp_server.models import Caps, CheckedQuery, EngineReading, Estimate, ResultSet, TableInfo, Version
from mcp_server.results.cutting import cut, plan_of
from mcp_server.settings import Settings

IDLE_SECONDS = 60.0
_STOP_SECONDS = 5.0
"""How long a caller waits for the warehouse to confirm that it has stopped a statement."""
_PLAN_ROWS = 1_000


class DatabricksEngine:
    """Implements the Engine protocol over a SQL warehouse.

    Raises UsageError, naming the settings, where the lake is no `catalog.schema`, or the address of the warehouse or
    the sign-in is missing. `uri` and `identity_service` are the addresses of stand-ins in tests.
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
        if lake.kind is not LakeKind.CATALOG or lake.is_asked:
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
            host=urlsplit(workspace_url(settings.databricks_host)).netloc,
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
        self._catalog = RemoteCatalog(lake.address, self._run_own)
        self._admission = Admission(settings.max_concurrent_queries)

    def start(self) -> None:
        """Load the connector. The warehouse itself starts with the first statement."""
        load_connector()

    def tables(self) -> tuple[TableInfo, ...]:
        """Return all tables and views that the sign-in may read, queried once from the warehouse."""
        return self._catalog.tables()

    def refresh(self) -> tuple[TableInfo, ...]:
        """Query the tables from the warehouse again."""
        return self._catalog.refresh()

    def read(self, sql: str, tables: frozenset[str], stage: Stage, query_id: str) -> EngineReading | None:  # noqa: ARG002
        """Return None: a warehouse reports its reading only by EXPLAIN, which itself runs what some statements hide."""
        return None

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        """Run a checked query until it ends, reaches its deadline or is cancelled."""
        with self._catalog.forget_on_contradiction():
            return self._run_in_thread(
                EngineCall(query_id, "run", {}, query.deadline_seconds), query.sql, query.limit.fetch, caps
            )

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        """Return the warehouse's plan of a checked query, without locations."""
        call = EngineCall(query_id, "explain", {}, query.deadline_seconds)
        found = self._run_in_thread(call, explain_statement(query.sql, mode), _PLAN_ROWS)
        plan = hide_addresses("\n".join(str(line) for line in found.table.column(0).to_pylist()))
        return cut(plan_of(plan), caps, lambda: None)

    def estimate(self, query: CheckedQuery) -> Estimate:
        """Return the size of each table that a query names, from DESCRIBE DETAIL: `exact` is False.

        What a view reads is not known without running it, so a view is no scan of the estimate; nor is a table
        of another format than Delta.
        """
        return self._catalog.estimate(query)

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Return no bounds: only the warehouse reads the files' statistics."""
        return self._catalog.bounds(table, version)

    def history(self, table: str, most: int) -> None:
        """Return nothing: statements of the server's own cost money here, so that none asks for the versions."""
        return self._catalog.history(table, most)

    def null_shares(self, table: str) -> Mapping[str, float]:
        """Return no shares: only the warehouse reads the files' statistics."""
        return self._catalog.null_shares(table)

    def columns(self, table: str, version: Version) -> None:
        """Return None: the warehouse resolves the names and types of old versions itself."""

    def cancel(self, query_id: str) -> None:
        """Cancel a query. The id of a query that has not arrived yet is remembered for a while."""
        self._admission.cancel(query_id)

    def waits_for(self, query_id: str) -> str:
        """Return what the query waits for in the warehouse, empty where it runs."""
        call = self._admission.find_call(query_id)
        return call.waiting_for if call is not None else ""

    def close(self) -> None:
        """Stop the running statements and close all sessions. Running calls raise EngineUnavailable."""
        self._admission.close(_STOP_SECONDS)
        self._pool.close()

    def _run_own(self, sql: str) -> ResultSet:
        """Run a statement of the server's own."""
        return self._run_in_thread(
            EngineCall.from_own({}, self._settings.query_timeout_seconds), sql, LISTING_ROWS, listing_caps()
        )

    def _run_in_thread(self, call: EngineCall, sql: str, most_rows: int, caps: Caps | None = None) -> ResultSet:
        """Run a statement in a thread of its own, and leave it there once its time is over."""
        run, changed = WarehouseRun(call, sql, most_rows, caps), self._admission.changed
        with self._admission.register_call(call), changed:
            self._admission.enter(call)
            threading.Thread(target=self._perform_run, args=[run], name=f"warehouse {call.id}", daemon=True).start()
            self._admission.wait_for(call, lambda: run.done or self._admission.is_closed)
            if not run.done:
                run.stop.set()
                changed.wait_for(lambda: run.done, _STOP_SECONDS)
            return self._get_outcome(run)

    def _get_outcome(self, run: WarehouseRun) -> ResultSet:
        """Return the result of a run, or raise its error. Holds `changed`."""
        if run.result is not None and not run.call.cancelled:
            return run.result
        if run.error is not None and not isinstance(run.error, StoppedError):
            raise run.error
        if self._admission.is_closed:
            raise EngineUnavailable("The engine was closed while the query ran.")
        if run.call.waiting_for and not run.call.cancelled:
            raise EngineUnavailable(
                f"{run.call.waiting_for}, for {run.call.seconds:g} s now. Ask again in half a minute."
            )
        raise run.call.to_error("" if run.done else " The warehouse has not confirmed it yet and is asked again.")

    def _perform_run(self, run: WarehouseRun) -> None:
        """Run a statement to its end, then give back its place: the warehouse is done with it."""
        try:
            run.result = self._lane.perform_run(run)
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            run.error = error
        finally:
            with self._admission.changed:
                run.done = True
                self._admission.leave()
