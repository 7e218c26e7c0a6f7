"""What programs that serve share: a port, bounds of connections, and signals."""

from __future__ import annotations

import signal
import socket
from typing import Any, Final

from lakehouse import system
from lakehouse.errors import LakehouseError, UsageError

HIGHEST_PORT: Final = 65_535
MOST_CONNECTIONS: Final = 1_000
"""Maximum of concurrent connections, where the limit of open files allows it."""
MOST_WAITING: Final = 2_048
"""Connections that the system keeps until they are accepted, which is uvicorn's number too; Linux keeps up to 4,096."""
MOST_FILES: Final = 65_536
"""Highest limit that is requested: some libraries iterate over all possible descriptors."""


class PortError(LakehouseError):
    """The port cannot be listened on."""


class _QueueingSocket(socket.socket):
    """A listening socket of which many connections wait to be accepted, however few are in one turn of the loop."""

    def listen(self, backlog: int = MOST_WAITING) -> None:
        super().listen(max(backlog, MOST_WAITING))


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address of this machine; port 0 is any free one. Raises UsageError, PortError."""
    if not 0 <= port <= HIGHEST_PORT:
        raise UsageError(f"--port {port} is not a port: use 0 to {HIGHEST_PORT}; 0 lets the system choose.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = _QueueingSocket(fileno=socket.create_server((host, port), family=family).detach())
    except OSError as error:
        raise PortError(
            f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port (0: any free one)."
        ) from error
    # What is accepted inherits it. asyncio sets it itself on no socket whose protocol number is the default 0, and then
    # the second packet of an answer waits for the client's delayed acknowledgement: 40 ms (docs/facts.md).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def raise_file_limit() -> int:
    """Raise the limit of open files, and return the number of connections that it allows.

    Half of the files are left for engines, tables and logs.
    """
    files = system.raise_file_limit(MOST_FILES)
    return MOST_CONNECTIONS if files is None else max(8, min(MOST_CONNECTIONS, files // 2))


def server_options() -> dict[str, Any]:
    """The options of uvicorn: no logs of its own, and bounded connections."""
    from lakehouse.connections import bounded_protocol  # late: uvicorn takes 60 ms to import

    most = raise_file_limit()
    return {
        "http": bounded_protocol(most),
        # asyncio accepts so many in each turn of its loop, and the first of them can give way in the fourth.
        "backlog": max(8, most // 8),
        "ws": "none",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
    }


def outlive_signals() -> None:
    """Ignore SIGINT and SIGTERM when uvicorn raises them again after its shutdown, so that the caller can clean up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
