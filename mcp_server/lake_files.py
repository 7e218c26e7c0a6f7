"""What a server reads of its lake before an engine is asked: the page of its context, and the names of its tables.

Neither may hold up a start: what object storage does not give in time is left out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from lakehouse.context_files import read_page
from lakehouse.errors import LakehouseError
from lakehouse.storage import Lake, LakeKind
from mcp_server.settings import Settings

log = logging.getLogger(__name__)

_MOST_SECONDS: Final = 2.0

T = TypeVar("T")


def read_lake_page(settings: Settings, lake: Lake) -> str:
    """Read the page of the lake's context. One that cannot be read is a warning in the log, and empty."""
    try:
        if settings.context_dir is not None:
            return read_page(lake, settings.context_dir)
        return _read_in_time(lake, lambda: read_page(lake))
    except LakehouseError as error:
        log.warning(
            "Clients are told nothing of the lake, because its page cannot be used. %s `imdb-mcp context check` says "
            "more.",
            error,
        )
        return ""


def list_table_names(lake: Lake) -> frozenset[str] | None:
    """List the tables of a lake by their files alone, in lower case; None where those do not tell."""
    from lakehouse.foreign import look_at
    from lakehouse.manifest import read_manifest

    def read_names() -> frozenset[str]:
        manifest = read_manifest(lake)
        return frozenset(name.lower() for name in (manifest.tables if manifest is not None else look_at(lake).tables))

    try:
        return (None if lake.kind is LakeKind.CATALOG else _read_in_time(lake, read_names)) or None
    except LakehouseError:
        return None


def _read_in_time(lake: Lake, read: Callable[[], T]) -> T:
    """Read something of a lake. Raises LakehouseError, also where its storage takes too long."""
    if lake.kind is not LakeKind.URL:
        return read()
    found: list[T | LakehouseError] = []

    def read_and_keep() -> None:
        try:
            found.append(read())
        except LakehouseError as error:
            found.append(error)

    reader = threading.Thread(target=read_and_keep, name="read lake files", daemon=True)
    reader.start()
    reader.join(_MOST_SECONDS)
    if not found:
        raise LakehouseError(f"The storage did not answer within {_MOST_SECONDS:g} s.")
    if isinstance(found[0], LakehouseError):
        raise found[0]
    return found[0]
