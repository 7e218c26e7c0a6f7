"""Decides with whose rights the files of a table are read, and opens them.

A catalogue may name any place. So this program's own rights, on folders and with the credentials of its environment,
count only below the places that IMDB_CATALOG_PLACES names; elsewhere a table is read with credentials that its
catalogue gives for it, or not at all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from lakehouse.delta import is_below
from lakehouse.errors import LakeError, UsageError
from lakehouse.objects import ObjectStore, StoredFiles, store_of
from mcp_server.engines.catalogs.files import FolderFiles
from mcp_server.engines.catalogs.listing import Access, CatalogTable, TableCatalog

_RENEWED_BEFORE: Final = timedelta(minutes=5)
_KEPT: Final = timedelta(hours=1)
"""How long credentials count that do not say when they end."""


class TableAccess:
    """Opens the files of a catalogue's tables."""

    def __init__(self, catalog: TableCatalog, places: Sequence[str]) -> None:
        """`places` are the folders and URLs that are read with this program's own rights."""
        import obstore.exceptions  # noqa: F401  (native, and not found by threads that import it at once)

        self._catalog = catalog
        self._folders = tuple(os.path.realpath(place) for place in places if "://" not in place)
        self._urls = tuple(_normalize_url(place) for place in places if "://" in place)

    def open_files(self, table: CatalogTable) -> StoredFiles:
        """Open the files of a table. Raises LakeError, whose text names no address, where they may not be read."""
        try:
            return self._open_place(table)
        except ValueError as error:  # an address with half a bracket, a path with a zero: of one table, not of all
            raise LakeError("its address cannot be read") from error

    def _open_place(self, table: CatalogTable) -> StoredFiles:
        folder = _find_folder(table.location)
        if folder is not None:
            return self._open_folder(folder)
        url = _normalize_url(table.location)
        try:
            store_of(url)
        except UsageError as error:
            raise LakeError("it lies in a kind of storage that is not read") from error
        if not _is_plain_url(url):
            raise LakeError("its address cannot be read")
        try:
            if any(url == place or url.startswith(f"{place.rstrip('/')}/") for place in self._urls):
                return ObjectStore(url, large=True)
            credentials = VendedCredentials(self._catalog, table)
            credentials.renew()
            return ObjectStore(url, large=True, credentials=credentials)
        except UsageError as error:  # an endpoint or a region that is set up wrongly: the operator's
            raise LakeError(f"its storage is not set up: {error}") from error

    def _open_folder(self, folder: str) -> StoredFiles:
        real = os.path.realpath(folder)
        if not any(is_below(real, home) for home in self._folders):
            raise LakeError(
                "it lies on this machine, in none of the folders that IMDB_CATALOG_PLACES allows: name the folder there"
            )
        if not os.path.isdir(real):
            raise LakeError("its folder is not there")
        return FolderFiles(real)


class VendedCredentials:
    """Credentials that a catalogue gives for one table, renewed before they end. Thread-safe; called by `obstore`."""

    def __init__(self, catalog: TableCatalog, table: CatalogTable) -> None:
        self._catalog = catalog
        self._table = table
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._renewed_at = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> dict[str, Any]:
        access = self.renew()
        return {**access.keys, "expires_at": access.expires_at or self._renewed_at + _KEPT}

    def renew(self) -> Access:
        """Return credentials that last for minutes, asked for again where they do not. Raises CatalogError."""
        with self._lock:
            now = datetime.now(UTC)
            if self._access is None or now >= (self._access.expires_at or self._renewed_at + _KEPT) - _RENEWED_BEFORE:
                self._access, self._renewed_at = self._catalog.vend_access(self._table), now
            return self._access


def _find_folder(location: str) -> str | None:
    """Return the path of a location on this machine, None for any other."""
    if location.startswith("/"):
        return location
    parts = urlsplit(location)
    return unquote(parts.path) if parts.scheme.lower() == "file" and parts.netloc in {"", "localhost"} else None


def _is_plain_url(url: str) -> bool:
    """Whether a URL leads where its text says: clients resolve dots, also encoded ones, and drop control characters."""
    parts = urlsplit(url)
    folders = unquote(parts.path).replace("\\", "/").split("/")  # Azure reads a backslash as a slash
    return url.isprintable() and not parts.query and not parts.fragment and {".", ".."}.isdisjoint(folders)


def _normalize_url(url: str) -> str:
    """Write a URL with the scheme of its storage, as Hadoop's `s3a://` is S3's, and without a slash at its end."""
    scheme, _, rest = url.partition("://")
    return f"{ {'s3a': 's3', 's3n': 's3'}.get(scheme.lower(), scheme.lower()) }://{rest.rstrip('/')}"
