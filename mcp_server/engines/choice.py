"""Creates engines from settings: the only module that knows all engine classes. Imports only the chosen ones."""

from __future__ import annotations

from lakehouse.session import CAPABILITIES, can_run
from lakehouse.settings import Runtime
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines import Engine
from mcp_server.settings import Settings


def create_engines(settings: Settings, lake: Lake) -> tuple[Engine, ...]:
    """Create the engines of the setting, in order of preference. `auto` skips an engine that cannot run."""
    first, *others = settings.runtimes
    added = [kind for kind in others if can_run(kind) and _can_serve(kind, lake)]
    return (_create_engine(first, settings, lake), *(_create_engine(kind, settings, lake) for kind in added))


def _can_serve(runtime: Runtime, lake: Lake) -> bool:
    """Whether an engine, as installed here, can read this kind of lake."""
    if lake.is_asked:
        return runtime == "embedded"
    return lake.kind is not LakeKind.URL or CAPABILITIES[runtime].object_storage


def _create_engine(runtime: Runtime, settings: Settings, lake: Lake) -> Engine:
    match runtime:
        case "embedded":
            from mcp_server.engines.embedded import EmbeddedEngine

            return EmbeddedEngine(lake, settings)
        case "spark":
            from mcp_server.engines.spark import SparkEngine

            return SparkEngine(lake, settings)
        case "connect":
            from mcp_server.engines.connect import ConnectEngine

            return ConnectEngine(lake, settings)
        case "databricks":
            from mcp_server.engines.databricks.engine import DatabricksEngine

            return DatabricksEngine(lake, settings)
