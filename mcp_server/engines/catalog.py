"""What a lake holds, read from the lake itself: the manifest where there is one, else the Delta logs.

No engine is needed for it, and nothing is read again until the lake has changed.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.errors import LakeError, UsageError
from lakehouse.manifest import LOADING_NAME, MANIFEST_NAME, Column, Manifest, read_manifest
from lakehouse.storage import Lake, LakeKind
from mcp_server.models import TableInfo

_DELTA_LOG = "_delta_log"
# Delta's names of types, where Spark SQL's are others.
_SPARK_NAMES: Mapping[str, str] = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint"}


class LakeCatalog:
    """The tables of one lake and where they are. Safe for several threads."""

    def __init__(self, lake: Lake) -> None:
        if lake.kind is LakeKind.CATALOG:
            raise UsageError(
                f"--lake {lake} names a catalogue, and this engine has none. "
                "Give the directory or storage URL that holds the Delta tables."
            )
        self._lake = lake
        self._lock = threading.Lock()
        self._seen: object = None
        self._edition = 0
        self._known: dict[str, tuple[TableInfo, str]] = {}

    @property
    def lake(self) -> Lake:
        return self._lake

    @property
    def edition(self) -> int:
        """Which reading of the lake all answers since the last change come from."""
        return self._edition

    def tables(self) -> tuple[TableInfo, ...]:
        """All tables, by name. Raises LakeError, with what to do, where the lake holds none."""
        return tuple(info for info, _ in self._current().values())

    def locations(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Absolute locations by table name: of those of `names` (in lower case) that exist, or of all."""
        known = self._current()
        chosen = known if names is None else [name for name in names if name in known]
        return {known[name][0].name: known[name][1] for name in chosen}

    def _current(self) -> dict[str, tuple[TableInfo, str]]:
        with self._lock:
            mark = self._mark()
            if mark is None or mark != self._seen:
                self._known, self._seen = self._read(), mark
                self._edition += 1
            return self._known

    def _mark(self) -> object:
        """Something that differs once the lake has changed; None where that cannot be told."""
        directory = self._lake.directory
        if directory is None:
            return self._lake.read_file(MANIFEST_NAME)
        try:
            found = os.stat(directory / MANIFEST_NAME)
        except OSError:
            logs = tuple((path, os.stat(path).st_mtime_ns) for path in _delta_logs(directory))
            return None if (directory / LOADING_NAME).exists() else logs or None
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _read(self) -> dict[str, tuple[TableInfo, str]]:
        manifest = read_manifest(self._lake)
        found = self._published(manifest) if manifest is not None else self._discovered()
        return {info.name.lower(): (info, location) for info, location in found}

    def _published(self, manifest: Manifest) -> list[tuple[TableInfo, str]]:
        return [
            (
                TableInfo(
                    name=name,
                    kind=entry.kind,
                    comment=entry.comment,
                    columns=entry.columns,
                    rows=entry.rows,
                    key=entry.key,
                    clustered_by=entry.clustered_by,
                    version=entry.version,
                    published=_with_zone(manifest.created_at),
                ),
                self._lake.table_location(entry.path),
            )
            for name, entry in sorted(manifest.tables.items())
        ]

    def _discovered(self) -> list[tuple[TableInfo, str]]:
        """Someone else's lake: every sub-folder that is a Delta table, at its latest version."""
        directory = self._lake.directory
        if directory is None:
            raise LakeError(
                f"{self._lake} has no {MANIFEST_NAME}, so its tables are not known. "
                f"Load it with: imdb-etl load --source DIR --lake {self._lake}"
            )
        logs = _delta_logs(directory)
        if not logs or (directory / LOADING_NAME).exists():
            raise LakeError(_nothing_there(self._lake, directory))
        return [(_describe(log.parent), str(log.parent)) for log in logs]


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _delta_logs(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"*/{_DELTA_LOG}") if not path.parent.name.startswith((".", "_")))


def _nothing_there(lake: Lake, directory: Path) -> str:
    load = f"imdb-etl load --source DIR --lake {lake}"
    if not directory.exists():
        return f"There is no lake at {lake}. Make one with: {load} (or try all of it with: imdb-demo)."
    if not directory.is_dir():
        return f"{lake} is a file, not a lake. Give the folder that imdb-etl load wrote."
    if any(directory.iterdir()):
        return (
            f"{lake} holds no finished lake: its first load still runs or was broken off, "
            f"or it is not a lake. Wait for the load, or start it again: {load}"
        )
    return f"The lake at {lake} is empty. Load it with: {load}"


def _describe(folder: Path) -> TableInfo:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(str(folder))
        fields: list[dict[str, Any]] = json.loads(table.schema().to_json())["fields"]
    except (DeltaError, OSError, ValueError) as error:
        raise LakeError(
            f"The table {folder.name} cannot be read ({str(error).splitlines()[0]}). Load it again, or take it away."
        ) from error
    columns = tuple(
        Column(
            name=field["name"],
            type=_spark_type(field["type"]),
            comment=str(field.get("metadata", {}).get("comment", "")),
            nullable=field["nullable"],
        )
        for field in fields
    )
    return TableInfo(folder.name, "table", table.metadata().description or "", columns, version=table.version())


def _spark_type(delta: Any) -> str:
    """Spark SQL's name of a type of Delta's schema (Delta protocol, "Schema Serialization Format")."""
    if isinstance(delta, str):
        return _SPARK_NAMES.get(delta, delta)
    match delta["type"]:
        case "array":
            return f"array<{_spark_type(delta['elementType'])}>"
        case "map":
            return f"map<{_spark_type(delta['keyType'])},{_spark_type(delta['valueType'])}>"
        case "struct":
            return "struct<" + ",".join(f"{f['name']}:{_spark_type(f['type'])}" for f in delta["fields"]) + ">"
        case other:
            return str(other)
