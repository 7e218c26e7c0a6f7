"""How many bytes each look-up reads from the files of a lake, and how long it takes.

    python bench/layout.py --lake DIR [--runs 5]

Counts what the process reads through system calls (`rchar` of /proc/self/io, Linux), with the embedded
engine in the same process. Bytes are those of the first look-up, milliseconds the median of the later ones.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from program import parse_lake_options, printing_load

from lakehouse.manifest import Manifest, read_manifest
from lakehouse.quoting import quote_literal
from lakehouse.session import open_session
from lakehouse.storage import Lake

LOOKUPS = (
    ("movies_delta", "tconst"),
    ("ratings_delta", "tconst"),
    ("persons_delta", "nconst"),
    ("persons_delta", "primaryName"),
    ("principals_delta", "tconst"),
    ("principals_delta", "nconst"),
    ("movies_with_ratings", "startYear"),
    ("movies_with_ratings", "tconst"),
    ("movie_cast", "primaryName"),
    ("movie_cast", "nconst"),
    ("movie_cast", "tconst"),
    ("film_people", "primaryName"),
)


def bytes_read() -> int:
    """What this process has read so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def measure(lake: Lake, manifest: Manifest, runs: int) -> None:
    print(f"{'look-up':38} {'bytes read':>14} {'of table':>14} {'share':>7} {'ms':>7}")
    with open_session("embedded") as session:
        spark = session.spark
        for table, column in LOOKUPS:
            if table not in manifest.tables:
                continue
            entry = manifest.tables[table]
            frame = (
                spark.read.format("delta").option("versionAsOf", entry.version).load(lake.table_location(entry.path))
            )
            frame.createOrReplaceTempView("t")
            # Any value will do, as long as every run takes the same one.
            value = spark.sql(f"SELECT {column} FROM t WHERE {column} IS NOT NULL ORDER BY xxhash64({column}) LIMIT 1")
            value = value.collect()[0][0]
            literal = str(value) if isinstance(value, int) else quote_literal(value)
            times = []
            before = bytes_read()
            first = 0
            for run in range(runs + 1):
                started = time.perf_counter()
                spark.sql(f"SELECT * FROM t WHERE {column} = {literal}").toArrow()
                times.append(time.perf_counter() - started)
                if run == 0:
                    first = bytes_read() - before
            milliseconds = statistics.median(times[1:]) * 1000
            name = f"{table} by {column}"
            print(f"{name:38} {first:14,} {entry.bytes:14,} {100 * first / entry.bytes:6.1f}% {milliseconds:7.1f}")


def main() -> None:
    options = parse_lake_options(__doc__, runs=5)
    lake = Lake.parse(options.lake)
    manifest = read_manifest(lake)
    if manifest is None:
        raise SystemExit(f"{lake} has no manifest. Load it with imdb-etl first.")
    with printing_load():
        measure(lake, manifest, options.runs)


if __name__ == "__main__":
    main()
