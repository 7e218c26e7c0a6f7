"""The tables that a catalogue lists, for an engine: each at its newest version, described from its own Delta log.

To everything below, they are a lake in object storage: tables at `catalog://tables/…`, whose files come from
`CatalogFiles`. A table that cannot be read is listed with its reason and does not block the others.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lakehouse.delta import LogObjects, Mark
from lakehouse.errors import LakeError
from lakehouse.objects import PathRefusedError, StorageError, StoredFiles
from lakehouse.places import split_places
from lakehouse.storage import Lake, LakeKind
from lakehouse.table_search import map_at_once
from mcp_server.engines.catalogs.access import TableAccess
from mcp_server.engines.catalogs.address import CatalogAddress
from mcp_server.engines.catalogs.files import CatalogFiles
from mcp_server.engines.catalogs.listing import MOST_LISTED, CatalogTable, TableCatalog
from mcp_server.engines.folders import Located, describe_table, find_bad_name, index_by_name
from mcp_server.engines.hiding import hide_addresses
from mcp_server.engines.located import LocatedTables
from mcp_server.models import TableInfo
from mcp_server.settings import Settings

log = logging.getLogger(__name__)

MOST_SERVED: Final = 2_000
"""Tables whose logs are read: each takes a request to its storage, again with every look."""
_AT_ONCE: Final = 8
_TRUSTED_SHARE: Final = 10
_LEAST_TRUSTED_SECONDS: Final = 10.0
_MOST_TRUSTED_SECONDS: Final = 300.0
"""A look counts for ten times as long as it took, within these limits."""
_FAILED_SECONDS: Final = 5.0
"""A failure of the catalogue counts for as long as it took, and for so long at most."""
_TRIED_AGAIN_SECONDS: Final = 30.0
"""An unreadable table is tried again after so long."""
_ADDRESS: Final = "catalog://tables"
_SILENT: Final = "its storage refuses its log or does not give it in time"
_OTHERS = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class _CatalogLook:
    """A table as read when its log had this `mark`; an unreadable one is valid until `until`."""

    table: CatalogTable
    info: TableInfo
    until: float = 0.0
    mark: Mark | None = None
    files: StoredFiles | None = None


class CatalogTables(LocatedTables):
    """Implements `Tables` for the tables of a catalogue. Thread-safe.

    Raises LakeError, with advice, where the catalogue does not answer or lists no table: what it listed before does not
    count then, since it may have been taken away.
    """

    def __init__(self, lake: Lake, catalog: TableCatalog, access: TableAccess, *, has_schema: bool) -> None:
        """`has_schema` is for a lake that is one schema, whose tables need no name of it before theirs."""
        self._shown = str(lake)
        self._files = CatalogFiles()
        super().__init__(Lake(LakeKind.URL, _ADDRESS, self._shown, self._files))
        self._catalog = catalog
        self._access = access
        self._has_schema = has_schema
        # All that follows is read and written under `_lock`.
        self._looks: dict[str, _CatalogLook] = {}
        self._silent: set[str] = set()  # storages that have given nothing in this look
        self._looked_at = float("-inf")
        self._took = 0.0

    def _find_tables(self, *, look_again: bool) -> Mapping[str, Located]:
        with self._lock:
            began = time.monotonic()
            trusted = min(max(_TRUSTED_SHARE * self._took, _LEAST_TRUSTED_SECONDS), _MOST_TRUSTED_SECONDS)
            if look_again:  # names that nothing has cause one each: they are at most half of the time
                trusted = self._took
            self._failure.raise_again()
            if began - self._looked_at < trusted:
                return self._known
            try:
                looks = self._look_at_tables()
            except LakeError as error:
                self._failure.remember(error, min(time.monotonic() - began, _FAILED_SECONDS))
                self._looked_at = float("-inf")
                raise
            found = index_by_name(
                Located(look.info, f"{_ADDRESS}/{root}") for root, look in sorted(looks.items(), key=_order_by_name)
            )
            self._files.replace_stores(
                {root: look.files for root, look in looks.items() if look.files is not None and not look.info.problem}
            )
            self._looks = looks
            if found != self._known:
                self._known = found
                self._edition += 1
            self._looked_at = time.monotonic()
            self._took = self._looked_at - began
            return self._known

    def _look_at_tables(self) -> dict[str, _CatalogLook]:
        listed = sorted(self._catalog.list_tables(), key=lambda table: (table.schema, table.name))
        if not listed:
            raise LakeError(
                f"The catalogue {self._shown} lists no table. Check its names, and what the user of the token may see."
            )
        if len(listed) > MOST_LISTED:
            raise LakeError(
                f"The catalogue {self._shown} lists more than {MOST_LISTED:,} tables. Name one schema of it in --lake."
            )
        served = [table for table in listed if not table.problem][:MOST_SERVED]
        self._silent.clear()
        looks = dict(zip(map(_root_of, served), map_at_once(self._examine_table, served, _AT_ONCE), strict=True))
        for table in listed:
            problem = (
                table.problem or f"the catalogue lists more than {MOST_SERVED:,} tables: name its schema in --lake"
            )
            looks.setdefault(_root_of(table), _CatalogLook(table, self._as_unreadable(table, problem)))
        return looks

    def _examine_table(self, table: CatalogTable) -> _CatalogLook:
        """Look at one table. Others wait for no storage that has just given nothing."""
        seen, until = self._looks.get(_root_of(table)), time.monotonic() + _TRIED_AGAIN_SECONDS
        if seen is not None and seen.table != table:
            seen = None
        if seen is not None and seen.info.problem and time.monotonic() < seen.until:
            return seen
        name = self._name_of(table)
        problem = find_bad_name(name)
        if _storage_of(table) in self._silent:
            problem = problem or _SILENT
        files = seen.files if seen is not None else None
        try:
            if not problem:
                files = files or self._access.open_files(table)
                return self._read_log(table, files, seen)
        except StorageError as error:
            log.warning("The log of the table %.200r cannot be read. %s", name, error)
            problem = _SILENT
            if not isinstance(error, PathRefusedError):
                self._silent.add(_storage_of(table))
        except LakeError as error:
            problem = hide_addresses(str(error)).rstrip(".")
        return _CatalogLook(table, self._as_unreadable(table, problem), until, files=files)

    def _read_log(self, table: CatalogTable, files: StoredFiles, seen: _CatalogLook | None) -> _CatalogLook:
        """Describe a table from its log, or return it as `seen` where the log is as it was. Raises LakeError."""
        table_log = LogObjects(files, "")
        table_log.name = self._name_of(table)
        mark = table_log.mark()
        if seen is not None and seen.mark == mark and not seen.info.problem:
            return seen
        info = _add_comments(describe_table(table_log, table_log.name, table.location), table)
        return _CatalogLook(table, info, time.monotonic() + _TRIED_AGAIN_SECONDS, mark, files)

    def _name_of(self, table: CatalogTable) -> str:
        return table.name if self._has_schema else f"{table.schema}.{table.name}"

    def _as_unreadable(self, table: CatalogTable, problem: str) -> TableInfo:
        return TableInfo(self._name_of(table), "table", table.comment, (), problem=problem)


def open_tables(lake: Lake, settings: Settings) -> CatalogTables:
    """Open the tables of a catalogue. It is asked with the first use. Raises UsageError for an address that is none."""
    address = CatalogAddress.of(lake)
    catalog: TableCatalog
    if address.kind == "glue":
        from mcp_server.engines.catalogs.glue import GlueCatalog

        catalog = GlueCatalog(address, str(lake))
    else:
        from mcp_server.engines.catalogs.unity import UnityCatalog

        catalog = UnityCatalog(address, str(lake), settings.catalog_token)
    access = TableAccess(catalog, split_places(settings.catalog_places))
    return CatalogTables(lake, catalog, access, has_schema=bool(address.schema))


def _root_of(table: CatalogTable) -> str:
    """Return the root of a table's files: another one where it is another table, or lies elsewhere."""
    identity = repr((table.schema, table.name, table.location)).encode()
    return f"{hashlib.blake2b(identity, digest_size=10).hexdigest()}/{_OTHERS.sub('_', table.name)[:60]}"


def _storage_of(table: CatalogTable) -> str:
    """Return the bucket or container of a table, the empty text for this machine."""
    return "/".join(table.location.split("/", 3)[:3]) if "://" in table.location else ""


def _order_by_name(item: tuple[str, _CatalogLook]) -> str:
    return item[1].info.name


def _add_comments(info: TableInfo, table: CatalogTable) -> TableInfo:
    """Add the catalogue's comments where the log has none."""
    columns = tuple(
        column if column.comment else column.model_copy(update={"comment": table.column_comments.get(column.name, "")})
        for column in info.columns
    )
    return replace(info, comment=info.comment or table.comment, columns=columns)
