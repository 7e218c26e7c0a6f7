"""Converts text columns to typed columns, and selects the lines that do not fit. One program for every engine.

Numbers, flags and lists are recognised by patterns, not by casts, because casts differ: one engine trims blanks,
another accepts `12.0` as a whole number.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from etl.datasets import Dataset, Field, FieldKind
from lakehouse.quoting import quote_identifier

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

NULL = r"\N"

# JSON (RFC 8259). A lone surrogate is invalid: engines convert it, or the whole list, to null.
_ESCAPE = (
    r'\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
_STRING = r'"[^"\\\x00-\x1f]*"'
_LIST_OF_EMPTY_STRINGS = r'^\[(?:""(?:,"")*)?\]\z'

# A prefix detects a shifted line as well as a pattern, in a third of the time (7 million lines).
_PREFIXES = {FieldKind.TITLE_ID: "tt", FieldKind.PERSON_ID: "nm"}

# `\z` and not `$`: Java's `$` also matches before a final line separator such as U+2028.
_PATTERNS = {
    FieldKind.INTEGER: (r"^-?[0-9]{1,9}\z", "is not a whole number of at most nine digits"),
    FieldKind.DECIMAL: (r"^-?[0-9]{1,9}(?:[.][0-9]{1,9})?\z", "is not a number"),
    FieldKind.FLAG: (r"^[01]\z", "is neither 0 nor 1"),
    FieldKind.JSON_LIST: (_LIST_OF_EMPTY_STRINGS, "is not a JSON list of strings"),
}


def read_lines(spark: SparkSession, path: str, dataset: Dataset) -> DataFrame:
    """Read the fields of a file as text. Quotes are ordinary characters."""
    schema = ", ".join(f"{quote_identifier(name)} string" for name in dataset.header)
    reader = spark.read.schema(schema).option("sep", "\t").option("header", True)
    # An empty `quote` still means `"` to the embedded engine; the zero byte never occurs (etl.source).
    return reader.option("quote", "\0").option("escape", "\0").csv(path)


def select_typed(lines: DataFrame, dataset: Dataset) -> DataFrame:
    """Select the well-formed lines, with typed columns."""
    fits = reduce(and_, (_is_well_formed(field) for field in dataset.fields))
    return lines.where(fits).select(*(_cast_field(field).alias(field.column_name) for field in dataset.fields))


def select_rejected(lines: DataFrame, dataset: Dataset, file: str) -> DataFrame:
    """Select the lines that `select_typed` leaves out, as text with all reasons."""
    from pyspark.sql import functions as F  # noqa: N812  (Spark's own habit)

    fits = reduce(and_, (_is_well_formed(field) for field in dataset.fields))
    reasons = (F.when(~_is_well_formed(field), _describe_misfit(field)) for field in dataset.fields)
    raw = F.concat_ws("\t", *(F.coalesce(F.col(name), F.lit("")) for name in dataset.header))
    return lines.where(~fits).select(
        F.lit(file).alias("file"),
        F.lit(None).cast("bigint").alias("line"),
        raw.alias("raw"),
        F.concat_ws("; ", *reasons).alias("reason"),
    )


def _read_value(field: Field) -> Column:
    from pyspark.sql import functions as F  # noqa: N812

    raw = F.col(field.name)
    return F.when(raw != NULL, raw)


def _is_well_formed(field: Field) -> Column:
    """Return whether a field fits; never null."""
    from pyspark.sql import functions as F  # noqa: N812

    value = _read_value(field)
    if field.kind in _PREFIXES:
        form = value.startswith(_PREFIXES[field.kind])
    elif field.kind in _PATTERNS:
        text = _strip_strings(value) if field.kind is FieldKind.JSON_LIST else value
        form = text.rlike(_PATTERNS[field.kind][0])
    else:
        form = F.lit(True)
    return value.isNotNull() & form if field.required else F.coalesce(form, F.lit(True))


def _strip_strings(value: Column) -> Column:
    """Empty the strings of a JSON list and remove its blanks.

    Done in steps, because with one pattern for the whole list Java's matcher recurses for every string in it.
    """
    from pyspark.sql import functions as F  # noqa: N812

    plain = F.regexp_replace(value, _ESCAPE, "e")
    return F.translate(F.regexp_replace(plain, _STRING, '""'), " \t\r\n", "")


def _describe_misfit(field: Field) -> Column:
    """Describe why a field does not fit."""
    from pyspark.sql import functions as F  # noqa: N812

    if field.kind in _PREFIXES:
        wanted = f"does not start with {_PREFIXES[field.kind]}"
    else:
        wanted = _PATTERNS[field.kind][1] if field.kind in _PATTERNS else ""
    missing = F.when(_read_value(field).isNull(), F.lit(f"{field.name} is missing"))
    return missing.otherwise(F.lit(f"{field.name} {wanted}"))


def _cast_field(field: Field) -> Column:
    from pyspark.sql import functions as F  # noqa: N812

    value = _read_value(field)
    match field.kind:
        case FieldKind.TEXT | FieldKind.TITLE_ID | FieldKind.PERSON_ID:
            return value
        case FieldKind.INTEGER | FieldKind.DECIMAL:
            return value.cast(field.kind.spark_type)
        case FieldKind.FLAG:
            return value == "1"
        case FieldKind.COMMA_LIST:
            return F.split(value, ",")
        case FieldKind.CONTROL_B_LIST:
            return F.split(value, "\x02")
        case FieldKind.JSON_LIST:
            return F.from_json(value, "array<string>")
