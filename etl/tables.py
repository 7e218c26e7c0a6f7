"""Writes Delta tables: creates them with their comments, overwrites them in order, and measures them.

Each load adds a version to a table, and the manifest names the versions that belong together. No version that a reader
may be pinned to is removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from etl.datasets import DATASETS, Dataset
from etl.datasets import Field as SourceField
from etl.gold_views import GoldView
from etl.stored_rows import TableVersion, measure_version
from etl.table_files import TableFiles
from lakehouse.delta import LogFolder
from lakehouse.delta.checkpoint import read_checkpoint
from lakehouse.delta.folder import LOG_NAME
from lakehouse.delta.vectors import UnknownVectorError, vector_file
from lakehouse.errors import LakeError
from lakehouse.manifest import Column
from lakehouse.quoting import quote_identifier, quote_literal
from lakehouse.session import EngineSession
from lakehouse.storage import Lake

if TYPE_CHECKING:
    from deltalake import Field
    from pyspark.sql import DataFrame


_Definition = tuple[str, list[tuple[str, str, str]]]
"""The comment of a table, and name, type and comment of its columns."""


@dataclass(frozen=True)
class TableDefinition:
    """Definition of a table: name, comment, columns, and the order of its rows (empty: as they come).

    `found_by` are columns that it is not ordered by and that look-ups name all the same, with the number of their
    different values in a row group, about.
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    clustered_by: tuple[str, ...]
    found_by: Mapping[str, int] = field(default_factory=dict)


def to_definition(dataset: Dataset) -> TableDefinition:
    """Define the table of a data set."""
    columns = tuple(map(_define_column, dataset.fields))
    return TableDefinition(dataset.table, dataset.comment, columns, dataset.clustered_by)


def define_view(view: GoldView) -> TableDefinition:
    """Define the table of a gold view, whose columns are those of the tables that it joins, and its own."""
    columns = {(each.table, column.name): column for each in DATASETS for column in to_definition(each).columns}
    chosen = tuple(columns[table, column] for column, table in view.columns)
    own = tuple(map(_define_column, view.own_columns))
    return TableDefinition(view.name, view.comment, chosen + own, view.clustered_by, view.found_by)


def _define_column(field: SourceField) -> Column:
    return Column(
        name=field.column_name, type=field.kind.spark_type, comment=field.comment, nullable=not field.required
    )


OnRows = Callable[[int], None]
"""Called with the number of rows that were written so far."""


class OrderedTable(Protocol):
    """The next version of a table, in its order, while its rows come."""

    def add_rows(self, rows: DataFrame) -> int:
        """Add rows, or none of them if that fails. Returns how many there are now."""

    def finish(self, on_rows: OnRows) -> TableVersion:
        """Write what is not yet written, and return the version."""


class TableWriter:
    """Writes the tables of one lake through one engine session, whose writer keeps the order of a sort."""

    def __init__(self, session: EngineSession, lake: Lake, schema: str) -> None:
        self._session = session
        self._lake = lake
        self._schema = schema
        self._open_schema()

    def _open_schema(self) -> None:
        self._session.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")

    def locate_table(self, table: str) -> str:
        """Return the location of a table as a path or URL."""
        return self._lake.table_location(table)

    def overwrite_table(
        self, definition: TableDefinition, rows: DataFrame, *, in_order: bool, expected_rows: int
    ) -> TableVersion:
        """Write `rows`, about `expected_rows`, as the next version of a table.

        `in_order` means that they already have the table's order.
        """
        if in_order or not definition.clustered_by:
            self._define_table(definition)
            return self._insert_rows("overwrite", definition, rows)
        with self.open_ordered(definition, expected_rows) as table:
            table.add_rows(rows)
            return table.finish(lambda _: None)

    @contextmanager
    def open_ordered(self, definition: TableDefinition, expected_rows: int) -> Iterator[OrderedTable]:  # noqa: ARG002  (others need it)
        """Open the next version of a table for about `expected_rows` rows, which may come in any order."""
        self._define_table(definition)
        yield _EngineOrderedTable(self._insert_rows, definition)

    def _insert_rows(self, mode: str, definition: TableDefinition, rows: DataFrame) -> TableVersion:
        self._save_rows(mode, definition, rows)
        self._remove_checkpoint_hint(definition.name)
        return self.measure_table(definition.name)

    def _save_rows(self, mode: str, definition: TableDefinition, rows: DataFrame) -> None:
        rows.write.mode(mode).insertInto(self._qualify_name(definition))

    def _qualify_name(self, definition: TableDefinition) -> str:
        return f"{self._schema}.{definition.name}"

    def _remove_checkpoint_hint(self, table: str) -> None:
        """Remove the hint that names the newest checkpoint.

        It is optional, and with it the embedded engine misses every version before that checkpoint (docs/facts.md).
        """
        self._lake.remove_file(f"{table}/_delta_log/_last_checkpoint")

    def optimize_table(self, definition: TableDefinition) -> TableVersion:
        """Compact the table's files by OPTIMIZE … ZORDER BY its clustering key. The engine must support it."""
        # Z-order by one column is plain order; more columns would weaken pruning by the first.
        by = definition.clustered_by[0]
        # Without it the rows of a file come in any order, and its pages cannot be skipped.
        self._session.spark.conf.set("spark.databricks.io.skipping.mdc.sortWithinFiles", "true")
        self._session.spark.sql(f"OPTIMIZE {self._qualify_name(definition)} ZORDER BY ({by})")
        self._remove_checkpoint_hint(definition.name)
        return self.measure_table(definition.name)

    def register_table(self, table: str) -> None:
        """Make a table that an earlier session has written known to this one."""
        location = quote_literal(self.locate_table(table))
        self._session.spark.sql(f"CREATE TABLE IF NOT EXISTS {self._schema}.{table} USING delta LOCATION {location}")

    def read_version(self, table: str, version: int) -> DataFrame:
        """Read one version of a table."""
        reader = self._session.spark.read.format("delta").option("versionAsOf", version)
        return reader.load(self.locate_table(table))

    def measure_table(self, table: str) -> TableVersion:
        """Read the newest version of a table from its Delta log."""
        return measure_version(TableFiles(self._lake, table))

    def list_columns(self, table: str, comment: str) -> tuple[str, ...]:
        """Return the columns of a table that have this comment, in their order; none if there is no table."""
        found = self._read_definition(table)
        return () if found is None else tuple(name for name, _, said in found[1] if said == comment)

    def _define_table(self, definition: TableDefinition) -> None:
        """Register the table in the session, and create it, add its new columns, or replace it if it differs otherwise.

        Columns are added by a commit of their own: engines then read the versions before it (docs/facts.md).
        """
        spark, name = self._session.spark, self._qualify_name(definition)
        location = self.locate_table(definition.name)
        columns = ", ".join(
            f"{quote_identifier(column.name)} {column.type} COMMENT {quote_literal(column.comment)}"
            for column in definition.columns
        )
        body = f"({columns}) USING delta COMMENT {quote_literal(definition.comment)} LOCATION {quote_literal(location)}"
        spark.sql(f"DROP TABLE IF EXISTS {name}")
        found = self._add_new_columns(definition)
        if found is None:
            spark.sql(f"CREATE TABLE {name} {body}")
            return
        spark.sql(f"CREATE TABLE {name} USING delta LOCATION {quote_literal(location)}")
        if found != _describe(definition):
            spark.sql(f"CREATE OR REPLACE TABLE {name} {body}")

    def _add_new_columns(self, definition: TableDefinition) -> _Definition | None:
        """Add the last columns to a table that has all others. Returns what there is then, None without a table."""
        found = self._read_definition(definition.name)
        if found is None:
            return None
        comment, wanted = _describe(definition)
        added = definition.columns[len(found[1]) :]
        if not added or found != (comment, wanted[: len(found[1])]):
            return found
        return self._add_columns(definition.name, added)

    def _add_columns(self, table: str, columns: Sequence[Column]) -> _Definition | None:
        from deltalake import DeltaTable

        DeltaTable(self.locate_table(table)).alter.add_columns([_to_field(column) for column in columns])
        return self._read_definition(table)

    def _read_definition(self, table: str) -> _Definition | None:
        """Return the comment of a table, and name, type and comment of its columns; None if there is no table."""
        from deltalake import DeltaTable

        location = self.locate_table(table)
        if not DeltaTable.is_deltatable(location):
            return None
        delta = DeltaTable(location)
        fields = json.loads(delta.schema().to_json())["fields"]
        return delta.metadata().description or "", [_to_column(field) for field in fields]


class _EngineOrderedTable:
    """Rows that the engine sorts and writes as they are added, each time by themselves."""

    def __init__(
        self, insert: Callable[[str, TableDefinition, DataFrame], TableVersion], definition: TableDefinition
    ) -> None:
        self._insert = insert
        self._definition = definition
        self._written: TableVersion | None = None

    def add_rows(self, rows: DataFrame) -> int:
        by = self._definition.clustered_by
        ordered = rows.repartitionByRange(*by).sortWithinPartitions(*by)
        self._written = self._insert("append" if self._written else "overwrite", self._definition, ordered)
        return self._written.rows

    def finish(self, on_rows: OnRows) -> TableVersion:
        if self._written is None:
            raise ValueError("no rows were added")
        on_rows(self._written.rows)
        return self._written


class PathTableWriter(TableWriter):
    """Writes tables by their locations and registers none: a catalogue of others may have tables of these names."""

    def _open_schema(self) -> None:
        """Nothing is registered."""

    def _define_table(self, definition: TableDefinition) -> None:
        from deltalake import DeltaTable, Schema

        found = self._add_new_columns(definition)
        if found != _describe(definition):
            DeltaTable.create(
                self.locate_table(definition.name),
                Schema([_to_field(column) for column in definition.columns]),
                mode="error" if found is None else "overwrite",
                description=definition.comment,
            )

    def register_table(self, table: str) -> None:
        """Nothing is registered."""

    def _save_rows(self, mode: str, definition: TableDefinition, rows: DataFrame) -> None:
        rows.write.format("delta").mode(mode).save(self.locate_table(definition.name))

    def _qualify_name(self, definition: TableDefinition) -> str:
        return f"delta.{quote_identifier(self.locate_table(definition.name))}"


def remove_orphans(folder: Path) -> None:
    """Delete data files of a table that no commit names, and drafts of commits: leftovers of a killed load.

    Files of old versions stay. Nothing is deleted if the log lacks a version or cannot be read, because an old file
    then looks like an orphan. Local tables only.
    """
    for draft in (folder / LOG_NAME).glob(".*.tmp"):
        draft.unlink(missing_ok=True)
    try:
        log = LogFolder(folder)
        named = _list_named(log)
    except (LakeError, UnknownVectorError):
        return
    if named is None:
        return
    for path in (*folder.glob("*.parquet"), *folder.glob("deletion_vector_*.bin")):
        if path.name not in named:
            path.unlink()


def _describe(definition: TableDefinition) -> _Definition:
    return definition.comment, [(column.name, column.type, column.comment) for column in definition.columns]


def _to_field(column: Column) -> Field:
    """Return the column of a Delta schema. Columns of a load are nullable there, of a simple type or a list of one."""
    from deltalake import Field
    from deltalake.schema import ArrayType, PrimitiveType

    item = column.type.removeprefix("array<").removesuffix(">")
    simple = PrimitiveType({"int": "integer", "bigint": "long"}.get(item, item))
    kind = simple if item == column.type else ArrayType(simple, contains_null=True)
    return Field(column.name, kind, nullable=True, metadata={"comment": column.comment})


def _list_named(log: LogFolder) -> set[str] | None:
    """The files that a log names, None if it does not begin with the table or a checkpoint (`etl.retention`)."""
    # A load commits the empty table before it writes a file: without a first commit no file belongs to a load.
    first = min(log.commits, default=None)
    base = next((each for each in log.checkpoints if each.version == first), None)
    if first is None or (first > 0 and base is None):
        return None
    actions = [action for name in log.commits.values() for action in log.actions(name)]
    actions += read_checkpoint(log, base) if base is not None and first > 0 else []
    files = [action[kind] for action in actions for kind in ("add", "remove") if action.get(kind)]
    vectors = [vector_file(file.get("deletionVector")) for file in files]
    return {file["path"] for file in files} | {name for name in vectors if name is not None}


def _to_column(field: dict[str, Any]) -> tuple[str, str, str]:
    kind = field["type"]
    name = f"array<{kind['elementType']}>" if isinstance(kind, dict) else str(kind)
    spark_name = {"integer": "int", "long": "bigint"}.get(name, name)
    return field["name"], spark_name, field["metadata"].get("comment", "")
