"""The bridge's connection: servers that do not come up, and statements that take longer than a call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from mcp.client.stdio import StdioServerParameters

from imdb_lakehouse.bridge.client import Lakehouse, ServerGoneError, resolve_server
from imdb_lakehouse.bridge.settings import load_settings
from tests.bridge.conftest import kill_servers
from tests.server.processes import busy, descendants, until

pytestmark = pytest.mark.anyio

LONG = "SELECT count(*) AS n FROM principals_delta a JOIN principals_delta b ON a.category = b.category"
LONGER = LONG + " JOIN principals_delta c ON c.category = a.category JOIN principals_delta d ON d.category = a.category"


def audited(state: Path) -> list[tuple[str, str]]:
    """The tool and verdict of every call so far."""
    lines = [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]
    return [(line["tool"], line["verdict"]) for line in lines]


@pytest.mark.parametrize("program", ["import sys; sys.exit(1)", "print('hello')", None])
async def test_a_server_that_does_not_come_up_is_said_to(program: str | None) -> None:
    command = "/no/such/program" if program is None else sys.executable
    with pytest.raises(ServerGoneError, match="The server cannot be reached"):
        async with Lakehouse(StdioServerParameters(command=command, args=["-c", program or ""])):
            raise AssertionError("it is not open")


async def test_a_statement_that_takes_longer_than_a_call_is_waited_for_and_cancelled(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMDB_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("IMDB_WAIT_SECONDS", "0.01")
    async with Lakehouse(resolve_server(load_settings(), "--lake", str(lake))) as lakehouse:
        arguments = {"sql_query": LONG, "reasoning": "a test"}
        result = await lakehouse.call_tool("execute_spark_sql", arguments, since=lakehouse.generation)
        assert (result.rows, result.handle) == (1, None)
        assert audited(tmp_path)[0] == ("execute_spark_sql", "running")

        arguments = {"sql_query": LONGER, "reasoning": "a test"}
        before = len(audited(tmp_path))
        asked = asyncio.create_task(lakehouse.call_tool("execute_spark_sql", arguments, since=lakehouse.generation))
        await asyncio.to_thread(until, lambda: ("query_status", "ok") in audited(tmp_path)[before:])
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.to_thread(until, lambda: ("execute_spark_sql", "cancelled") in audited(tmp_path))


async def test_a_server_that_dies_while_a_statement_runs_is_replaced_once_and_again_for_the_next_question(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMDB_STATE_DIR", str(tmp_path))
    async with Lakehouse(resolve_server(load_settings(), "--lake", str(lake))) as lakehouse:
        warm = {"sql_query": "SELECT count(*) FROM movies_delta", "reasoning": "a test"}
        assert (await lakehouse.call_tool("execute_spark_sql", warm, since=1)).rows == 1
        arguments = {"sql_query": LONGER, "reasoning": "a test"}
        asked = asyncio.create_task(lakehouse.call_tool("execute_spark_sql", arguments, since=1))
        for generation in (1, 2):
            running = lambda now=generation: lakehouse.generation == now and busy(descendants(os.getpid()))  # noqa: E731
            await asyncio.to_thread(until, running, what="the statement in the engine")
            kill_servers()
        with pytest.raises(ServerGoneError, match=r"The server (has ended|ended while execute_spark_sql ran)"):
            await asked
        result = await lakehouse.call_tool("list_views", {}, since=lakehouse.generation)
        assert not result.failed
        assert lakehouse.generation == 3
