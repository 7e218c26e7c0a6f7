"""The server's own memory: whatever eight callers ask for at once, it holds no more than answers can show."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import anyio
import pytest
from mcp.client import Client

from tests.server.processes import started
from tests.server.test_stdio import ask

pytestmark = pytest.mark.anyio

CALLERS = 8
MOST_MIB = 300

WORST = {
    "lists of booleans": "SELECT array_repeat(false, 900000) AS a FROM range(200)",
    "lists of lists": "SELECT array_repeat(array_repeat(1, 100), 1000) AS a FROM range(60)",
    "lists of empty lists": "SELECT array_repeat(array(), 200000) AS a FROM range(60)",
    "lists of structs": "SELECT array_repeat(named_struct('a', 1, 'b', 'text'), 20000) AS a FROM range(60)",
    "maps": "SELECT map_from_arrays(sequence(1, 20000), sequence(1, 20000)) AS a FROM range(60)",
    "long texts": "SELECT repeat('é', 200000) AS a FROM range(200)",
    "binaries": "SELECT CAST(repeat('x', 200000) AS BINARY) AS a FROM range(200)",
    "many columns": "SELECT " + ", ".join(f"array_repeat(id, 2000) AS c{i}" for i in range(300)) + " FROM range(20)",
}


def peak_mib(pid: int) -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: the peak of a process's memory is read from /proc")
async def test_the_worst_results_for_eight_callers_at_once_leave_the_server_small(lake: Path, tmp_path: Path) -> None:
    arguments = ("serve", "--lake", str(lake), "--transport", "http", "--port", "0")
    with started(*arguments, state=tmp_path, IMDB_MAX_QUERIES_PER_CALLER=str(CALLERS)) as server:
        assert server.stderr is not None
        url = server.stderr.readline().decode().split()[-1]
        said: list[str] = []

        async def call(sql: str) -> None:
            async with Client(url) as client:
                answer = await ask(client, sql)
                said.append(answer.content[0].text)

        for sql in WORST.values():
            async with anyio.create_task_group() as callers:
                for _ in range(CALLERS):
                    callers.start_soon(call, sql)
        peak = peak_mib(server.pid)
    assert len(said) == CALLERS * len(WORST)
    assert sum("chars]" in text or "rows fit into" in text for text in said) > len(said) // 2
    assert peak < MOST_MIB, f"{peak:.0f} MiB"
