"""The operations on a statement in a session: run it, explain it, or read it without running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lakehouse.session import EngineSession, Extra, run_query
from mcp_server.engines.explaining import explain_statement
from mcp_server.engines.hiding import hide_addresses, hide_paths
from mcp_server.engines.wire import MAX_RESULT_BYTES, Frame
from mcp_server.engines.worker.locations import TableLocations
from mcp_server.engines.worker.readings import READERS
from mcp_server.engines.worker.running import Running
from mcp_server.models import Caps, ResultSet
from mcp_server.results.cutting import cut, plan_of, to_stream

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Reply:
    """The answer to a statement: a frame's `op`, its fields and its payload."""

    op: str
    fields: Mapping[str, Any]
    payload: Any = b""


Operation = Callable[[Frame, Running, "SparkSession"], Reply]
"""Performs a frame's operation in a session. Raises what the driver raises."""


class Operations:
    """The operations of one engine. `schema` holds its tables."""

    def __init__(self, engine: EngineSession, locations: TableLocations, schema: str) -> None:
        self._engine = engine
        self._locations = locations
        self._schema = schema

    def run(self, frame: Frame, running: Running, session: SparkSession) -> Reply:
        """Run a query and return its rows."""
        extra = Extra(*frame.fields["extra"])
        rows = run_query(session, frame.fields["sql"], frame.fields["fetch"], MAX_RESULT_BYTES, extra)
        return self._reply(frame, running, ResultSet(rows.table, rows.types, is_all=rows.is_all))

    def explain(self, frame: Frame, running: Running, session: SparkSession) -> Reply:
        """Return the plan of a query, with table names in place of locations."""
        sql = explain_statement(frame.fields["sql"], frame.fields["mode"])
        plan = "\n".join(str(row[0]) for row in session.sql(sql).collect())
        plan = hide_paths(plan, self._locations.list_replacements(frame.fields["tables"]))
        shown = hide_addresses(plan) if self._engine.capabilities.shared else plan
        return self._reply(frame, running, plan_of(shown))

    def read(self, frame: Frame, running: Running, session: SparkSession) -> Reply:  # noqa: ARG002
        """Return the tables and functions that the engine reads in a text."""
        known = {
            self._locations.make_readable(at): f"{self._schema}.{name}".lower()
            for name, at in frame.fields["tables"].items()
        }
        found = READERS[self._engine.kind][frame.fields["stage"]](session, frame.fields["sql"], known)
        return Reply("reading", found.to_fields())

    def _reply(self, frame: Frame, running: Running, found: ResultSet) -> Reply:
        """Reply with the rows of a result, cut to the frame's caps if it has any."""
        if (caps := frame.fields.get("caps")) is not None:
            _, kept_bytes = frame.fields.get("extra", (0, 0))
            found = cut(found, replace(Caps(*caps), kept_bytes=kept_bytes), running.raise_if_stopped)
        missing = [(*place, chars) for place, chars in found.missing.items()]
        fields = {"types": found.types, "rows": found.rows, "is_all": found.is_all, "missing": missing}
        return Reply("result", fields, to_stream(found.table))
