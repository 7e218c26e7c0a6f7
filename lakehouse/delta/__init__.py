"""Reads Delta logs: the files of a version of a table, the version at a moment, the places of files.

Engines read logs too, with gaps: the embedded one misses old versions behind a checkpoint and misreads statistics, and
none refuses a log that names files outside of the lake.
"""

from lakehouse.delta.audit import LogAudit
from lakehouse.delta.folder import LOG_NAME, LogChangedError, LogFolder, LogObjects, Mark, TableLog
from lakehouse.delta.history import Commit, read_history
from lakehouse.delta.metadata import TableHead, read_metadata
from lakehouse.delta.moments import parse_moment, version_at
from lakehouse.delta.nesting import check_nesting
from lakehouse.delta.opening import open_log
from lakehouse.delta.paths import DataPaths, ObjectPaths, is_below
from lakehouse.delta.replay import Snapshot, latest_version, read_snapshot

__all__ = [
    "LOG_NAME",
    "Commit",
    "DataPaths",
    "LogAudit",
    "LogChangedError",
    "LogFolder",
    "LogObjects",
    "Mark",
    "ObjectPaths",
    "Snapshot",
    "TableHead",
    "TableLog",
    "check_nesting",
    "is_below",
    "latest_version",
    "open_log",
    "parse_moment",
    "read_history",
    "read_metadata",
    "read_snapshot",
    "version_at",
]
