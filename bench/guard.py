"""CPU time of a check: the honest and the hostile corpus, and statements made to be slow, for each engine's SQL.

    python -m bench.guard

To reach: p95 of statements up to 2 KB at most 15 ms; anything at all at most 250 ms and 200 MiB.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

from lakehouse.session import Dialect
from mcp_server import checking
from tests.guard.conftest import SETTINGS
from tests.guard.giants import giants

DATA = Path(__file__).resolve().parent.parent / "tests" / "data" / "guard"
REPEATS = 5


def measure_ms(sql: str, dialect: Dialect) -> float:
    """The median CPU time of a check."""
    settings = SETTINGS | {"catalog": replace(SETTINGS["catalog"], dialect=dialect)}
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        checking.verdict(sql, **settings)
        times.append(time.process_time() - started)
    return statistics.median(times) * 1_000


def show_statements(name: str, statements: list[str], dialect: Dialect) -> None:
    """One line: how many, p50, p95 and the slowest."""
    times = sorted(measure_ms(sql, dialect) for sql in statements)
    p95 = times[int(len(times) * 0.95)]
    print(
        f"{name:24} {len(times):4} statements   p50 {statistics.median(times):6.2f} ms   p95 {p95:6.2f} ms   ", end=""
    )
    print(f"slowest {times[-1]:6.2f} ms")


def show_all(dialect: Dialect) -> None:
    """A line for each corpus, the giants, and the slowest of them by name."""
    print(dialect)
    for name in ("honest-open", "own-honest", "hostile-open", "own-hostile"):
        lines = [json.loads(line)["sql"] for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]
        show_statements(name, [sql for sql in lines if len(sql) <= 2_048], dialect)
    slow = {name: measure_ms(sql, dialect) for name, sql in giants().items()}
    show_statements("giants", list(giants().values()), dialect)
    print("slowest giants:", ", ".join(f"{n} {slow[n]:.0f} ms" for n in sorted(slow, key=slow.__getitem__)[:-6:-1]))


def main() -> None:
    checking.verdict("SELECT 1", **SETTINGS)
    print(f"load average {os.getloadavg()[0]:.2f}")
    show_all("spark")
    show_all("sail")
    unit = 1 if sys.platform == "darwin" else 1_024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    print(f"peak memory of the process {peak:.0f} MiB")


if __name__ == "__main__":
    main()
