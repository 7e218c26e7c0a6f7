"""What stands behind the warehouse: sessions of a Spark Connect server, and its answers in Databricks' Arrow."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.types import DayTimeIntervalType

from lakehouse.session import fetch

# Databricks SQL's names of configuration parameters, and Spark's for the same.
_PARAMETERS = {"ANSI_MODE": "spark.sql.ansi.enabled", "TIMEZONE": "spark.sql.session.timeZone"}
_NO_JOB_SECONDS = 20.0
_OF_THE_WIRE = "spark.thriftserver."


class SparkBehind:
    """One session of Spark for one session of the warehouse."""

    def __init__(self, url: str, configuration: dict[str, str], catalog: str | None, schema: str | None) -> None:
        self.timeout = float(configuration.pop("STATEMENT_TIMEOUT", "0"))
        settings = {_PARAMETERS.get(name.upper(), name): value for name, value in configuration.items()}
        self._spark = SparkSession.builder.remote(url).create()
        self._spark.client.set_retry_policies([])
        self._has_job = threading.Event()
        self._spark.conf.set("spark.connect.progress.reportInterval", "50ms")
        self._spark.registerProgressHandler(self._watch)
        for name, value in settings.items():
            if not name.startswith(_OF_THE_WIRE):
                self._spark.conf.set(name, value)  # fails for what is no setting, as a warehouse does
        if catalog is not None and schema is not None:
            self._spark.sql(f"USE `{catalog}`.`{schema}`")

    def run(self, statement: str, most_rows: int | None, tag: str) -> pa.Table:
        """The answer, at most so many rows of it, as a warehouse sends it."""
        self._spark.addTag(tag)
        try:
            rows = self._spark.sql(statement)
            return as_databricks_sends(fetch(rows if most_rows is None else rows.limit(most_rows)), rows.schema)
        finally:
            self._spark.removeTag(tag)
            self._has_job.clear()  # now, for a cancel may come before the next statement does

    def interrupt(self, tag: str, until: threading.Event) -> None:
        """Stop what runs under a tag, again and again, because Spark forgets an interrupt that comes too early.

        The first waits for a job that has begun: where an interrupt meets the very start of one, Spark Connect 4.2
        drops the operation and lets the job run on, with nobody left who could stop it.
        """
        give_up = time.monotonic() + _NO_JOB_SECONDS
        while not (self._has_job.is_set() or until.wait(0.02) or time.monotonic() > give_up):
            pass
        while not until.wait(0.05):
            self._spark.interruptTag(tag)

    def _watch(self, stages: Any, **_: object) -> None:
        if stages:
            self._has_job.set()

    def close(self) -> None:
        self._spark.stop()


def as_databricks_sends(table: pa.Table, schema: Any) -> pa.Table:
    """With each column's Spark type in its metadata, and intervals as text (`intervalTypesAsArrow` is off)."""
    columns, fields = [], []
    for column, field, spark in zip(table.columns, table.schema, schema.fields, strict=True):
        written = {"Spark:DataType:JsonType": spark.dataType.json(), "Spark:DataType:SqlName": _sql_name(spark)}
        if isinstance(spark.dataType, DayTimeIntervalType):
            column = pa.array([_as_text(value) for value in column.to_pylist()], pa.string())  # noqa: PLW2901
        columns.append(column)
        fields.append(pa.field(field.name, column.type, metadata=written))
    return pa.table(columns, pa.schema(fields))


def _sql_name(field: Any) -> str:
    return str(field.dataType.simpleString()).upper()


def _as_text(value: timedelta | None) -> str | None:
    if value is None:
        return None
    seconds = int(value.total_seconds())
    return f"{seconds // 86400} {seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000000000"


def spark_sentence(error: Exception) -> str:
    """What Spark said, as a warehouse shows it: without the stack of the JVM."""
    return str(error).partition("\n\nJVM stacktrace:")[0]
