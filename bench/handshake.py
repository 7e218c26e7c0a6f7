"""Spawn → `initialize`, and spawn → first SQL answer, side by side with a bare MCP server.

    python bench/handshake.py --lake DIR [--runs 15]

The bare server is the SDK's `MCPServer` with one tool that returns a constant. The three are measured in
turn, so that noise of the machine falls on all of them alike. Prints medians and ratios.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time

from mcp import Client, StdioServerParameters
from program import parse_lake_options, printing_load

BARE = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("bare")
@server.tool()
def answer(question: str) -> str:
    "Answers."
    return "42"
server.run()
"""
SQL = "SELECT primaryTitle, averageRating FROM movies_with_ratings ORDER BY numVotes DESC LIMIT 5"


async def time_handshake(server: StdioServerParameters) -> float:
    """Seconds from starting the process to the answer to `initialize`."""
    started = time.perf_counter()
    async with Client(server, mode="legacy"):
        return time.perf_counter() - started


async def time_first_answer(server: StdioServerParameters, tool: str, arguments: dict[str, str]) -> float:
    """Seconds from starting the process to the first result of a tool."""
    started = time.perf_counter()
    async with Client(server, mode="legacy", read_timeout_seconds=120) as client:
        result = await client.call_tool(tool, arguments)
        seconds = time.perf_counter() - started
        if result.is_error:
            raise SystemExit(f"{tool} failed: {result.content}")
        return seconds


def print_row(name: str, ours: list[float], bare: list[float]) -> None:
    a, b = statistics.median(ours), statistics.median(bare)
    print(f"{name:28} {a:8.3f} s {b:8.3f} s {a / b:8.2f} ×   (ours {min(ours):.3f} to {max(ours):.3f})")


async def measure(lake: str, runs: int) -> None:
    environment = dict(os.environ)
    ours = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_server", "serve", "--lake", lake], env=environment
    )
    bare = StdioServerParameters(command=sys.executable, args=["-c", BARE], env=environment)
    times: dict[str, list[float]] = {name: [] for name in ("ours", "bare", "ours sql", "bare call")}
    for _ in range(runs):
        times["bare"].append(await time_handshake(bare))
        times["ours"].append(await time_handshake(ours))
    for _ in range(runs):
        times["bare call"].append(await time_first_answer(bare, "answer", {"question": "?"}))
        arguments = {"sql_query": SQL, "reasoning": "bench"}
        times["ours sql"].append(await time_first_answer(ours, "execute_spark_sql", arguments))
    print(f"{'median of ' + str(runs):28} {'ours':>10} {'bare':>10} {'ratio':>10}")
    print_row("spawn → initialize", times["ours"], times["bare"])
    print_row("spawn → first SQL answer", times["ours sql"], times["bare call"])


def main() -> None:
    options = parse_lake_options(__doc__, runs=15)
    with printing_load():
        asyncio.run(measure(options.lake, options.runs))


if __name__ == "__main__":
    main()
