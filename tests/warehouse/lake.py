"""A lake as the tables of a catalogue's schema."""

from __future__ import annotations

import logging
from pathlib import Path

from pyspark.sql import SparkSession

SCHEMA = "spark_catalog.imdb"

# PySpark logs every statement that fails, with its stack; tests make many fail on purpose.
logging.getLogger("SQLQueryContextLogger").disabled = True


def register(spark_url: str, lake: Path, *tables: str, then: tuple[str, ...] = ()) -> None:
    """Make the tables of a lake those of the schema, and nothing else; `then` are statements in it."""
    spark = SparkSession.builder.remote(spark_url).create()
    try:
        spark.sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        spark.sql(f"CREATE SCHEMA {SCHEMA}")
        spark.sql(f"USE {SCHEMA}")
        for table in tables:
            location = str(lake / table).replace("\\", "\\\\").replace("'", "\\'")
            spark.sql(f"CREATE TABLE {SCHEMA}.{table} USING delta LOCATION '{location}'")
        for statement in then:
            spark.sql(statement)
    finally:
        spark.stop()
