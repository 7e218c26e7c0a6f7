"""Inspects files while the tables of other files are written."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

from etl.header import Source
from etl.progress import ProgressReporter
from etl.source import Inspection, inspect_source


def inspect_ahead(
    sources: Sequence[Source], work_dir: Path, report: ProgressReporter
) -> Generator[tuple[Source, Inspection], None, None]:
    """Yield the inspection of each file, in order; a thread inspects the next ones while the caller works on this one.

    Raises SourceError as `inspect_source` does. Closing the generator ends the thread.
    """
    given_up = threading.Event()

    def inspect_file(source: Source) -> Inspection:
        path = source.path
        with report.open_stage(f"inspect {path.name}", total_bytes=path.stat().st_size) as stage:

            def report_progress(done: int, lines: int) -> None:
                if given_up.is_set():
                    raise CancelledError
                stage.advance(done, lines)

            return inspect_source(source, work_dir, report_progress)

    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = [(source, pool.submit(inspect_file, source)) for source in sources]
        try:
            for source, inspection in waiting:
                yield source, inspection.result()
        finally:
            given_up.set()
            pool.shutdown(cancel_futures=True)
