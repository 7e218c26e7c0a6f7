"""A day's change: `imdb-etl update` beside a full load of the same files, in seconds, processor time and bytes written.

    python -m bench.update --source DIR [--share 0.001] [--days 1] [--work DIR]

The next day's files are made from the source (`tests.etl.tomorrow`): a share of the lines of every file changes, of the
files of the day before. Bytes are those of all files that are new in the lake. Other programs on the machine change
seconds more than processor time. The stages of each update are printed as it tells them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.etl.tomorrow import write_tomorrow


def run_command(command: str, source: Path, lake: Path) -> tuple[tuple[float, float, int], str]:
    """Seconds, seconds of processor time, and bytes of the files that are new or changed in the lake; what it said."""
    before = {_identify(path) for path in lake.rglob("*") if path.is_file()}
    spent, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    arguments = [sys.executable, "-W", "ignore", "-m", "etl.cli", command]
    command_line = [*arguments, "--source", source, "--lake", lake]
    done = subprocess.run(command_line, check=True, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {_identify(path): path.stat().st_size for path in lake.rglob("*") if path.is_file()}
    written = sum(size for identity, size in found.items() if identity not in before)
    return (seconds, after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime, written), done.stderr


def _identify(path: Path) -> tuple[int, int]:
    """Identify a file by its place on the disk, since an updated index links files, and the time of its last change."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def print_run(what: str, used: tuple[float, float, int]) -> None:
    """Print what a run used."""
    seconds, processor, written = used
    print(f"{what}: {seconds:.1f} s, {processor:.1f} s of processor time, {written:,} bytes written", flush=True)


def main() -> int:
    """Print one line each, and the shares."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.001)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--work", type=Path, help="folder for lake and files; default: the machine's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-update-", dir=options.work) as name:
        source, lake = options.source, Path(name) / "lake"
        full, _ = run_command("load", source, lake)
        print_run("load", full)
        for day in range(1, options.days + 1):
            source = write_tomorrow(source, Path(name) / f"day {day}", share=options.share, seed=day)
            part, stages = run_command("update", source, lake)
            print(stages, end="")
            print_run(f"update of day {day}", part)
            shares = (f"{100 * mine / whole:.1f} %" for mine, whole in zip(part, full, strict=True))
            print(f"share: {', '.join(shares)}; load average {os.getloadavg()[0]:.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
