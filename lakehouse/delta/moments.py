"""The version of a table at a moment: `TIMESTAMP AS OF`, as Spark resolves it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from lakehouse.delta.folder import TableLog
from lakehouse.delta.replay import latest_version, read_snapshot
from lakehouse.errors import QueryFailed

_PARTIAL = re.compile(r"([0-9]{4})(?:-([0-9]{1,2}))?(?:-([0-9]{1,2}))?")


def parse_moment(text: str) -> datetime:
    """Parse a moment as Spark does, in UTC without a zone: `2026`, `2026-1-5`, `2026-01-05 10:00:00.5+02:00`."""
    text = text.strip()
    try:
        if partial := _PARTIAL.fullmatch(text):
            year, month, day = (int(part or 1) for part in partial.groups())
            return datetime(year, month, day, tzinfo=UTC)
        found = datetime.fromisoformat(text.replace(" UTC", "Z"))
    except ValueError as error:
        raise QueryFailed(f"{text[:60]!r} is no moment. Write it as '2026-01-31 12:00:00'.") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def version_at(log: TableLog, moment: datetime) -> int:
    """The newest version at a moment. Raises QueryFailed before the first version and after the last.

    The time of a commit is its file's, at least a millisecond after that of the commit before, unless the table stores
    the times itself (Delta protocol, "In-Commit Timestamps").
    """
    asked = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    found: int | None = None
    last = 0
    for version, written in read_times(log):
        last = written
        if written <= asked:
            found = version
    said = moment.strftime("%Y-%m-%d %H:%M:%S")
    if found is None:
        raise QueryFailed(f"The table {log.name} has no version as old as {said}. Ask for a later moment.")
    if last < asked:
        raise QueryFailed(
            f"The newest version of the table {log.name} is older than {said}. Leave the moment out to read it."
        )
    return found


def read_times(log: TableLog) -> Iterator[tuple[int, int]]:
    """Yield each version with an existing commit, with its time in milliseconds since 1970."""
    kept_from = _find_first_kept(log)
    last = -1
    for version, name in log.commits.items():
        written = log.entries[name].modified
        if kept_from is not None and version >= kept_from:
            written = _read_kept_time(log, name)
        last = max(written, last + 1)
        yield version, last


def _find_first_kept(log: TableLog) -> int | None:
    """The version from which the table stores the times of its commits, or None."""
    settings = read_snapshot(log, latest_version(log)).metadata.get("configuration") or {}
    if settings.get("delta.enableInCommitTimestamps") != "true":
        return None
    return int(settings.get("delta.inCommitTimestampEnablementVersion", 0))


def _read_kept_time(log: TableLog, name: str) -> int:
    for action in log.actions(name):
        if "commitInfo" in action:
            written = action["commitInfo"].get("inCommitTimestamp")
            if isinstance(written, int):
                return written
            break
    raise log.as_damaged(f"{name} does not say when it was written")
