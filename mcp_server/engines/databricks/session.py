"""One session of a SQL warehouse and one statement in it, through databricks-sql-connector 4.9.

The connector is imported when the first session is opened: that takes 3.5 s.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lakehouse.errors import QueryFailed, ResourceLimit, UsageError
from mcp_server.engines.databricks.errors import translate_errors
from mcp_server.engines.remote.arrow import arrow_table, in_utc, spark_types
from mcp_server.engines.wire import MAX_RESULT_BYTES
from mcp_server.models import Caps, ResultSet
from mcp_server.results.cutting import Cutter

if TYPE_CHECKING:
    from mcp_server.engines.databricks.sign_in import SignIn

_QUERY = re.compile(r"\s*(?:\(\s*)*(?:SELECT|WITH|FROM|VALUES|TABLE|SHOW|DESCRIBE|DESC|EXPLAIN)\b", re.IGNORECASE)
_MOST_STATEMENTS = 500
_BATCH_ROWS = 500
"""Rows per fetch; the total size is checked after each."""
_BATCH_BYTES = 4 << 20
"""Maximal size of a batch, unless a single row is larger. All callers' batches are in the server's memory."""


@dataclass(frozen=True)
class Warehouse:
    """The address of a warehouse. `uri` replaces host and path for a warehouse without TLS in tests."""

    host: str
    http_path: str
    catalog: str
    schema: str
    statement_seconds: int
    """When the warehouse itself stops a statement: after every deadline, in case the server is gone by then."""
    socket_seconds: float = 60.0
    uri: str | None = None

    @property
    def names(self) -> Mapping[str, str]:
        """The replacements of its addresses in texts for callers."""
        identifier = self.http_path.rstrip("/").rpartition("/")[2]
        shown = {self.host: "<workspace>", self.http_path: "<warehouse>", identifier: "<warehouse>"}
        return {name: word for name, word in shown.items() if name}


def load_connector() -> None:
    """Import the connector. Raises UsageError, with the command, where it is not installed."""
    try:
        from databricks import sql  # noqa: F401  (loaded early, used later)
    except ImportError as error:
        raise UsageError(
            f"The databricks engine is not installed ({error.name} is missing). "
            "Run: pip install 'imdb-lakehouse-mcp[databricks]'"
        ) from error
    # Failures are raised and reported once; the connector logs them too, with host names and stacks.
    logging.getLogger("databricks.sql").setLevel(logging.CRITICAL)
    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)  # it warns of hosts that have no address to discover


class Session:
    """An open session, for one statement at a time. Raises the exceptions of `translate_errors`."""

    def __init__(self, warehouse: Warehouse, sign_in: SignIn) -> None:
        from databricks import sql

        self._warehouse = warehouse
        self._statements = 0
        self._only_queries = True
        uri = {} if warehouse.uri is None else {"_connection_uri": warehouse.uri}
        with translate_errors(warehouse.names):
            self._connection: Any = sql.connect(
                server_hostname=warehouse.host,
                http_path=warehouse.http_path,
                catalog=warehouse.catalog,
                schema=warehouse.schema,
                session_configuration={
                    "ansi_mode": "true",  # spelled as in the connector's own tests against real warehouses
                    "timezone": "UTC",
                    "STATEMENT_TIMEOUT": str(warehouse.statement_seconds),
                },
                user_agent_entry="imdb-lakehouse-mcp",
                enable_telemetry=False,  # where that is blocked, opening would take half a minute longer
                use_cloud_fetch=False,  # answers are small; links to storage would need a way there
                _socket_timeout=warehouse.socket_seconds,
                # One attempt and no more, which only the older of its two ways to try again can promise.
                _enable_v3_retries=False,
                _retry_stop_after_attempts_count=1,
                _retry_delay_max=60,  # where Retry-After is cut, in `bounded-retry-delay`
                **uri,
                **sign_in.to_arguments(),
            )

    @property
    def is_reusable(self) -> bool:
        """Whether the session is unchanged and has statements left: the connector keeps every cursor."""
        return self._only_queries and self._statements < _MOST_STATEMENTS

    def submit(self, sql: str, most_rows: int) -> WarehouseStatement:
        """Submit a statement to the warehouse, which runs it and keeps at most `most_rows` rows of its result."""
        self._statements += 1
        self._only_queries &= _QUERY.match(sql) is not None
        cursor = self._connection.cursor(
            arraysize=min(most_rows, 10_000), buffer_size_bytes=_BATCH_BYTES, row_limit=most_rows
        )
        with translate_errors(self._warehouse.names):
            cursor.execute_async(sql)
        return WarehouseStatement(cursor, self._warehouse.names, most_rows)

    def close(self) -> None:
        """Close the session and the statements in it. Never raises: the connector swallows every failure."""
        self._connection.close()


@dataclass
class WarehouseStatement:
    """A statement that the warehouse has accepted."""

    cursor: Any
    names: Mapping[str, str]
    most_rows: int
    _command: Any = field(init=False)

    def __post_init__(self) -> None:
        self._command = self.cursor.active_command_id

    def is_pending(self) -> bool:
        """Whether the statement waits or runs. Raises QueryFailed where it has failed."""
        from databricks.sql.backend.types import CommandState

        with translate_errors(self.names):
            state = self.cursor.get_query_state()
        if state is CommandState.FAILED:  # without an error: the warehouse's own time limit
            raise QueryFailed("The warehouse stopped the statement: it ran longer than STATEMENT_TIMEOUT allows.")
        return state in {CommandState.PENDING, CommandState.RUNNING}

    def cancel(self) -> None:
        """Request a cancel, which may come too early to have an effect: repeat it until the statement has ended."""
        with translate_errors(self.names):
            self.cursor.cancel()

    def fetch(self, caps: Caps | None, tick: Callable[[], None]) -> ResultSet:
        """Fetch the rows of an ended statement, within `caps`. Raises ResourceLimit where they are too large."""
        kept = Cutter(caps, tick)
        types: tuple[str, ...] = ()
        with translate_errors(self.names):
            self.cursor.get_async_execution_result()
            rows = size = 0
            while rows < self.most_rows:
                tick()
                batch = arrow_table(self.cursor.fetchmany_arrow(min(_BATCH_ROWS, self.most_rows - rows)))
                types = types or spark_types(batch.schema)
                if batch.num_rows or not rows:
                    kept.add(in_utc(batch))
                if not batch.num_rows:
                    break
                rows, size = rows + batch.num_rows, size + batch.nbytes
                if size > MAX_RESULT_BYTES:
                    raise ResourceLimit(
                        f"The answer is larger than {MAX_RESULT_BYTES >> 20} MiB. Name the columns that you need, or "
                        "aggregate."
                    )
        return replace(kept.result(), types=types)

    def close(self) -> None:
        """Release the statement in the warehouse. A cursor does so only where rows were fetched from it."""
        with translate_errors(self.names):
            if self.cursor.active_result_set is not None:
                self.cursor.close()
            else:
                self.cursor.backend.close_command(self._command)
