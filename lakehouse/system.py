"""What operating systems do differently: locks of files, process groups, signals, limits, users.

The only module that asks for it. What only POSIX has is imported here, late, so that everything can be imported on any
system. The ways of Windows have not been tried.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
from typing import Any, Final, NoReturn

_IS_POSIX: Final = os.name == "posix"
_WHOLE_FILE: Final = 1 << 62
"""The byte that stands for a whole file on Windows, which locks bytes. It lies behind all that is written."""

END_SIGNALS: Final[tuple[signal.Signals, ...]] = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals that ask a program to end."""

GROUP_OPTIONS: Final[dict[str, Any]] = (
    {"start_new_session": True} if _IS_POSIX else {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
)
"""Options of `subprocess.Popen` for a child with a process group of its own: Ctrl-C does not reach it."""


def lock_file(descriptor: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file until it is closed; a child that inherits the descriptor holds the lock too.

    Returns False where another process has it and `wait` is False. On Windows all locks are exclusive. Raises OSError.
    """
    if not _IS_POSIX:
        return _lock_byte_of_windows(descriptor, _WHOLE_FILE, wait=wait)
    import fcntl

    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_byte(descriptor: int, place: int) -> bool:
    """Lock one byte of an open file for this process. Returns False where another one has it. Raises OSError."""
    if not _IS_POSIX:
        return _lock_byte_of_windows(descriptor, place, wait=False)
    import fcntl

    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):  # lockf(2): one or the other, by system
        return False
    return True


def unlock_byte(descriptor: int, place: int) -> None:
    """Release a byte that `lock_byte` has locked."""
    if _IS_POSIX:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, place)
    else:
        import msvcrt

        os.lseek(descriptor, place, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]


def kill_group(pid: int) -> None:
    """Kill a child that was started with GROUP_OPTIONS, and everything that it started. It may have ended already."""
    if _IS_POSIX:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    else:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)


def kill_own_group() -> NoReturn:
    """Kill this process and everything that it started."""
    if _IS_POSIX:
        os.killpg(os.getpgid(0), signal.SIGKILL)
    else:
        kill_group(os.getpid())
    os._exit(0)


def user_name() -> str:
    """The user that the system runs this process as: asked of the system, not of `$USER`, which anybody can set."""
    if not _IS_POSIX:
        return getpass.getuser()
    import pwd

    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run as a number that has no name
        return f"uid-{uid}"


def raise_file_limit(most: int) -> int | None:
    """Raise the limit of open files to `most` at the highest, and return what it is then; None where there is none."""
    if not _IS_POSIX:
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit of its own; then it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return None if soft == resource.RLIM_INFINITY else soft


def take_stream(number: int) -> int:
    """Duplicate a standard stream so that children do not inherit it, for bytes as they are."""
    ours = os.dup(number)
    if not _IS_POSIX:
        import msvcrt

        msvcrt.setmode(ours, getattr(os, "O_BINARY", 0))  # type: ignore[attr-defined]
    return ours


def is_unread(descriptor: int) -> bool:
    """Whether the reading end of a pipe is closed. False on Windows, which cannot be asked."""
    if not _IS_POSIX:
        return False
    import select

    asked = select.poll()
    asked.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))


def _lock_byte_of_windows(descriptor: int, place: int, *, wait: bool) -> bool:
    import msvcrt

    at = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, place, os.SEEK_SET)
    try:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK if not wait else msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
            except OSError:  # LK_LOCK gives up after ten seconds
                if not wait:
                    return False
            else:
                return True
    finally:
        os.lseek(descriptor, at, os.SEEK_SET)
