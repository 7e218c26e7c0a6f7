"""Plans the launch of a process from an engine's spec and its lake."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from lakehouse.delta import is_below
from lakehouse.gateway import Gateway
from lakehouse.outlet import AUTHORITIES
from lakehouse.settings import child_environment
from lakehouse.storage import LakeKind
from mcp_server.engines.local.process import Launch
from mcp_server.engines.local.spec import EngineSpec
from mcp_server.engines.opening import Fence
from mcp_server.engines.store_server import StoreServer
from mcp_server.engines.tables import Tables
from mcp_server.settings import Settings

_WARMED = 8
"""Tables that Spark registers before its first statement: 0.3 s each. The others are when a statement reads them."""
_SPARE_THREADS = 4
"""A remote server may end a query long after its caller has left; until then the query holds a thread."""


def plan_launch(spec: EngineSpec, tables: Tables, settings: Settings, schema: str) -> Launch:
    """Return the launch of a process for the current lake, with a gateway of its own where it needs one."""
    serves_store = tables.lake.kind is LakeKind.URL and spec.serves_storage
    store = StoreServer(tables.lake) if serves_store else None
    gateway = Gateway(store.answer) if store is not None else None
    return Launch(
        environment=child_environment(storage=store is None) | {"TZ": "UTC"} | dict(spec.environment),
        opening={
            "kind": spec.kind,
            "config": dict(spec.config),
            "memory_mb": spec.memory_mb,
            "isolation": spec.isolation,
            "is_remote": serves_store,
            "schema": schema,
            "catalog": spec.catalog,
            "parting": spec.parting_seconds / 2,  # then it ends its sessions, which takes time as well
            "secret": spec.secret,
            "plain_paths": spec.plain_paths,
            "files": _plan_fence(spec, tables, settings, serves_store=serves_store),
            "lake": tables.lake.address,
            "tables": dict(islice(tables.registrations().items(), _WARMED)),
            "edition": tables.edition,
            "threads": spec.queries * (_SPARE_THREADS if spec.parting_seconds else 1),
            "gateway": gateway.descriptor if gateway is not None else None,
        },
        state=settings.state,
        start_seconds=spec.start_seconds,
        temp_mb=settings.engine_temp_mb,
        parting_seconds=spec.parting_seconds,
        gateway=gateway,
        store=store,
    )


def _plan_fence(spec: EngineSpec, tables: Tables, settings: Settings, *, serves_store: bool) -> Fence | None:
    """Return the files that the process may access, None where it has no fence."""
    if settings.engine_isolation == "off":
        return None
    if serves_store:
        places = list(AUTHORITIES)
    elif tables.lake.directory is not None:
        places = _resolve_places(tables.lake.directory, tables)
    else:
        return None
    return {
        "readable": places if spec.reads_lake_only else None,
        "writable": list(spec.caches),
        "required": settings.engine_isolation == "required",
    }


def _resolve_places(folder: Path, tables: Tables) -> list[str]:
    """Resolve the paths of the lake, and of its tables that lie elsewhere: a table may be a link to another disk."""
    home, *places = (os.path.realpath(place) for place in (str(folder), *tables.locations().values()))
    return sorted({home, *(place for place in places if not is_below(place, home))})
