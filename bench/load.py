"""The load, beside the least that any load has to do, and on Spark `local[*]` from the same files.

    python -m bench.load --source DIR [--runs 3] [--engines embedded,spark] [--work DIR]

Each run is a process of its own and starts with an empty lake. Seconds are wall time of the whole program, engine start
included. The floor of a run is measured right after it: unpacking every source file, and writing every byte that was
published to the same disk. Spark's OPTIMIZE is taken out of its time, because the embedded engine has none; Spark is
tuned for tables of this size (`lakehouse.session`). Memory is the highest sum of the resident memory of the program and
all its children, written bytes are what they gave to the disk, both looked at every 50 ms.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from deltalake import DeltaTable

from lakehouse.manifest import read_manifest
from lakehouse.storage import Lake

STAGE = re.compile(r"^optimise \S+: .*?([\d.]+) s$")
BLOCK_BYTES = 4 << 20


@dataclass
class Usage:
    """What a program used: seconds of wall and processor time, peak bytes of memory, bytes given to the disk."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    written_bytes: int = 0


@dataclass(frozen=True)
class Run:
    """A load, the seconds of it in OPTIMIZE, the bytes that it published, and the seconds of its floor."""

    used: Usage
    optimising: float
    published_bytes: int
    floor_seconds: float


def watch(process: psutil.Popen) -> Usage:
    """Look at a program and its children until it ends."""
    started, used = time.perf_counter(), Usage()
    cpu: dict[int, float] = {}
    written: dict[int, int] = {}
    while process.poll() is None:
        resident = 0
        try:
            for member in [process, *process.children(recursive=True)]:
                resident += member.memory_info().rss
                cpu[member.pid] = sum(member.cpu_times()[:2])
                written[member.pid] = member.io_counters().write_bytes
        except psutil.Error:  # it ended meanwhile
            pass
        used.peak_bytes = max(used.peak_bytes, resident)
        time.sleep(0.05)
    used.seconds = time.perf_counter() - started
    used.cpu_seconds, used.written_bytes = sum(cpu.values()), sum(written.values())
    return used


def measure_load(source: Path, engine: str, work: Path | None) -> Run:
    """Load into an empty lake, then measure the floor, and remove the lake."""
    folder = Path(tempfile.mkdtemp(prefix="bench-load-", dir=work))
    log, lake = folder / "log", folder / "lake"
    command = [sys.executable, "-W", "ignore", "-m", "etl.cli", "load", "--source", str(source)]
    try:
        with log.open("w") as out:
            used = watch(psutil.Popen([*command, "--lake", lake, "--engine", engine], stdout=out, stderr=out))
        text = log.read_text()
        files = list_published(lake)
        if not files:
            raise SystemExit(f"the load on {engine} failed:\n{text}")
        optimising = sum(float(found[1]) for line in text.splitlines() if (found := STAGE.match(line)))
        floor = time_unpacking(source) + time_writing(files, folder / "copy")
        return Run(used, optimising, sum(file.stat().st_size for file in files), floor)
    finally:
        shutil.rmtree(folder)


def list_published(lake: Path) -> list[Path]:
    """Return the data files that the manifest of a lake names, none where it has none."""
    manifest = read_manifest(Lake.parse(str(lake))) if lake.is_dir() else None
    entries = manifest.tables.values() if manifest else ()
    return [
        Path(file.removeprefix("file://"))
        for entry in entries
        for file in DeltaTable(str(lake / entry.path), version=entry.version).file_uris()
    ]


def time_unpacking(source: Path) -> float:
    """Seconds to unpack all files of a source."""
    started = time.perf_counter()
    for path in source.glob("*.gz"):
        with gzip.open(path) as file:
            while file.read(BLOCK_BYTES):
                pass
    return time.perf_counter() - started


def time_writing(files: list[Path], target: Path) -> float:
    """Seconds to write the bytes of all files into one, until they are on the disk."""
    started = time.perf_counter()
    with target.open("wb") as out:
        for path in files:
            with path.open("rb") as file:
                shutil.copyfileobj(file, out, BLOCK_BYTES)
        out.flush()
        os.fsync(out.fileno())
    return time.perf_counter() - started


def print_run(number: int, engine: str, run: Run, load_before: float) -> None:
    """Print what a run gave."""
    used = run.used
    print(
        f"run {number} {engine:9} {used.seconds:7.1f} s ({used.cpu_seconds:.0f} s CPU, OPTIMIZE "
        f"{run.optimising:.1f} s), floor {run.floor_seconds:.1f} s, {used.seconds / run.floor_seconds:.2f} ×; peak "
        f"{used.peak_bytes / 2**30:.2f} GiB; written {used.written_bytes / 1e9:.2f} GB, published "
        f"{run.published_bytes / 1e9:.2f} GB, {used.written_bytes / run.published_bytes:.2f} ×; load average "
        f"{load_before:.1f} to {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--engines", default="embedded,spark")
    parser.add_argument("--work", type=Path, help="folder for the lakes; default: the machine's temporary folder")
    options = parser.parse_args()
    subprocess.run(["sync"], check=True)
    results: dict[str, list[Run]] = {engine: [] for engine in options.engines.split(",")}
    for number in range(1, options.runs + 1):
        for engine, runs in results.items():
            before = os.getloadavg()[0]
            runs.append(measure_load(options.source, engine, options.work))
            print_run(number, engine, runs[-1], before)
    medians = {
        engine: statistics.median(run.used.seconds - run.optimising for run in runs) for engine, runs in results.items()
    }
    for engine, seconds in medians.items():
        floor = statistics.median(run.floor_seconds for run in results[engine])
        print(f"{engine}: median without OPTIMIZE {seconds:.1f} s, {seconds / floor:.2f} × the floor")
    if len(medians) == 2:
        first, second = medians.values()
        print(f"ratio {second / first:.1f} ×")


if __name__ == "__main__":
    main()
