"""The Spark engine: Apache Spark with Delta in a JVM that a child process starts and takes with it."""

from __future__ import annotations

from pathlib import Path

from lakehouse.settings import Settings
from lakehouse.storage import Lake
from mcp_server.engines.local import EngineSpec, LocalEngine


class SparkEngine(LocalEngine):
    """Needs the `spark` extra and Java 17. Raises UsageError where the lake is a catalogue.

    The memory ceiling is the JVM's heap: what is above it fails the query, or ends the JVM and its
    process. The JVM stays in the machine's network, because its first start fetches Delta's two jars;
    what it listens on is loopback and asks for a secret.
    """

    def __init__(self, lake: Lake, settings: Settings) -> None:
        super().__init__(
            EngineSpec(
                kind="spark",
                config={"spark.driver.memory": f"{settings.engine_memory_mb}m"},
                environment={},
                memory_mb=None,
                isolation="off",
                start_seconds=300,
                stop_seconds=5,  # a new JVM takes fifteen, so it may take a little longer
                plain_paths=False,
                reads_lake_only=False,
                caches=(str(Path.home() / ".ivy2.5.2"),),  # of Ivy, which fetches Delta's jars
            ),
            lake,
            settings,
        )
