"""Opens a session on an engine: the one place that starts Sail and Spark and connects to servers.

Each is a `pyspark.sql.SparkSession`, so code written against it runs on all. Differences are data, in
`Capabilities`. Drivers are imported inside the functions: importing this package is cheap, and no driver needs
another.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lakehouse.session.connect import open_connect
from lakehouse.session.embedded import open_embedded
from lakehouse.session.rows import Extra, FetchedRows, TooLargeError, fetch, run_query
from lakehouse.session.shared import use_session
from lakehouse.session.spark import IVY_FOLDER, delta_jars, has_spark, open_spark, spark_properties
from lakehouse.session.types import CAPABILITIES, Capabilities, Dialect, EngineSession, Stage, ThreadTime

if TYPE_CHECKING:
    from lakehouse.settings import Runtime

__all__ = [
    "CAPABILITIES",
    "IVY_FOLDER",
    "Capabilities",
    "Dialect",
    "EngineSession",
    "Extra",
    "FetchedRows",
    "Stage",
    "ThreadTime",
    "TooLargeError",
    "can_run",
    "delta_jars",
    "fetch",
    "open_session",
    "run_query",
    "spark_properties",
    "use_session",
]


@contextmanager
def open_session(
    kind: Runtime, *, config: Mapping[str, str] | None = None, work_dir: str | None = None
) -> Iterator[EngineSession]:
    """Start an engine in this process, or connect to one, and end it afterwards.

    `config` adds engine settings: `SAIL_…` variables for the embedded engine, `spark.…` properties for
    Spark, the server's URL as `remote` for Connect. `work_dir` is where the engine may put temporary files. One
    session per process. Raises UsageError where the engine's packages or Java are missing, EngineUnavailable where it
    fails.
    """
    opener = {"embedded": open_embedded, "spark": open_spark, "connect": open_connect}[kind]
    with opener(dict(config or {}), work_dir) as session:
        yield session


def can_run(runtime: Runtime) -> bool:
    """Whether a local engine is installed, as far as can be determined without importing it."""
    if runtime == "spark":
        return has_spark() and (shutil.which("java") is not None or "JAVA_HOME" in os.environ)
    return runtime != "embedded" or find_spec("pysail") is not None
