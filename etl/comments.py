"""Gives tables that another release has loaded the comments of this one."""

from __future__ import annotations

from etl.loaded import describe_anew
from etl.stored_rows import describe_version
from etl.table_files import TableFiles
from lakehouse.manifest import Manifest, TableEntry
from lakehouse.storage import Lake


def renew_comments(lake: Lake, base: Manifest) -> tuple[Manifest, list[str]]:
    """Commit the tables of a manifest with new comments where theirs are others; no data is moved.

    Returns the manifest with the versions that were committed, and the names of their tables. Nothing is published.
    """
    tables: dict[str, TableEntry] = {}
    for name, entry in base.tables.items():
        described = describe_anew(name, entry)
        if described is not None and described != entry:
            files = TableFiles(lake, entry.path)
            written = describe_version(files, entry.version, described.comment, described.columns)
            tables[name] = described.model_copy(update={"version": written.version})
    return base.model_copy(update={"tables": {**base.tables, **tables}}), list(tables)
