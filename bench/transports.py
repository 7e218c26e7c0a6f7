"""A call over HTTP beside the same call over stdio: what the socket adds.

    python bench/transports.py --lake DIR [--runs 40]

Both servers answer in turn, so that noise of the machine falls on both alike. Where small packets wait for each other
(Nagle's algorithm), HTTP takes 40 ms more. The third column is a server that leaves that algorithm on: what a change
for the worse would look like.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from mcp import Client, StdioServerParameters
from program import parse_lake_options, printing_load

NAGLE = """
import socket, sys
import mcp_server.serve
mcp_server.serve.listen = lambda host, port: socket.create_server((host, port))
from mcp_server.cli import main
main(sys.argv[1:])
"""
NAMES = ("stdio", "http", "http with Nagle")


@contextmanager
def serve_lake(lake: str, *program: str) -> Iterator[str]:
    """The URL of a server on a free port."""
    arguments = ("serve", "--lake", lake, "--transport", "http", "--port", "0")
    with subprocess.Popen([sys.executable, *program, *arguments], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield server.stderr.readline().split()[-1]
        finally:
            server.terminate()


async def time_call(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


def list_calls(client: Client) -> dict[str, Callable[[], Awaitable[object]]]:
    """What is measured, by name."""
    select = {"sql_query": "SELECT 1", "reasoning": "bench"}
    return {
        "tools/list": lambda: client.list_tools(cache_mode="bypass"),
        "SELECT 1": lambda: client.call_tool("execute_spark_sql", select),
    }


async def measure(lake: str, runs: int) -> None:
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_server", "serve", "--lake", lake], env=dict(os.environ)
    )
    with serve_lake(lake, "-m", "mcp_server") as ours, serve_lake(lake, "-c", NAGLE) as slow:
        async with (
            Client(command, mode="legacy") as one,
            Client(ours, mode="legacy") as two,
            Client(slow, mode="legacy") as three,
        ):
            every = [list_calls(client) for client in (one, two, three)]
            print(f"{'median of ' + str(runs):16}" + "".join(f"{name:>18}" for name in NAMES) + f"{'http / stdio':>16}")
            for name in every[0]:
                times: list[list[float]] = [[] for _ in every]
                for _ in range(runs + 1):
                    for kept, each in zip(times, every, strict=True):
                        kept.append(await time_call(each[name]))
                medians = [statistics.median(kept[1:]) for kept in times]  # the first one waits for the engine
                row = "".join(f"{median * 1000:15.1f} ms" for median in medians)
                print(f"{name:16}{row}{medians[1] / medians[0]:14.2f} ×")


def main() -> None:
    options = parse_lake_options(__doc__, runs=40)
    with printing_load():
        asyncio.run(measure(options.lake, options.runs))


if __name__ == "__main__":
    main()
