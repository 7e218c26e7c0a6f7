"""Statements of the commands on a lake's context: on the path of a tool call, audited, and without spending on AI."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio

from ai_functions.service import open_service
from lakehouse.errors import LakehouseError, QueryError
from lakehouse.storage import Lake
from mcp_server.audit import AuditEvent, AuditLog
from mcp_server.auth import os_user
from mcp_server.engines import Engine
from mcp_server.engines.choice import create_engines
from mcp_server.models import TableInfo
from mcp_server.results import Answer
from mcp_server.runs import Call
from mcp_server.service import StatementService
from mcp_server.settings import Settings

if TYPE_CHECKING:
    from mcp_server import checking

_NOTHING_TO_SPEND: Final = {"ai_caller_hour_budget": 0.0}


class Statements:
    """Runs statements on a lake, one after the other."""

    def __init__(self, service: StatementService, settings: Settings, tool: str) -> None:
        """`tool` is what the audit calls the command."""
        self._service = service
        self._audit = AuditLog(settings.audit_path, round(settings.audit_max_mb * 2**20), settings.audit_files)
        self._tool = tool

    @property
    def engine(self) -> Engine:
        """The engine that most statements run on."""
        return self._service.main_engine

    def list_tables(self) -> tuple[TableInfo, ...]:
        """List the tables and views of the lake. Raises LakeError."""
        return self.engine.tables()

    def run_sql(self, sql: str, most_rows: int | None = None) -> Answer:
        """Run a statement as a caller's. Raises as `StatementService.run_sql` does."""
        return self._audited(sql, lambda call: anyio.run(self._service.run_sql, call, sql, most_rows))

    def run_template(self, template: str, arguments: Mapping[str, checking.Argument], most_rows: int) -> Answer:
        """Run a template with its markers filled in. Raises as `StatementService.run_template` does."""
        return self._audited(
            None, lambda call: anyio.run(self._service.run_template, call, template, arguments, most_rows)
        )

    def _audited(self, sql: str | None, run: Callable[[Call], Answer]) -> Answer:
        self._audit.require_writable()
        principal = os_user()
        event = AuditEvent(self._tool, principal.name, self.engine.name, sql_sent=sql)
        try:
            return run(Call(principal, event, _report_nothing))
        except LakehouseError as error:
            event.verdict = "failed"
            event.code = error.code if isinstance(error, QueryError) else type(error).__name__
            raise
        except BaseException:
            event.verdict = "cancelled"
            raise
        finally:
            self._audit.write(event)


@contextmanager
def open_statements(settings: Settings, lake: Lake, tool: str) -> Iterator[Statements]:
    """Open the engines of a lake for the command `tool`, and end them. Raises UsageError, LakeError."""
    settings = settings.model_copy(update=_NOTHING_TO_SPEND)
    service = StatementService(create_engines(settings, lake), settings, open_service(settings, lake))
    try:
        yield Statements(service, settings, tool)
    finally:
        service.close()


async def _report_nothing(_message: str) -> None:
    """Nobody waits for the stages of a statement."""
