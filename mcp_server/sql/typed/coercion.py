"""STUB, replaced by branch `types`."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_server.sql.typed.types import Type


def common_type(kinds: Sequence[Type | None]) -> Type | None:
    """Return the type that values of all these types become."""
    return kinds[0] if kinds and all(kind == kinds[0] for kind in kinds) else None
