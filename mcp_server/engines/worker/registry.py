"""How an engine comes to know the tables of a lake by their names."""

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
"""Settings of a server whose session catalogue is its own memory: what is registered there ends with the server."""

_ADVICE = "Give the lake as catalog.schema, such as --lake spark_catalog.imdb, with tables that are there already."


class Registry:
    """Registers tables where a session looks for them, each once. Safe for several threads."""

    def __init__(self, catalog: CatalogOwner, schema: str, readable: Callable[[str], str]) -> None:
        self._catalog = catalog
        self._schema = schema
        self._readable = readable
        self._lock = threading.Lock()
        self._shared: dict[str, str] = {}
        self._examined = False

    def enter(self, session: SparkSession) -> None:
        """Make the lake's schema the current one of a new session."""
        if self._catalog == "session":
            return  # its engine's settings say so
        if self._catalog == "given":
            session.sql(f"USE {quote_identifier(*self._schema.split('.'))}")
            return
        with self._lock:
            if self._catalog == "server" and not self._examined:
                self._examine(session)
            if not self._examined:
                session.sql(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(_OWN, self._schema)}")
                self._examined = True
        session.sql(f"USE {quote_identifier(_OWN, self._schema)}")

    def register(self, session: SparkSession, own: dict[str, str], tables: Mapping[str, str]) -> None:
        """Let a session know tables by their locations; `own` are those that it alone knows.

        Raises LakeError where the server cannot read them, or has others under their names.
        """
        if self._catalog == "given":
            return
        if self._catalog == "session":
            self._add(session, own, tables)
            return
        with self._lock:
            self._add(session, self._shared, tables)

    def prepare(self, session: SparkSession, tables: Mapping[str, str]) -> None:
        """Register what all sessions share before anybody asks, as far as that goes.

        A table that cannot be registered fails the statement that reads it, with the reason, and no other.
        """
        from pyspark.errors import PySparkException

        if self._catalog != "process":
            return
        for name, location in tables.items():
            try:
                self.register(session, {}, {name: location})
            except PySparkException as error:
                print(f"the table {name!r} was not registered: {type(error).__name__}", file=sys.stderr)

    def forget(self) -> None:
        """Nothing is registered any more: the server has started anew."""
        with self._lock:
            self._shared.clear()
            self._examined = False

    def _add(self, session: SparkSession, known: dict[str, str], tables: Mapping[str, str]) -> None:
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
                self._look(session, name, readable)
                session.sql(f"CREATE TABLE IF NOT EXISTS {full} USING delta LOCATION '{text}'")
                self._compare(session, full, readable)
            else:
                session.sql(f"CREATE TABLE {full} USING delta LOCATION '{text}'")
            known[name] = location

    def _examine(self, session: SparkSession) -> None:
        """Refuse to write entries into a catalogue that others keep."""
        for setting, values in _IN_MEMORY.items():
            found = session.conf.get(setting, None)
            if found not in values:
                raise LakeError(
                    "This Spark Connect server keeps its tables in a catalogue of others, and no entry is written "
                    f"into that ({setting} is {found}, not {min(values)}). {_ADVICE}"
                )

    def _look(self, session: SparkSession, name: str, location: str) -> None:
        """Refuse what the server cannot read, before Delta makes an empty table where it finds none."""
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

    def _compare(self, session: SparkSession, table: str, location: str) -> None:
        """Refuse to read what somebody else has registered under the name of one of our tables."""
        (detail,) = session.sql(f"DESCRIBE DETAIL {table}").select("location").collect()
        if _plain(str(detail[0])) != _plain(location):
            raise LakeError(
                f"This Spark Connect server has another table under the name {table}. Choose another name for this "
                f"lake's schema with IMDB_SCHEMA_NAME. {_ADVICE}"
            )


def _plain(location: str) -> str:
    """A location in one spelling: Spark writes paths of the file system as `file:` URLs."""
    return unquote(location).removeprefix("file:").replace("//", "/").rstrip("/")
