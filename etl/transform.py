"""Text columns → typed columns, and which lines do not fit. Written once for every engine.

What counts as a number, a flag or a list is decided by patterns over the text and not by an engine's
cast, because casts differ: one engine trims blanks, another takes `12.0` for a whole number.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from etl.datasets import Dataset, Field, Kind
from lakehouse.quoting import quote_identifier

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

NULL = r"\N"

# JSON (RFC 8259). A lone surrogate is no letter: engines make null of it, or of the whole list.
_ESCAPE = (
    r'\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
_STRING = r'"[^"\\\x00-\x1f]*"'
_LIST_OF_EMPTY_STRINGS = r'^\[(?:""(?:,"")*)?\]\z'

# A prefix tells a shifted line as well as a pattern would, at a third of the time over 7 million lines.
_PREFIXES = {Kind.TITLE_ID: "tt", Kind.PERSON_ID: "nm"}

# `\z` and not `$`: Java's `$` also stands before a last line separator such as U+2028.
_PATTERNS = {
    Kind.INTEGER: (r"^-?[0-9]{1,9}\z", "is not a whole number of at most nine digits"),
    Kind.DECIMAL: (r"^-?[0-9]{1,9}(?:[.][0-9]{1,9})?\z", "is not a number"),
    Kind.FLAG: (r"^[01]\z", "is neither 0 nor 1"),
    Kind.JSON_LIST: (_LIST_OF_EMPTY_STRINGS, "is not a JSON list of strings"),
}


def read_lines(spark: SparkSession, path: str, dataset: Dataset) -> DataFrame:
    """The fields of a file as text. A lone quote is a letter: no character that can occur quotes."""
    schema = ", ".join(f"{quote_identifier(name)} string" for name in dataset.header)
    reader = spark.read.schema(schema).option("sep", "\t").option("header", True)
    # An empty `quote` still means `"` to the embedded engine; the zero byte never comes (etl.source).
    return reader.option("quote", "\0").option("escape", "\0").csv(path)


def typed(lines: DataFrame, dataset: Dataset) -> DataFrame:
    """The well-formed lines with their types."""
    fits = reduce(and_, (_fits(field) for field in dataset.fields))
    return lines.where(fits).select(*(_typed(field).alias(field.column_name) for field in dataset.fields))


def rejected(lines: DataFrame, dataset: Dataset, file: str) -> DataFrame:
    """The lines that `typed` leaves out, as they stand in the file, each with every reason."""
    from pyspark.sql import functions as F  # noqa: N812  (Spark's own habit)

    fits = reduce(and_, (_fits(field) for field in dataset.fields))
    reasons = (F.when(~_fits(field), _complaint(field)) for field in dataset.fields)
    raw = F.concat_ws("\t", *(F.coalesce(F.col(name), F.lit("")) for name in dataset.header))
    return lines.where(~fits).select(
        F.lit(file).alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        raw.alias("raw"),
        F.concat_ws("; ", *reasons).alias("reason"),
    )


def _value(field: Field) -> Column:
    from pyspark.sql import functions as F  # noqa: N812

    raw = F.col(field.name)
    return F.when(raw != NULL, raw)


def _fits(field: Field) -> Column:
    """Never null: true or false for every line."""
    from pyspark.sql import functions as F  # noqa: N812

    value = _value(field)
    if field.kind in _PREFIXES:
        form = value.startswith(_PREFIXES[field.kind])
    elif field.kind in _PATTERNS:
        text = _without_letters(value) if field.kind is Kind.JSON_LIST else value
        form = text.rlike(_PATTERNS[field.kind][0])
    else:
        form = F.lit(True)
    return value.isNotNull() & form if field.required else F.coalesce(form, F.lit(True))


def _without_letters(value: Column) -> Column:
    """A JSON list with its strings emptied and its blanks taken out.

    In steps, because one pattern for the whole list makes Java's matcher recurse for every string in it.
    """
    from pyspark.sql import functions as F  # noqa: N812

    plain = F.regexp_replace(value, _ESCAPE, "e")
    return F.translate(F.regexp_replace(plain, _STRING, '""'), " \t\r\n", "")


def _complaint(field: Field) -> Column:
    """Why a line does not fit, seen from one of its fields."""
    from pyspark.sql import functions as F  # noqa: N812

    if field.kind in _PREFIXES:
        wanted = f"does not start with {_PREFIXES[field.kind]}"
    else:
        wanted = _PATTERNS[field.kind][1] if field.kind in _PATTERNS else ""
    missing = F.when(_value(field).isNull(), F.lit(f"{field.name} is missing"))
    return missing.otherwise(F.lit(f"{field.name} {wanted}"))


def _typed(field: Field) -> Column:
    from pyspark.sql import functions as F  # noqa: N812

    value = _value(field)
    match field.kind:
        case Kind.TEXT | Kind.TITLE_ID | Kind.PERSON_ID:
            return value
        case Kind.INTEGER | Kind.DECIMAL:
            return value.cast(field.kind.spark_type)
        case Kind.FLAG:
            return value == "1"
        case Kind.COMMA_LIST:
            return F.split(value, ",")
        case Kind.CONTROL_B_LIST:
            return F.split(value, "\x02")
        case Kind.JSON_LIST:
            return F.from_json(value, "array<string>")
