"""Counts that only help an answer: how many rows a cut one has, and what is known of one thing that it is about.

An answer does not depend on them, so none is paid for, takes much longer than the query did, or fails the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from lakehouse.errors import EngineUnavailable, QueryError
from mcp_server import checking
from mcp_server.audit import AuditEvent
from mcp_server.fetching import may_stop_early
from mcp_server.models import CheckedQuery
from mcp_server.router import Allowed
from mcp_server.terms import OWN_SQL_BYTES, CallerSql, Template, catalog_of

MOST_QUERY_SECONDS: Final = 5.0
"""A query that took longer is not run once more for the sake of its answer: it would not end in time."""

_MOST_COUNT_SECONDS: Final = 2.0
_LEAST_COUNT_SECONDS: Final = 0.2
"""How long a count may take: as long as its query did, within these bounds."""


class AnswerCounter:
    """Counts for the answer to one query, on its engine and tables.

    `begin_query` makes a further query of the run known by its id, and returns the engine's reader for it.
    """

    def __init__(
        self,
        allowed: Allowed,
        query: CheckedQuery,
        query_id: str,
        query_seconds: float,
        begin_query: Callable[[str], checking.Read],
        event: AuditEvent,
    ) -> None:
        self._allowed = allowed
        self._query = query
        self._query_id = query_id
        self._begin_query = begin_query
        self._event = event
        self._is_off = allowed.engine.capabilities.metered or query_seconds > MOST_QUERY_SECONDS
        seconds = max(min(query_seconds, _MOST_COUNT_SECONDS), _LEAST_COUNT_SECONDS)
        self._limits = checking.Limits(1, OWN_SQL_BYTES, seconds)

    def count_rows(self) -> int | None:
        """Count the rows of a caller's query that was cut; None where that is paid for, or takes too long."""
        if self._is_off or may_stop_early(self._query):
            return None
        row = self._run_count(CallerSql(checking.wrap_in_count(self._query)), "rows")
        return None if row is None else int(row[0])

    def count_one(self, text: str, arguments: Mapping[str, Any]) -> tuple[int, int] | None:
        """Count what is known of one thing, by a template; None where that is paid for, or takes too long."""
        if self._is_off:
            return None
        row = self._run_count(Template(text, arguments, 1), "one")
        return None if row is None or None in row else (int(row[0]), int(row[1]))

    def _run_count(self, sql: CallerSql | Template, label: str) -> list[Any] | None:
        """Return the row of a statement; None where it is refused or fails."""
        engine, query_id = self._allowed.engine, f"{self._query_id}-{label}"
        read = self._begin_query(query_id)
        try:
            counted = sql.check(catalog_of(engine, self._allowed.tables), self._limits, self._query.principal, read)
            if not isinstance(counted, CheckedQuery) or counted.caveats:
                return None
            self._event.sql_run.append(counted.sql)
            return [column[0].as_py() for column in engine.execute(counted, query_id).table.columns]
        except (QueryError, EngineUnavailable):  # a cancel is noticed by whoever reads the answer
            return None
