"""The specification of an engine's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lakehouse.settings import Runtime
from mcp_server.engines.opening import CatalogOwner


@dataclass(frozen=True)
class EngineSpec:
    """The process to start. `memory_mb` is the limit of the child's memory, None where the engine has its own.

    `ceiling_mb` is the part of it, or the heap, that queries may use; None where a server of others has the memory.

    `config` goes to `open_session`, `environment` to the child, `isolation` is the setting's value.
    `start_seconds` is how long the start may take, including the first download of jars; `stop_seconds` is how
    long the engine may take to stop a query before its process is killed. `plain_paths` is
    for an engine that does not find paths with blanks or non-ASCII letters. `reads_lake_only` is for
    an engine that reads only its lake and its libraries; `caches` are the folders that it may write besides
    its temporary one. `catalog` is where tables are registered. `parting_seconds` is how long the child may take to
    stop its queries on a server that outlives it; 0 where the engine ends with it. `queries` is the maximum of
    concurrent queries. `most_answers` is after how many answers an idle process is replaced, None for never.
    `serves_storage` is for an engine that gets the files of a lake in object storage from this
    process, and has neither a network nor credentials. `secret` is never shown.
    """

    kind: Runtime
    config: Mapping[str, str]
    environment: Mapping[str, str]
    memory_mb: int | None
    ceiling_mb: int | None
    isolation: str
    start_seconds: float
    stop_seconds: float
    plain_paths: bool
    reads_lake_only: bool
    caches: tuple[str, ...]
    catalog: CatalogOwner
    queries: int
    parting_seconds: float = 0
    most_answers: int | None = None
    serves_storage: bool = False
    secret: str = field(default="", repr=False)
