"""Limits a child process to writing temporary files, and optionally to reading its lake and its libraries.

Uses Linux's Landlock (kernel 5.13 and later): a process drops rights on files for itself and its children,
without being root and irrevocably. It is the last defence behind the guard: a statement that gets past the guard
meets "permission denied". Used in the child only, before its first thread starts.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

# <linux/landlock.h>; the numbers of the calls are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
"""Rights that a rule on a single file may grant; all others apply to directories."""

_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_HANDLED_SINCE_5 = (1 << 16) - 1
"""All rights on files that a version of Landlock knows; a right that is handled and not granted is denied."""

_READ = _EXECUTE | _READ_FILE | _READ_DIR

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/hosts",
    "/etc/host.conf", "/etc/resolv.conf", "/etc/gai.conf", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory", "/sys/fs/cgroup", "/sys/devices/system/cpu",
)  # fmt: skip
"""Paths that libraries read. Not `/proc`: the environment of the user's other processes holds secrets."""

_ALONE = "The guard alone keeps statements away from them; IMDB_ENGINE_ISOLATION=off silences this."

_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty")


def limit_files(readable: Iterable[str] | None, writable: Iterable[str]) -> str | None:
    """Deny this process all writes outside the folders `writable`, which are created where they are missing.

    Where `readable` is not None, reads are limited to these folders, the system's libraries and Python's own. Returns
    a warning where the system does not support this.
    """
    if sys.platform != "linux":
        return f"The engine has all rights of its user on files: {sys.platform} has no Landlock. {_ALONE}"
    version = landlock_version()
    if not version:
        return f"The engine has all rights of its user on files: this kernel has no Landlock. {_ALONE}"
    libc = ctypes.CDLL(None, use_errno=True)
    handled = _HANDLED.get(version, _HANDLED_SINCE_5) & ~(_READ if readable is None else 0)
    ruleset = _check_result(libc.syscall(_CREATE_RULESET, struct.pack("=Q", handled), 8, 0))
    try:
        for path in {*_SYSTEM, *_list_python_folders(), *readable} if readable is not None else ():
            _allow_path(libc, ruleset, path, _READ)
        for path in writable:
            os.makedirs(path, exist_ok=True)
            _allow_path(libc, ruleset, path, handled)
        for path in _DEVICES:
            _allow_path(libc, ruleset, path, handled)
        _check_result(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _check_result(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return None


def landlock_version() -> int:
    """The version of Landlock in this kernel; 0 where it has none."""
    if sys.platform != "linux":
        return 0
    version: int = ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return max(version, 0)


def _list_python_folders() -> set[str]:
    """Return the folders of Python and of this project's packages, including those imported later."""
    packages = {str(Path(str(module.__file__)).parent) for name, module in sys.modules.items() if _is_ours(name)}
    return packages | {sys.prefix, sys.base_prefix, sys.exec_prefix} | {p for p in sys.path if os.path.isdir(p)}


def _is_ours(name: str) -> bool:
    return name in {"lakehouse", "mcp_server"}


def _allow_path(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Grant rights on a file, or on a folder and everything below; skips a path that does not exist."""
    try:
        descriptor = os.open(path, os.O_PATH)
    except FileNotFoundError:
        return
    try:
        given = rights if os.path.isdir(path) else rights & _OF_FILES
        rule = struct.pack("=Qi", given, descriptor)
        _check_result(libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _check_result(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
