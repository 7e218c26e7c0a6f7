"""The engine of a load: how it is opened, and how much of a join it may hold."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from etl.settings import LoadEngine, Settings, remote_config
from lakehouse.session import EngineSession, open_session, use_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def open_load_session(
    engine: LoadEngine, settings: Settings, work_dir: Path, spark: SparkSession | None = None
) -> AbstractContextManager[EngineSession]:
    """Open the engine that writes tables; `spark` is a session that is used instead, and stays open."""
    if spark is not None:
        return use_session(spark)
    return open_session(engine, config=_build_engine_config(engine, settings), work_dir=str(work_dir))


def _build_engine_config(engine: LoadEngine, settings: Settings) -> dict[str, str]:
    """Build the engine's settings for a load, mainly so that it spills to disk in time."""
    if engine == "spark":
        return {"spark.hadoop.parquet.block.size": str(16 << 20), "spark.driver.memory": "4g"}
    if engine == "connect":
        return remote_config(settings)
    return {
        "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
        "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(settings.load_memory_mb << 20),
        # The engine's allocator gives back what was freed: else a load holds twice the memory (docs/facts.md).
        "MIMALLOC_PURGE_DELAY": "0",
        # The engine misjudges the smaller side of nested joins; the SQL of the views has the right order.
        "SAIL_OPTIMIZER__ENABLE_JOIN_SWAP": "false",
    }


def limit_slices(session: EngineSession, settings: Settings) -> int | None:
    """Return the memory, in bytes, of an engine that cannot spill a hash join; None for others."""
    return None if session.capabilities.ordered_write else settings.load_memory_mb << 20
