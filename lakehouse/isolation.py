"""Network namespaces: no other process can connect to the port of an engine in one, and the engine can connect nowhere.

Enter one before the process starts a thread: later, Linux allows it only to root.
"""

from __future__ import annotations

import ctypes
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
    """This process cannot have a network namespace of its own; the text says why."""


def isolate_network() -> None:
    """Move this process into a network namespace with nothing but a loopback.

    No other process can connect to the engine's port then, and the engine can connect nowhere.
    Raises IsolationError where the system does not allow it.
    """
    if not _LINUX:
        raise IsolationError(f"{sys.platform} has no network namespaces")
    import fcntl

    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    # With the right to do it directly, all rights on files are kept; without it, a user namespace is needed.
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
    """Move this process into a network namespace; a child that stays outside is its way out to the hosts of `outlet`.

    Raises IsolationError where the system does not allow it, and changes nothing then.
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
    listener.close()  # the gateway holds it now
    return url


def use_proxy(url: str) -> None:
    """Have all clients of this process use a proxy, except the one of the engine in this process."""
    for name in [name for name in os.environ if name.lower().endswith(("_proxy", "_proxy_url"))]:
        del os.environ[name]
    for name in ("http_proxy", "https_proxy"):
        os.environ[name] = os.environ[name.upper()] = url
    os.environ["no_grpc_proxy"] = "127.0.0.1"  # noqa: SIM112  (gRPC reads it in these letters)


def use_storage(url: str) -> None:
    """Have all clients of object storage in this process use a server of S3's protocol without credentials."""
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
    """Map the user into the namespace, so that files have the same owners as before."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        except OSError:
            return  # an unmapped process reads the same files; only its user's name is unknown
