"""From settings to engines: the only place that knows which class is which. Each is imported when it is chosen."""

from __future__ import annotations

from lakehouse.session import CAPABILITIES, can_run
from lakehouse.settings import Runtime
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines import Engine
from mcp_server.settings import Settings


def engines_of(settings: Settings, lake: Lake) -> tuple[Engine, ...]:
    """The engines of the setting, in order of preference. One that `auto` would add is left out where it cannot run."""
    first, *others = settings.runtimes
    added = [kind for kind in others if can_run(kind) and _can_serve(kind, lake)]
    return (_engine(first, settings, lake), *(_engine(kind, settings, lake) for kind in added))


def _can_serve(runtime: Runtime, lake: Lake) -> bool:
    """Whether an engine, as it is installed here, reads such a lake."""
    return lake.kind is not LakeKind.URL or CAPABILITIES[runtime].object_storage


def _engine(runtime: Runtime, settings: Settings, lake: Lake) -> Engine:
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
