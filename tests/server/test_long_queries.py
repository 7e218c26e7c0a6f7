"""Statements that take longer than a call should: handles, whose they are, what becomes of them, and their limits."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import psutil
import pytest

from lakehouse.errors import ResourceLimit
from mcp_server.app import LakehouseServer
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.handles import MOST_KEPT, HandleEntry, Handles
from mcp_server.models import Principal
from mcp_server.runs import Run, Runner, RunPlaces
from tests.server.conftest import Connect, Serve, audit_lines
from tests.server.processes import busy, started, until
from tests.server.test_calls import text_of
from tests.server.test_stdio import INITIALIZE, INITIALIZED, SLOW_SQL, answer, ask, call, client, send

pytestmark = pytest.mark.anyio

QUICK_SQL = "SELECT count(*) AS n FROM movies_delta"
_SIGN_OF_LIFE = re.compile(r".*, \d+ s so far")


async def status(session: Any, handle: str, **more: Any) -> Any:
    return await session.call_tool("query_status", {"handle": handle}, **more)


async def finished(session: Any, handle: str) -> Any:
    """Ask until it has ended, as a model would."""
    with anyio.fail_after(60):
        while True:
            found = await status(session, handle)
            if found.is_error or found.structured_content["status"] != "running":
                return found


async def cancel(session: Any, handle: str) -> Any:
    return await session.call_tool("cancel_query", {"handle": handle})


@asynccontextmanager
async def one_place_taken(session: Any) -> AsyncIterator[str]:
    """The server's only place is held by a statement that would not end; gives that statement's handle."""
    slow = await ask(session, SLOW_SQL)
    assert slow.structured_content["status"] == "running"
    yield slow.structured_content["handle"]


def principal_of(server: LakehouseServer, name: str) -> None:
    """From now on everybody who asks is somebody else."""
    toolbox = server.toolbox
    server._toolbox = replace(toolbox, app=replace(toolbox.app, principal=Principal(name)))


async def test_a_long_statement_is_answered_with_a_handle_and_its_result_can_be_fetched(
    serve: Serve, connect: Connect
) -> None:
    server = serve(wait_seconds=0.3, max_concurrent_queries=1)
    async with connect(server) as session:
        async with one_place_taken(session) as slow:
            waiting = await ask(session, QUICK_SQL)
            content = waiting.structured_content
            assert (content["status"], content["rows"]) == ("running", [])
            assert content["stage"].startswith("waiting")
            assert f"query_status(handle='{content['handle']}')" in text_of(waiting)
            await cancel(session, slow)
        found = await finished(session, content["handle"])
        again = await status(session, content["handle"])
    assert found.structured_content["rows"] == again.structured_content["rows"] == [[300]]
    assert found.structured_content["status"] == "done"
    assert found.structured_content["query_id"] == content["query_id"]


async def test_a_long_statement_leaves_a_line_when_it_is_answered_and_one_when_it_ends(
    serve: Serve, connect: Connect
) -> None:
    server = serve(wait_seconds=0.3)
    async with connect(server) as session:
        slow = await ask(session, SLOW_SQL)
        await cancel(session, slow.structured_content["handle"])
        until(lambda: len(audit_lines(server)) == 3, what="the line of the end")
    lines = {line["verdict"]: line for line in audit_lines(server)}
    first, last = lines["running"], lines["cancelled"]
    assert first["correlation_id"] == last["correlation_id"]
    assert last["query_ids"] == [slow.structured_content["query_id"]] == lines["ok"]["query_ids"]
    assert lines["ok"]["tool"] == "cancel_query"
    assert last["ms"] > first["ms"]


async def test_cancelling_by_handle_stops_the_engine(serve: Serve, connect: Connect, engine: EmbeddedEngine) -> None:
    engine.start()
    worker = [psutil.Process(engine.process_id)]
    async with connect(serve(wait_seconds=0.3)) as session:
        slow = await ask(session, SLOW_SQL)
        cancelled = await cancel(session, slow.structured_content["handle"])
        until(lambda: not busy(worker), what="the engine's rest")
        after = await finished(session, slow.structured_content["handle"])
        once_more = await cancel(session, slow.structured_content["handle"])
    assert cancelled.structured_content == {"state": "cancelled"}
    assert after.is_error
    assert "cancelled" in text_of(after)
    assert once_more.structured_content == {"state": "cancelled"}


async def test_a_statement_that_fails_later_says_why_when_asked(serve: Serve, connect: Connect) -> None:
    async with connect(serve(wait_seconds=0.3, max_concurrent_queries=1)) as session:
        async with one_place_taken(session) as slow:
            waiting = await ask(session, "SELECT primaryTitel FROM movies_delta")
            await cancel(session, slow)
        found = await finished(session, waiting.structured_content["handle"])
        cancelled = await cancel(session, waiting.structured_content["handle"])
    assert found.is_error
    assert "Nearest: primaryTitle" in text_of(found)
    assert cancelled.structured_content == {"state": "failed"}


async def test_a_handle_belongs_to_whoever_asked(serve: Serve, connect: Connect) -> None:
    server = serve(wait_seconds=0.3)
    async with connect(server) as session:
        slow = (await ask(session, SLOW_SQL)).structured_content["handle"]
        me = server.toolbox.app.principal.name
        principal_of(server, "somebody else")
        theirs = [await status(session, slow), await cancel(session, slow), await status(session, "0" * 16)]
        principal_of(server, me)
        mine = await status(session, slow)
        await cancel(session, slow)
    assert all(answered.is_error for answered in theirs)
    # Somebody else's handle is answered like one that never was.
    assert text_of(theirs[0]) == text_of(theirs[1]) == text_of(theirs[2]).replace("0" * 16, slow)
    assert mine.structured_content["status"] == "running"


async def test_whoever_stops_waiting_for_a_handle_does_not_stop_the_statement(serve: Serve, connect: Connect) -> None:
    async with connect(serve(wait_seconds=0.3)) as session:
        slow = (await ask(session, SLOW_SQL)).structured_content["handle"]
        with anyio.move_on_after(0.1):
            await status(session, slow)
        still = await status(session, slow)
        await cancel(session, slow)
    assert still.structured_content["status"] == "running"


async def test_while_it_waits_a_caller_hears_the_stages(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_server.runs.BEAT_SECONDS", 0.1)
    heard: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        heard.append(str(message))

    async with connect(serve(wait_seconds=0.5)) as session:
        slow = (await ask(session, SLOW_SQL, progress_callback=note)).structured_content["handle"]
        with anyio.fail_after(60):  # on a busy machine the first wait may be over before
            while "running in the engine" not in heard or not any(_SIGN_OF_LIFE.fullmatch(stage) for stage in heard):
                await status(session, slow, progress_callback=note)
        await cancel(session, slow)
    assert heard[0] == "checking the statement"


async def test_of_one_caller_no_more_run_at_once_than_its_share(serve: Serve, connect: Connect) -> None:
    server = serve(wait_seconds=0.3, max_concurrent_queries=3, max_queries_per_caller=2)
    async with connect(server) as session:
        mine = [(await ask(session, SLOW_SQL)).structured_content for _ in range(3)]
        principal_of(server, "somebody else")
        theirs = (await ask(session, QUICK_SQL)).structured_content
        if theirs["status"] == "running":
            theirs = (await finished(session, theirs["handle"])).structured_content
        server.toolbox.app.service._runner.cancel_all()
    assert mine[2]["stage"] == "waiting: 2 statements are running"
    assert "waiting: 2" not in mine[0]["stage"] + mine[1]["stage"]
    assert theirs["rows"] == [[300]]


async def test_a_server_that_takes_no_more_says_so_at_once(serve: Serve, connect: Connect) -> None:
    server = serve(wait_seconds=0.2, max_concurrent_queries=1)
    taken: list[Any] = []
    async with connect(server) as session:
        async with anyio.create_task_group() as tasks:
            for _ in range(30):

                async def one() -> None:
                    taken.append(await ask(session, SLOW_SQL))

                tasks.start_soon(one)
        refused = [found for found in taken if found.is_error]
        server.toolbox.app.service._runner.cancel_all()
    assert len(refused) == 30 - 9
    assert "Try again in a minute" in text_of(refused[0])


async def test_fifty_calls_that_go_away_leave_nothing_behind(
    serve: Serve, connect: Connect, engine: EmbeddedEngine
) -> None:
    server = serve(max_concurrent_queries=4)
    runner = server.toolbox.app.service._runner
    async with connect(server) as session:
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask, session, SLOW_SQL)
            while runner._running.total() < 4 or len(runner._open) < 36:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        # In a thread: the cancellations are on their way through this loop.
        await anyio.to_thread.run_sync(lambda: until(lambda: not runner._open, what="the end of all statements"))
        engine.start()
        until(lambda: not busy([psutil.Process(engine.process_id)]), what="the engine's rest")
        found = await ask(session, QUICK_SQL)
    assert found.structured_content["rows"] == [[300]]
    until(lambda: "cancel" not in {thread.name for thread in threading.enumerate()}, what="the end of those who cancel")
    assert [line["verdict"] for line in audit_lines(server)].count("cancelled") >= 36


async def test_a_damaged_file_of_handles_is_said_and_the_statement_stopped(
    serve: Serve, connect: Connect, tmp_path: Path, engine: EmbeddedEngine
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "handles.sqlite").write_bytes(b"this is no database" * 100)
    async with connect(serve(wait_seconds=0.3)) as session:
        slow = await ask(session, SLOW_SQL)
        engine.start()
        until(lambda: not busy([psutil.Process(engine.process_id)]), what="the engine's rest")
    assert slow.is_error
    assert "handles.sqlite" in text_of(slow)


async def test_what_a_killed_server_ran_is_lost_and_another_says_so(lake: Path, tmp_path: Path) -> None:
    with started("serve", "--lake", str(lake), state=tmp_path, IMDB_WAIT_SECONDS="0.3") as server:
        send(server, INITIALIZE, INITIALIZED, call(2, SLOW_SQL))
        assert answer(server)["id"] == 1
        handle = answer(server)["result"]["structuredContent"]["handle"]
        async with client(lake, tmp_path) as session:
            alive = await status(session, handle)
            server.send_signal(signal.SIGKILL)
            server.wait(20)
            lost = await status(session, handle)
    assert "is running in another process" in text_of(alive)
    assert "is lost" in text_of(lost)
    assert alive.is_error
    assert lost.is_error


async def test_a_server_that_ends_stops_what_went_on_and_audits_it(lake: Path, tmp_path: Path) -> None:
    with started("serve", "--lake", str(lake), state=tmp_path, IMDB_WAIT_SECONDS="0.3") as server:
        send(server, INITIALIZE, INITIALIZED, call(2, SLOW_SQL))
        assert answer(server)["id"] == 1
        found = answer(server)["result"]["structuredContent"]
        ask_again = {"name": "query_status", "arguments": {"handle": found["handle"]}}
        while found["stage"] != "running in the engine":
            send(server, {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": ask_again})
            found = answer(server)["result"]["structuredContent"]
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    ends = [(line["verdict"], line["code"]) for line in lines if line["tool"] == "execute_spark_sql"]
    assert ends == [("running", ""), ("cancelled", "cancelled")]
    assert list((tmp_path / "servers").iterdir()) == []


def test_a_handle_expires_some_time_after_its_end_and_never_before(tmp_path: Path) -> None:
    now = [1_000.0]
    handles = Handles(tmp_path, keep_seconds=60, clock=lambda: now[0])
    handle = handles.add("me")
    now[0] += 10_000
    assert handles.find(handle, "me") == HandleEntry("running", "here")
    handles.settle(handle, "done")
    now[0] += 60
    assert handles.find(handle, "me") == HandleEntry("done", "here")
    now[0] += 1
    assert handles.find(handle, "me") is None
    handles.close()


def test_of_many_handles_the_oldest_that_have_ended_make_room(tmp_path: Path) -> None:
    now = [0.0]
    handles = Handles(tmp_path, keep_seconds=10**6, clock=lambda: now[0])
    running, others = handles.add("me"), handles.add("somebody else")
    handles.settle(others, "done")
    ended = []
    for _ in range(MOST_KEPT + 1):
        now[0] += 1
        ended.append(handles.add("me"))
        handles.settle(ended[-1], "done")
    assert handles.find(ended[0], "me") is None
    assert [handles.find(kept, "me") for kept in (running, ended[1], ended[-1])] == [
        HandleEntry("running", "here"), HandleEntry("done", "here"), HandleEntry("done", "here"),
    ]  # fmt: skip
    assert handles.find(others, "somebody else") == HandleEntry("done", "here")
    handles.close()


def test_statements_run_in_the_order_of_their_arrival_within_each_callers_share() -> None:
    runner, order, hold = Runner(RunPlaces(most=2, each=1, patience_seconds=60)), [], _Gate()
    runs = [Run(str(number), caller) for number, caller in enumerate("aaabbc")]
    for run in runs:
        runner.begin(run, lambda run=run: (order.append(run.query_id), hold.wait()))
    until(lambda: len(order) == 2)
    assert sorted(order) == ["0", "3"]
    hold.open()
    until(lambda: all(run.done for run in runs))
    assert [number for number in order if number in "012"] == ["0", "1", "2"]
    runner.close(1)


def test_a_statements_place_in_the_order_is_known_before_its_thread_begins() -> None:
    runner, hold = Runner(RunPlaces(most=2, each=1, patience_seconds=60)), _Gate()
    runs = [Run[None](str(number), caller) for number, caller in enumerate("aab")]
    with runner._changed:  # no thread gets any further meanwhile
        for run in runs:
            runner.begin(run, hold.wait)
        assert [run.stage for run in runs] == ["beginning", "waiting: 1 statements are running", "beginning"]
    hold.open()
    until(lambda: all(run.done for run in runs))
    runner.close(1)


def test_who_waits_too_long_for_a_place_is_told_whose_statements_hold_it() -> None:
    runner, hold = Runner(RunPlaces(most=1, each=1, patience_seconds=0.2)), _Gate()
    first, second = Run[None]("1", "me"), Run[None]("2", "me")
    runner.begin(first, hold.wait)
    until(lambda: bool(runner._running["me"]))
    runner.begin(second, hold.wait)
    until(lambda: second.done)
    hold.open()
    with pytest.raises(ResourceLimit, match=r"1 of them yours.*cancel_query"):
        second.result()
    until(lambda: first.done)
    runner.close(1)


class _Gate:
    """Something to wait at until it is opened."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self.open: Callable[[], None] = self._opened.set

    def wait(self) -> None:
        assert self._opened.wait(30)
