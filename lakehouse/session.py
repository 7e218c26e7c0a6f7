"""Opens a session on an engine: the one place that knows how Sail and Spark are started.

Both give a `pyspark.sql.SparkSession`, so what is written against it runs on either. What differs is
said in `Capabilities`, as data. Drivers are imported inside the functions: importing this module costs
nothing, and one driver is not needed for the other.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from lakehouse.errors import EngineUnavailable, UsageError

if TYPE_CHECKING:
    from subprocess import Popen

    from pyspark.sql import SparkSession

    from lakehouse.settings import EngineKind

log = logging.getLogger(__name__)

# delta-spark 4.4.1's jar is not on Maven Central; 4.4.0's is (docs/facts.md).
DELTA_COORDINATES = "io.delta:delta-spark_4.2_2.13:4.4.0"


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do, as data. Nothing else may ask which engine it is.

    `time_travel`     SQL understands `VERSION AS OF`
    `cancel`          a running query can be interrupted by its tag
    `optimize`        `OPTIMIZE … ZORDER BY` exists
    `ordered_write`   a sorted DataFrame is written in its order
    `own_process`     the engine ends with the process that opened it, and under its memory ceiling
    """

    time_travel: bool
    cancel: bool
    optimize: bool
    ordered_write: bool
    own_process: bool


CAPABILITIES: Mapping[EngineKind, Capabilities] = MappingProxyType(
    {
        "embedded": Capabilities(time_travel=True, cancel=True, optimize=False, ordered_write=False, own_process=True),
        "spark": Capabilities(time_travel=True, cancel=True, optimize=True, ordered_write=True, own_process=False),
    }
)

_SAIL_CONFIG = {
    "RUST_LOG": "error",
    "RUST_BACKTRACE": "0",
    # By default Sail forgets a session after 15 quiet minutes, with all that was registered in it.
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(10 * 365 * 24 * 3600),
}

# Tuned for tables of a laptop: Delta reads its log with 50 tasks and Spark shuffles into 200 by default,
# which costs more than the query (docs/facts.md: 5.4 s against 1.8 s for a top five).
_SPARK_CONFIG = {
    "spark.jars.packages": DELTA_COORDINATES,
    # Of the 33 jars that these coordinates pull in, Spark brings all but two itself: 9 MB instead of 87.
    "spark.jars.excludes": (
        "org.*:*,com.*:*,commons-*:*,javax.*:*,io.airlift:*,io.unitycatalog:*,io.delta:delta-kernel*"
    ),
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # `${…}` in a statement would be replaced before it is parsed, after the guard has read it.
    "spark.sql.variable.substitute": "false",
    # `SELECT * FROM parquet.`path`` would read any file.
    "spark.sql.runSQLOnFiles": "false",
}


@dataclass(frozen=True)
class EngineSession:
    """An open session: `spark` speaks the PySpark API, `capabilities` says what this engine can do.

    `fresh()` lends another session of the same engine in which nothing was set, created or tagged;
    where `shared_catalog`, it sees the tables that others registered. `process` is the process that
    the engine runs in, None where it is this one.
    """

    kind: EngineKind
    spark: SparkSession
    capabilities: Capabilities
    fresh: Callable[[], AbstractContextManager[SparkSession]]
    shared_catalog: bool
    process: Popen[bytes] | None = None


@contextmanager
def open_session(
    kind: EngineKind, *, config: Mapping[str, str] | None = None, work_dir: str | None = None
) -> Iterator[EngineSession]:
    """Start an engine in this process and end it afterwards.

    `config` adds engine settings: `SAIL_…` variables for the embedded engine, `spark.…` properties for
    Spark. `work_dir` is where the engine may put temporary files. One session per process.
    Raises UsageError where the engine's packages or Java are missing, EngineUnavailable where it fails.
    """
    opener = {"embedded": _open_embedded, "spark": _open_spark}[kind]
    with opener(dict(config or {}), work_dir) as session:
        yield session


@contextmanager
def _open_embedded(config: dict[str, str], work_dir: str | None) -> Iterator[EngineSession]:
    # Sail reads its settings from the environment when its library is loaded.
    os.environ.update(_SAIL_CONFIG | config)
    if work_dir is not None:
        os.environ["SAIL_RUNTIME__TEMPORARY_FILES__PATHS"] = f'["{work_dir}"]'
    try:
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(_missing("embedded", error)) from error
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    address = server.listening_address
    if address is None:
        raise EngineUnavailable("The embedded engine did not start listening. Try again; its log is on stderr.")

    @contextmanager
    def connect() -> Iterator[SparkSession]:
        spark = SparkSession.builder.remote(f"sc://{address[0]}:{address[1]}").create()
        try:
            yield spark
        finally:
            spark.stop()

    try:
        with connect() as spark:
            yield EngineSession("embedded", spark, CAPABILITIES["embedded"], fresh=connect, shared_catalog=False)
    finally:
        server.stop()


@contextmanager
def _open_spark(config: dict[str, str], work_dir: str | None) -> Iterator[EngineSession]:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise UsageError(
            "The spark engine needs Java 17 or newer and none was found. Install it and set JAVA_HOME, "
            "or use --engine embedded, which needs none."
        )
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(_missing("spark", error)) from error
    # Python of this process, so that workers never meet another version.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = dict(_SPARK_CONFIG)
    if work_dir is not None:
        settings |= {"spark.local.dir": work_dir, "spark.sql.warehouse.dir": os.path.join(work_dir, "warehouse")}
    builder = SparkSession.builder.master("local[*]").appName("imdb-lakehouse")
    for name, value in (settings | config).items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except Exception as error:
        raise EngineUnavailable(
            f"Spark did not start: {str(error).splitlines()[0]}. Check that Java 17 or newer is installed and that "
            "Maven Central can be reached, once, for Delta's jar."
        ) from error
    spark.sparkContext.setLogLevel("ERROR")

    @contextmanager
    def share() -> Iterator[SparkSession]:
        yield spark.newSession()  # stopping it would stop the SparkContext of all

    process = spark.sparkContext._gateway.proc  # noqa: SLF001  (how PySpark keeps its JVM; nothing public has it)
    try:
        yield EngineSession("spark", spark, CAPABILITIES["spark"], fresh=share, shared_catalog=True, process=process)
    finally:
        spark.stop()


def _missing(extra: str, error: ImportError) -> str:
    return (
        f"The {extra} engine is not installed ({error.name} is missing). Run: pip install 'imdb-lakehouse-mcp[{extra}]'"
    )
