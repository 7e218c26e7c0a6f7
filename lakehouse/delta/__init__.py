"""Reads Delta logs: which files a version of a table consists of, which version a moment belongs to, where files lie.

Engines read logs too, and differ in what they can: the embedded one misses old versions behind a checkpoint and takes
statistics for what they are not, and none minds a log that names files of somebody else.
"""

from lakehouse.delta.audit import LogAudit
from lakehouse.delta.folder import LogChangedError, LogFolder, LogObjects, Mark, TableLog
from lakehouse.delta.moments import parse_moment, version_at
from lakehouse.delta.nesting import check_nesting
from lakehouse.delta.paths import DataPaths, ObjectPaths, is_below
from lakehouse.delta.replay import Snapshot, latest_version, read_snapshot

__all__ = [
    "DataPaths",
    "LogAudit",
    "LogChangedError",
    "LogFolder",
    "LogObjects",
    "Mark",
    "ObjectPaths",
    "Snapshot",
    "TableLog",
    "check_nesting",
    "is_below",
    "latest_version",
    "parse_moment",
    "read_snapshot",
    "version_at",
]
