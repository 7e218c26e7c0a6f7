"""How much memory this machine has, or the container that this process is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def memory_mb(mounts: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int | None:
    """Return the memory in MiB that the machine has, or less where a control group allows less; None where unknown.

    `mounts` is where control groups are mounted, `own` lists those of this process; both versions of them are read.
    """
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on every system
        machine = 0
    limits = [machine] if machine > 0 else []
    limits += [limit for limit in _list_limits(mounts, own) if limit > 0]
    return min(limits) >> 20 if limits else None


def _list_limits(mounts: Path, own: Path) -> Iterator[int]:
    """Yield the limits in bytes of this process's control groups and all above them.

    A container often sees its own group as the root of what is mounted, whatever its path is called outside: a group
    that is not found is left out, and the root is always read.
    """
    for hierarchy, controllers, path in _list_groups(own):
        if hierarchy == "0" and not controllers:
            root, file = mounts, "memory.max"
        elif "memory" in controllers.split(","):
            root, file = mounts / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for part in (group, *group.parents):
            limit = _read_number(root / part / file)
            if limit is not None:
                yield limit


def _list_groups(own: Path) -> list[tuple[str, str, str]]:
    """Return the hierarchy, the controllers and the path of each control group of this process."""
    try:
        lines = own.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [(fields[0], fields[1], fields[2]) for line in lines if len(fields := line.split(":", 2)) == 3]


def _read_number(file: Path) -> int | None:
    """Return the number in a file; None where there is none: `max` means no limit."""
    try:
        text = file.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() else None
