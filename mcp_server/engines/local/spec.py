"""What an engine on this machine is started as, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lakehouse.settings import Runtime
from mcp_server.engines.opening import CatalogOwner


@dataclass(frozen=True)
class EngineSpec:
    """What to start. `memory_mb` is the ceiling of the child itself, None where the engine keeps its own.

    `config` goes to `open_session`, `environment` to the child, `isolation` is the setting's value.
    `start_seconds` is how long the start may take, a first download of jars included; `stop_seconds` how
    long the engine may take to let go of a query before its process is killed for it. `plain_paths` is
    for an engine that does not find paths with blanks or letters beyond ASCII. `reads_lake_only` is for
    an engine that needs no file but its lake's and its libraries'; `caches` are the folders that it may write besides
    its temporary one. `catalog` is where tables get their names. `parting_seconds` is how long the child may take to
    stop what it runs on a server that lives on; 0 where the engine ends with it. `queries` is how many may run at once.
    `serves_storage` is for an engine that gets the files of a lake in object storage from this process, and has neither
    a network nor credentials. `secret` is never shown.
    """

    kind: Runtime
    config: Mapping[str, str]
    environment: Mapping[str, str]
    memory_mb: int | None
    isolation: str
    start_seconds: float
    stop_seconds: float
    plain_paths: bool
    reads_lake_only: bool
    caches: tuple[str, ...]
    catalog: CatalogOwner
    queries: int
    parting_seconds: float = 0
    serves_storage: bool = False
    secret: str = field(default="", repr=False)
