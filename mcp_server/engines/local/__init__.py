"""Engines behind a child process of this server: embedded, spark and connect differ only in their `EngineSpec`."""

from mcp_server.engines.local.engine import LocalEngine
from mcp_server.engines.local.spec import EngineSpec

__all__ = ["EngineSpec", "LocalEngine"]
