"""Finds the changed lines of files while the tables of other files are updated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from etl.changed_lines import ChangedLines
from etl.fingerprints import Fingerprint
from etl.header import Source
from etl.progress import ProgressReporter
from etl.work_pool import WorkPool

_MOST_LINES: Final = 4_000_000
"""More lines than this in groups that changed are not compared in memory, which takes some 400 bytes a line: the table
is loaded whole."""
_MOST_SHARE, _FEW_ROWS = 0.5, 100_000
"""The same for this share of a file's lines, unless they are few."""
_FILES_AT_ONCE: Final = 2


@contextmanager
def compare_ahead(
    sources: Iterable[Source], known: Mapping[str, Fingerprint | None], work_dir: Path, report: ProgressReporter
) -> Iterator[Mapping[str, Future[ChangedLines | None]]]:
    """Find the changed lines of each file in threads, given the fingerprints of the files that tables were loaded from.

    Yields the results by table: None where too many lines have changed to compare them in memory. Files whose table
    has no fingerprint are left out.
    """
    folder = work_dir / "changed"
    folder.mkdir(exist_ok=True)
    with WorkPool(_FILES_AT_ONCE) as pool:

        def find_lines(source: Source, fingerprint: Fingerprint) -> ChangedLines | None:
            path = source.path
            with report.open_stage(f"compare {path.name}", total_bytes=path.stat().st_size) as stage:
                target = folder / f"{source.dataset.file}.tsv"
                changed = ChangedLines.find(source, fingerprint, target, pool.make_interruptible(stage.advance))
                stage.advance(path.stat().st_size, changed.all_lines)
            most = min(_MOST_LINES, max(_MOST_SHARE * changed.all_lines, _FEW_ROWS))
            return None if changed.fingerprint is None or changed.lines > most else changed

        yield {
            source.dataset.table: pool.submit(find_lines, source, fingerprint)
            for source in sources
            if (fingerprint := known[source.dataset.table]) is not None
        }
