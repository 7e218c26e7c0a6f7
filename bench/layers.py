"""What the guard and the engine's own reading add to a query, beside the run itself.

    python bench/layers.py --lake DIR [--runs 51]

Each statement is checked without the engine, checked with the engine's reading, and run, in turn, so that noise of the
machine falls on all alike. Prints medians in milliseconds, and how much longer a governed query takes than its run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial

from program import parse_lake_options, printing_load

from lakehouse.session import Stage
from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import CheckedQuery, EngineReading, Principal
from mcp_server.settings import load_settings
from mcp_server.terms import catalog_of, limits_of

STATEMENTS = {
    "a count": "SELECT count(*) FROM movies_delta",
    "top five of a year": (
        "SELECT primaryTitle, averageRating FROM movies_with_ratings WHERE startYear = 2000 "
        "ORDER BY averageRating DESC, numVotes DESC LIMIT 5"
    ),
    "one title's cast": (
        "SELECT p.category, n.primaryName FROM movies_delta m JOIN principals_delta p ON p.tconst = m.tconst "
        "JOIN persons_delta n ON n.nconst = p.nconst WHERE m.tconst = 'tt0000005'"
    ),
    "QUALIFY, rewritten": (
        "SELECT titleType, primaryTitle FROM movies_with_ratings "
        "QUALIFY row_number() OVER (PARTITION BY titleType ORDER BY numVotes DESC, tconst) <= 3"
    ),
}


def measure_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1_000


def measure(address: str, runs: int, state: str) -> None:
    settings = load_settings(state_dir=state)
    engine = EmbeddedEngine(Lake.parse(address), settings)
    engine.start()
    catalog = catalog_of(engine, engine.tables())

    def check(sql: str, read: checking.Read | None = None) -> CheckedQuery:
        checked = checking.check(
            sql, catalog=catalog, limits=limits_of(settings), principal=Principal("bench"), read=read
        )
        assert isinstance(checked, CheckedQuery)
        return checked

    def read(sql: str, tables: frozenset[str], stage: Stage) -> EngineReading | None:
        return engine.read(sql, tables, stage, uuid.uuid4().hex)

    print(f"{'median of ' + str(runs) + ', ms':24} {'check':>8} {'and read':>9} {'run':>8}   governed to run")
    for name, sql in STATEMENTS.items():
        times: dict[str, list[float]] = {"check": [], "read": [], "run": []}
        for _ in range(runs):
            query = check(sql)
            times["check"].append(measure_ms(partial(check, sql)))
            times["read"].append(measure_ms(partial(check, sql, read)))
            times["run"].append(measure_ms(partial(engine.execute, query, uuid.uuid4().hex)))
        alone, with_reading, run = (statistics.median(times[key]) for key in ("check", "read", "run"))
        print(f"{name:24} {alone:8.1f} {with_reading:9.1f} {run:8.1f}   {(with_reading + run) / run:.2f} ×")
    engine.close()


def main() -> None:
    options = parse_lake_options(__doc__, runs=51)
    with printing_load(), tempfile.TemporaryDirectory() as state:
        measure(options.lake, options.runs, state)


if __name__ == "__main__":
    main()
