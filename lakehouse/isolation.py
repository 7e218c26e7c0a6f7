"""A network of a process's own: the port of an engine in it is reached by nobody else, and the engine reaches nobody.

Used before the process starts a thread: Linux gives another user than root such a network in no other moment.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys

from lakehouse.environment import storage_environment
from lakehouse.gateway import Proxy, serve
from lakehouse.outlet import Outlet

_LINUX = sys.platform == "linux"

# <linux/sched.h>, <linux/sockios.h>, <linux/if.h>
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x1 | 0x40


class IsolationError(Exception):
    """This process cannot have a network of its own; the text says why."""


def isolate_network() -> None:
    """Move this process into a network that holds nothing but its own loopback.

    The engine's TCP port can then be reached by nobody else, and the engine reaches nobody.
    Raises IsolationError where the system does not allow it.
    """
    if not _LINUX:
        raise IsolationError(f"{sys.platform} has no network namespaces")
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    # Who may do it directly keeps all rights on files; others need a user namespace around it.
    if libc.unshare(_CLONE_NEWNET) != 0:
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
            raise IsolationError(f"the system does not allow it ({os.strerror(ctypes.get_errno())})")
        _keep_identity(user, group)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sh22x", b"lo", _IFF_UP_RUNNING)
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
    except OSError as error:
        raise IsolationError(f"its loopback cannot be started ({error.strerror})") from error


def enter_own_network(outlet: Outlet | None) -> None:
    """Move this program into a network of its own; a process that stays outside is its way out to what `outlet` allows.

    Raises IsolationError where the system does not allow it; nothing has changed then.
    """
    outside, inside = socket.socketpair()
    if outlet is not None and _LINUX and os.fork() == 0:
        inside.close()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends when its parent has
        serve(outside, Proxy(outlet).answer)
        os._exit(0)
    outside.close()
    try:
        isolate_network()
    except IsolationError:
        inside.close()
        raise
    if outlet is not None:
        use_proxy(open_way_out(inside.detach()))


def open_way_out(gateway: int) -> str:
    """Hand a listening socket of this network over to a gateway outside, and return its URL.

    `gateway` is the descriptor of `Gateway.descriptor`; it stays open for as long as this process lives.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    connection = socket.socket(fileno=gateway)
    socket.send_fds(connection, [b"."], [listener.fileno()])
    connection.detach()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()  # the server has it now
    return url


def use_proxy(url: str) -> None:
    """Have every client of this process go through a proxy, but for the one that talks to the engine in it."""
    for name in [name for name in os.environ if name.lower().endswith(("_proxy", "_proxy_url"))]:
        del os.environ[name]
    for name in ("http_proxy", "https_proxy"):
        os.environ[name] = os.environ[name.upper()] = url
    os.environ["no_grpc_proxy"] = "127.0.0.1"  # noqa: SIM112  (gRPC reads it in these letters)


def use_storage(url: str) -> None:
    """Have every client of object storage in this process go to a server of S3's protocol that asks for no password."""
    for name in storage_environment():
        os.environ.pop(name, None)
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _keep_identity(user: int, group: int) -> None:
    """Be the same user inside the namespace as outside, so that files look and behave as before."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        except OSError:
            return  # an unmapped process reads the same files; only its user's name is unknown
