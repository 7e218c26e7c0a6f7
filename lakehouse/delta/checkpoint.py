"""Reads checkpoints: classic ones, of one file or in parts, and V2 ones, in JSON or Parquet, with sidecars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from lakehouse.delta.folder import SIDECARS, Checkpoint, TableLog

if TYPE_CHECKING:
    import pyarrow as pa

_ACTIONS: Final = ("protocol", "metaData", "add", "sidecar")
_OF_ADD: Final = ("path", "partitionValues", "size", "modificationTime", "dataChange", "stats", "deletionVector")
PATHS: Final = ("path", "deletionVector")
"""The fields of an `add` that name files."""


def read_checkpoint(log: TableLog, checkpoint: Checkpoint, fields: Sequence[str] = _OF_ADD) -> Iterator[dict[str, Any]]:
    """Read the actions of a checkpoint that define the table: `protocol`, `metaData`, and `add` with these `fields`."""
    for name in checkpoint.files:
        for action in _read_actions(log, name, fields):
            sidecar = action.get("sidecar")
            if sidecar is None:
                yield action
            else:
                yield from _read_actions(log, _sidecar_name(log, sidecar), fields)


def read_definition(log: TableLog, checkpoint: Checkpoint) -> Iterator[dict[str, Any]]:
    """Read the actions of a checkpoint without those of files: `protocol` and `metaData` are never in a sidecar."""
    for name in checkpoint.files:
        yield from _read_actions(log, name, ())


def _sidecar_name(log: TableLog, sidecar: dict[str, Any]) -> str:
    name = sidecar.get("path")
    if not isinstance(name, str) or "/" in name or "\\" in name or "%" in name or name.startswith("."):
        raise log.as_damaged("a checkpoint names a file outside of the log")
    return f"{SIDECARS}/{name}"


def _read_actions(log: TableLog, name: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    if name.endswith(".json"):
        yield from log.actions(name)
        return
    import pyarrow as pa

    try:
        table = _read_parquet(pa.BufferReader(log.read(name)) if fields else log.open_parts(name), fields)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise log.as_damaged(f"{name} is no checkpoint that can be read") from error
    for kind in table.column_names:
        column = table[kind].combine_chunks().drop_null()
        for value in column.to_pylist(maps_as_pydicts="lossy"):
            yield {kind: value}


def _read_parquet(source: Any, fields: Sequence[str]) -> pa.Table:
    """Read the columns of actions; of `add` these fields, and statistics as a struct only where there is no text."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source, pre_buffer=not fields)
    schema = file.schema_arrow
    columns = [name for name in _ACTIONS if name in schema.names and name != "add"]
    if "add" in schema.names:
        there = {field.name for field in schema.field("add").type}
        wanted = [name for name in fields if name in there]
        if "stats" in fields and "stats" not in there and "stats_parsed" in there:
            wanted.append("stats_parsed")
        columns += [f"add.{name}" for name in wanted]
    return file.read(columns=columns, use_threads=False)
