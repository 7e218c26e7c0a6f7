"""The commits of a table: when each was made, by what operation, and how many rows it wrote and deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from lakehouse.delta.folder import TableLog
from lakehouse.delta.moments import read_times

_OPERATION_CHARS: Final = 80
_WRITTEN: Final = ("numOutputRows", "num_output_rows", "num_added_rows")
_DELETED: Final = ("numDeletedRows", "num_deleted_rows", "numTargetRowsDeleted", "num_target_rows_deleted")
"""The names that Spark, and after them deltalake, give what they count."""


@dataclass(frozen=True)
class Commit:
    """A version of a table. Rows are None where the writer did not count them."""

    version: int
    moment: datetime
    operation: str
    rows_written: int | None
    rows_deleted: int | None


def read_history(log: TableLog, newest: int, most: int) -> list[Commit]:
    """Return at most `most` commits up to the version `newest`, the last one first. Raises LakeError.

    Versions whose commits were cleaned up are missing.
    """
    times = [(version, written) for version, written in read_times(log) if version <= newest]
    return list(islice(_iter_commits(log, times), most))


def _iter_commits(log: TableLog, times: list[tuple[int, int]]) -> Iterator[Commit]:
    for version, written in reversed(times):
        said = _read_info(log, log.commits[version])
        counted = said.get("operationMetrics")
        metrics = counted if isinstance(counted, Mapping) else {}
        yield Commit(
            version,
            datetime.fromtimestamp(written / 1000, UTC),
            str(said.get("operation") or "")[:_OPERATION_CHARS],
            _read_count(metrics, _WRITTEN),
            _read_count(metrics, _DELETED),
        )


def _read_info(log: TableLog, name: str) -> Mapping[str, Any]:
    """Read what the writer of a commit says of it; nothing where it says nothing, as the protocol allows."""
    for action in log.actions(name):
        if isinstance(action.get("commitInfo"), dict):
            found: dict[str, Any] = action["commitInfo"]
            return found
    return {}


def _read_count(metrics: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """Read the first of these counts; Spark writes numbers as text."""
    for name in names:
        value = str(metrics.get(name, ""))
        if value.isascii() and value.isdecimal() and len(value) < 19:
            return int(value)
    return None
