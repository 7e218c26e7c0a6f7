"""The coverage of a generation: counted once it is published, for those who answer questions about it.

What is counted is declared in the lake's context (`lake.toml`); a lake without one gets IMDb's. An update counts again
only what reads tables that have changed by more than a share that no answer shows. Nothing here fails a load.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Final

from etl.context_files import read_load_declarations
from etl.coverage_counts import CoverageCounter
from etl.quality import describe_failure
from etl.safeguards import was_interrupted
from lakehouse.context import Context, Join, Measure
from lakehouse.coverage import (
    ColumnCoverage,
    Coverage,
    JoinCoverage,
    MeasureCoverage,
    read_coverage,
    store_coverage,
)
from lakehouse.storage import Lake

log = logging.getLogger(__name__)

_STALE_SHARE: Final = 0.01
"""What reads a table is counted again once more than this share of its rows has changed since it was counted."""
_GZIP_MAGIC: Final = b"\x1f\x8b"

Counted = ColumnCoverage | JoinCoverage | MeasureCoverage


@dataclass(frozen=True)
class CountTask:
    """Something to count. `carry_over` selects its counts from an earlier coverage."""

    about: str
    tables: tuple[str, ...]
    count: Callable[[], Iterable[Counted]]
    carry_over: Callable[[Coverage], list[Counted]]
    join: Join | None = None


@dataclass(frozen=True)
class EarlierCoverage:
    """The coverage that an update starts from, and how many rows of each table it has changed."""

    coverage: Coverage
    changed: Mapping[str, int]


def publish_coverage(
    lake: Lake,
    context_dir: Path | None,
    counter: CoverageCounter,
    generation: int,
    sources: Iterable[Path],
    earlier: EarlierCoverage | None = None,
) -> list[str]:
    """Count and store the coverage of a generation that is published. Returns findings, and what could not be done."""
    try:
        context = read_load_declarations(lake, context_dir)
        coverage, notes = _count_all(counter, context, generation, earlier)
        store_coverage(lake, coverage.model_copy(update={"snapshot": find_snapshot_day(sources)}))
    except (Exception, KeyboardInterrupt) as error:
        log.debug("the coverage was not stored", exc_info=error)
        return [describe_failure("how much of the data is known", error)]
    return notes


def copy_coverage(lake: Lake, generation: int, new: int) -> None:
    """Give a generation the coverage of another one that has the same rows. A failure is only logged."""
    try:
        coverage = read_coverage(lake, generation)
        if coverage is not None:
            store_coverage(lake, coverage.model_copy(update={"generation": new}))
    except Exception as error:
        log.debug("the coverage of generation %s was not copied", generation, exc_info=error)


def find_snapshot_day(sources: Iterable[Path]) -> date | None:
    """Return the day (UTC) of the newest file: the time in its gzip header, else that of its last modification."""
    moments = [_read_packing_time(path) or path.stat().st_mtime for path in sources]
    return datetime.fromtimestamp(max(moments), UTC).date() if moments else None


def _read_packing_time(path: Path) -> int:
    """Read the time at which a file was packed (MTIME in RFC 1952), in seconds since 1970; 0 where it is not told."""
    with path.open("rb") as file:
        header = file.read(8)
    if len(header) < 8 or not header.startswith(_GZIP_MAGIC):
        return 0
    (seconds,) = struct.unpack("<I", header[4:])
    return int(seconds)


def _count_all(
    counter: CoverageCounter, context: Context, generation: int, earlier: EarlierCoverage | None
) -> tuple[Coverage, list[str]]:
    rows = {name: entry.rows for name, entry in counter.entries.items()}
    declared = _hash_declarations(context)
    base = earlier.coverage if earlier is not None and earlier.coverage.declared == declared else None
    changed = {name: count + 1 for name, count in rows.items()} if base is None else _add_changes(base, earlier, rows)
    stale = {name for name, count in changed.items() if count > _STALE_SHARE * rows[name]}
    counted, uncounted, notes, interrupted = list[Counted](), list[CountTask](), list[str](), False
    tasks = list(_list_tasks(counter, context))
    kept = {task for task in tasks if base is not None and not stale.intersection(task.tables)}
    counter.plan_joins(task.join for task in tasks if task.join is not None and task not in kept)
    for task in tasks:
        if base is not None and task in kept:
            counted += task.carry_over(base)
            continue
        if not interrupted:
            try:
                counted += task.count()
                continue
            except (Exception, KeyboardInterrupt) as error:
                log.debug("%s were not counted", task.about, exc_info=error)
                interrupted = was_interrupted(error)
                notes.append(describe_failure(task.about, error))
        uncounted.append(task)
    joins = tuple(each for each in counted if isinstance(each, JoinCoverage))
    failed = {name for task in uncounted for name in task.tables}
    coverage = Coverage(
        generation=generation,
        columns=tuple(each for each in counted if isinstance(each, ColumnCoverage)),
        joins=joins,
        measures=tuple(each for each in counted if isinstance(each, MeasureCoverage)),
        not_counted=tuple(f"Not counted: {task.about}." for task in uncounted),
        declared=declared,
        # What was not counted is stale for the next update, whatever that changes.
        changed={
            name: rows[name] + 1 if name in failed else count
            for name, count in changed.items()
            if name in failed or (count and name not in stale)
        },
    )
    return coverage, (notes if earlier is not None else [*_list_orphans(joins), *notes])


def _add_changes(base: Coverage, earlier: EarlierCoverage | None, rows: Mapping[str, int]) -> dict[str, int]:
    """Add the rows that this update changed to those that earlier ones changed since they were counted."""
    changed = earlier.changed if earlier is not None else {}
    return {name: base.changed.get(name, 0) + changed.get(name, 0) for name in rows}


def _list_tasks(counter: CoverageCounter, context: Context) -> Iterator[CountTask]:
    """List what is to be counted of the tables that are there."""
    for table in counter.entries:
        skipped = {column for owner, column in context.not_missing if owner == table.lower()}
        yield CountTask(
            f"missing values of {table}",
            (table,),
            partial(counter.count_columns, table, skipped),
            partial(_select_columns, table),
        )
    for join in context.declarations.join:
        left, right = (side.partition(".")[0] for side in (join.left, join.right))
        if left in counter.entries and right in counter.entries:
            yield CountTask(
                f"rows of {left} without their {right}",
                (left, right),
                partial(_count_join, counter, join),
                partial(_select_join, join),
                join,
            )
    for measure in context.declarations.coverage:
        if measure.table in counter.entries:
            yield CountTask(
                f"{measure.about} that {measure.table} knows",
                tuple(counter.list_read(measure.sql)),
                partial(_count_measure, counter, measure),
                partial(_select_measure, measure),
            )


def _select_columns(table: str, base: Coverage) -> list[Counted]:
    return [each for each in base.columns if each.table == table]


def _select_join(join: Join, base: Coverage) -> list[Counted]:
    return [each for each in base.joins if (each.left, each.right, each.of) == (join.left, join.right, join.of)]


def _select_measure(measure: Measure, base: Coverage) -> list[Counted]:
    wanted = (measure.table, measure.columns, measure.about, measure.of)
    return [each for each in base.measures if (each.table, each.columns, each.about, each.of) == wanted]


def _count_join(counter: CoverageCounter, join: Join) -> list[Counted]:
    return [counter.count_join(join)]


def _count_measure(counter: CoverageCounter, measure: Measure) -> list[Counted]:
    return [counter.count_measure(measure)]


def _list_orphans(joins: Iterable[JoinCoverage]) -> list[str]:
    """Describe values without a partner: they occur in IMDb's files."""
    lacking = ((each, each.whole.rows - each.whole.known) for each in joins)
    return [
        f"{table}: {count:,} values of {column} are not in {each.right.partition('.')[0]}."
        for each, count in lacking
        for table, _, column in (each.left.partition("."),)
        if count
    ]


def _hash_declarations(context: Context) -> str:
    """Hash what is declared, so that an update notices that something else is to be counted."""
    declared = context.declarations.model_dump_json(include={"join", "coverage", "not_missing"})
    return hashlib.sha256(declared.encode()).hexdigest()
