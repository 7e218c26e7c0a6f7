"""Spark SQL names of the types in Spark's JSON, which Delta's logs and Spark's Arrow metadata both hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names in the JSON of Spark's DataType (`typeName`) that differ from those of SQL (`simpleString`).
_SQL_NAMES: Mapping[str, str] = {
    "byte": "tinyint",
    "short": "smallint",
    "integer": "int",
    "long": "bigint",
    "null": "void",
}


def to_sql_name(kind: Any) -> str:
    """Return Spark's `DataType.simpleString` for its JSON (org.apache.spark.sql.types.DataType.fromJson).

    A schema of Delta has the same form (Delta protocol, "Schema Serialization Format").
    """
    if isinstance(kind, str):
        return _SQL_NAMES.get(kind, kind)
    match kind["type"]:
        case "array":
            return f"array<{to_sql_name(kind['elementType'])}>"
        case "map":
            return f"map<{to_sql_name(kind['keyType'])},{to_sql_name(kind['valueType'])}>"
        case "struct":
            return "struct<" + ",".join(f"{f['name']}:{to_sql_name(f['type'])}" for f in kind["fields"]) + ">"
        case "udt":
            return to_sql_name(kind["sqlType"])
        case other:
            return to_sql_name(str(other))
