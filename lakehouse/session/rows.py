"""Runs a query in a session, on either of PySpark's two protocols, and returns its rows in Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.session.variants import HiddenVariantError, holds_variant, read_variants

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


class TooLargeError(Exception):
    """A result is larger than its maximum."""


@dataclass(frozen=True)
class FetchedRows:
    """A result, and the types of its columns as Spark SQL names them. `is_all` says that there are no more rows."""

    table: pa.Table
    types: tuple[str, ...]
    is_all: bool


@dataclass(frozen=True)
class Extra:
    """How many rows are welcome beyond those that are needed, `most_rows` in all, while all have `most_bytes`."""

    most_rows: int
    most_bytes: int


def run_query(
    session: SparkSession, sql: str, most_rows: int, most_bytes: int, extra: Extra | None = None
) -> FetchedRows:
    """Run a query and return its first rows. Raises TooLargeError, and exceptions of the driver.

    Rows beyond `most_rows` come where the protocol is a stream, which ends once they are too large: on a JVM that
    PySpark started all rows are collected before the first is seen.
    """
    if is_over_connect(session):
        table, schema, is_all = _stream_rows(session, sql, most_rows, most_bytes, extra or Extra(0, 0))
    else:
        rows = session.sql(sql).limit(most_rows)
        schema = rows.schema
        batches = rows._collect_as_arrow(empty_list_if_zero_records=False)  # noqa: SLF001  (see fetch)
        table = _as_table(batches)
        is_all = table.num_rows < most_rows
    if table.nbytes > most_bytes:
        raise TooLargeError
    types = tuple(column.dataType.simpleString() for column in schema)
    return FetchedRows(_cast_to_promised(table, schema), types, is_all)


def is_over_connect(session: SparkSession) -> bool:
    """Whether a session is a Connect session (Spark's or Sail's), and not one on a JVM that PySpark started."""
    return type(session).__module__.startswith("pyspark.sql.connect")


def _stream_rows(
    session: Any, sql: str, needed: int, most_bytes: int, extra: Extra
) -> tuple[pa.Table, StructType, bool]:
    """Fetch rows, their schema, and whether they are all, in one exchange.

    `session.sql(…).limit(…).toArrow()` takes three.

    The text is sent as a relation, which cannot be a command on Sail.
    """
    import pyarrow as pa
    from pyspark.sql.connect.dataframe import DataFrame
    from pyspark.sql.connect.plan import SQL

    most_rows = max(needed, extra.most_rows)
    plan = DataFrame(SQL(sql), session).limit(most_rows)._plan.to_proto(session.client)  # noqa: SLF001  (see fetch)
    answer = session.client.to_table_as_iterator(plan, {})
    schema: StructType | None = None
    is_all = False
    parts: list[pa.Table] = []
    rows = size = 0
    for part in answer:
        if not isinstance(part, pa.Table):
            schema = part
            continue
        parts.append(part)
        rows, size = rows + part.num_rows, size + part.nbytes
        if schema is not None and most_rows > needed <= rows and size > extra.most_bytes:
            answer.close()
            break
        if size > most_bytes:
            answer.close()
            raise TooLargeError
    else:
        is_all = rows < most_rows
    if schema is None:
        raise ValueError("the engine answered without a schema")
    return pa.concat_tables(parts) if parts else _as_table([], schema), schema, is_all


def _as_table(batches: list[pa.RecordBatch], schema: StructType | None = None) -> pa.Table:
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    return pa.Table.from_batches(batches, to_arrow_schema(schema, timezone="UTC") if schema is not None else None)


def fetch(rows: DataFrame) -> pa.Table:
    """Fetch `rows.toArrow()` without its last step, the cast to a schema that may deny nulls.

    That cast fails on `array(struct(1 AS a), NULL)`: a null struct within a list "cannot be viewed as
    non-nullable" because of its field; and on `array()`, whose nulls "may not be non-nullable". The rows are those of
    both of PySpark's toArrow.
    """
    if hasattr(rows, "_to_table"):  # over Connect
        table, _ = rows._to_table()  # noqa: SLF001  (nothing public gives it; PySpark is pinned, a test looks)
    else:
        table = _as_table(rows._collect_as_arrow(empty_list_if_zero_records=False))  # noqa: SLF001  (the same)
    return _cast_to_promised(table, rows.schema)


def _cast_to_promised(table: pa.Table, schema: StructType) -> pa.Table:
    """Cast to the types that PySpark promises for a schema, all of them nullable.

    Lists of NULL type, and maps with keys of it, stay as they are: PyArrow's cast makes such a list one value long, and
    it has no such map. Variants become texts in JSON.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType, VariantType

    columns, fields = list(table.columns), list(table.schema)
    for place, column in enumerate(schema.toNullable()):
        if isinstance(column.dataType, VariantType):
            columns[place], fields[place] = read_variants(columns[place]), pa.field(column.name, pa.string())
        elif holds_variant(column.dataType):
            raise HiddenVariantError(column.name)
        elif not _holds_void(column.dataType):
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


def stream_tables(rows: DataFrame) -> Iterator[pa.Table]:
    """Yield rows in Arrow as they come, without holding those that came. Over Connect only."""
    import pyarrow as pa

    client: Any = rows.sparkSession.client
    for part in client.to_table_as_iterator(rows._plan.to_proto(client), {}):  # noqa: SLF001  (see fetch)
        if isinstance(part, pa.Table):
            yield part
