"""A child process that writes nothing but temporary files, and may read nothing but its lake and its libraries.

Linux's Landlock (kernel 5.13 and later): a process gives up rights on files for itself and all that it
starts, without being root, and nothing gives them back. It is what stands when a statement got past the
guard: the engine then meets "permission denied". Used in the child only, before its first thread starts.
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
"""Rights that a rule on a single file may give; all others are of directories."""

_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_HANDLED_SINCE_5 = (1 << 16) - 1
"""Every right on files that a version of Landlock knows; what is handled and not given is denied."""

_READ = _EXECUTE | _READ_FILE | _READ_DIR

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/hosts",
    "/etc/host.conf", "/etc/resolv.conf", "/etc/gai.conf", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory", "/sys/fs/cgroup", "/sys/devices/system/cpu",
)  # fmt: skip
"""What libraries of a process look at. Not `/proc`: another process of the user has secrets in its environment."""

_ALONE = "The guard alone keeps statements away from them; IMDB_ENGINE_ISOLATION=off silences this."

_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty")


def limit_files(readable: Iterable[str] | None, writable: Iterable[str]) -> str | None:
    """Deny this process to write anywhere but in the folders `writable`, which are made where they are missing.

    Where `readable` is not None, it reads nothing but these folders, the system's libraries and Python's own. Returns
    a warning where the system cannot do that.
    """
    if sys.platform != "linux":
        return f"The engine has all rights of its user on files: {sys.platform} has no Landlock. {_ALONE}"
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return f"The engine has all rights of its user on files: this kernel has no Landlock. {_ALONE}"
    handled = _HANDLED.get(version, _HANDLED_SINCE_5) & ~(_READ if readable is None else 0)
    ruleset = _checked(libc.syscall(_CREATE_RULESET, struct.pack("=Q", handled), 8, 0))
    try:
        for path in {*_SYSTEM, *_python(), *readable} if readable is not None else ():
            _allow(libc, ruleset, path, _READ)
        for path in writable:
            os.makedirs(path, exist_ok=True)
            _allow(libc, ruleset, path, handled)
        for path in _DEVICES:
            _allow(libc, ruleset, path, handled)
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return None


def _python() -> set[str]:
    """Where Python and the packages of this project are, those that are imported later too."""
    packages = {str(Path(str(module.__file__)).parent) for name, module in sys.modules.items() if _is_ours(name)}
    return packages | {sys.prefix, sys.base_prefix, sys.exec_prefix} | {p for p in sys.path if os.path.isdir(p)}


def _is_ours(name: str) -> bool:
    return name in {"lakehouse", "mcp_server"}


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Give rights on a file, or on a folder and all below; what does not exist needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        given = rights if os.path.isdir(path) else rights & _OF_FILES
        rule = struct.pack("=Qi", given, descriptor)
        _checked(libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
