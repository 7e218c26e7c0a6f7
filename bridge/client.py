"""The MCP server as this program sees it: one that it starts over stdio, or one at a URL.

The connection lives in a task of its own, so that any task may call, and whoever finds the server gone may have it
replaced.
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
from mcp_types import CONNECTION_CLOSED, CallToolResult, RequestParamsMeta, TextContent

from bridge.settings import Settings
from lakehouse.callers import META
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.settings import variable_name

SQL_TOOL, STATUS_TOOL, CANCEL_TOOL = "execute_spark_sql", "query_status", "cancel_query"
"""What the program itself calls; all other names of tools come from the server."""

Server = StdioServerParameters | str
"""How a server is reached: the command that starts it, or its URL."""

_START_SECONDS = 60.0
_CANCEL_SECONDS = 5.0
_REFUSED = "Refused ("


class ServerGoneError(LakehouseError):
    """The server cannot be reached, or has ended and could not be replaced."""


@dataclass(frozen=True)
class ToolInfo:
    """A tool as the server describes it; `schema` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResult:
    """What a tool answered: `text` for a model, `content` for a program. A failed one has its reason as text."""

    failed: bool
    text: str
    content: Mapping[str, Any] | None = None

    @property
    def refused(self) -> bool:
        """Whether it failed because the guard said no."""
        return self.failed and self.text.startswith(_REFUSED)

    @property
    def rows(self) -> int | None:
        """How many rows it gave, None for what is no result of a statement."""
        match self.content:
            case {"row_count": int(count), "status": "done"}:
                return count
        return None

    @property
    def ai_dollars(self) -> float:
        """What AI functions in the statement cost, as the server says."""
        match self.content:
            case {"ai": {"cost_usd": float(cost)}}:
                return cost
        return 0.0

    @property
    def handle(self) -> str | None:
        """What to ask again with, where the statement still runs."""
        match self.content:
            case {"status": "running", "handle": str(handle)}:
                return handle
        return None


@dataclass(frozen=True)
class Caller:
    """Who a call is made for. `token` proves it to a server with the same key (lakehouse.callers).

    `hear` is told what the server does meanwhile, in its own words.
    """

    token: str | None = None
    hear: Callable[[str], None] | None = None

    @property
    def meta(self) -> RequestParamsMeta | None:
        """What goes beside the arguments."""
        return cast("RequestParamsMeta", {META: self.token}) if self.token is not None else None

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG002
        """Hear a progress notification of the protocol."""
        if self.hear is not None and message:
            self.hear(message)


NOBODY_ELSE = Caller()
"""The user of this program."""


def own_server(settings: Settings, *arguments: str, caller_key: str | None = None) -> Server:
    """The server that the settings name: a URL, or the command that starts one for this program alone.

    `arguments` are flags for that one (`--lake`, `--engine`); with `caller_key` it answers only those whom this program
    vouches for. Raises UsageError for a URL that is none.
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


def in_sql(statement: str) -> Mapping[str, Any]:
    """The arguments of SQL_TOOL for a statement that a person wrote."""
    return {"sql_query": statement, "reasoning": "asked in SQL"}


class Lakehouse:
    """An open connection to a server, for any number of tasks. `tools` and `instructions` are the server's own words.

    `generation` counts the servers: it rises when one that had ended was replaced.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._changing = asyncio.Lock()
        self._link: _Link | None = None
        self.generation = 0
        self.tools: tuple[ToolInfo, ...] = ()
        self.instructions = ""

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._link is not None:
            await self._link.close()

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, since: int, caller: Caller = NOBODY_ELSE
    ) -> ToolResult:
        """Call a tool, and wait for a statement that takes longer than a call.

        `since` is the generation that the question began with: a server that ends is replaced once and the call made
        again, one that is younger is not. Whoever cancels this also cancels the statement. Raises ServerGoneError.
        """
        try:
            return await self._finished(name, arguments, caller)
        except ServerGoneError:
            if not await self._replaced(since):
                raise
            return await self._finished(name, arguments, caller)

    async def sql(self, statement: str, caller: Caller = NOBODY_ELSE) -> ToolResult:
        """Run a statement that a person wrote. As `call`."""
        return await self.call(SQL_TOOL, in_sql(statement), since=self.generation, caller=caller)

    async def _finished(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> ToolResult:
        result = await self._once(name, arguments, caller)
        while (handle := result.handle) is not None and name != CANCEL_TOOL:
            try:
                result = await self._once(STATUS_TOOL, {"handle": handle}, caller)
            except asyncio.CancelledError:
                with suppress(ServerGoneError, TimeoutError):
                    async with asyncio.timeout(_CANCEL_SECONDS):
                        await self._once(CANCEL_TOOL, {"handle": handle}, caller)
                raise
        return result

    async def _once(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> ToolResult:
        link = self._link
        if link is None or link.client is None:
            raise ServerGoneError(f"{self._shown} has ended.")
        try:
            return _result(
                await link.client.call_tool(name, dict(arguments), progress_callback=caller.progress, meta=caller.meta)
            )
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                return ToolResult(failed=True, text=error.message)
            raise ServerGoneError(f"{self._shown} ended while {name} ran. Ask again.") from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
            raise ServerGoneError(f"{self._shown} has ended. Ask again.") from error

    async def _replaced(self, since: int) -> bool:
        """Whether there is a younger server now; the first of several who ask has it started."""
        async with self._changing:
            if self.generation > since:
                return self._link is not None and self._link.alive
            if self._link is not None:
                await self._link.close()
            await self._open()
            return True

    async def _open(self) -> None:
        link = _Link(self._server)
        try:
            async with asyncio.timeout(_START_SECONDS):
                client = await link.open()
                listed = await client.list_tools()
        except TimeoutError as error:
            await link.close()
            raise ServerGoneError(f"{self._shown} did not answer within {_START_SECONDS:g} seconds.") from error
        except Exception as error:
            await link.close()
            raise ServerGoneError(f"{self._shown} cannot be reached ({_cause(error)}). {self._hint}") from error
        self.tools = tuple(ToolInfo(tool.name, tool.description or "", tool.input_schema) for tool in listed.tools)
        self.instructions = client.instructions or ""
        self._link = link
        self.generation += 1

    @property
    def _shown(self) -> str:
        return f"The server at {urlsplit(self._server).hostname}" if isinstance(self._server, str) else "The server"

    @property
    def _hint(self) -> str:
        if isinstance(self._server, str):
            return "Does it run, and is the URL that of its MCP endpoint, such as http://127.0.0.1:8765/mcp?"
        return "What it said itself stands above, on stderr."


class _Link:
    """One connection. Its task enters and leaves the SDK's client, which wants both to be done by the same task."""

    def __init__(self, server: Server) -> None:
        self.client: Client | None = None
        self._server = server
        self._end = asyncio.Event()
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    async def open(self) -> Client:
        self._task = asyncio.create_task(self._live(), name="MCP connection")
        return await asyncio.shield(self._opened)

    async def _live(self) -> None:
        try:
            async with Client(self._server) as client:
                self.client = client
                self._opened.set_result(client)
                await self._end.wait()
        except Exception as error:  # noqa: BLE001  (whoever opened or calls is told)
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
            self._opened.exception()  # nobody may have waited for it any more


def _result(result: CallToolResult) -> ToolResult:
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    return ToolResult(bool(result.is_error), text, result.structured_content)


def _cause(error: BaseException) -> str:
    """The name of what really happened, inside the groups that tasks make of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, MCPError) else type(error).__name__
