"""The Databricks engine: what it is asked for, and what becomes of a statement whose caller has left.

Nothing connects before a statement needs it: a warehouse that is asked anything starts, and is paid for.
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
from mcp_server.engines.call import Call
from mcp_server.engines.databricks.pool import Pool
from mcp_server.engines.databricks.runs import Lane, Run, StoppedError
from mcp_server.engines.databricks.session import Warehouse, load_connector
from mcp_server.engines.databricks.sign_in import IDENTITY_SERVICE, SignIn, workspace
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
        self._catalog = RemoteCatalog(lake.address, self._run_own)
        self._admission = Admission(settings.max_concurrent_queries)

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
        with self._catalog.learning():
            return self._perform(Call(query_id, "run", {}, query.deadline_seconds), query.sql, query.limit.fetch, caps)

    def explain(self, query: CheckedQuery, mode: str, query_id: str, caps: Caps) -> ResultSet:
        """The warehouse's plan of a checked query, without locations."""
        call = Call(query_id, "explain", {}, query.deadline_seconds)
        found = self._perform(call, explain_statement(query.sql, mode), _PLAN_ROWS)
        plan = hide_addresses("\n".join(str(line) for line in found.table.column(0).to_pylist()))
        return cut(plan_of(plan), caps, lambda: None)

    def estimate(self, query: CheckedQuery) -> Estimate:
        """The size of each table that a query names, by DESCRIBE DETAIL: `exact` is False.

        What a view reads is not known without running it, so a view is no scan of the estimate; nor is a table
        of another format than Delta.
        """
        return self._catalog.estimate(query)

    def bounds(self, table: str, version: Version | None = None) -> Mapping[str, tuple[int, int]]:
        """Nothing: the files' statistics are the warehouse's own."""
        return self._catalog.bounds(table, version)

    def columns(self, table: str, version: Version) -> None:
        """Nothing: the warehouse resolves the names and types of its old versions itself."""

    def cancel(self, query_id: str) -> None:
        """Stop a query, also one that is only about to come: its id is remembered for a while."""
        self._admission.cancel(query_id)

    def waits_for(self, query_id: str) -> str:
        """What the warehouse lets a query wait for."""
        call = self._admission.find(query_id)
        return call.waiting_for if call is not None else ""

    def close(self) -> None:
        """Stop what runs and close all sessions. Calls under way raise EngineUnavailable."""
        self._admission.close(_STOP_SECONDS)
        self._pool.close()

    def _run_own(self, sql: str) -> ResultSet:
        """Run a statement of the server's own."""
        return self._perform(Call.of_own({}, self._settings.query_timeout_seconds), sql, LISTING_ROWS, listing_caps())

    def _perform(self, call: Call, sql: str, most_rows: int, caps: Caps | None = None) -> ResultSet:
        """Let a statement run in a thread of its own, and leave it there where its time is over."""
        run, changed = Run(call, sql, most_rows, caps), self._admission.changed
        with self._admission.registered(call), changed:
            self._admission.enter(call)
            threading.Thread(target=self._work, args=[run], name=f"warehouse {call.id}", daemon=True).start()
            self._admission.wait_for(call, lambda: run.done or self._admission.is_closed)
            if not run.done:
                run.stop.set()
                changed.wait_for(lambda: run.done, _STOP_SECONDS)
            return self._outcome(run)

    def _outcome(self, run: Run) -> ResultSet:
        """The result, or the error to raise. Holds `changed`."""
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
        raise run.call.stopped("" if run.done else " The warehouse has not confirmed it yet and is asked again.")

    def _work(self, run: Run) -> None:
        """Run a statement to its end; its place is free again once the warehouse is done with it."""
        try:
            run.result = self._lane.perform(run)
        except BaseException as error:  # noqa: BLE001  (raised again in the thread of who asked)
            run.error = error
        finally:
            with self._admission.changed:
                run.done = True
                self._admission.leave()
