"""Delta tables as this program writes them: made with their comments, overwritten in order, measured.

A table keeps its history: each load is one more version of it, and the manifest says which versions
belong together. Nothing here removes a version that a reader could still be pinned to.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.manifest import Column
from lakehouse.quoting import quote_identifier, quote_literal
from lakehouse.session import EngineSession
from lakehouse.storage import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class TableDefinition:
    """What a table is made from: name, comment, columns, and the order of its rows (empty: as they come)."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    clustered_by: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """One version of a table, as its Delta log tells it."""

    version: int
    rows: int
    bytes: int
    files: int


class TableWriter:
    """Writes tables of one lake through one engine session."""

    def __init__(self, session: EngineSession, lake: Lake, schema: str) -> None:
        self._session = session
        self._lake = lake
        self._schema = schema
        session.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")

    def location(self, table: str) -> str:
        return self._lake.table_location(table)

    def overwrite(self, definition: TableDefinition, rows: DataFrame, *, in_order: bool) -> Written:
        """Make `rows` the next version of a table. `in_order` says that they already come in its order."""
        name = f"{self._schema}.{definition.name}"
        self._define(name, definition)
        ordered = rows if in_order or not definition.clustered_by else self._sorted(rows, definition.clustered_by)
        with warnings.catch_warnings():
            # PySpark warns of a window without partitions; the embedded engine sorts it on all cores and on disk.
            warnings.filterwarnings("ignore", "WARN WindowExpression")
            ordered.write.mode("overwrite").insertInto(name)
        self._forget_checkpoint(definition.name)
        return self.measure(definition.name)

    def _forget_checkpoint(self, table: str) -> None:
        """Take away the hint which checkpoint is the newest.

        Nothing needs it, and the embedded engine misses every version before that checkpoint for it (docs/facts.md).
        """
        self._lake.remove_file(f"{table}/_delta_log/_last_checkpoint")

    def optimize(self, definition: TableDefinition) -> Written:
        """Compact the table's files by OPTIMIZE … ZORDER BY its clustering key, where the engine can."""
        # By one column Z-order is plain order; more columns would weaken the pruning by the first.
        by = definition.clustered_by[0]
        self._session.spark.sql(f"OPTIMIZE {self._schema}.{definition.name} ZORDER BY ({by})")
        self._forget_checkpoint(definition.name)
        return self.measure(definition.name)

    def read(self, table: str, version: int) -> DataFrame:
        """One version of a table."""
        reader = self._session.spark.read.format("delta").option("versionAsOf", version)
        return reader.load(self.location(table))

    def measure(self, table: str) -> Written:
        """The newest version of a table, from its Delta log."""
        from deltalake import DeltaTable

        delta = DeltaTable(self.location(table))
        files = delta.get_add_actions(flatten=True)
        rows, size = files.column("num_records").to_pylist(), files.column("size_bytes").to_pylist()
        return Written(delta.version(), sum(rows), sum(size), len(size))

    def _define(self, name: str, definition: TableDefinition) -> None:
        """Make the table known to the session, and its columns and comments what they should be."""
        spark, location = self._session.spark, self.location(definition.name)
        columns = ", ".join(
            f"{quote_identifier(column.name)} {column.type} COMMENT {quote_literal(column.comment)}"
            for column in definition.columns
        )
        body = f"({columns}) USING delta COMMENT {quote_literal(definition.comment)} LOCATION {quote_literal(location)}"
        spark.sql(f"DROP TABLE IF EXISTS {name}")
        found = self._found(definition.name)
        if found is None:
            spark.sql(f"CREATE TABLE {name} {body}")
            return
        spark.sql(f"CREATE TABLE {name} USING delta LOCATION {quote_literal(location)}")
        wanted = [(column.name, column.type, column.comment) for column in definition.columns]
        if found != (definition.comment, wanted):
            spark.sql(f"CREATE OR REPLACE TABLE {name} {body}")

    def _found(self, table: str) -> tuple[str, list[tuple[str, str, str]]] | None:
        """Comment of the table that is there, and name, type and comment of its columns. None where there is none."""
        from deltalake import DeltaTable

        location = self.location(table)
        if not DeltaTable.is_deltatable(location):
            return None
        delta = DeltaTable(location)
        fields = json.loads(delta.schema().to_json())["fields"]
        return delta.metadata().description or "", [_described(field) for field in fields]

    def _sorted(self, rows: DataFrame, by: tuple[str, ...]) -> DataFrame:
        if self._session.capabilities.ordered_write:
            return rows.repartitionByRange(*by).sortWithinPartitions(*by)
        # The embedded engine's writer drops the order of a sort, but not that of a window below a filter.
        from pyspark.sql import Window
        from pyspark.sql import functions as F  # noqa: N812

        numbered = rows.withColumn("_position", F.row_number().over(Window.orderBy(*by)))
        return numbered.where(F.col("_position") > 0).drop("_position")


def remove_orphans(folder: Path) -> None:
    """Delete data files of a table that no commit ever named: what a killed load left behind.

    Files of old versions stay. Nothing is deleted where the log does not tell of all versions, or cannot be
    read: an old file cannot be told from an orphan then. Local tables only.
    """
    log = folder / "_delta_log"
    commits = sorted(log.glob("*.json"))
    # A load commits the empty table before it writes a file: without a first commit no file is a load's.
    if not commits or int(commits[0].stem) != 0:
        return
    named: set[str] = set()
    for commit in commits:
        for line in commit.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                action = json.loads(line)
            except ValueError:
                return
            named.update(action[kind]["path"] for kind in ("add", "remove") if kind in action)
    for path in folder.glob("*.parquet"):
        if path.name not in named:
            path.unlink()


def _described(field: dict[str, Any]) -> tuple[str, str, str]:
    kind = field["type"]
    name = f"array<{kind['elementType']}>" if isinstance(kind, dict) else str(kind)
    spark_name = {"integer": "int", "long": "bigint"}.get(name, name)
    return field["name"], spark_name, field["metadata"].get("comment", "")
