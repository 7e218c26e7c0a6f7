"""The composition root: settings → engine, governed path, tools → an MCP server."""

from __future__ import annotations

import logging
import threading
from importlib.metadata import version
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, InputRequiredResult
from pydantic import ValidationError

import prompts
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.settings import Settings
from lakehouse.storage import Lake
from mcp_server.audit import AuditLog
from mcp_server.auth import os_user
from mcp_server.engines import Engine
from mcp_server.query import QueryService
from mcp_server.tools import TOOLS, AppContext, build, malformed_call, observed, require_known
from mcp_server.tools.profile import Profiles

log = logging.getLogger(__name__)

NAME = "imdb-lakehouse"
PACKAGE = "imdb-lakehouse-mcp"
_HANDSHAKE = frozenset({"initialize", "server/discover", "tools/list"})
_QUIET_SECONDS = 0.05
"""How long after an answer of the handshake the warm-up begins: the answer is on the wire by then."""


class LakehouseServer(MCPServer[Any]):
    """The SDK's server with one wrapper around every tool call, and a warm-up behind the handshake."""

    def __init__(self, app: AppContext) -> None:
        tools = [build(spec) for spec in TOOLS]
        super().__init__(
            NAME,
            version=version(PACKAGE),
            instructions=prompts.read("instructions").text,
            tools=tools,
            log_level=app.settings.log_level,
            middleware=[self._watch],
        )
        self.app = app
        self._in_flight = 0
        self._idle = anyio.Event()
        self._arguments = {tool.name: list(tool.parameters["properties"]) for tool in tools}
        self._warming = False

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Every tool call of every transport comes through here."""

        async def run() -> CallToolResult | InputRequiredResult:
            require_known(name, arguments, self._arguments)
            return await super(LakehouseServer, self).call_tool(name, arguments, context)

        self._in_flight += 1
        try:
            return await observed(self.app, name, arguments, context, run)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no call is under way. For the end of the process: nothing wakes it a second time."""
        if self._in_flight:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _watch(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Start the warm-up behind the first answer, and audit a tool call too malformed to become one."""
        try:
            result = await call_next(ctx)
        except ValidationError:
            if ctx.method == "tools/call":
                self.app.audit.write(malformed_call(self.app, ctx.params))
            raise
        if ctx.method in _HANDSHAKE and not self._warming:
            self._warming = True
            start = threading.Timer(_QUIET_SECONDS, _warm_up, args=[self.app])
            start.daemon = True
            start.start()
        return result


def build_server(settings: Settings) -> LakehouseServer:
    """Put a server together from settings. Nothing is started and no driver is imported.

    Raises UsageError where no lake is named.
    """
    return assemble(settings, _engine(settings, lake_of(settings)))


def assemble(settings: Settings, engine: Engine) -> LakehouseServer:
    """Put a server together around an engine."""
    service = QueryService(engine, settings)
    return LakehouseServer(AppContext(settings, service, Profiles(service), AuditLog(settings.audit_path), os_user()))


def lake_of(settings: Settings) -> Lake:
    """The lake that the settings name. Raises UsageError where they name none."""
    if settings.lake is None:
        raise UsageError("Which lake? Give --lake DIR, or set IMDB_LAKE. `imdb-etl load` makes one.")
    return Lake.parse(settings.lake)


def _engine(settings: Settings, lake: Lake) -> Engine:
    match settings.engine:
        case "embedded":
            from mcp_server.engines.embedded import EmbeddedEngine

            return EmbeddedEngine(lake, settings)
        case "spark":
            from mcp_server.engines.spark import SparkEngine

            return SparkEngine(lake, settings)


def _warm_up(app: AppContext) -> None:
    """Load what the first statement needs. The guard's and Arrow's modules meanwhile the engine starts by itself."""
    threading.Thread(target=_import_parsers, name="import parsers", daemon=True).start()
    try:
        app.service.warm_up()
    except LakehouseError as error:
        log.warning("The engine could not be warmed up; the first statement tries again. %s", error)


def _import_parsers() -> None:
    import pyarrow as pa  # noqa: F401  (loaded early, used later)

    import mcp_server.guard  # noqa: F401
