"""Converts text columns to typed columns, and selects the lines that do not fit. One program for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from etl.datasets import Dataset, Field, FieldKind
from etl.forms import BLANKS, ESCAPE, FORMS, NULL, PLAIN_LIST, STRING
from lakehouse.quoting import quote_identifier

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def read_lines(spark: SparkSession, path: str, header: Sequence[str], dataset: Dataset) -> DataFrame:
    """Read the fields of a file as text, those that `header` lacks as nulls. Quotes are ordinary characters."""
    from pyspark.sql import functions as F  # noqa: N812  (Spark's own habit)

    schema = ", ".join(f"{quote_identifier(name)} string" for name in header)
    reader = spark.read.schema(schema).option("sep", "\t").option("header", True)
    # An empty `quote` still means `"` to the embedded engine; the zero byte never occurs (etl.source).
    lines = reader.option("quote", "\0").option("escape", "\0").csv(path)
    absent = [field.name for field in dataset.fields if field.name not in header]
    return lines.withColumns({name: F.lit(None).cast("string") for name in absent}) if absent else lines


def select_typed(lines: DataFrame, dataset: Dataset) -> DataFrame:
    """Select the well-formed lines, with typed columns."""
    fits = reduce(and_, (_is_well_formed(field) for field in dataset.fields))
    return lines.where(fits).select(*(_cast_field(field).alias(field.column_name) for field in dataset.fields))


def select_rejected(lines: DataFrame, header: Sequence[str], dataset: Dataset, file: str) -> DataFrame:
    """Select the lines that `select_typed` leaves out, as text with all reasons."""
    from pyspark.sql import functions as F  # noqa: N812

    fits = reduce(and_, (_is_well_formed(field) for field in dataset.fields))
    reasons = (F.when(~_is_well_formed(field), _describe_misfit(field)) for field in dataset.fields)
    raw = F.concat_ws("\t", *(F.coalesce(F.col(name), F.lit("")) for name in header))
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
    """Return whether a field fits; never null.

    Made of parts that are not null: in WHERE the embedded engine computes what `coalesce` is given three times
    (docs/facts.md).
    """
    from pyspark.sql import functions as F  # noqa: N812

    raw, form = F.col(field.name), FORMS.get(field.kind)
    known = raw.isNotNull() & (raw != NULL)
    if form is None:
        return known if field.required else F.lit(True)
    if form.pattern is None:
        fits = raw.startswith(form.prefix)
    else:
        text = _strip_strings(raw) if field.kind is FieldKind.JSON_LIST else raw
        # `\z` and not `$`: Java's `$` also matches before a final line separator such as U+2028.
        fits = text.rlike(rf"^{form.pattern.pattern}\z")
    return known & fits if field.required else ~known | fits


def _strip_strings(raw: Column) -> Column:
    """Empty the strings of a JSON list and remove its blanks. A null or plain list becomes an empty list.

    Done in steps, because with one pattern for the whole list Java's matcher recurses for every string in it.
    """
    from pyspark.sql import functions as F  # noqa: N812

    is_plain = raw.rlike(rf"^(?:{PLAIN_LIST.pattern})\z")
    without_escapes = F.regexp_replace(raw, ESCAPE.pattern, "e")
    stripped = F.translate(F.regexp_replace(without_escapes, STRING.pattern, '""'), BLANKS, "")
    return F.when(is_plain, F.lit("[]")).otherwise(stripped)


def _describe_misfit(field: Field) -> Column:
    """Describe why a field does not fit."""
    from pyspark.sql import functions as F  # noqa: N812

    fault = FORMS[field.kind].fault if field.kind in FORMS else ""
    missing = F.when(_read_value(field).isNull(), F.lit(f"{field.name} is missing"))
    return missing.otherwise(F.lit(f"{field.name} {fault}"))


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
