"""What a load has made: its tables, for the manifest, and the rows of its summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from etl.stored_rows import TableVersion
from etl.tables import TableDefinition
from lakehouse.manifest import SourceFile, TableEntry, TableKind


@dataclass(frozen=True)
class LoadedTable:
    """A row of the summary: row counts and size of one table or view. `seconds` is wall time."""

    table: str
    source: str
    read: int
    written: int
    rejected: int
    files: int
    bytes: int
    seconds: float


@dataclass
class BuiltTable:
    """A table or view written by this run. `written` is replaced when the table is optimised."""

    definition: TableDefinition
    key: tuple[str, ...]
    kind: TableKind
    written: TableVersion
    source: SourceFile | None

    @classmethod
    def from_entry(cls, entry: TableEntry) -> Self:
        """The table that an entry describes."""
        return cls(
            TableDefinition(entry.path, entry.comment, entry.columns, entry.clustered_by),
            entry.key,
            entry.kind,
            TableVersion(entry.version, entry.rows, entry.bytes, entry.files),
            entry.source,
        )

    def to_entry(self) -> TableEntry:
        return TableEntry(
            path=self.definition.name,
            version=self.written.version,
            rows=self.written.rows,
            bytes=self.written.bytes,
            files=self.written.files,
            kind=self.kind,
            key=self.key,
            clustered_by=self.definition.clustered_by,
            comment=self.definition.comment,
            columns=self.definition.columns,
            source=self.source,
        )


@dataclass
class LoadSummary:
    """Result of a load. `notes` are findings for the user: duplicate keys, orphans, missing files."""

    generation: int = 0
    tables: list[LoadedTable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class UpdatedTable:
    """A row of the summary: what was done to a table, and what it cost. `seconds` is wall time."""

    table: str
    done: str
    rows: int
    added: int
    deleted: int
    written_bytes: int
    seconds: float


@dataclass
class UpdateSummary(LoadSummary):
    """Result of an update. `generation` is the one before where nothing had changed."""

    updated: list[UpdatedTable] = field(default_factory=list)
    changed: bool = False
