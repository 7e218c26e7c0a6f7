"""What a schema of a catalogue holds, read through SQL: for engines that have catalogues.

Unity Catalog tells all of it in two statements (`information_schema`), and only what its reader may see. Any other
catalogue, such as Spark's own `spark_catalog`, is asked table by table with DESCRIBE: its `AS JSON` would be the better
form, but Spark 4.2 has it for views and not for Delta tables (NOT_SUPPORTED_COMMAND_FOR_V2_TABLE).
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
    """The tables of one `catalog.schema`. Safe for several threads.

    Read when they are first asked for and kept until something says that they have changed: a failed statement
    (`learning`), or somebody who wants to see the tables as they are now (`refresh`).
    """

    def __init__(self, schema: str, run: RunOwn) -> None:
        self._schema = schema
        self._path = tuple(schema.split("."))
        self._run = run
        self._has_information_schema = True
        self._reading = threading.Lock()
        self._known: tuple[TableInfo, ...] | None = None

    def tables(self) -> tuple[TableInfo, ...]:
        """All tables and views, by name. Raises LakeError where there are none, or what `run` raises."""
        known = self._known
        if known is not None:
            return known
        with self._reading:  # two who ask at once wait for the same answer
            if self._known is None:
                self._known = self._read()
            return self._known

    def refresh(self) -> tuple[TableInfo, ...]:
        """The same, looked at anew."""
        with self._reading:
            self._known = self._read()
            return self._known

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Look again for the next who asks, where a checked statement fails in here because a known name is gone."""
        try:
            yield
        except QueryFailed as error:
            if self._is_contradicted_by(error):
                self._known = None
            raise

    def estimate(self, query: CheckedQuery) -> Estimate:
        """The size of each table that a query names, by DESCRIBE DETAIL: `exact` is False.

        What a view reads is not known without running it, so a view is no scan of the estimate; nor is a table
        of another format than Delta.
        """
        named = [table for table in self.tables() if table.name.lower() in query.tables and table.kind == "table"]
        return Estimate(tuple(scan for table in named for scan in self._detail(table.name)), exact=False)

    def bounds(self, table: str, version: Version | None = None) -> dict[str, tuple[int, int]]:  # noqa: ARG002
        """Nothing: the files' statistics are the server's own."""
        return {}

    def columns(self, table: str, version: Version) -> None:
        """Nothing: the server resolves the names and types of its old versions itself."""

    def _detail(self, name: str) -> Iterator[ScanEstimate]:
        try:
            detail = self._run(f"DESCRIBE DETAIL {quote_identifier(*self._path, name)}").table
        except QueryFailed:
            return  # no Delta table, or its details are not ours to see
        (row,) = detail.select(["numFiles", "sizeInBytes"]).to_pylist()
        files, size = row["numFiles"], row["sizeInBytes"]
        if files is not None and size is not None:
            yield ScanEstimate(name.lower(), None, files, files, size, size, None)

    def _list(self, sql: str) -> Listing:
        return read_listing(self._run(sql))

    def _is_contradicted_by(self, error: QueryFailed) -> bool:
        kind = (error.condition or "").partition(".")[0]
        if kind == "UNRESOLVED_COLUMN" and (found := _NO_COLUMN.search(str(error))):
            name = found[1].lower()
            return any(column.name.lower() == name for table in self._known or () for column in table.columns)
        return kind in _NOT_THERE

    def _read(self) -> tuple[TableInfo, ...]:
        found = self._from_information_schema() if self._has_information_schema else None
        if found is None:
            found = self._one_by_one()
            self._has_information_schema = False  # now known to be the catalogue's nature, not an accident
        if not found:
            raise LakeError(
                f"The schema {self._schema} holds no table that this server may read. Create the tables, or grant "
                f"USE CATALOG, USE SCHEMA and SELECT on {self._schema} to the user that it signs in as."
            )
        return tuple(sorted(found, key=lambda table: table.name))

    def _from_information_schema(self) -> list[TableInfo] | None:
        """All in two statements; None where the catalogue has no such schema."""
        catalog, schema = self._path
        at = f"FROM {quote_identifier(catalog)}.information_schema."
        where = f"WHERE table_schema = '{schema.lower()}'"  # a plain word (Lake.parse); Unity Catalog keeps lower case
        try:
            tables = self._names(self._list(f"SELECT table_name, table_type, comment {at}tables {where}"))
            columns = self._list(
                "SELECT table_name, column_name, full_data_type, comment, is_nullable "
                f"{at}columns {where} ORDER BY table_name, ordinal_position"
            )
        except QueryFailed:
            return None  # each catalogue says in its own words that it has none
        by_table: dict[str, list[Column]] = {}
        for table, name, kind, comment, nullable in columns.rows:
            column = Column(name=name, type=_spelled(kind), comment=comment or "", nullable=nullable != "NO")
            by_table.setdefault(table, []).append(column)
        if not columns.is_whole and by_table:
            by_table.popitem()  # of the last one some columns may be missing
        return [
            TableInfo(name, _kind(kind), comment or "", tuple(by_table.get(name, ())))
            if columns.is_whole or name in by_table
            else TableInfo(name, _kind(kind), "", (), problem=_UNKNOWN_COLUMNS)
            for name, kind, comment in tables
            if kind not in _NO_RELATIONS
        ]

    def _one_by_one(self) -> list[TableInfo]:
        try:
            shown = self._names(self._list(f"SHOW TABLES IN {quote_identifier(*self._path)}"))
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
            for info in self._described(name):
                found.append(info)
                left -= len(info.comment) + sum(len(c.name) + len(c.type) + len(c.comment) for c in info.columns)
        return found

    def _names(self, found: Listing) -> Sequence[Row]:
        """The rows of a listing of tables. Raises LakeError where it is not all of them: a name would be denied."""
        if not found.is_whole:
            raise LakeError(
                f"The schema {self._schema} holds more tables than this server can list ({listing.LISTING_ROWS:,}, or "
                f"{listing.LISTING_BYTES >> 20} MiB of names and comments). Serve one that holds fewer, such as one of "
                "views."
            )
        return found.rows

    def _described(self, name: str) -> Iterator[TableInfo]:
        """One table; nothing where it was dropped since it was listed, or is not this server's to read."""
        try:
            report = self._list(f"DESCRIBE TABLE EXTENDED {quote_identifier(*self._path, name)}")
        except QueryFailed as error:
            if error.condition in _NOT_THERE or error.condition == _FORBIDDEN:
                return
            raise
        if not report.is_whole:
            yield TableInfo(name, "table", "", (), problem=_UNKNOWN_COLUMNS)
            return
        columns, details = _parts(report.rows)
        yield TableInfo(name, _kind(details.get("Type", "")), details.get("Comment", ""), columns)


def _parts(report: Iterable[Row]) -> tuple[tuple[Column, ...], dict[str, str]]:
    """The report of DESCRIBE EXTENDED: columns up to the first empty row, then sections with headings."""
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


def _kind(table_type: str) -> str:
    return "view" if table_type.upper() in _VIEWS else "table"


def _spelled(kind: str) -> str:
    """A type as Spark SQL spells it; names of fields within a struct keep their case."""
    return kind if "<" in kind else kind.lower()
