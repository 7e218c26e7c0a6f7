"""Checks of this machine and this installation. None of them starts anything."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from lakehouse.machine import memory_mb
from mcp_server.audit import AuditLog
from mcp_server.auth import os_user
from mcp_server.doctor.findings import Finding
from mcp_server.settings import Settings

_PACKAGE: Final = "imdb-lakehouse-mcp"
_TRIED: Final = ((3, 11), (3, 13))
"""The oldest and the newest Python that the tests have run on."""
_SUPPORTED: Final = ("linux", "darwin")
_EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "embedded": ("pysail", "pyspark"),
    "spark": ("pyspark", "delta"),
    "databricks": ("databricks.sql", "databricks.sdk"),
    "ai": ("openai", "bpe_openai"),
    "chat": ("fastapi", "limits"),
    "cosmos": ("azure.cosmos",),
    "glue": ("boto3",),
}
"""Modules that only an extra installs."""
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_BUILT: Final = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
"""No clock that is right says an earlier time than that of this release."""


def check_python(_settings: Settings) -> Iterator[Finding]:
    """Check the interpreter and the system."""
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {_PACKAGE} {_version()}"
    if sys.platform not in _SUPPORTED:
        yield Finding(
            "python", "warning", f"{here}: this system is not supported", "Use Linux, macOS or WSL for a local engine."
        )
    elif sys.version_info[:2] > _TRIED[1]:
        newest = ".".join(map(str, _TRIED[1]))
        yield Finding(
            "python", "warning", f"{here}: newer than what was tried", f"Where it fails, use Python {newest}."
        )
    else:
        yield Finding("python", "ok", here)


def check_extras(settings: Settings) -> Iterator[Finding]:
    """Check that the packages of the engine are installed, and list what the others are for."""
    there = {extra for extra, modules in _EXTRAS.items() if all(map(_can_import, modules))}
    needed = {"connect": "spark"}.get(settings.runtimes[0], settings.runtimes[0])
    if needed == "spark" and settings.runtimes[0] == "connect" and "embedded" in there:
        needed = "embedded"  # either brings the client
    shown = f"installed: {', '.join(sorted(there)) or 'none'}"
    missing = sorted(_EXTRAS.keys() - there)
    if needed not in there:
        yield Finding(
            "extras", "failure", f"the engine needs the extra `{needed}`; {shown}",
            f"Run: pip install '{_PACKAGE}[{needed}]', or choose another --engine.",
        )  # fmt: skip
    else:
        yield Finding("extras", "ok", shown + (f"; not installed: {', '.join(missing)}" if missing else ""))
    if _is_installed("pyspark") and _is_installed("pyspark-client"):
        yield Finding(
            "extras", "failure", "pyspark and pyspark-client are both installed, and overwrite each other",
            "Make a new environment with one of the extras `embedded`, `spark` or `auto`.",
        )  # fmt: skip


def check_memory(settings: Settings) -> Iterator[Finding]:
    """Check that the memory ceilings of the engines fit into the machine, and that their temporary files do."""
    there = memory_mb()
    ceilings = {"embedded": settings.engine_ceiling_mb, "spark": settings.spark_heap_mb}
    wanted = {runtime: ceilings[runtime] for runtime in settings.runtimes if runtime in ceilings}
    shown = " and ".join(f"{most:,} MiB for {runtime}" for runtime, most in wanted.items()) or "no engine of its own"
    if there is None:
        yield Finding(
            "memory", "warning", f"{shown}; the system does not say how much it has", "Set IMDB_ENGINE_MEMORY_MB."
        )
    elif sum(wanted.values()) > there:
        yield Finding(
            "memory", "warning", f"{shown}, of {there:,} MiB: a large query may end other programs",
            f"Set IMDB_ENGINE_MEMORY_MB to {max(512, there // 2)} or less.",
        )  # fmt: skip
    else:
        yield Finding("memory", "ok", f"{shown}, of {there:,} MiB")
    free = shutil.disk_usage(settings.state).free >> 20
    if wanted and free < settings.engine_temp_mb:
        yield Finding(
            "disk", "warning", f"{free:,} MiB are free in {settings.state}, and temporary files may have "
            f"{settings.engine_temp_mb:,} MiB", "Make room, or set IMDB_ENGINE_TEMP_MB lower.",
        )  # fmt: skip
    else:
        yield Finding("disk", "ok", f"{free:,} MiB are free in {settings.state}")


def check_identity(settings: Settings) -> Iterator[Finding]:
    """Check who the caller is, and that nobody else can read or write what is kept of callers."""
    who = (
        f"callers are {os_user().name}" if settings.caller_key is None else "callers are vouched for (IMDB_CALLER_KEY)"
    )
    AuditLog(settings.audit_path, round(settings.audit_max_mb * 2**20), settings.audit_files).require_writable()
    open_to_others = [
        path
        for path in (settings.state, settings.state / "callers.key", settings.audit_path)
        if os.name == "posix" and path.exists() and _read_mode(path) & _OF_OTHERS
    ]
    for path in open_to_others:
        mode = "700" if path.is_dir() else "600"
        yield Finding("identity", "warning", f"{path} is open to other users", f"Run: chmod {mode} {path}")
    if not open_to_others:
        yield Finding("identity", "ok", f"{who}; {settings.state} is theirs alone, and the audit log can be written")


def check_clock(_settings: Settings) -> Iterator[Finding]:
    """Check that the clock may be right: days of budgets, tokens and signatures of requests depend on it."""
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).isoformat(" ", "seconds")
    if now < _BUILT:
        yield Finding("clock", "failure", f"{shown}: earlier than this release", "Set the clock, best by NTP.")
    else:
        yield Finding("clock", "ok", shown)


def _read_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _version() -> str:
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"


def _can_import(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
