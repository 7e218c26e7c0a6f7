"""Client of the MCP server: a child process over stdio, or a server at a URL.

The connection runs in a task of its own, so any task may call it. A caller that finds the server gone restarts it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, CallToolResult, RequestParamsMeta, TextContent, TextResourceContents

from imdb_lakehouse.bridge.settings import Settings
from lakehouse.callers import META
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.settings import variable_name

SQL_TOOL, STATUS_TOOL, CANCEL_TOOL = "execute_spark_sql", "query_status", "cancel_query"
MOST_ROWS = 100_000
"""More rows than any server answers with: a person or a program reads all that it gives."""
"""Tools that this program calls by name; the others are listed by the server."""

Server = StdioServerParameters | str
"""The command that starts a server, or its URL."""

_START_SECONDS = 60.0
_CANCEL_SECONDS = 5.0
_REFUSED = "Refused ("


class ServerGoneError(LakehouseError):
    """The server cannot be reached, or has ended and could not be restarted."""


@dataclass(frozen=True)
class ToolInfo:
    """A tool that the server lists; `schema` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResult:
    """Result of a tool call: `text` for a model, `content` for a program. If it failed, `text` is the reason."""

    failed: bool
    text: str
    content: Mapping[str, Any] | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the guard refused the statement."""
        return self.failed and self.text.startswith(_REFUSED)

    @property
    def rows(self) -> int | None:
        """Number of rows, None if this is not the result of a statement."""
        match self.content:
            case {"row_count": int(count), "status": "done"}:
                return count
        return None

    @property
    def ai_dollars(self) -> float:
        """Cost of the AI functions in the statement, in US dollars, as reported by the server."""
        match self.content:
            case {"ai": {"cost_usd": float(cost)}}:
                return cost
        return 0.0

    @property
    def handle(self) -> str | None:
        """Handle for polling a statement that is still running, else None."""
        match self.content:
            case {"status": "running", "handle": str(handle)}:
                return handle
        return None


@dataclass(frozen=True)
class CallContext:
    """Identity and progress callback of a call.

    `token` proves the identity to a server with the same key (lakehouse.callers). `on_progress` receives the server's
    progress messages.
    """

    token: str | None = None
    on_progress: Callable[[str], None] | None = None

    @property
    def meta(self) -> RequestParamsMeta | None:
        """Request metadata that carries the token."""
        return cast("RequestParamsMeta", {META: self.token}) if self.token is not None else None

    async def report_progress(self, progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG002
        """Forward a progress notification of the protocol to `on_progress`."""
        if self.on_progress is not None and message:
            self.on_progress(message)


LOCAL_USER = CallContext()
"""The user of this program."""


def resolve_server(settings: Settings, *arguments: str, caller_key: str | None = None) -> Server:
    """Return the server that the settings name: a URL, or the command that starts a private one.

    `arguments` are flags for a started server (`--lake`, `--engine`). With `caller_key` it only answers calls with a
    token signed by this program. Raises UsageError for a malformed URL.
    """
    url = settings.chat_server
    if url is None:
        command = ["-m", "mcp_server", "serve", *arguments]
        name = variable_name("caller_key")
        environment = {other: value for other, value in os.environ.items() if other != name}
        key = {name: caller_key} if caller_key is not None else {}
        return StdioServerParameters(command=sys.executable, args=command, env=environment | key)
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise UsageError("IMDB_CHAT_SERVER is no URL of an MCP server: it looks like http://127.0.0.1:8765/mcp.")
    return url


def to_sql_arguments(statement: str) -> Mapping[str, Any]:
    """Build the arguments of SQL_TOOL for a statement that a person wrote."""
    return {"sql_query": statement, "reasoning": "asked in SQL", "row_limit": MOST_ROWS}


class Lakehouse:
    """An open connection to a server, shared by any number of tasks.

    `tools` and `instructions` come from the server. `generation` increases each time an ended server is restarted.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._replacing = asyncio.Lock()
        self._link: _Link | None = None
        self.generation = 0
        self.tools: tuple[ToolInfo, ...] = ()
        self.instructions = ""

    async def __aenter__(self) -> Self:
        await self._open_link()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._link is not None:
            await self._link.close()

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any], *, since: int, caller: CallContext = LOCAL_USER
    ) -> ToolResult:
        """Call a tool, and poll a statement that outlives the call until it is done.

        `since` is the generation at the start of the question. A server of that generation that ends is restarted once
        and the call repeated; a younger one is not. Cancelling the call also cancels the statement. Raises
        ServerGoneError.
        """
        try:
            return await self._await_result(name, arguments, caller)
        except ServerGoneError:
            if not await self._replace_server(since):
                raise
            return await self._await_result(name, arguments, caller)

    async def run_sql(self, statement: str, caller: CallContext = LOCAL_USER) -> ToolResult:
        """Run a statement that a person wrote. Raises ServerGoneError."""
        return await self.call_tool(SQL_TOOL, to_sql_arguments(statement), since=self.generation, caller=caller)

    async def read_resource(self, uri: str) -> str:
        """Read the text of a resource of the server. Raises ServerGoneError."""
        link = self._link
        if link is None or link.client is None:
            raise ServerGoneError(f"{self._label} has ended. Ask again.")
        try:
            found = await link.client.read_resource(uri)
        except (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise ServerGoneError(f"{self._label} did not give {uri} ({_describe_cause(error)}).") from error
        return "".join(part.text for part in found.contents if isinstance(part, TextResourceContents))

    async def _await_result(self, name: str, arguments: Mapping[str, Any], caller: CallContext) -> ToolResult:
        result = await self._send_call(name, arguments, caller)
        while (handle := result.handle) is not None and name != CANCEL_TOOL:
            try:
                result = await self._send_call(STATUS_TOOL, {"handle": handle}, caller)
            except asyncio.CancelledError:
                with suppress(ServerGoneError, TimeoutError):
                    async with asyncio.timeout(_CANCEL_SECONDS):
                        await self._send_call(CANCEL_TOOL, {"handle": handle}, caller)
                raise
        return result

    async def _send_call(self, name: str, arguments: Mapping[str, Any], caller: CallContext) -> ToolResult:
        link = self._link
        if link is None or link.client is None:
            raise ServerGoneError(f"{self._label} has ended.")
        try:
            return _to_result(
                await link.client.call_tool(
                    name, dict(arguments), progress_callback=caller.report_progress, meta=caller.meta
                )
            )
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                return ToolResult(failed=True, text=error.message)
            raise ServerGoneError(f"{self._label} ended while {name} ran. Ask again.") from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise ServerGoneError(f"{self._label} has ended. Ask again.") from error

    async def _replace_server(self, since: int) -> bool:
        """Restart the server unless another task already has. Return whether a younger server is running."""
        async with self._replacing:
            if self.generation > since:
                return self._link is not None and self._link.is_alive
            if self._link is not None:
                await self._link.close()
            await self._open_link()
            return True

    async def _open_link(self) -> None:
        link = _Link(self._server)
        try:
            async with asyncio.timeout(_START_SECONDS):
                client = await link.open()
                listed = await client.list_tools()
        except TimeoutError as error:
            await link.close()
            raise ServerGoneError(f"{self._label} did not answer within {_START_SECONDS:g} seconds.") from error
        except Exception as error:
            await link.close()
            raise ServerGoneError(
                f"{self._label} cannot be reached ({_describe_cause(error)}). {self._hint}"
            ) from error
        self.tools = tuple(ToolInfo(tool.name, tool.description or "", tool.input_schema) for tool in listed.tools)
        self.instructions = client.instructions or ""
        self._link = link
        self.generation += 1

    @property
    def _label(self) -> str:
        return f"The server at {urlsplit(self._server).hostname}" if isinstance(self._server, str) else "The server"

    @property
    def _hint(self) -> str:
        if isinstance(self._server, str):
            return "Does it run, and is the URL that of its MCP endpoint, such as http://127.0.0.1:8765/mcp?"
        return "What it said itself stands above, on stderr."


class _Link:
    """One connection. The SDK requires that the same task enters and exits its client; that is `_hold_connection`."""

    def __init__(self, server: Server) -> None:
        self.client: Client | None = None
        self._server = server
        self._end = asyncio.Event()
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done()

    async def open(self) -> Client:
        self._task = asyncio.create_task(self._hold_connection(), name="MCP connection")
        return await asyncio.shield(self._opened)

    async def _hold_connection(self) -> None:
        try:
            async with Client(self._server) as client:
                self.client = client
                self._opened.set_result(client)
                await self._end.wait()
        except Exception as error:  # noqa: BLE001  (passed on to the task that awaits `open`)
            if not self._opened.done():
                self._opened.set_exception(error)
        finally:
            self.client = None

    async def close(self) -> None:
        self._end.set()
        if self._task is None:
            return
        if not self._opened.done():
            self._task.cancel()
        await asyncio.wait([self._task])
        if self._opened.done():
            self._opened.exception()  # retrieved, so that asyncio does not log it as never awaited


def _to_result(result: CallToolResult) -> ToolResult:
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    return ToolResult(bool(result.is_error), text, result.structured_content)


def _describe_cause(error: BaseException) -> str:
    """Name the first error inside the exception groups that tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, MCPError) else type(error).__name__
