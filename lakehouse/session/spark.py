"""Apache Spark with Delta, in a JVM that this process starts."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from lakehouse.errors import EngineUnavailable, UsageError
from lakehouse.session.types import EngineSession, explain_missing

# delta-spark 4.4.1's jar is not on Maven Central; 4.4.0's is (docs/facts.md).
_DELTA_VERSION = "4.4.0"
_DELTA_JARS = ("delta-spark_4.2_2.13", "delta-storage")

IVY_FOLDER = Path.home() / ".ivy2.5.2"
"""The folder of the jars that Spark 4.2 fetches."""

# Tuned for tables of a laptop: Delta reads its log with 50 tasks and Spark shuffles into 200 by default,
# which costs more than the query (docs/facts.md: 5.4 s against 1.8 s for a top five). The plan that every statement
# writes down for a page of Spark's that is off here is the short one.
_SPARK_CONFIG = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.shuffle.partitions": "4",
    "spark.scheduler.mode": "FAIR",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.sql.ui.explainMode": "simple",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # `${…}` in a statement would be replaced before it is parsed, after the guard has read it.
    "spark.sql.variable.substitute": "false",
    # `SELECT * FROM parquet.`path`` would read any file.
    "spark.sql.runSQLOnFiles": "false",
}


_FETCHING = {
    "spark.jars.packages": f"io.delta:{_DELTA_JARS[0]}:{_DELTA_VERSION}",
    # Of the 33 jars that these coordinates pull in, Spark brings all but two itself: 9 MB instead of 87.
    "spark.jars.excludes": (
        "org.*:*,com.*:*,commons-*:*,javax.*:*,io.airlift:*,io.unitycatalog:*,io.delta:delta-kernel*"
    ),
}


def delta_jars() -> list[Path]:
    """Delta's jars where an earlier start has fetched them, so that this one needs no network; else an empty list."""
    jars = [IVY_FOLDER / "jars" / f"io.delta_{name}-{_DELTA_VERSION}.jar" for name in _DELTA_JARS]
    return jars if all(jar.is_file() for jar in jars) else []


def has_spark() -> bool:
    """Whether Spark is installed, without importing it: the thin client is a package of the same name, without jars."""
    package = find_spec("pyspark")
    return package is not None and os.path.isdir(os.path.join(os.path.dirname(package.origin or ""), "jars"))


def spark_properties(work_dir: str | None) -> dict[str, str]:
    """The properties of a Spark with Delta, tuned for tables of a laptop, with its folders in `work_dir`."""
    jars = delta_jars()
    settings = _SPARK_CONFIG | ({"spark.jars": ",".join(map(str, jars))} if jars else _FETCHING)
    if work_dir is None:
        return settings
    return settings | {
        "spark.local.dir": work_dir,
        "spark.sql.warehouse.dir": os.path.join(work_dir, "warehouse"),
        # A killed JVM leaves its temporary files, which nothing would remove from /tmp. One that is out of memory
        # would collect garbage for minutes: it exits instead.
        "spark.driver.extraJavaOptions": f'-Djava.io.tmpdir="{work_dir}" -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError',
    }


@contextmanager
def open_spark(config: dict[str, str], work_dir: str | None) -> Iterator[EngineSession]:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise UsageError(
            "The spark engine needs Java 17 or newer and none was found. Install it and set JAVA_HOME, "
            "or use --engine embedded, which needs none."
        )
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(explain_missing("spark", error, extras=("spark",))) from error
    if not has_spark():
        raise UsageError(
            "The spark engine is not installed: the package pyspark is the thin client here, which has no Spark in it. "
            "Run: pip uninstall pyspark-client, and then: pip install 'imdb-lakehouse-mcp[auto]', which has the "
            "embedded engine as well."
        )
    # PySpark sets this where it has made a Connect session, for children too, and then starts no JVM any more.
    os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    # Python of this process, so that workers never meet another version.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[*]").appName("imdb-lakehouse")
    for name, value in (spark_properties(work_dir) | config).items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except Exception as error:
        raise EngineUnavailable(
            f"Spark did not start: {str(error).splitlines()[0].rstrip('.')}. Check that Java 17 or newer is installed "
            "and that Maven Central can be reached, once, for Delta's jar."
        ) from error
    spark.sparkContext.setLogLevel("ERROR")

    context = spark.sparkContext

    # Tags of jobs: those of sessions (`addTag`, `interruptTag`) do not reach what `toArrow` runs.
    @contextmanager
    def tagged(_: SparkSession, tag: str) -> Iterator[None]:
        context.addJobTag(tag)
        # A pool for each thread: within one pool, a query would wait until the one before it has no task left.
        context.setLocalProperty("spark.scheduler.pool", threading.current_thread().name)
        try:
            yield
        finally:
            context.removeJobTag(tag)

    def interrupt(_: SparkSession, tag: str) -> None:
        context.cancelJobsWithTag(tag)

    def lingers(tag: str) -> bool:
        # A task that was killed counts as active in its stage until its thread is free.
        tracker = context._jsc.sc().statusTracker()  # noqa: SLF001  (Python's tracker knows no tags)
        jobs = (context.statusTracker().getJobInfo(job) for job in tracker.getJobIdsForTag(tag))
        stages = (context.statusTracker().getStageInfo(stage) for job in jobs if job for stage in job.stageIds)
        return any(stage.numActiveTasks for stage in stages if stage)

    process = context._gateway.proc  # noqa: SLF001  (the JVM; no public API returns it)
    try:
        yield EngineSession(
            "spark",
            spark,
            open=spark.newSession,
            close=lambda _: None,  # stopping it would stop the SparkContext of all; the JVM collects it
            tagged=tagged,
            interrupt=interrupt,
            lingers=lingers,
            process=process,
        )
    finally:
        spark.stop()
