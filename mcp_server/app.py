"""The composition root: settings → engines, their service, tools → an MCP server.

`initialize` is answered before the tools are even imported: they are put together at the first request
that needs them, or by the warm-up, which begins once the first answer is on the wire.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import anyio.to_thread
import mcp.server.mcpserver.server as sdk
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resources import FunctionResource
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    InputRequiredResult,
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from mcp_types import Tool as ListedTool
from pydantic import ValidationError

from lakehouse.errors import LakehouseError, UsageError
from lakehouse.escaping import cut_text, quote_briefly
from lakehouse.storage import Lake
from mcp_server import apps
from mcp_server.engines.choice import create_engines
from mcp_server.instructions import compose_instructions
from mcp_server.lake_files import list_table_names
from mcp_server.settings import Settings

if TYPE_CHECKING:
    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp.server.mcpserver.tools import Tool

    from mcp_server.engines import Engine
    from mcp_server.exports import Exports
    from mcp_server.tools import AppContext

log = logging.getLogger(__name__)

NAME = "imdb-lakehouse"
PACKAGE = "imdb-lakehouse-mcp"
FUNCTIONS_URI = "lakehouse://functions"
"""The resource that lists what a statement may call: for programs that help people to write SQL, not for models."""
_MOST_URI_CHARS = 2_000
"""Of an unknown address, how much the data of the error repeats; the revision of 2026 asks for the address there."""
_HANDSHAKE = frozenset({"initialize", "server/discover", "tools/list"})
_QUIET_SECONDS = 0.05
"""How long after an answer of the handshake the warm-up begins: the answer is on the wire by then."""

# The SDK would import rich (13 ms of the handshake) to colour a log that `cli` has already set up.
sdk.configure_logging = lambda *_: None  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Toolbox:
    """The tools and what they work with. `app_tools` are called by views of answers, and no model is told of them."""

    app: AppContext
    tools: dict[str, Tool]
    app_tools: dict[str, Tool]


class LakehouseServer(MCPServer[Any]):
    """The SDK's server with one wrapper around every tool call, and a warm-up behind the handshake."""

    def __init__(
        self, settings: Settings, make_engines: Callable[[], Sequence[Engine]], lake: Lake | None = None
    ) -> None:
        """`lake` is what answers of AI functions are kept beside; where it is None, in the state folder."""
        super().__init__(
            NAME,
            version=version(PACKAGE),
            instructions=compose_instructions(settings),
            log_level=settings.log_level,
            subscriptions=False,  # nothing that is listed ever changes
            extensions=[apps.Apps()],
            middleware=[self._watch],
        )
        self._lake_settings = settings
        self._make_engines = make_engines
        self._lake = lake
        self._toolbox: Toolbox | None = None
        self._exports: Exports | None = None
        self._assembly = threading.Lock()
        self._warming = False
        self._closing = False
        self._in_flight = 0
        self._idle: anyio.Event | None = None
        self.add_resource(
            FunctionResource.from_function(
                self._list_functions,
                FUNCTIONS_URI,
                name="functions",
                description="The functions that a statement may call, by class, as JSON.",
                mime_type="application/json",
            )
        )

    @property
    def toolbox(self) -> Toolbox:
        """Put together when it is first asked for; afterwards the same."""
        with self._assembly:
            if self._toolbox is None:
                self._toolbox = _assemble(self._lake_settings, self._make_engines(), self._lake, self._exports)
            return self._toolbox

    def export_to(self, exports: Exports) -> None:
        """Put files of results there, and not into the folder of the settings. Before anything is asked for."""
        self._exports = exports

    async def list_tools(self) -> list[ListedTool]:
        """The tools as a client sees them."""
        return [_describe_tool(tool) for tool in self.toolbox.tools.values()]

    async def _handle_list_tools(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        listed = await super()._handle_list_tools(ctx, params)
        if apps.is_app_host(ctx):
            listed.tools = apps.list_for_host(listed.tools, map(_describe_tool, self.toolbox.app_tools.values()))
        return listed

    async def _handle_list_resources(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        listed = await super()._handle_list_resources(ctx, params)
        if apps.is_app_host(ctx):
            listed.resources.append(apps.describe_view())
        return listed

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Every tool call of every transport comes through here."""
        from mcp_server.tools import call

        self._in_flight += 1
        try:
            box = self.toolbox
            tools = box.app_tools if name in box.app_tools else box.tools
            return await call(box.app, tools, name, arguments, context or Context(mcp_server=self))
        finally:
            self._in_flight -= 1
            if self._idle is not None and not self._in_flight:
                self._idle.set()

    async def get_prompt(self, name: str, arguments: Any = None, context: Any = None) -> NoReturn:  # noqa: ARG002
        """Refuse it: there are no prompts. The SDK takes that for a defect, with a trace in the log."""
        raise MCPError(INVALID_PARAMS, f"There is no prompt {quote_briefly(name)}: this server has tools only.")

    async def read_resource(self, uri: Any, context: Any = None) -> Iterable[ReadResourceContents]:
        """Read the list of functions, or the view. The SDK repeats an unknown address of any length, twice."""
        if str(uri) == FUNCTIONS_URI:
            return await super().read_resource(uri, context)  # type: ignore[return-value]
        if str(uri) == apps.VIEW_URI:
            return [await anyio.to_thread.run_sync(apps.read_view)]
        raise MCPError(
            INVALID_PARAMS,
            f"There is no resource {quote_briefly(str(uri))}, only {FUNCTIONS_URI}.",
            {"uri": cut_text(str(uri), _MOST_URI_CHARS)},
        )

    def _list_functions(self) -> str:
        """The functions that the guard allows, and the AI functions of this lake, by class."""
        from ai_functions.functions import functions as ai_functions
        from mcp_server.guard.functions import function_policy

        classes: dict[str, list[str]] = {}
        for name, kind in function_policy().allowed.items():
            classes.setdefault(kind, []).append(name)
        classes["ai"] = [name for name in self.toolbox.tools if name in ai_functions()]
        return json.dumps(classes)

    async def run_stdio_async(self) -> None:
        """Serve the client at this process's stdin and stdout. Raises OutputBrokenError, in a group."""
        from mcp_server.stdio import stdio_streams

        server = self._lowlevel_server
        async with stdio_streams() as (received, answers):
            await server.run(received, answers, server.create_initialization_options())

    async def idle(self) -> None:
        """Wait until no call is under way."""
        if self._in_flight:
            self._idle = anyio.Event()
            await self._idle.wait()

    def close(self) -> None:
        """End the engines, where there are any yet. Statements that still run fail."""
        self._closing = True
        if self._toolbox is not None:
            self._toolbox.app.ai.close()  # first: it gives back what was reserved for calls that will not be made
            self._toolbox.app.service.close()
            self._toolbox.app.background.close()

    async def _watch(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Start the warm-up behind the first answer, and audit a tool call too malformed to become one.

        What the SDK leaves out of the answer to `initialize` is added.
        """
        try:
            result = await call_next(ctx)
        except ValidationError:
            if ctx.method == "tools/call":
                self.toolbox.app.audit_malformed(ctx.params)
            raise
        if ctx.method == "initialize":
            apps.announce(result)
        if ctx.method in _HANDSHAKE and not self._warming:
            self._warming = True
            start = threading.Timer(_QUIET_SECONDS, self._warm_up)
            start.daemon = True
            start.start()
        return result

    def _warm_up(self) -> None:
        """Load what the first statement needs, the parser and Arrow among it, while the engine starts."""
        service = self.toolbox.app.service
        threading.Thread(target=_import_parsers, name="import parsers", daemon=True).start()
        try:
            service.warm_up()
        except LakehouseError as error:
            if not self._closing:  # a program that ended early has nothing to report of it
                log.warning("The engine could not be warmed up; the first statement tries again. %s", error)
            return
        with suppress(LakehouseError):  # whoever needs the index is told
            service.find_index()


def build_server(settings: Settings, lake: Lake) -> LakehouseServer:
    """A server for a lake. Nothing is started and no driver is imported.

    Raises UsageError where the engine cannot serve such a lake or the state folder cannot be made.
    """
    try:
        folder = settings.audit_path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be made for the audit log: {error.strerror}. Set IMDB_STATE_DIR."
        ) from error
    if lake.directory is None:
        engines = create_engines(settings, lake)  # now, because one may refuse such a lake
        return LakehouseServer(settings, lambda: engines, lake)
    return LakehouseServer(settings, lambda: create_engines(settings, lake), lake)


def _assemble(settings: Settings, engines: Sequence[Engine], lake: Lake | None, exports: Exports | None) -> Toolbox:
    from ai_functions.service import open_service
    from lakehouse.callers import Callers
    from mcp_server.audit import AuditLog
    from mcp_server.auth import os_user
    from mcp_server.background import Background
    from mcp_server.coverage import CoverageReader
    from mcp_server.exports import ExportFolder
    from mcp_server.finding.indexes import Indexes
    from mcp_server.handles import Handles
    from mcp_server.service import StatementService
    from mcp_server.tools import APP_TOOLS, AppContext, build, choose_tools
    from mcp_server.tools.profile import Profiles

    if exports is None and settings.export_dir is not None:
        exports = ExportFolder(settings.export_dir)
    ai = open_service(settings, lake)
    metered = engines[0].capabilities.metered
    indexes = Indexes(lake, settings.state, settings.context_dir, metered=metered)
    service = StatementService(engines, settings, ai, indexes, CoverageReader(lake, settings.context_dir))
    background = Background(Handles(settings.state, settings.handle_minutes * 60))
    audit = AuditLog(settings.audit_path, round(settings.audit_max_mb * 2**20), settings.audit_files)
    callers = Callers(settings.caller_key.get_secret_value()) if settings.caller_key else None
    app = AppContext(settings, service, ai, background, Profiles(service), audit, os_user(), callers)
    tables = list_table_names(Lake.parse(settings.lake)) if settings.lake else None
    specs = choose_tools(tables, exports)
    made, for_views = ({spec.name: build(spec, settings.max_sql_bytes) for spec in each} for each in (specs, APP_TOOLS))
    return Toolbox(app, made, for_views)


def _describe_tool(tool: Tool) -> ListedTool:
    return ListedTool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.parameters,
        output_schema=tool.output_schema,
        annotations=tool.annotations,
    )


def _import_parsers() -> None:
    import pyarrow as pa  # noqa: F401  (loaded early, used later)

    import mcp_server.statement  # noqa: F401
