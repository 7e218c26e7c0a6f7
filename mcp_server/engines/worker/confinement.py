"""Drops the rights of this process before a driver is imported and before its first thread starts."""

from __future__ import annotations

import os
import tempfile

from lakehouse import isolation
from lakehouse.errors import UsageError
from lakehouse.session import CAPABILITIES
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.opening import FirstFrame
from mcp_server.engines.pinned import FOLDER, FolderSource, Hold, PinnedLogs, StorageSource, audit_tables
from mcp_server.engines.worker import fence, sandbox

_SHARED_LAKE = (
    "IMDB_ENGINE_ISOLATION=off: every user of this machine can reach the embedded engine, which asks for no password "
    "and reads the lake's store."
)


def confine_process(settings: FirstFrame) -> list[str]:
    """Drop the rights that the settings name; return a warning for each that could not be dropped."""
    warnings: list[str | None] = []
    if settings["memory_mb"] is not None:
        warnings.append(sandbox.limit_memory(settings["memory_mb"]))
    warnings.append(_confine_network(settings))
    if settings["files"] is not None:
        tempfile.tempdir = settings["work_dir"]  # libraries write their temporary files within the fence
        files = settings["files"]
        warning = fence.limit_files(files["readable"], [settings["work_dir"], *files["writable"]])
        if warning and files["required"]:
            raise UsageError(warning)
        warnings.append(warning)
    return [warning for warning in warnings if warning]


def open_logs(settings: FirstFrame) -> tuple[Hold, str]:
    """Return the function that prepares the logs of tables, and the folder for the engine's temporary files.

    The embedded engine may read its logs and not write them: the threads that write them are started before that
    right is dropped.
    """
    work_dir = settings["work_dir"]
    lake = Lake.parse(settings["lake"])
    if not CAPABILITIES[settings["kind"]].pinned_logs:
        return audit_tables(lake), work_dir
    source = StorageSource(lake) if lake.kind is LakeKind.URL else FolderSource(lake.address)
    logs = PinnedLogs(os.path.join(work_dir, FOLDER), source)
    temporary = os.path.join(work_dir, "temporary")
    os.makedirs(temporary, exist_ok=True)
    if settings["files"] is not None:
        tempfile.tempdir = temporary
        readable = settings["files"]["readable"] or ()  # an engine with pinned logs reads its lake alone
        fence.limit_files([*readable, work_dir], [temporary, *settings["files"]["writable"]])
    return logs.hold, temporary


def _confine_network(settings: FirstFrame) -> str | None:
    """Move to a private network with access to the lake's files alone. Returns a warning where that fails.

    Raises UsageError where isolation is required: any user who reaches the engine's port can read the lake.
    """
    warning = _leave_network(settings)
    if settings["gateway"] is not None:
        isolation.use_storage(isolation.open_way_out(settings["gateway"]))
    return warning


def _leave_network(settings: FirstFrame) -> str | None:
    is_remote = settings["is_remote"]
    if settings["isolation"] == "off":
        return _SHARED_LAKE if is_remote else None
    try:
        isolation.isolate_network()
    except isolation.IsolationError as error:
        if settings["isolation"] == "required" or is_remote:
            raise UsageError(
                f"The engine cannot have a network of its own: {error}. Without one, other users of this machine could "
                "reach it, and read the lake through it. Allow user namespaces, or set IMDB_ENGINE_ISOLATION="
                f"{'off' if is_remote else 'auto'} where the machine has no other users."
            ) from error
        return (
            f"The engine shares the machine's network: {error}. Other users of this machine could reach it; "
            "IMDB_ENGINE_ISOLATION=off silences this."
        )
    return None
