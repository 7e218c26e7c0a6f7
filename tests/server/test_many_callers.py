"""Many statements at once: no handle is lost, and nobody who asks much keeps others from being answered."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client import Client

from lakehouse.callers import META, Callers
from mcp_server.app import LakehouseServer
from mcp_server.runs import Run, Runner, RunPlaces
from tests.server.conftest import Serve
from tests.server.processes import started, until
from tests.server.test_calls import text_of
from tests.server.test_long_queries import QUICK_SQL
from tests.server.test_stdio import INITIALIZE, INITIALIZED, SLOW_SQL, answer, call, send

pytestmark = pytest.mark.anyio

KEY = "a key that both sides of it know"


class Caller:
    """Somebody who is vouched for, on a connection that others use as well."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._token = Callers(KEY).new()

    async def call(self, tool: str, **arguments: Any) -> Any:
        return await self._client.call_tool(tool, arguments, meta={META: self._token})

    async def ask(self, sql: str) -> Any:
        return await self.call("execute_spark_sql", sql_query=sql, reasoning="a test")

    async def call_one(self, tool: str, argument: str, value: str) -> Any:
        return await self.call(tool, **{argument: value})

    async def cancel(self, handle: str) -> Any:
        return await self.call("cancel_query", handle=handle)

    async def finished(self, answered: Any) -> Any:
        """The last answer, where the first was a handle."""
        with anyio.fail_after(60):
            while not answered.is_error and answered.structured_content["status"] == "running":
                answered = await self.call("query_status", handle=answered.structured_content["handle"])
        return answered

    async def ask_many(self, sql: str, times: int) -> list[Any]:
        """The answers to a statement that is sent many times at once."""
        return await at_once([(self.ask, sql)] * times)


async def at_once(calls: list[tuple[Any, ...]]) -> list[Any]:
    """The answers to calls that are made at the same time, in their order."""
    found: dict[int, Any] = {}

    async def one(number: int, call: Any, *arguments: Any) -> None:
        found[number] = await call(*arguments)

    async with anyio.create_task_group() as tasks:
        for number, call in enumerate(calls):
            tasks.start_soon(one, number, *call)
    return [found[number] for number in range(len(calls))]


async def end_all(server: LakehouseServer) -> None:
    runner = server.toolbox.app.service._runner
    runner.cancel_all()
    # In a thread: the cancellations are on their way through this loop.
    await anyio.to_thread.run_sync(lambda: until(lambda: not runner._open, what="the end of all statements"))


async def test_of_72_slow_statements_by_three_callers_every_handle_is_found_and_stopped(serve: Serve) -> None:
    server = serve(caller_key=KEY, wait_seconds=0.3)
    async with Client(server) as client:
        callers = [Caller(client) for _ in range(3)]
        asked = await at_once([(caller.ask_many, SLOW_SQL, 24) for caller in callers])
        assert [text_of(found) for each in asked for found in each if found.is_error] == []
        theirs = [
            (caller, found.structured_content["handle"])
            for caller, each in zip(callers, asked, strict=True)
            for found in each
        ]
        assert len({handle for _, handle in theirs}) == 72
        stopped = await at_once([(caller.cancel, handle) for caller, handle in theirs])
        await end_all(server)
    assert [text_of(found) for found in stopped if found.is_error] == []
    assert {found.structured_content["state"] for found in stopped} == {"cancelled"}


async def test_handles_of_several_processes_of_one_state_folder_are_all_found(lake: Path, tmp_path: Path) -> None:
    processes, calls = 3, 16
    with ExitStack() as stack:
        servers = [
            stack.enter_context(started("serve", "--lake", str(lake), state=tmp_path, IMDB_WAIT_SECONDS="0.2"))
            for _ in range(processes)
        ]
        for server in servers:
            send(server, INITIALIZE, INITIALIZED, *(call(2 + number, SLOW_SQL) for number in range(calls)))
        handles = [_results(server, 1 + calls)[1:] for server in servers]
        for server, given in zip(servers, handles, strict=True):
            send(server, *(_status(each["structuredContent"]["handle"]) for each in given))
        found = [each for server in servers for each in _results(server, calls)]
    assert [each["content"][0]["text"] for each in found if each.get("isError")] == []
    assert {each["structuredContent"]["status"] for each in found} == {"running"}


def _status(handle: str) -> dict[str, Any]:
    params = {"name": "query_status", "arguments": {"handle": handle}}
    return {"jsonrpc": "2.0", "id": handle, "method": "tools/call", "params": params}


def _results(server: subprocess.Popen[bytes], most: int) -> list[dict[str, Any]]:
    """The next answers of a server; what it tells of how far it is is left out."""
    found: list[dict[str, Any]] = []
    while len(found) < most:
        message = answer(server)
        found += [message["result"]] if "id" in message else []
    return found


async def test_a_caller_with_as_many_statements_as_it_may_have_leaves_another_its_answers(serve: Serve) -> None:
    server = serve(caller_key=KEY, wait_seconds=0.3)
    async with Client(server) as client:
        greedy, other = Caller(client), Caller(client)
        asked = await greedy.ask_many(SLOW_SQL, 90)
        refused = [text_of(found) for found in asked if found.is_error]
        answers = [await other.finished(await other.ask(QUICK_SQL)) for _ in range(25)]
        await end_all(server)
    assert len(refused) == 90 - 72
    assert "72 of them yours" in refused[0]
    assert "cancel_query" in refused[0]
    assert [found.structured_content["rows"] for found in answers] == [[[300]]] * 25


async def test_one_table_is_described_while_the_profile_of_another_waits_for_its_turn(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_server.tools.profile.MOST_SECONDS", 1.5)
    server = serve(caller_key=KEY, wait_seconds=0.2, max_concurrent_queries=1)
    async with Client(server) as client:
        busy, curious = Caller(client), Caller(client)
        await busy.ask(SLOW_SQL)
        began = time.monotonic()
        tables = ["movies_delta", "principals_delta", "persons_delta", "ratings_delta"] * 2
        described = await at_once([(curious.call_one, "describe_schema", "table", name) for name in tables])
        seconds = time.monotonic() - began
        await end_all(server)
    assert all("took over 1.5 s" in text_of(found) for found in described)
    assert seconds < 2 * 1.5


async def test_who_goes_away_before_its_handle_could_be_told_takes_the_statement_along(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(wait_seconds=0.2)
    keep, kept = server.toolbox.app.background.keep, threading.Event()

    def keep_slowly(*arguments: Any) -> str:
        handle = keep(*arguments)
        kept.set()
        time.sleep(0.5)
        return handle

    monkeypatch.setattr(server.toolbox.app.background, "keep", keep_slowly)
    runner = server.toolbox.app.service._runner
    async with Client(server) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.call_tool, "execute_spark_sql", {"sql_query": SLOW_SQL, "reasoning": "x"})
        await anyio.to_thread.run_sync(kept.wait)
        tasks.cancel_scope.cancel()
    await anyio.to_thread.run_sync(lambda: until(lambda: not runner._open, what="the end of the statement"))


def test_places_go_round_among_callers_however_many_statements_the_others_have_waiting() -> None:
    runner, order = Runner(RunPlaces(most=2, each=2, patience_seconds=60)), []
    turns = threading.Semaphore(0)

    def work(run: Run[None]) -> None:
        order.append(run.caller)
        assert turns.acquire(timeout=30)

    runs = [Run[None](str(number), caller) for number, caller in enumerate("aaaaabbbbbc")]
    for run in runs:
        runner.begin(run, lambda run=run: work(run))
    for number in range(2, len(runs) + 1):
        until(lambda number=number: len(order) == number)
        turns.release()
    turns.release()
    until(lambda: all(run.done for run in runs))
    runner.close(1)
    assert order.index("c") < 5
    assert abs(order[:8].count("a") - order[:8].count("b")) <= 2
