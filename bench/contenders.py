"""The contenders of `bench.side_by_side`: programs that answer SQL, each in a process of its own, asked in one way.

`server` is `imdb-mcp serve` and `duckdb` is `mcp-server-motherduck`, both over stdio with the SDK's client. `raw` is
Sail and `spark` a local Spark, each in a session without a server (`bench.raw_worker`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from anyio.from_thread import BlockingPortal
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

MOST_ROWS = 500
"""Rows of an answer, the same for all: what the server gives by default."""
MEMORY_MB = 4096
"""Memory of Spark's heap: the server's default ceiling."""
_STARTING_SECONDS = 300
_END_SECONDS = 10


class AskError(Exception):
    """A statement was not answered; the text says why, in one line."""


@dataclass(frozen=True)
class Answer:
    """What was answered: milliseconds as the client sees them, the number of rows, and the first one as JSON."""

    ms: float
    rows: int
    first: list[Any] | None


class Contender(ABC):
    """A program that answers SQL. `pid` is that of its process while it runs."""

    def __init__(self, name: str, limit_seconds: float) -> None:
        self.name = name
        self.limit_seconds = limit_seconds
        self.pid: int | None = None

    @abstractmethod
    def start(self) -> None:
        """Start the process. Raises AskError where it does not come up."""

    @abstractmethod
    def fetch(self, sql: str) -> tuple[int, list[Any] | None]:
        """Answer a statement by the number of rows and the first one. Raises AskError."""

    @abstractmethod
    def stop(self) -> None:
        """End the process and all that it started."""

    def ask(self, sql: str) -> Answer:
        """Time one statement. After a failure that ended the process the next call starts it again. Raises AskError."""
        if self.pid is None or not psutil.pid_exists(self.pid):
            self.stop()
            self.start()
        started = time.perf_counter()
        try:
            rows, first = self.fetch(sql)
        except AskError:
            if time.perf_counter() - started >= self.limit_seconds:
                self.stop()
            raise
        return Answer((time.perf_counter() - started) * 1_000, rows, first)


class McpContender(Contender):
    """An MCP server over stdio. `call` is its tool, the argument that takes the statement, and other arguments."""

    def __init__(
        self,
        name: str,
        limit_seconds: float,
        portal: BlockingPortal,
        command: Sequence[str],
        environment: Mapping[str, str],
        call: tuple[str, str, Mapping[str, str]],
        log: Path,
    ) -> None:
        super().__init__(name, limit_seconds)
        self._portal = portal
        self._server = StdioServerParameters(command=command[0], args=list(command[1:]), env=dict(environment))
        self._tool, self._argument, self._arguments = call
        self._log = log
        self._client: Client | None = None
        self._exit = contextlib.ExitStack()

    def start(self) -> None:
        before = _list_children()
        try:
            log = self._exit.enter_context(self._log.open("a"))
            transport = stdio_client(self._server, errlog=log)
            client = Client(transport, mode="legacy", read_timeout_seconds=self.limit_seconds)
            self._client = self._exit.enter_context(self._portal.wrap_async_context_manager(client))
        except Exception as error:
            raise AskError(_to_line(error)) from error
        self.pid = next(iter(_list_children() - before), None)

    def fetch(self, sql: str) -> tuple[int, list[Any] | None]:
        try:
            result = self._portal.call(self._call_tool, {self._argument: sql, **self._arguments})
        except Exception as error:
            raise AskError(_to_line(error)) from error
        text = result.content[0].text if result.content else ""
        if result.is_error:
            raise AskError(_to_line(text))
        content = result.structured_content or {}
        if "rows" not in content:  # a tool that returns a text, which is JSON
            content = json.loads(text)
        if "rows" not in content:
            raise AskError(_to_line(content.get("error") or text))
        rows = content["rows"]
        return len(rows), rows[0] if rows else None

    def stop(self) -> None:
        pid, self.pid, self._client = self.pid, None, None
        if pid is not None:
            end_tree(pid)
        with contextlib.suppress(Exception):
            self._exit.close()

    async def _call_tool(self, arguments: Mapping[str, str]) -> Any:
        if self._client is None:
            raise AskError("the server is not running")
        return await self._client.call_tool(self._tool, dict(arguments))


class RawContender(Contender):
    """A session of an engine without a server (`bench.raw_worker`): a line of JSON in, a line out."""

    def __init__(self, name: str, limit_seconds: float, engine: str, lake: Path, work: Path) -> None:
        super().__init__(name, limit_seconds)
        self._command = [sys.executable, "-W", "ignore", "-m", "bench.raw_worker", engine, str(lake), str(work)]
        self._log = work / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.pid = self._process.pid
        self._exchange("", _STARTING_SECONDS)

    def fetch(self, sql: str) -> tuple[int, list[Any] | None]:
        answer = self._exchange(json.dumps(sql), self.limit_seconds)
        return answer["rows"], answer["first"]

    def stop(self) -> None:
        process, self._process, self.pid = self._process, None, None
        if process is not None:
            end_tree(process.pid)
            process.communicate()

    def _exchange(self, line: str, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        ending = threading.Timer(seconds, end_tree, (self._process.pid,))
        ending.start()
        try:
            if line:
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()
            read = self._process.stdout.readline()
        except OSError as error:
            raise AskError(_to_line(error)) from error
        finally:
            ending.cancel()
        if not read:
            late = "" if ending.is_alive() else f" It was ended after {seconds:.0f} s."
            raise AskError(f"The process ended without an answer.{late}")
        answer: dict[str, Any] = json.loads(read)
        if "error" in answer:
            raise AskError(_to_line(answer["error"]))
        return answer


def make_server(lake: Path, work: Path, limit_seconds: float, portal: BlockingPortal) -> Contender:
    """This project's server on the embedded engine, with its defaults; a call waits until its query ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMDB_")}
    environment |= {
        "IMDB_STATE_DIR": str(work / "state"),
        "IMDB_WAIT_SECONDS": str(limit_seconds),
        "IMDB_QUERY_TIMEOUT_SECONDS": str(limit_seconds),
    }
    command = [sys.executable, "-m", "mcp_server", "serve", "--lake", str(lake)]
    call = ("execute_spark_sql", "sql_query", {"reasoning": "bench"})
    return McpContender("server", limit_seconds, portal, command, environment, call, work / "server.log")


def end_tree(pid: int) -> None:
    """End a process and all its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        members = [*process.children(recursive=True), process]
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(members, timeout=_END_SECONDS)


@contextlib.contextmanager
def stopping(contenders: Sequence[Contender]) -> Iterator[None]:
    """Stop all contenders at the end, whatever happens."""
    try:
        yield
    finally:
        for contender in contenders:
            contender.stop()


def _list_children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _to_line(error: object) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
