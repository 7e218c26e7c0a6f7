"""The Spark engine: Apache Spark with Delta in a JVM that a child process starts and ends."""

from __future__ import annotations

from lakehouse.errors import UsageError
from lakehouse.session import IVY_FOLDER, delta_jars
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.catalog import LakeCatalog
from mcp_server.engines.local import EngineSpec, LocalEngine
from mcp_server.settings import Settings


class SparkEngine(LocalEngine):
    """Needs the `spark` extra and Java 17. Raises UsageError where the lake is a catalogue.

    The memory ceiling is the JVM's heap: what is above it fails the query, or ends the JVM and its
    process. Its first start fetches Delta's two jars, so only later ones have a network of their own.
    """

    def __init__(self, lake: Lake, settings: Settings) -> None:
        if lake.kind is LakeKind.URL:  # its package has no client for object storage
            raise UsageError(
                f"--lake {lake}: a Spark session of this machine has no client for object storage. Use --engine "
                "embedded, or name a Spark Connect server that has one with SPARK_REMOTE."
            )
        super().__init__(
            EngineSpec(
                kind="spark",
                config={"spark.driver.memory": f"{settings.spark_heap_mb}m"},
                environment={},
                memory_mb=None,
                ceiling_mb=settings.spark_heap_mb,
                isolation=_choose_isolation(settings),
                start_seconds=300,
                stop_seconds=15,  # as long as a new JVM takes
                plain_paths=False,
                reads_lake_only=False,
                caches=(str(IVY_FOLDER),),
                catalog="process",
                queries=settings.max_concurrent_queries,
            ),
            LakeCatalog(lake, plain_names=True),
            settings,
        )


def _choose_isolation(settings: Settings) -> str:
    """Return the isolation: with `auto` it is off for the first start, which downloads Delta's jars."""
    if settings.engine_isolation == "auto" and not delta_jars():
        return "off"
    return settings.engine_isolation
