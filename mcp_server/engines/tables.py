"""The tables of a lake as an engine asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lakehouse.storage import Lake
from mcp_server.models import TableInfo


class Tables(Protocol):
    """What a lake holds and where; `edition` is another number once that has changed."""

    @property
    def lake(self) -> Lake: ...

    @property
    def edition(self) -> int: ...

    def tables(self) -> tuple[TableInfo, ...]: ...

    def locations(self, names: Iterable[str] | None = None) -> dict[str, str]: ...
