"""Values of the type VARIANT, which come from Spark as two binaries each, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


class HiddenVariantError(ValueError):
    """A variant within a list, map or struct, which is not looked for there."""

    def __init__(self, column: str) -> None:
        written = f"to_json({column})" if column.isidentifier() else "to_json of it, as in to_json(array(v)),"
        super().__init__(f"The column {column} holds variants within another value. Select {written} instead.")


def read_variants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of variants as texts in JSON, as Spark's `to_json` writes them."""
    import pyarrow as pa
    from pyspark.sql.types import VariantVal

    values = (scalar.as_py() for scalar in column)
    texts = [None if each is None else VariantVal(each["value"], each["metadata"]).toJson("UTC") for each in values]
    return pa.chunked_array([pa.array(texts, pa.string())])


def holds_variant(kind: Any) -> bool:
    """Whether a type of PySpark's has a variant in it."""
    from pyspark.sql.types import ArrayType, MapType, StructType, VariantType

    match kind:
        case VariantType():
            return True
        case StructType():
            return any(holds_variant(field.dataType) for field in kind)
        case ArrayType():
            return holds_variant(kind.elementType)
        case MapType():
            return holds_variant(kind.keyType) or holds_variant(kind.valueType)
    return False
