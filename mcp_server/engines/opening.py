"""The first frame to an engine's process, shared by both sides: which engine to open, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from lakehouse.settings import Runtime

CatalogOwner = Literal["session", "process", "server", "given"]
"""The owner of the catalogue in which a lake's tables are registered.

`session`: each session has its own. `process`: one for all sessions of the process. `server`: one that other users of a
Spark Connect server also see. `given`: the lake is a schema of a catalogue, and nothing is registered.
"""


class Fence(TypedDict):
    """The files that a process may access: `readable` (None: any), and `writable` besides its temporary ones.

    `required` is for a process that must not start without a fence.
    """

    readable: Sequence[str] | None
    writable: Sequence[str]
    required: bool


class Opening(TypedDict):
    """Which engine to open and how, as planned by the server; other fields are described at `EngineSpec`.

    `is_remote` is whether the files of the lake come through `gateway`, the descriptor of the way there. `files` is
    None where the process has no fence. `parting` is how many seconds it may take to stop its queries on a server that
    outlives it, `threads` the maximum of concurrent statements.
    """

    kind: Runtime
    config: Mapping[str, str]
    memory_mb: int | None
    isolation: str
    is_remote: bool
    gateway: int | None
    files: Fence | None
    schema: str
    catalog: CatalogOwner
    secret: str
    plain_paths: bool
    lake: str
    tables: Mapping[str, str]
    edition: int
    parting: float
    threads: int


class FirstFrame(Opening):
    """The frame as sent: `work_dir` is the process's own folder for temporary files."""

    work_dir: str
