"""Opens the log of a table, wherever the table lies."""

from __future__ import annotations

from lakehouse.delta.folder import LogFolder, LogObjects, TableLog
from lakehouse.objects import ObjectStore
from lakehouse.storage import Lake


def open_log(lake: Lake, location: str) -> TableLog:
    """Open the log of a table at its absolute location, in a folder or in object storage, within the lake or not.

    Tables of the lake share the client of its storage, which has the connections; another URL gets a client of its own.
    Raises UsageError where the storage of a URL is not configured.
    """
    if "://" not in location:
        return LogFolder(location)
    if lake.holds(location):
        return LogObjects(lake.stored_files, lake.table_path(location))
    return LogObjects(ObjectStore(location, large=True), "")
