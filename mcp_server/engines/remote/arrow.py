"""Spark SQL types of the warehouse's Arrow tables, and their timestamps in UTC.

The server writes each column's type into the field's metadata (`Spark:DataType:JsonType`: the JSON of Spark's
DataType). Where it is missing, Arrow's type determines all but intervals, which arrive as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp_server.engines.type_names import to_sql_name

if TYPE_CHECKING:
    import pyarrow as pa

_JSON_TYPE = b"Spark:DataType:JsonType"


def spark_types(schema: pa.Schema) -> tuple[str, ...]:
    """Return the Spark SQL names of the columns' types."""
    return tuple(_read_type(field) for field in schema)


def in_utc(table: pa.Table) -> pa.Table:
    """Cast timestamps to the zone name UTC, whatever name the session used (`Etc/UTC`)."""
    import pyarrow as pa

    wanted = pa.schema([pa.field(field.name, _to_utc_type(field.type)) for field in table.schema])
    return table.cast(wanted)


def arrow_table(found: Any) -> pa.Table:
    """Convert what the connector fetched to Arrow: statements such as SHOW may return columns of plain values."""
    import pyarrow as pa

    if isinstance(found, pa.Table):
        return found
    return pa.Table.from_arrays([pa.array(column) for column in found.column_table], names=list(found.column_names))


def _read_type(field: pa.Field) -> str:
    written = (field.metadata or {}).get(_JSON_TYPE)
    return to_sql_name(json.loads(written)) if written else _from_arrow(field.type)


def _from_arrow(kind: pa.DataType) -> str:
    import pyarrow as pa

    is_a = pa.types
    if is_a.is_list(kind) or is_a.is_large_list(kind):
        return f"array<{_from_arrow(kind.value_type)}>"
    if is_a.is_map(kind):
        return f"map<{_from_arrow(kind.key_type)},{_from_arrow(kind.item_type)}>"
    if is_a.is_struct(kind):
        fields = (kind.field(i) for i in range(kind.num_fields))
        return "struct<" + ",".join(f"{f.name}:{_from_arrow(f.type)}" for f in fields) + ">"
    if is_a.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if is_a.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp_ntz"
    return _PLAIN.get(str(kind), str(kind))


_PLAIN: Mapping[str, str] = {
    "bool": "boolean",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "binary": "binary",
    "large_binary": "binary",
    "date32[day]": "date",
    "duration[us]": "interval day to second",
    "null": "void",
}


def _to_utc_type(kind: pa.DataType) -> pa.DataType:
    """Replace the zones within a type; fields become nullable, as PyArrow's casts require."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_list(kind):
        return pa.list_(_to_utc_type(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_to_utc_type(kind.key_type), _to_utc_type(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(i).name, _to_utc_type(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind
