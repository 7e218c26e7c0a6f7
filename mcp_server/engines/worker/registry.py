"""Registers the tables of a lake with an engine by name."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lakehouse.errors import LakeError
from lakehouse.quoting import quote_identifier
from mcp_server.engines.opening import CatalogOwner

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OWN = "spark_catalog"
_IN_MEMORY = {
    "spark.sql.catalogImplementation": {"in-memory"},
    f"spark.sql.catalog.{_OWN}": {"org.apache.spark.sql.delta.catalog.DeltaCatalog"},
}
"""Settings of a server with an in-memory session catalogue: registered tables end with the server."""

_ADVICE = "Give the lake as catalog.schema, such as --lake spark_catalog.imdb, with tables that are there already."


class Registry:
    """Registers each table once, in the catalogue that a session reads. Thread-safe."""

    def __init__(self, catalog: CatalogOwner, schema: str, readable: Callable[[str], str]) -> None:
        self._catalog = catalog
        self._schema = schema
        self._readable = readable
        self._lock = threading.Lock()
        self._shared: dict[str, str] = {}
        self._examined = False

    def enter_schema(self, session: SparkSession) -> None:
        """Make the lake's schema the current one of a new session."""
        if self._catalog == "session":
            return  # its engine's settings say so
        if self._catalog == "given":
            session.sql(f"USE {quote_identifier(*self._schema.split('.'))}")
            return
        with self._lock:
            if self._catalog == "server" and not self._examined:
                self._check_catalog(session)
            if not self._examined:
                session.sql(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(_OWN, self._schema)}")
                self._examined = True
        session.sql(f"USE {quote_identifier(_OWN, self._schema)}")

    def register_tables(self, session: SparkSession, own: dict[str, str], tables: Mapping[str, str]) -> None:
        """Register tables by location for a session; `own` are those of this session alone.

        Raises LakeError where the server cannot read them, or has other tables under their names.
        """
        if self._catalog == "given":
            return
        if self._catalog == "session":
            self._add_tables(session, own, tables)
            return
        with self._lock:
            self._add_tables(session, self._shared, tables)

    def register_shared(self, session: SparkSession, tables: Mapping[str, str]) -> None:
        """Register the shared tables ahead of the first statement, as far as possible.

        A table that cannot be registered fails only the statement that reads it, with the reason.
        """
        from pyspark.errors import PySparkException

        if self._catalog != "process":
            return
        for name, location in tables.items():
            try:
                self.register_tables(session, {}, {name: location})
            except PySparkException as error:
                print(f"the table {name!r} was not registered: {type(error).__name__}", file=sys.stderr)

    def forget(self) -> None:
        """Clear the registrations after a restart of the server."""
        with self._lock:
            self._shared.clear()
            self._examined = False

    def _add_tables(self, session: SparkSession, known: dict[str, str], tables: Mapping[str, str]) -> None:
        for name, location in tables.items():
            if known.get(name) == location:
                continue
            full = (
                quote_identifier(self._schema, name)
                if self._catalog == "session"
                else quote_identifier(_OWN, self._schema, name)
            )
            if name in known:
                session.sql(f"DROP TABLE IF EXISTS {full}")
            readable = self._readable(location)
            text = readable.replace("\\", "\\\\").replace("'", "\\'")
            if self._catalog == "server":
                self._check_readable(session, name, readable)
                session.sql(f"CREATE TABLE IF NOT EXISTS {full} USING delta LOCATION '{text}'")
                self._check_location(session, full, readable)
            else:
                session.sql(f"CREATE TABLE {full} USING delta LOCATION '{text}'")
            known[name] = location

    def _check_catalog(self, session: SparkSession) -> None:
        """Raise LakeError on a persistent catalogue of others: no entry is written there."""
        for setting, values in _IN_MEMORY.items():
            found = session.conf.get(setting, None)
            if found not in values:
                raise LakeError(
                    "This Spark Connect server keeps its tables in a catalogue of others, and no entry is written "
                    f"into that ({setting} is {found}, not {min(values)}). {_ADVICE}"
                )

    def _check_readable(self, session: SparkSession, name: str, location: str) -> None:
        """Raise LakeError where the server cannot read a table; else Delta would create an empty one there."""
        from pyspark.errors import AnalysisException

        try:
            readable = len(session.read.format("delta").load(location).schema) > 0
        except AnalysisException:
            readable = False
        if not readable:
            raise LakeError(
                f"This Spark Connect server cannot read the table {name} of the lake. Give a storage URL that the "
                f"server can read as well, and look at its rights. {_ADVICE}"
            )

    def _check_location(self, session: SparkSession, table: str, location: str) -> None:
        """Raise LakeError where another table is registered under the name of one of ours."""
        (detail,) = session.sql(f"DESCRIBE DETAIL {table}").select("location").collect()
        if _normalize_location(str(detail[0])) != _normalize_location(location):
            raise LakeError(
                f"This Spark Connect server has another table under the name {table}. Choose another name for this "
                f"lake's schema with IMDB_SCHEMA_NAME. {_ADVICE}"
            )


def _normalize_location(location: str) -> str:
    """Normalize the spelling of a location: Spark writes paths of the file system as `file:` URLs."""
    return unquote(location).removeprefix("file:").replace("//", "/").rstrip("/")
