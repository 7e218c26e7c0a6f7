"""The engine's own reading of what would run, against the guard's."""

from __future__ import annotations

from mcp_server.guard.case import Case
from mcp_server.guard.catalog import Catalog
from mcp_server.models import EngineReading


def confirm(reading: EngineReading, case: Case, catalog: Catalog) -> None:
    """PLACEHOLDER"""
