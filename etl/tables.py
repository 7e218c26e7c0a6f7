"""Delta tables as this program writes them: made with their comments, overwritten in order, measured.

A table keeps its history: each load is one more version of it, and the manifest says which versions
belong together. Nothing here removes a version that a reader could still be pinned to.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.manifest import Column
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
        return self.measure(definition.name)

    def optimize(self, definition: TableDefinition) -> Written:
        """Compact the table's files by OPTIMIZE … ZORDER BY its clustering key, where the engine can."""
        # By one column Z-order is plain order; more columns would weaken the pruning by the first.
        by = definition.clustered_by[0]
        self._session.spark.sql(f"OPTIMIZE {self._schema}.{definition.name} ZORDER BY ({by})")
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
            f"`{column.name}` {column.type} COMMENT {_literal(column.comment)}" for column in definition.columns
        )
        body = f"({columns}) USING delta COMMENT {_literal(definition.comment)} LOCATION {_literal(location)}"
        spark.sql(f"DROP TABLE IF EXISTS {name}")
        found = self._found(definition.name)
        if found is None:
            spark.sql(f"CREATE TABLE {name} {body}")
        elif found == (definition.comment, definition.columns):
            spark.sql(f"CREATE TABLE {name} USING delta LOCATION {_literal(location)}")
        else:
            spark.sql(f"CREATE TABLE {name} USING delta LOCATION {_literal(location)}")
            spark.sql(f"CREATE OR REPLACE TABLE {name} {body}")

    def _found(self, table: str) -> tuple[str, tuple[Column, ...]] | None:
        """Comment and columns of the table that is there, None where there is none."""
        from deltalake import DeltaTable

        location = self.location(table)
        if not DeltaTable.is_deltatable(location):
            return None
        delta = DeltaTable(location)
        fields = json.loads(delta.schema().to_json())["fields"]
        return delta.metadata().description or "", tuple(_column(field) for field in fields)

    def _sorted(self, rows: DataFrame, by: tuple[str, ...]) -> DataFrame:
        if self._session.capabilities.ordered_write:
            return rows.repartitionByRange(*by).sortWithinPartitions(*by)
        # The embedded engine's writer drops the order of a sort, but not that of a window below a filter.
        from pyspark.sql import Window
        from pyspark.sql import functions as F  # noqa: N812

        numbered = rows.withColumn("_position", F.row_number().over(Window.orderBy(*by)))
        return numbered.where(F.col("_position") > 0).drop("_position")


def remove_orphans(folder: Path) -> int:
    """Delete data files that no commit of a table ever named: what a killed load left behind.

    Files of old versions stay. Returns how many were deleted; none where the log no longer tells of all
    versions, because then an old file cannot be told from an orphan. Local tables only.
    """
    log = folder / "_delta_log"
    commits = sorted(log.glob("*.json"))
    if any(log.glob("*.checkpoint*.parquet")) and (not commits or int(commits[0].stem) != 0):
        return 0
    named: set[str] = set()
    for commit in commits:
        for line in commit.read_text(encoding="utf-8").splitlines():
            action = json.loads(line)
            named.update(action[kind]["path"] for kind in ("add", "remove") if kind in action)
    orphans = [path for path in folder.glob("*.parquet") if path.name not in named]
    for orphan in orphans:
        orphan.unlink()
    return len(orphans)


def _column(field: dict[str, object]) -> Column:
    kind, metadata = field["type"], field["metadata"]
    name = f"array<{kind['elementType']}>" if isinstance(kind, dict) else str(kind)
    spark_name = {"integer": "int", "long": "bigint"}.get(name, name)
    comment = metadata.get("comment", "") if isinstance(metadata, dict) else ""
    return Column(name=str(field["name"]), type=spark_name, comment=str(comment))


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
