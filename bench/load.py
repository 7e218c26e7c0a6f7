"""The load on the embedded engine and on Spark `local[*]`, from the same files, side by side.

    python bench/load.py --source DIR [--runs 3]

Each run is a process of its own and starts with an empty lake. Seconds are wall time of the whole
program, engine start included. Spark's OPTIMIZE is taken out of its time, because the embedded engine
has none; Spark is tuned for tables of this size (`lakehouse.session`). Memory is the highest sum of the
resident memory of the program and all its children, looked at every 50 ms.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

STAGE = re.compile(r"^optimise \S+: .*?([\d.]+) s$")


def resident_bytes(process: psutil.Process) -> int:
    """Bytes of resident memory of a process and its children."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def time_load(source: Path, engine: str) -> tuple[float, float, int]:
    """Seconds of the program, seconds of it in OPTIMIZE, peak memory in bytes."""
    folder = Path(tempfile.mkdtemp(prefix="bench-load-"))
    log = folder / "log"
    command = [sys.executable, "-W", "ignore", "-m", "etl.cli", "load", "--source", str(source)]
    command += ["--lake", str(folder / "lake"), "--engine", engine]
    started = time.perf_counter()
    with log.open("w") as out:
        process = psutil.Popen(command, stdout=out, stderr=out)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_bytes(process))
            time.sleep(0.05)
    seconds = time.perf_counter() - started
    text = log.read_text()
    shutil.rmtree(folder)
    if process.returncode != 0:
        raise SystemExit(f"the load on {engine} failed:\n{text}")
    optimising = sum(float(found[1]) for line in text.splitlines() if (found := STAGE.match(line)))
    return seconds, optimising, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    subprocess.run(["sync"], check=True)
    results: dict[str, list[tuple[float, float, int]]] = {"embedded": [], "spark": []}
    for run in range(options.runs):
        for engine, measured in results.items():
            before = os.getloadavg()[0]
            measured.append(time_load(options.source, engine))
            seconds, optimising, peak = measured[-1]
            print(
                f"run {run + 1} {engine:9} {seconds:7.1f} s, of it OPTIMIZE {optimising:6.1f} s, "
                f"peak {peak / 2**30:.2f} GiB, load average before {before:.2f}",
                flush=True,
            )
    medians = {name: statistics.median(s - o for s, o, _ in measured) for name, measured in results.items()}
    print(f"median without OPTIMIZE: embedded {medians['embedded']:.1f} s, spark {medians['spark']:.1f} s")
    print(f"ratio {medians['spark'] / medians['embedded']:.1f} ×")


if __name__ == "__main__":
    main()
