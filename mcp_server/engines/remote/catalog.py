"""Reads the content of a catalogue's schema through SQL, for engines that have catalogues.

Unity Catalog reports everything in two statements (`information_schema`), limited to what its reader may see. Any
other catalogue, such as Spark's own `spark_catalog`, is read table by table with DESCRIBE: its `AS JSON` would be
the better form, but Spark 4.2 supports it for views and not for Delta tables (NOT_SUPPORTED_COMMAND_FOR_V2_TABLE).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from lakehouse.errors import LakeError, QueryFailed
from lakehouse.manifest import Column
from lakehouse.quoting import quote_identifier
from mcp_server.engines.remote import listing
from mcp_server.engines.remote.listing import Listing, Row, read_listing
from mcp_server.models import CheckedQuery, Estimate, ResultSet, ScanEstimate, TableInfo, Version

RunOwn = Callable[[str], ResultSet]
"""Runs a statement of the server's own, for at most `LISTING_ROWS` rows within `listing_caps()`.

Raises QueryFailed with Spark's condition where the statement fails.
"""

# Databricks SQL, information_schema.tables: "Table types". A metric view answers no plain SELECT and is left out.
_VIEWS = frozenset({"VIEW", "MATERIALIZED_VIEW"})
_NO_RELATIONS = frozenset({"METRIC_VIEW"})

_NOT_THERE = frozenset({"TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND"})
_NO_COLUMN = re.compile(r"name `(?:[^`]*`\.`)*([^`]*)` cannot be resolved")
_FORBIDDEN = "INSUFFICIENT_PERMISSIONS"
_DETAILS = "# Detailed Table Information"
_UNKNOWN_COLUMNS = (
    f"what the schema's tables say of themselves takes more than the {listing.LISTING_BYTES >> 20} MiB or "
    f"{listing.LISTING_ROWS:,} columns that are kept of it, and this table's columns are beyond that; serve a schema "
    "that holds fewer tables"
)


class RemoteCatalog:
    """The tables of one `catalog.schema`. Thread-safe.

    They are read on first use and cached until a failed statement shows that they have changed
    (`forget_on_contradiction`), or a caller needs the current tables (`refresh`).
    """

    def __init__(self, schema: str, run: RunOwn) -> None:
        self._schema = schema
        self._path = tuple(schema.split("."))
        self._run = run
        self._has_information_schema = True
        self._reading = threading.Lock()
        self._known: tuple[TableInfo, ...] | None = None

    def tables(self) -> tuple[TableInfo, ...]:
        """Return all tables and views, sorted by name. Raises LakeError where there are none, or what `run` raises."""
        known = self._known
        if known is not None:
            return known
        with self._reading:  # concurrent callers wait for the same answer
            if self._known is None:
                self._known = self._read_tables()
            return self._known

    def refresh(self) -> tuple[TableInfo, ...]:
        """Read the tables again."""
        with self._reading:
            self._known = self._read_tables()
            return self._known

    @contextmanager
    def forget_on_contradiction(self) -> Iterator[None]:
        """Drop the cached tables where a checked statement in the block fails because a known name is gone."""
        try:
            yield
        except QueryFailed as error:
            if self._is_contradicted_by(error):
                self._known = None
            raise

    def estimate(self, query: CheckedQuery) -> Estimate:
        """Return the size of each table that a query names, from DESCRIBE DETAIL: `exact` is False.

        What a view reads is not known without running it, so a view is no scan of the estimate; nor is a table
        of another format than Delta.
        """
        named = [table for table in self.tables() if table.name.lower() in query.tables and table.kind == "table"]
        return Estimate(tuple(scan for table in named for scan in self._describe_size(table.name)), exact=False)

    def bounds(self, table: str, version: Version | None = None) -> dict[str, tuple[int, int]]:  # noqa: ARG002
        """Return no bounds: only the server reads the files' statistics."""
        return {}

    def history(self, table: str, most: int) -> None:
        """The catalogue does not tell the versions of its tables."""

    def null_shares(self, table: str) -> dict[str, float]:  # noqa: ARG002
        """Return no shares: only the server reads the files' statistics."""
        return {}

    def columns(self, table: str, version: Version) -> None:
        """Return None: the server resolves the names and types of old versions itself."""

    def _describe_size(self, name: str) -> Iterator[ScanEstimate]:
        try:
            detail = self._run(f"DESCRIBE DETAIL {quote_identifier(*self._path, name)}").table
        except QueryFailed:
            return  # no Delta table, or no right to see its details
        (row,) = detail.select(["numFiles", "sizeInBytes"]).to_pylist()
        files, size = row["numFiles"], row["sizeInBytes"]
        if files is not None and size is not None:
            yield ScanEstimate(name.lower(), None, files, files, size, size, None)

    def _run_listing(self, sql: str) -> Listing:
        return read_listing(self._run(sql))

    def _is_contradicted_by(self, error: QueryFailed) -> bool:
        kind = (error.condition or "").partition(".")[0]
        if kind == "UNRESOLVED_COLUMN" and (found := _NO_COLUMN.search(str(error))):
            name = found[1].lower()
            return any(column.name.lower() == name for table in self._known or () for column in table.columns)
        return kind in _NOT_THERE

    def _read_tables(self) -> tuple[TableInfo, ...]:
        found = self._read_information_schema() if self._has_information_schema else None
        if found is None:
            found = self._read_one_by_one()
            self._has_information_schema = False  # now known to be permanent, not an accident
        if not found:
            raise LakeError(
                f"The schema {self._schema} holds no table that this server may read. Create the tables, or grant "
                f"USE CATALOG, USE SCHEMA and SELECT on {self._schema} to the user that it signs in as."
            )
        return tuple(sorted(found, key=lambda table: table.name))

    def _read_information_schema(self) -> list[TableInfo] | None:
        """Read everything in two statements; None where the catalogue has no information schema."""
        catalog, schema = self._path
        at = f"FROM {quote_identifier(catalog)}.information_schema."
        where = f"WHERE table_schema = '{schema.lower()}'"  # a plain word (Lake.parse); Unity Catalog keeps lower case
        try:
            tables = self._require_whole(
                self._run_listing(f"SELECT table_name, table_type, comment {at}tables {where}")
            )
            columns = self._run_listing(
                "SELECT table_name, column_name, full_data_type, comment, is_nullable "
                f"{at}columns {where} ORDER BY table_name, ordinal_position"
            )
        except QueryFailed:
            return None  # the error for a missing information schema differs by catalogue
        by_table: dict[str, list[Column]] = {}
        for table, name, kind, comment, nullable in columns.rows:
            column = Column(name=name, type=_normalize_type(kind), comment=comment or "", nullable=nullable != "NO")
            by_table.setdefault(table, []).append(column)
        if not columns.is_whole and by_table:
            by_table.popitem()  # of the last one some columns may be missing
        return [
            TableInfo(name, _to_relation_kind(kind), comment or "", tuple(by_table.get(name, ())))
            if columns.is_whole or name in by_table
            else TableInfo(name, _to_relation_kind(kind), "", (), problem=_UNKNOWN_COLUMNS)
            for name, kind, comment in tables
            if kind not in _NO_RELATIONS
        ]

    def _read_one_by_one(self) -> list[TableInfo]:
        try:
            shown = self._require_whole(self._run_listing(f"SHOW TABLES IN {quote_identifier(*self._path)}"))
        except QueryFailed as error:
            raise LakeError(
                f"The tables of {self._schema} cannot be listed: {error} Check --lake (catalog.schema) and the grants "
                "of the user that this server signs in as."
            ) from error
        # Each row is (schema, name, is temporary); temporary views belong to a session and to no schema.
        names = [name for _, name, temporary, *_ in shown if not temporary]
        found: list[TableInfo] = []
        left = listing.LISTING_BYTES
        for name in names:
            if left < 0:
                found.append(TableInfo(name, "table", "", (), problem=_UNKNOWN_COLUMNS))
                continue
            for info in self._describe_table(name):
                found.append(info)
                left -= len(info.comment) + sum(len(c.name) + len(c.type) + len(c.comment) for c in info.columns)
        return found

    def _require_whole(self, found: Listing) -> Sequence[Row]:
        """Return the rows of a listing. Raises LakeError where it is truncated: missing names would be denied."""
        if not found.is_whole:
            raise LakeError(
                f"The schema {self._schema} holds more tables than this server can list ({listing.LISTING_ROWS:,}, or "
                f"{listing.LISTING_BYTES >> 20} MiB of names and comments). Serve one that holds fewer, such as one of "
                "views."
            )
        return found.rows

    def _describe_table(self, name: str) -> Iterator[TableInfo]:
        """Yield one table; none where it was dropped since the listing, or this server may not read it."""
        try:
            report = self._run_listing(f"DESCRIBE TABLE EXTENDED {quote_identifier(*self._path, name)}")
        except QueryFailed as error:
            if error.condition in _NOT_THERE or error.condition == _FORBIDDEN:
                return
            raise
        if not report.is_whole:
            yield TableInfo(name, "table", "", (), problem=_UNKNOWN_COLUMNS)
            return
        columns, details = _split_report(report.rows)
        yield TableInfo(name, _to_relation_kind(details.get("Type", "")), details.get("Comment", ""), columns)


def _split_report(report: Iterable[Row]) -> tuple[tuple[Column, ...], dict[str, str]]:
    """Split the report of DESCRIBE EXTENDED: columns up to the first empty row, then sections with headings."""
    columns: list[Column] = []
    details: dict[str, str] = {}
    section = ""
    for name, kind, comment, *_ in report:
        if not name or name.startswith("# "):
            section = name or "between"
        elif not section:
            columns.append(Column(name=name, type=kind, comment=comment or ""))
        elif section == _DETAILS:
            details.setdefault(name, kind)
    return tuple(columns), details


def _to_relation_kind(table_type: str) -> str:
    return "view" if table_type.upper() in _VIEWS else "table"


def _normalize_type(kind: str) -> str:
    """Convert a type to Spark SQL's spelling; names of fields within a struct keep their case."""
    return kind if "<" in kind else kind.lower()
