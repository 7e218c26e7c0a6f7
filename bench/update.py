"""A day's change: `imdb-etl update` beside a full load of the same files, in seconds, processor time and bytes written.

    python -m bench.update --source DIR [--share 0.001]

The next day's files are made from the source (`tests.etl.tomorrow`): a share of the lines of every file changes. Bytes
are those of all files that are new in the lake. Other programs on the machine change seconds more than processor time.
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


def run_command(command: str, source: Path, lake: Path) -> tuple[float, float, int]:
    """Seconds, seconds of processor time, and bytes of the files that are new or changed in the lake."""
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*") if path.is_file()}
    spent, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    arguments = [sys.executable, "-W", "ignore", "-m", "etl.cli", command]
    subprocess.run([*arguments, "--source", source, "--lake", lake], check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    written = sum(
        path.stat().st_size
        for path in lake.rglob("*")
        if path.is_file() and before.get(path) != path.stat().st_mtime_ns
    )
    return seconds, after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime, written


def main() -> int:
    """Print one line each, and the shares."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.001)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-update-") as name:
        folder = Path(name)
        tomorrow = write_tomorrow(options.source, folder / "tomorrow", share=options.share)
        full = run_command("load", options.source, folder / "lake")
        part = run_command("update", tomorrow, folder / "lake")
    for what, (seconds, processor, written) in (("load", full), ("update", part)):
        print(f"{what}: {seconds:.1f} s, {processor:.1f} s of processor time, {written:,} bytes written")
    shares = (f"{100 * mine / whole:.1f} %" for mine, whole in zip(part, full, strict=True))
    print(f"share: {', '.join(shares)}; load average {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
