"""Reads and writes the rows of a table without an engine: which row of which file, and what is deleted of a file.

A change of few rows deletes them by deletion vectors and adds one small file. Rewriting whole files would cost as
much as a load: with rows spread evenly, a file of more than fifty rows has one that changed in a thousand.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from etl.data_files import name_data_file, write_data_file
from etl.row_groups import open_file, read_group
from etl.row_sorter import sort_rows
from etl.table_files import TableFiles
from lakehouse.delta import Snapshot, latest_version, read_snapshot
from lakehouse.delta.vectors import UnknownVectorError, make_vector, read_vector, vector_file
from lakehouse.errors import LakeError
from lakehouse.manifest import Column

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from etl.row_filters import RowFilter

    Positions = npt.NDArray[np.int64]

_FEATURE: Final = "deletionVectors"
_VECTORS_PROPERTY: Final = "delta.enableDeletionVectors"


@dataclass(frozen=True)
class StoredBatch:
    """Rows of one row group that are not deleted, with their positions in their file."""

    path: str
    positions: Positions
    rows: pa.Table


@dataclass(frozen=True)
class StoredRows:
    """Rows of a table, and where they are stored."""

    batches: Sequence[StoredBatch]
    rows: pa.Table
    """All of them, in the order of the batches."""

    def locate_all(self) -> dict[str, list[Positions]]:
        """Return the positions of all rows, by the path of their file."""
        found: dict[str, list[Positions]] = {}
        for batch in self.batches:
            found.setdefault(batch.path, []).append(batch.positions)
        return found

    def locate(self, places: Positions) -> dict[str, list[Positions]]:
        """Return the positions of some of the rows, by the path of their file. `places` are sorted."""
        import numpy as np

        found: dict[str, list[Positions]] = {}
        ends = np.cumsum([len(batch.positions) for batch in self.batches])
        for batch, end in zip(self.batches, ends.tolist(), strict=True):
            first, behind = np.searchsorted(places, [end - len(batch.positions), end])
            if first != behind:
                inside = places[first:behind] - (end - len(batch.positions))
                found.setdefault(batch.path, []).append(batch.positions[inside])
        return found


@dataclass
class TableChange:
    """A change of rows: positions to delete by the path of their file, and rows to add."""

    deleted: dict[str, list[Positions]] = field(default_factory=dict)
    added: list[pa.Table] = field(default_factory=list)

    @property
    def deleted_rows(self) -> int:
        """Number of rows to delete."""
        return sum(len(each) for parts in self.deleted.values() for each in parts)

    @property
    def added_rows(self) -> int:
        """Number of rows to add."""
        return sum(rows.num_rows for rows in self.added)


@dataclass(frozen=True)
class TableVersion:
    """One version of a table, as recorded in its Delta log: live rows, data files and their bytes."""

    version: int
    rows: int
    bytes: int
    files: int


@dataclass(frozen=True)
class WrittenVersion(TableVersion):
    """A version that was committed, and the bytes that were written for it."""

    written_bytes: int = 0


class StoredTable:
    """One version of a table. Raises LakeError where its log or a file of it cannot be read."""

    def __init__(self, files: TableFiles, version: int, columns: Sequence[Column]) -> None:
        self.files = files
        self.snapshot: Snapshot = read_snapshot(files.open_log(), version)
        self.schema = to_arrow_schema(columns)

    def read_batches(self, columns: Sequence[str], chosen: RowFilter | None = None) -> Iterator[StoredBatch]:
        """Yield the live rows, or the `chosen` ones, row group by row group, so that memory is bounded by one of them.

        Row groups that may have none by their statistics are not read, and of those that have none only the columns
        that the filter asks for.
        """
        import pyarrow as pa

        schema = pa.schema([self.schema.field(name) for name in columns])
        for add in self.snapshot.adds:
            deleted, first = self.read_deleted(add), 0
            with self.files.open_data(_data_name(add)) as source:
                file = open_file(source, plain=chosen.columns if chosen is not None else ())
                for number in range(file.num_row_groups):
                    behind = first + file.metadata.row_group(number).num_rows
                    dead = deleted[(deleted >= first) & (deleted < behind)] - first
                    found = read_group(file, number, columns, chosen, dead)
                    if found is not None:
                        places, rows = found
                        yield StoredBatch(add["path"], places + first, rows.cast(schema))
                    first = behind

    def read_rows(self, columns: Sequence[str], chosen: RowFilter | None = None) -> pa.Table:
        """Read the live rows, or the `chosen` ones, at once."""
        return self.locate_rows(columns, chosen).rows

    def locate_rows(self, columns: Sequence[str], chosen: RowFilter | None = None) -> StoredRows:
        """Read the live rows, or the `chosen` ones, at once, with their places."""
        import pyarrow as pa

        schema = pa.schema([self.schema.field(name) for name in columns])
        batches = list(self.read_batches(columns, chosen))
        return StoredRows(batches, pa.concat_tables([schema.empty_table(), *(batch.rows for batch in batches)]))

    def read_deleted(self, add: Mapping[str, Any]) -> Positions:
        """Read the sorted positions that are deleted of a file."""
        import numpy as np

        vector = add.get("deletionVector")
        try:
            name = vector_file(vector)
            return (
                np.empty(0, np.int64) if name is None or vector is None else read_vector(self.files.read(name), vector)
            )
        except UnknownVectorError as error:
            raise LakeError(
                f"The table {self.files.table} has {error}, which no load has written. Load the lake again: "
                "imdb-etl load --again."
            ) from error

    def write_change(self, change: TableChange, clustered_by: Sequence[str]) -> WrittenVersion:
        """Commit this version with a change as the newest version of the table."""
        adds, vector_bytes = self._delete_rows(change)
        data_bytes = 0
        if change.added_rows:
            added = self._write_rows(change.added, clustered_by)
            adds.append(added)
            data_bytes = int(added["size"])
        return commit_adds(self.files, self.snapshot, adds, "UPDATE", data_bytes + vector_bytes)

    def _delete_rows(self, change: TableChange) -> tuple[list[dict[str, Any]], int]:
        """Return the data files with new deletion vectors, and the bytes of those. A file without rows is left out."""
        import numpy as np

        adds, written = [], 0
        for add in self.snapshot.adds:
            parts = change.deleted.get(add["path"])
            if not parts:
                adds.append(add)
                continue
            rows = np.unique(np.concatenate([self.read_deleted(add), *parts]))
            if len(rows) == count_records(add):
                continue
            name, content, vector = make_vector(rows)
            self.files.write(name, content)
            written += len(content)
            stats = json.loads(add["stats"]) | {"tightBounds": False}
            adds.append({**add, "stats": json.dumps(stats), "deletionVector": vector, "dataChange": True})
        return adds, written

    def _write_rows(self, parts: Sequence[pa.Table], clustered_by: Sequence[str]) -> dict[str, Any]:
        """Write rows as a data file in the table's order. Returns the action that adds it."""
        import pyarrow as pa

        rows = pa.concat_tables([part.cast(self.schema) for part in parts])
        out, name = io.BytesIO(), name_data_file()
        rows = sort_rows(rows, clustered_by) if clustered_by else rows
        add = write_data_file(name, out, self.schema, [rows], found_by={})  # one row group, or a few
        self.files.write(name, out.getvalue())
        return add


def restore_version(files: TableFiles, version: int) -> WrittenVersion:
    """Make an old version the newest one again, by a commit that moves no data."""
    snapshot = read_snapshot(files.open_log(), version)
    return commit_adds(files, snapshot, snapshot.adds, "RESTORE", 0)


def describe_version(files: TableFiles, version: int, comment: str, columns: Sequence[Column]) -> WrittenVersion:
    """Make a version the newest one again with other comments, by a commit that moves no data."""
    snapshot = read_snapshot(files.open_log(), version)
    said = {column.name: column.comment for column in columns}
    schema = json.loads(snapshot.metadata["schemaString"])
    for each in schema["fields"]:
        each["metadata"] = {**each["metadata"], "comment": said[each["name"]]}
    metadata = {**snapshot.metadata, "description": comment, "schemaString": json.dumps(schema)}
    return commit_adds(files, replace(snapshot, metadata=metadata), snapshot.adds, "CHANGE COLUMN", 0)


def commit_adds(
    files: TableFiles, base: Snapshot, adds: Sequence[dict[str, Any]], operation: str, written_bytes: int
) -> WrittenVersion:
    """Commit a version that has the schema of `base` and exactly these data files.

    The newest version may be another than `base`: what a killed run has committed is taken away again.
    """
    log = files.open_log()
    newest = latest_version(log)
    last = read_snapshot(log, newest)
    before = {_identify(add): add for add in last.adds}
    after = {_identify(add): add for add in adds}
    now = time.time_ns() // 1_000_000
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": now, "operation": operation, "operationParameters": {}, "engineInfo": "imdb-etl"}}
    ]
    needs_vectors = any(add.get("deletionVector") for add in adds)
    protocol = _allow_vectors(last.protocol) if needs_vectors else last.protocol
    metadata = _enable_vectors(base.metadata) if needs_vectors else base.metadata
    if protocol != last.protocol:
        actions.append({"protocol": protocol})
    if metadata != last.metadata:
        actions.append({"metaData": metadata})
    actions += [{"remove": _to_remove(add, now)} for key, add in before.items() if key not in after]
    actions += [{"add": {**add, "dataChange": True}} for key, add in after.items() if key not in before]
    content = "".join(json.dumps(action) + "\n" for action in actions).encode()
    if before.keys() == after.keys() and len(actions) == 1:
        return measure_adds(newest, adds, written_bytes)
    files.commit(newest + 1, content)
    return measure_adds(newest + 1, adds, written_bytes + len(content))


def measure_adds(version: int, adds: Sequence[Mapping[str, Any]], written_bytes: int = 0) -> WrittenVersion:
    """Count the live rows, files and bytes of a version."""
    rows = sum(count_records(add) - count_deleted(add) for add in adds)
    return WrittenVersion(version, rows, sum(int(add["size"]) for add in adds), len(adds), written_bytes)


def measure_version(files: TableFiles) -> TableVersion:
    """Count the live rows, files and bytes of the newest version of a table."""
    log = files.open_log()
    newest = latest_version(log)
    return measure_adds(newest, read_snapshot(log, newest).adds)


def list_data_files(snapshot: Snapshot) -> list[str]:
    """The names of the data files of a version and of their deletion vectors. Raises LakeError for other vectors."""
    names = [_data_name(add) for add in snapshot.adds]
    try:
        vectors = [vector_file(add.get("deletionVector")) for add in snapshot.adds]
    except UnknownVectorError as error:
        raise LakeError(
            f"A table has {error}, which no load has written. Load it again: imdb-etl load --again."
        ) from error
    return names + [name for name in vectors if name is not None]


def to_arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of a table's data files."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "array<string>": pa.list_(pa.field("element", pa.string())),
    }
    return pa.schema([pa.field(column.name, kinds[column.type]) for column in columns])


def _data_name(add: Mapping[str, Any]) -> str:
    from urllib.parse import unquote

    return unquote(str(add["path"]))


def count_records(add: Mapping[str, Any]) -> int:
    """Count the rows that are stored in a data file, deleted ones too."""
    return int(_read_statistics(add)["numRecords"])


def read_bounds(add: Mapping[str, Any], column: str) -> tuple[Any, Any] | None:
    """Return what the values of a column in a data file lie between; None where its statistics do not tell."""
    statistics = _read_statistics(add)
    low, high = ((statistics.get(name) or {}).get(column) for name in ("minValues", "maxValues"))
    return None if low is None or high is None else (low, high)


def _read_statistics(add: Mapping[str, Any]) -> dict[str, Any]:
    statistics: dict[str, Any] = add.get("stats_parsed") or json.loads(add.get("stats") or "{}")
    return statistics


def count_deleted(add: Mapping[str, Any]) -> int:
    """Count the rows that are deleted of a data file."""
    return int((add.get("deletionVector") or {}).get("cardinality", 0))


def _identify(add: Mapping[str, Any]) -> tuple[str, str]:
    """The identity of a data file with its deletion vector (Delta protocol, "Action Reconciliation")."""
    vector = add.get("deletionVector") or {}
    return _data_name(add), f"{vector.get('pathOrInlineDv', '')}/{vector.get('offset', '')}"


def _to_remove(add: Mapping[str, Any], now: int) -> dict[str, Any]:
    kept = {
        name: add[name] for name in ("path", "partitionValues", "size", "deletionVector") if add.get(name) is not None
    }
    return kept | {"deletionTimestamp": now, "dataChange": True, "extendedFileMetadata": True}


def _allow_vectors(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol with the table feature of deletion vectors; older ones imply features, which are then named."""
    readers, writers = (
        protocol.get("readerFeatures") or [],
        protocol.get("writerFeatures") or ["appendOnly", "invariants"],
    )
    if _FEATURE in readers:
        return dict(protocol)
    return {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": [*readers, _FEATURE],
        "writerFeatures": [*writers, _FEATURE],
    }


def _enable_vectors(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {**metadata, "configuration": {**(metadata.get("configuration") or {}), _VECTORS_PROPERTY: "true"}}
