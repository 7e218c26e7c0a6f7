"""The bridge's connection: servers that do not come up, and statements that take longer than a call."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from mcp.client.stdio import StdioServerParameters

from bridge.client import Lakehouse, ServerGoneError, own_server
from lakehouse.settings import load_settings
from tests.server.processes import until

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
    async with Lakehouse(own_server(load_settings(), "--lake", str(lake))) as lakehouse:
        arguments = {"sql_query": LONG, "reasoning": "a test"}
        result = await lakehouse.call("execute_spark_sql", arguments, since=lakehouse.generation)
        assert (result.rows, result.handle) == (1, None)
        assert audited(tmp_path)[0] == ("execute_spark_sql", "running")

        arguments = {"sql_query": LONGER, "reasoning": "a test"}
        before = len(audited(tmp_path))
        asked = asyncio.create_task(lakehouse.call("execute_spark_sql", arguments, since=lakehouse.generation))
        await asyncio.to_thread(until, lambda: ("query_status", "ok") in audited(tmp_path)[before:])
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.to_thread(until, lambda: ("execute_spark_sql", "cancelled") in audited(tmp_path))
