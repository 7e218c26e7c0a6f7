"""AI functions against a model server of this machine that takes 300 ms for each call, with the real ledger and cache.

    python -m bench.ai [--folder DIR]      DIR is where state and cache are made: its disk's fsync counts

To reach: a call takes at most 1.1 times what the bare client takes; 50 rows take at most 1.3 times the slowest call
times rows by concurrency. Cached answers per second are told beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from program import printing_load

from ai_functions.functions import functions
from ai_functions.service import AiService, open_service
from ai_functions.types import Facts, Spender
from lakehouse.storage import Lake
from mcp_server.settings import Settings, load_settings

FUNCTION = functions()["ai_movie_summary"]
MODEL_SECONDS = 0.3
CALLS = 40
ROWS = 50
PLENTY = dict.fromkeys(("query", "caller_hour", "caller_day", "day", "month"), 1_000.0)


@contextmanager
def model_server() -> Iterator[str]:
    """A model server in a process of its own; gives its address."""
    command = [sys.executable, "-m", "tests.openai_server", "--seconds", str(MODEL_SECONDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("")


def make_films(name: str, count: int) -> list[Facts]:
    """Invented facts, different for each name."""
    cast = [{"category": "actor", "primaryName": f"Person {i}", "characters": [f"Character {i}"]} for i in range(8)]
    return [
        Facts(f"tt{i:07d}", {"tconst": f"tt{i:07d}", "primaryTitle": f"{name} {i}", "startYear": 1990, "credits": cast})
        for i in range(count)
    ]


def time_call(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def time_bare_calls(url: str) -> list[float]:
    """What the client alone takes for the same requests, one after the other."""
    import openai

    client = openai.OpenAI(api_key="none", base_url=url, max_retries=0)

    def call(facts: Facts) -> None:
        request = FUNCTION.build_request(facts, FUNCTION.model)
        client.chat.completions.create(
            model=request.model,
            messages=[{"role": "system", "content": request.system}, {"role": "user", "content": request.user}],
            max_tokens=request.max_output_tokens,
        )

    call(make_films("Warm", 1)[0])
    return [time_call(lambda facts=facts: call(facts)) for facts in make_films("Bare", CALLS)]


def run_items(service: AiService, items: list[Facts], query: str) -> float:
    """Seconds of one query. Fails where a row has no text."""
    spender = Spender("bench", query)
    started = time.perf_counter()
    outcomes = service.run(FUNCTION, items, spender, deadline_seconds=120)
    took = time.perf_counter() - started
    assert all(outcome.text for outcome in outcomes), outcomes
    return took


def format_spread(times: list[float]) -> str:
    ordered = sorted(times)
    p95 = ordered[int(len(ordered) * 0.95)]
    return f"p50 {statistics.median(ordered) * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms, slowest {ordered[-1] * 1e3:.1f} ms"


def show_cached(service: AiService, folder: Path, settings: Settings) -> None:
    """Answers per second out of memory, and out of the table as a new process finds it."""
    items = make_films("Query 0", ROWS)
    for count in (1, ROWS):
        times = [run_items(service, items[:count], f"cached {i}") for i in range(200)]
        print(
            f"cached, {count:2} a query: {count / statistics.median(times):8,.0f} summaries/s ({format_spread(times)})"
        )
    times = []
    for i in range(5):
        fresh = open_service(settings, Lake.parse(str(folder / "lake")))
        times.append(run_items(fresh, items, f"fresh {i}"))
        fresh.close()
    print(f"cached, {ROWS} a query, nothing in memory: {ROWS / statistics.median(times):,.0f} summaries/s")


async def time_server_calls(settings: Settings, folder: Path) -> list[float]:
    """Seconds of `SELECT primaryTitle, ai_movie_summary(tconst) … LIMIT 50` through MCP, on the embedded engine."""
    from mcp.client import Client

    from mcp_server.app import build_server
    from tests.server.lakes import make_lake

    make_lake(folder / "sql")
    times = []
    server = build_server(settings.model_copy(update={"lake": str(folder / "sql")}), Lake.parse(str(folder / "sql")))
    async with Client(server) as client:
        for page in range(4):
            sql = (
                f"SELECT primaryTitle, {FUNCTION.name}(tconst) AS summary FROM movies_delta ORDER BY tconst "
                f"LIMIT {ROWS} OFFSET {page * ROWS}"
            )
            started = time.perf_counter()
            found = await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "bench"})
            times.append(time.perf_counter() - started)
            assert not found.is_error, found.content
            assert all(row[1] for row in found.structured_content["rows"]), found.structured_content["warnings"]
    server.close()
    return times[1:]  # the first one starts the engine


def measure(url: str, folder: Path) -> None:
    os.environ["OPENAI_BASE_URL"] = url
    budgets = {f"ai_{name}_budget": amount for name, amount in PLENTY.items()}
    settings = load_settings(state_dir=folder / "state", ai_queries_per_hour=1_000_000, **budgets)
    (folder / "lake").mkdir()
    service = open_service(settings, Lake.parse(str(folder / "lake")))
    run_items(service, make_films("Warm", 1), "warm")

    bare = time_bare_calls(url)
    ours = [run_items(service, [facts], f"one {i}") for i, facts in enumerate(make_films("One", CALLS))]
    print(f"one call, bare client: {format_spread(bare)}")
    print(f"one call, all of it:   {format_spread(ours)}")
    print(f"ratio {statistics.median(ours) / statistics.median(bare):.3f} (to reach: 1.1)")

    at_best = max(bare) * ROWS / settings.ai_concurrency
    times = [run_items(service, make_films(f"Query {i}", ROWS), f"rows {i}") for i in range(5)]
    print(
        f"{ROWS} rows, {settings.ai_concurrency} at once: {format_spread(times)}; slowest call × rows / concurrency ",
        end="",
    )
    print(f"{at_best * 1e3:.0f} ms; ratio {statistics.median(times) / at_best:.3f} (to reach: 1.3)")
    show_cached(service, folder, settings)
    service.close()

    times = asyncio.run(time_server_calls(settings, folder))
    print(
        f"{ROWS} rows in SQL, through the server: {format_spread(times)}; "
        f"ratio {statistics.median(times) / at_best:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("IMDB_", "OPENAI_", "AZURE_"))]:
        del os.environ[name]
    with (
        printing_load(),
        tempfile.TemporaryDirectory(prefix="bench-ai-", dir=options.folder) as folder,
        model_server() as url,
    ):
        measure(url, Path(folder))


if __name__ == "__main__":
    main()
