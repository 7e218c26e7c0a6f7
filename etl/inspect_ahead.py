"""Inspects files while the tables of other files are written."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from etl.header import Source
from etl.progress import ProgressReporter
from etl.source import Inspection, inspect_source
from etl.work_pool import WorkPool


def inspect_ahead(
    sources: Sequence[Source], work_dir: Path, report: ProgressReporter
) -> Generator[tuple[Source, Inspection], None, None]:
    """Yield the inspection of each file, in order; a thread inspects the next ones while the caller works on this one.

    Raises SourceError as `inspect_source` does. Closing the generator ends the thread.
    """
    with WorkPool(1) as pool:

        def inspect_file(source: Source) -> Inspection:
            path = source.path
            with report.open_stage(f"inspect {path.name}", total_bytes=path.stat().st_size) as stage:
                return inspect_source(source, work_dir, pool.make_interruptible(stage.advance))

        waiting = [(source, pool.submit(inspect_file, source)) for source in sources]
        for source, inspection in waiting:
            yield source, inspection.result()
