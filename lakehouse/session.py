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
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from lakehouse.errors import EngineUnavailable, UsageError

if TYPE_CHECKING:
    from subprocess import Popen

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.settings import Runtime

log = logging.getLogger(__name__)

# delta-spark 4.4.1's jar is not on Maven Central; 4.4.0's is (docs/facts.md).
_DELTA_VERSION = "4.4.0"
_DELTA_JARS = ("delta-spark_4.2_2.13", "delta-storage")

IVY_FOLDER = Path.home() / ".ivy2.5.2"
"""Where Spark 4.2 keeps the jars that it fetches."""


Dialect = Literal["spark", "sail"]
"""Whose SQL an engine runs: all of Spark's, or what Sail has of it."""


Stage = Literal["parsed", "resolved"]
"""How far an engine reads a text before it tells: as it is written, or with every name looked up and view opened."""


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do, as data. Nothing else may ask which engine it is.

    `dialect`         whose SQL it runs
    `readings`        at which stages it tells what it reads in a text without running it
    `time_travel`     SQL understands `VERSION AS OF`
    `cancel`          a running query can be interrupted by its tag
    `optimize`        `OPTIMIZE … ZORDER BY` exists
    `ordered_write`   a sorted DataFrame is written in its order
    """

    dialect: Dialect
    readings: tuple[Stage, ...]
    time_travel: bool
    cancel: bool
    optimize: bool
    ordered_write: bool


CAPABILITIES: Mapping[Runtime, Capabilities] = MappingProxyType(
    {
        "embedded": Capabilities(
            dialect="sail",
            readings=("resolved",),
            time_travel=True,
            cancel=True,
            optimize=False,
            ordered_write=False,
        ),
        "spark": Capabilities(
            dialect="spark",
            readings=("parsed", "resolved"),
            time_travel=True,
            cancel=True,
            optimize=True,
            ordered_write=True,
        ),
        "databricks": Capabilities(
            dialect="spark",
            readings=(),  # only EXPLAIN would tell, and that itself runs what some statements hide
            time_travel=True,
            cancel=True,
            optimize=True,
            ordered_write=True,
        ),
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
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.shuffle.partitions": "4",
    "spark.scheduler.mode": "FAIR",
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


_FETCHING = {
    "spark.jars.packages": f"io.delta:{_DELTA_JARS[0]}:{_DELTA_VERSION}",
    # Of the 33 jars that these coordinates pull in, Spark brings all but two itself: 9 MB instead of 87.
    "spark.jars.excludes": (
        "org.*:*,com.*:*,commons-*:*,javax.*:*,io.airlift:*,io.unitycatalog:*,io.delta:delta-kernel*"
    ),
}


def delta_jars() -> list[Path]:
    """Delta's jars where an earlier start has fetched them, so that this one needs no network; else nothing."""
    jars = [IVY_FOLDER / "jars" / f"io.delta_{name}-{_DELTA_VERSION}.jar" for name in _DELTA_JARS]
    return jars if all(jar.is_file() for jar in jars) else []


@dataclass(frozen=True)
class EngineSession:
    """An open session: `spark` speaks the PySpark API, `capabilities` says what this engine can do.

    `fresh(tag)` lends another session of the same engine in which nothing was set or created; what the
    calling thread runs in it bears the tag, and `interrupt(session, tag)`, from any thread, stops it.
    An interrupt that comes too early is lost: repeat it. `lingers()` tells whether work goes on whose query has
    ended: Java cannot stop a thread that looks for nothing, such as one within a regular expression. Where
    `shared_catalog`, sessions see the tables that others registered. `process` is the process that the engine runs
    in, None where it is this one.
    """

    kind: Runtime
    spark: SparkSession
    capabilities: Capabilities
    fresh: Callable[[str], AbstractContextManager[SparkSession]]
    interrupt: Callable[[SparkSession, str], None]
    lingers: Callable[[], bool]
    shared_catalog: bool
    process: Popen[bytes] | None = None


@contextmanager
def open_session(
    kind: Runtime, *, config: Mapping[str, str] | None = None, work_dir: str | None = None
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
    for name, value in (_SAIL_CONFIG | config).items():
        os.environ.setdefault(name, value)  # whoever runs the program has the last word
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
    def connect(tag: str) -> Iterator[SparkSession]:
        spark = SparkSession.builder.remote(f"sc://{address[0]}:{address[1]}").create()
        # A server in the same process does not come back: by default the client would try for ten minutes.
        spark.client.set_retry_policies([])
        spark.addTag(tag)
        try:
            yield spark
        finally:
            spark.stop()

    def interrupt(spark: SparkSession, tag: str) -> None:
        spark.interruptTag(tag)

    try:
        with connect("main") as spark:
            yield EngineSession(
                "embedded",
                spark,
                CAPABILITIES["embedded"],
                connect,
                interrupt,
                lingers=lambda: False,
                shared_catalog=False,
            )
    finally:
        server.stop()


def spark_properties(work_dir: str | None) -> dict[str, str]:
    """The properties of a Spark with Delta, tuned for a laptop's tables; what needs a folder lies in `work_dir`."""
    jars = delta_jars()
    settings = _SPARK_CONFIG | ({"spark.jars": ",".join(map(str, jars))} if jars else _FETCHING)
    if work_dir is None:
        return settings
    return settings | {
        "spark.local.dir": work_dir,
        "spark.sql.warehouse.dir": os.path.join(work_dir, "warehouse"),
        # A JVM that is killed leaves what it put there, and what it put into /tmp nobody takes away. One that is out
        # of memory answers nobody for minutes while it collects garbage: it ends instead.
        "spark.driver.extraJavaOptions": f'-Djava.io.tmpdir="{work_dir}" -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError',
    }


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
    builder = SparkSession.builder.master("local[*]").appName("imdb-lakehouse")
    for name, value in (spark_properties(work_dir) | config).items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except Exception as error:
        raise EngineUnavailable(
            f"Spark did not start: {str(error).splitlines()[0]}. Check that Java 17 or newer is installed and that "
            "Maven Central can be reached, once, for Delta's jar."
        ) from error
    spark.sparkContext.setLogLevel("ERROR")

    context = spark.sparkContext

    # Tags of jobs: those of sessions (`addTag`, `interruptTag`) do not reach what `toArrow` runs.
    @contextmanager
    def share(tag: str) -> Iterator[SparkSession]:
        context.addJobTag(tag)
        # A pool for each thread: within one pool, a query would wait until the one before it has no task left.
        context.setLocalProperty("spark.scheduler.pool", threading.current_thread().name)
        try:
            yield spark.newSession()  # stopping it would stop the SparkContext of all
        finally:
            context.removeJobTag(tag)

    def interrupt(_: SparkSession, tag: str) -> None:
        context.cancelJobsWithTag(tag)

    def lingers() -> bool:
        executors = context._jsc.sc().statusTracker().getExecutorInfos()  # noqa: SLF001  (Python's tracker lacks it)
        tracker = context.statusTracker()
        stages = (tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds())
        at_work: int = sum(executor.numRunningTasks() for executor in executors)
        known: int = sum(stage.numActiveTasks for stage in stages if stage)
        return at_work > known

    process = context._gateway.proc  # noqa: SLF001  (the JVM; nothing public has it)
    try:
        yield EngineSession(
            "spark",
            spark,
            CAPABILITIES["spark"],
            share,
            interrupt,
            lingers,
            shared_catalog=True,
            process=process,
        )
    finally:
        spark.stop()


def fetch(rows: DataFrame) -> pa.Table:
    """`rows.toArrow()`, but for its last step: casting to a schema that may deny nulls.

    There PyArrow fails on `array(struct(1 AS a), NULL)`: a null struct within a list "cannot be viewed
    as non-nullable" because of its field. What is fetched is what both of PySpark's toArrow fetch.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    if hasattr(rows, "_to_table"):  # over Connect
        table, _ = rows._to_table()  # noqa: SLF001  (nothing public gives it; PySpark is pinned, a test looks)
    else:
        batches = rows._collect_as_arrow(empty_list_if_zero_records=False)  # noqa: SLF001  (the same)
        table = pa.Table.from_batches(batches)
    schema = to_arrow_schema(rows.schema, error_on_duplicated_field_names_in_struct=True, timezone="UTC")
    return table.cast(pa.schema([_nullable(field) for field in schema]))


def _nullable(field: pa.Field) -> pa.Field:
    import pyarrow as pa

    kind = field.type
    if pa.types.is_list(kind):
        kind = pa.list_(_nullable(kind.value_field))
    elif pa.types.is_map(kind):
        kind = pa.map_(kind.key_field, _nullable(kind.item_field))  # a key is never null
    elif pa.types.is_struct(kind):
        kind = pa.struct([_nullable(kind.field(i)) for i in range(kind.num_fields)])
    return pa.field(field.name, kind)


def can_run(runtime: Runtime) -> bool:
    """Whether what a local engine needs is installed, as far as can be seen without importing it."""
    if runtime == "spark":
        package = find_spec("pyspark")
        # The thin client is a package of the same name, without Spark's jars.
        has_jars = package is not None and os.path.isdir(os.path.join(os.path.dirname(package.origin or ""), "jars"))
        return has_jars and (shutil.which("java") is not None or "JAVA_HOME" in os.environ)
    return runtime != "embedded" or find_spec("pysail") is not None


def _missing(extra: str, error: ImportError) -> str:
    return (
        f"The {extra} engine is not installed ({error.name} is missing). Run: pip install 'imdb-lakehouse-mcp[{extra}]'"
    )
