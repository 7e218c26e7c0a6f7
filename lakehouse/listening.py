"""What the programs that serve have in common: a port, and the signals that end them."""

from __future__ import annotations

import signal
import socket
from typing import Final

from lakehouse.errors import LakehouseError, UsageError

HIGHEST_PORT: Final = 65_535


class PortError(LakehouseError):
    """The port cannot be listened on."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address of this machine; port 0 is any free one. Raises UsageError, PortError."""
    if not 0 <= port <= HIGHEST_PORT:
        raise UsageError(f"--port {port} is not a port: use 0 to {HIGHEST_PORT}; 0 lets the system choose.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise PortError(
            f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port (0: any free one)."
        ) from error


def outlive_signals() -> None:
    """Leave SIGINT and SIGTERM to uvicorn, which raises one again once it has shut down: what is open ends after it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
