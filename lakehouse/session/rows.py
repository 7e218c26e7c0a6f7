"""Runs a query in a session, on either of PySpark's two protocols, and gives its rows in Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


class TooLargeError(Exception):
    """An answer is larger than it may be."""


@dataclass(frozen=True)
class Rows:
    """An answer, and Spark SQL's names of its columns' types."""

    table: pa.Table
    types: tuple[str, ...]


def run_query(session: SparkSession, sql: str, most_rows: int, most_bytes: int) -> Rows:
    """The first rows of a query. Raises TooLargeError, and whatever the driver raises."""
    if is_over_connect(session):
        table, schema = _stream_rows(session, sql, most_rows, most_bytes)
    else:
        rows = session.sql(sql).limit(most_rows)
        schema = rows.schema
        batches = rows._collect_as_arrow(empty_list_if_zero_records=False)  # noqa: SLF001  (see fetch)
        table = _as_table(batches)
    if table.nbytes > most_bytes:
        raise TooLargeError
    return Rows(_cast_to_promised(table, schema), tuple(column.dataType.simpleString() for column in schema))


def is_over_connect(session: SparkSession) -> bool:
    """Whether a session talks to a server, be it Spark's or Sail's, or to a JVM that PySpark started."""
    return type(session).__module__.startswith("pyspark.sql.connect")


def _stream_rows(session: Any, sql: str, most_rows: int, most_bytes: int) -> tuple[pa.Table, StructType]:
    """Rows and their schema in one exchange, where `session.sql(…).limit(…).toArrow()` takes three.

    The text travels as a relation: Sail, which knows no command as one, cannot be told to do anything else by it.
    """
    import pyarrow as pa
    from pyspark.sql.connect.dataframe import DataFrame
    from pyspark.sql.connect.plan import SQL

    plan = DataFrame(SQL(sql), session).limit(most_rows)._plan.to_proto(session.client)  # noqa: SLF001  (see fetch)
    answer = session.client.to_table_as_iterator(plan, {})
    schema: StructType | None = None
    parts: list[pa.Table] = []
    size = 0
    for part in answer:
        if not isinstance(part, pa.Table):
            schema = part
            continue
        parts.append(part)
        size += part.nbytes
        if size > most_bytes:
            answer.close()
            raise TooLargeError
    if schema is None:
        raise ValueError("the engine answered without a schema")
    return pa.concat_tables(parts) if parts else _as_table([], schema), schema


def _as_table(batches: list[pa.RecordBatch], schema: StructType | None = None) -> pa.Table:
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    return pa.Table.from_batches(batches, to_arrow_schema(schema, timezone="UTC") if schema is not None else None)


def fetch(rows: DataFrame) -> pa.Table:
    """`rows.toArrow()`, but for its last step: casting to a schema that may deny nulls.

    There PyArrow fails on `array(struct(1 AS a), NULL)`: a null struct within a list "cannot be viewed as
    non-nullable" because of its field; and on `array()`, whose nulls "may not be non-nullable". What is fetched is what
    both of PySpark's toArrow fetch.
    """
    if hasattr(rows, "_to_table"):  # over Connect
        table, _ = rows._to_table()  # noqa: SLF001  (nothing public gives it; PySpark is pinned, a test looks)
    else:
        table = _as_table(rows._collect_as_arrow(empty_list_if_zero_records=False))  # noqa: SLF001  (the same)
    return _cast_to_promised(table, rows.schema)


def _cast_to_promised(table: pa.Table, schema: StructType) -> pa.Table:
    """With the types that PySpark promises for a schema, each of which may be null.

    Lists of nothing but nulls, and maps without a type of keys, stay as they came: PyArrow makes such a list one
    value long when it casts it, and has no such map as PySpark wants it.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType

    columns, fields = list(table.columns), list(table.schema)
    for place, column in enumerate(schema.toNullable()):
        if not _holds_void(column.dataType):
            promised = to_arrow_schema(
                StructType([column]), error_on_duplicated_field_names_in_struct=True, timezone="UTC"
            )
            columns[place], fields[place] = columns[place].cast(promised.types[0]), promised.field(0)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _holds_void(kind: Any) -> bool:
    """Whether a type is, or holds, a list or the keys of a map of the type of NULL."""
    from pyspark.sql.types import ArrayType, MapType, NullType, StructType

    if isinstance(kind, StructType):
        return any(_holds_void(field.dataType) for field in kind)
    if isinstance(kind, ArrayType):
        return isinstance(kind.elementType, NullType) or _holds_void(kind.elementType)
    if isinstance(kind, MapType):
        return isinstance(kind.keyType, NullType) or _holds_void(kind.keyType) or _holds_void(kind.valueType)
    return False
