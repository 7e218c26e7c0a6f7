"""The worst results that the caps let through, for eight callers at once, and what memory the server needs for them.

    python -m tests.server.worst

A line for each statement: seconds, and the peak of the server's process until then. The tests run some of them.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from mcp.client import Client

from tests.server.lakes import make_lake
from tests.server.processes import started
from tests.server.test_stdio import ask

CALLERS = 8


def _wide(kind: str) -> str:
    """A struct of as many fields as a statement has room for: its value costs nothing, its names and types do."""
    fields = ", ".join(f"a{i} {kind}" for i in range(2_200))
    return f"from_json('{{}}', '{fields}')"


def _doubled(times: int) -> str:
    """A struct of two structs of two structs, and so on: the type grows with each word of the statement."""
    steps = ", ".join(f"t{n} AS (SELECT struct(s AS x, s AS y) AS s FROM t{n - 1})" for n in range(1, times))
    return f"WITH t0 AS (SELECT struct(id AS x, id AS y) AS s FROM range(200)), {steps} SELECT s FROM t{times - 1}"


WORST = {
    "lists of booleans": "SELECT array_repeat(false, 900000) AS a FROM range(200)",
    "lists of lists": "SELECT array_repeat(array_repeat(1, 100), 1000) AS a FROM range(60)",
    "lists of empty lists": "SELECT array_repeat(array(), 200000) AS a FROM range(60)",
    "lists of structs": "SELECT array_repeat(named_struct('a', 1, 'b', 'text'), 20000) AS a FROM range(60)",
    "maps": "SELECT map_from_arrays(sequence(1, 20000), sequence(1, 20000)) AS a FROM range(60)",
    "long texts": "SELECT repeat('é', 200000) AS a FROM range(200)",
    "binaries": "SELECT CAST(repeat('x', 200000) AS BINARY) AS a FROM range(200)",
    "many columns": "SELECT " + ", ".join(f"array_repeat(id, 2000) AS c{i}" for i in range(300)) + " FROM range(20)",
    "many rows": "SELECT id, array(id, id) AS a, map('k', id) AS m FROM range(1000000)",
    "a struct of many fields": f"SELECT {_wide('INT')} AS s FROM range(200)",
    "booleans of a struct": f"SELECT {_wide('BOOLEAN')} AS s FROM range(500)",
    "fields as columns": f"SELECT s.* FROM (SELECT {_wide('BOOLEAN')} AS s FROM range(500))",
    "many batches": f"WITH t AS (SELECT {_wide('INT')} AS s) " + " UNION ALL ".join(["SELECT s FROM t"] * 10),
    "structs of structs": _doubled(11),
    "more names than an answer holds": _doubled(13),
    "long names": "SELECT " + ", ".join(f"id AS `{'a' * 240}{i}`" for i in range(120)) + " FROM range(500)",
    "a long name": f"SELECT repeat('x', 3000) AS `{'a' * 30_000}` FROM range(500)",
}


@contextmanager
def small_server(lake: Path, state: Path) -> Iterator[tuple[int, str]]:
    """The process and the URL of a server that lets one caller run eight statements."""
    arguments = ("serve", "--lake", str(lake), "--transport", "http", "--port", "0")
    more = {"IMDB_MAX_QUERIES_PER_CALLER": str(CALLERS), "IMDB_WAIT_SECONDS": "600"}  # on a busy machine it takes long
    with started(*arguments, state=state, **more) as server:
        assert server.stderr is not None
        yield server.pid, server.stderr.readline().decode().split()[-1]


async def answers(url: str, statements: Iterable[str]) -> list[str]:
    """What callers are told who ask at once, each with a connection of its own."""
    said: list[str] = []

    async def call(sql: str) -> None:
        async with Client(url) as client:
            answer = await ask(client, sql)
            said.append(answer.content[0].text)

    async with anyio.create_task_group() as callers:
        for sql in statements:
            callers.start_soon(call, sql)
    return said


def peak_mib(pid: int) -> float:
    """The most memory that a process has had (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    assert found is not None
    return int(found[1]) / 1024


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (lake := Path(folder) / "lake").mkdir()
        with small_server(make_lake(lake), Path(folder) / "state") as (pid, url):
            for name, sql in WORST.items():
                began = time.monotonic()
                said = await answers(url, [sql] * CALLERS)
                seconds = time.monotonic() - began
                print(f"{name}: {seconds:.1f} s, peak {peak_mib(pid):.0f} MiB; {said[0][:60]}", flush=True)


if __name__ == "__main__":
    anyio.run(main)
