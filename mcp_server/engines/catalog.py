"""Reads the tables of a lake from the lake itself: from the manifest where there is one, else from the Delta logs.

This needs no engine, and nothing is read again until the lake has changed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.errors import LakeError, UsageError
from lakehouse.foreign import describe_foreign
from lakehouse.manifest import MANIFEST_NAME, read_manifest
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.folders import Located, TableFolders, index_by_name
from mcp_server.engines.located import LocatedTables
from mcp_server.models import TableInfo

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")
_MOST_CHARS = 60
_FAILED_SECONDS = 2.0
"""How long the failure of a storage counts."""
_OTHERS = re.compile(r"[^A-Za-z0-9]+")


class LakeCatalog(LocatedTables):
    """The tables of one lake and their locations. Thread-safe."""

    def __init__(self, lake: Lake, *, plain_names: bool = False) -> None:
        """`plain_names` is for an engine that takes only names of ASCII letters, digits and `_`: others get one."""
        if lake.kind is LakeKind.CATALOG:
            raise UsageError(
                f"--lake {lake} names a catalogue, and this engine has none. Give the directory or storage URL that "
                "holds the Delta tables; or, with --engine embedded, a catalogue that the server asks, such as "
                "uc://host/catalog/schema."
            )
        super().__init__(lake)
        self._plain_names = plain_names
        self._folders = TableFolders(lake)
        self._seen: object = None
        self._listed: Mapping[str, Located] | None = None

    def _find_tables(self, *, look_again: bool) -> Mapping[str, Located]:
        with self._lock:
            self._failure.raise_again()
            if self._lake.directory is None and self._folders.is_current(look_again=look_again):
                return self._known  # whether a manifest has appeared is a request as well
            try:
                manifest, found = self._find_changes(look_again=look_again)
            except LakeError as error:
                if self._lake.directory is None:
                    self._failure.remember(error, _FAILED_SECONDS)
                raise
            if found is not None and self._plain_names:
                found = {key: _name_plainly(table) for key, table in found.items()}
            if found is not None and (found != self._known or manifest != self._seen):
                self._known, self._seen = found, manifest
                self._edition += 1
            return self._known

    def _find_changes(self, *, look_again: bool) -> tuple[object, Mapping[str, Located] | None]:
        """Return what the manifest is now, None where there is none, and the tables, None where they are the same."""
        lake = self._lake
        manifest = lake.read_file(MANIFEST_NAME) if lake.directory is None else _stamp_manifest(lake.directory)
        if manifest is not None:
            return manifest, None if manifest == self._seen else self._read_published()
        listed, before = self._folders.read_tables(look_again=look_again), self._listed
        self._listed = listed
        return None, None if listed is before and self._seen is None else listed

    def _read_published(self) -> Mapping[str, Located]:
        manifest = read_manifest(self._lake)
        if manifest is None:
            raise LakeError(describe_foreign(self._lake))
        return index_by_name(
            Located(
                TableInfo(
                    name=name,
                    kind=entry.kind,
                    comment=entry.comment,
                    columns=entry.columns,
                    rows=entry.rows,
                    key=entry.key,
                    clustered_by=entry.clustered_by,
                    version=entry.version,
                    published=_add_zone(manifest.created_at),
                    nan_free=True,  # a load takes no text for a number but digits (etl/transform.py)
                ),
                self._lake.table_location(entry.path),
            )
            for name, entry in sorted(manifest.tables.items())
        )


def _add_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _name_plainly(table: Located) -> Located:
    """Give a table with another name a plain one that is its own: `sales.orders` becomes `sales_orders_…`."""
    name = table.info.name
    if _PLAIN_NAME.fullmatch(name):
        return table
    digest = hashlib.blake2b(name.lower().encode(), digest_size=6).hexdigest()
    registered = f"{_OTHERS.sub('_', name)[:_MOST_CHARS]}_{digest}".lower()
    return replace(table, info=replace(table.info, registered=registered))


def _stamp_manifest(directory: Path) -> object:
    """Return a value that changes with each published manifest; None where there is none."""
    try:
        found = os.stat(directory / MANIFEST_NAME)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
