"""TCP ports of this machine's loopback: which one a server can have, and who is seen to listen and to be reached.

Tests run beside each other, and so do the servers that they start: a port that was free a moment ago may be another's.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_NOBODY_IS_GIVEN = range(20_000, 30_000)
"""Who asks a system for any port, or connects to one, is given none of these: Linux gives 32768 and above
(`ip_local_port_range`), macOS and Windows 49152 and above (RFC 6335)."""

_LISTENING = "0A"
"""State of a socket in the kernel's table (`include/net/tcp_states.h`)."""


def free_port() -> int:
    """A port that stays free until its server listens, and while a server that is to come back is away."""
    for port in random.sample(_NOBODY_IS_GIVEN, 100):
        with socket.socket() as server:
            try:
                server.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    raise RuntimeError("None of a hundred ports can be had.")


def listening_ports(process: int | str) -> set[int]:
    """The ports that somebody listens on in the network of a process (Linux)."""
    return {_port(own) for own, _, state, _ in _sockets(process) if state == _LISTENING}


def listening_sockets(process: int | str) -> set[str]:
    """The same as the inodes of their sockets."""
    return {inode for _, _, state, inode in _sockets(process) if state == _LISTENING}


def is_reached(process: int | str, port: int) -> bool:
    """Whether a connection from here to a port ends in the network of a process (Linux).

    One that is accepted says little alone: the port may be somebody else's in this network.
    """
    with socket.socket() as caller:
        caller.settimeout(5)
        if caller.connect_ex((LOOPBACK, port)):
            return False
        ours = caller.getsockname()[1]
        ends = {(_port(own), _port(other)) for own, other, _, _ in _sockets(process)}
        return (port, ours) in ends


def _sockets(process: int | str) -> list[tuple[str, str, str, str]]:
    """Own address, the other's, state and inode of every TCP socket, over IPv4 and IPv6 (proc_net_tcp.rst)."""
    tables = [Path(f"/proc/{process}/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return [(fields[1], fields[2], fields[3], fields[9]) for fields in lines]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
