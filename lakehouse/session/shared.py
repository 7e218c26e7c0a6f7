"""A session that somebody else has opened, such as the one that a Databricks notebook has as `spark`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakehouse.session.connect import by_tags
from lakehouse.session.types import EngineSession

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def use_session(spark: SparkSession) -> Iterator[EngineSession]:
    """Use an open session of Spark with Delta, classic or over Connect. It is left open, as it was configured."""
    yield EngineSession(
        "connect",
        spark,
        open=lambda: spark,
        close=lambda _: None,
        tagged=by_tags,
        interrupt=lambda session, tag: session.interruptTag(tag),
    )
