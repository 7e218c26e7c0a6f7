"""The protocol between the server and an engine's process: frames over one socket.

A frame is eight bytes of lengths, a JSON object, and bytes that belong to it (rows in Arrow's stream
format). Only these two programs ever see it, so it has no version.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_RESULT_BYTES = 128 << 20
"""Maximal size of an answer in Arrow: 100,000 rows, the highest setting, of 1,300 bytes each."""

_LENGTHS = struct.Struct(">II")


class Frame(NamedTuple):
    """A message. `op` determines the meaning of `fields`; `payload` is the Arrow stream of a result, else empty."""

    op: str
    fields: Mapping[str, Any]
    payload: bytes | bytearray = b""


class Wire:
    """One end of the connection. Several threads may send; one receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, op: str, payload: Any = b"", **fields: Any) -> None:
        """Send one frame. `payload` is anything with a buffer. Raises OSError where the other end is gone."""
        head = json.dumps({"op": op, **fields}).encode("utf-8", "surrogatepass")
        body = memoryview(payload).cast("B")
        with self._sending:
            self._connection.sendall(_LENGTHS.pack(len(head), body.nbytes) + head)
            if body.nbytes:
                self._connection.sendall(body)

    def receive(self, timeout: float | None = None) -> Frame | None:
        """Receive the next frame, None where the other end is gone. Raises TimeoutError after `timeout` seconds."""
        self._connection.settimeout(timeout)
        lengths = self._receive_bytes(_LENGTHS.size)
        if lengths is None:
            return None
        head_size, body_size = _LENGTHS.unpack(lengths)
        head, payload = self._receive_bytes(head_size), self._receive_bytes(body_size)
        if head is None or payload is None:
            return None
        fields = json.loads(head)
        return Frame(fields.pop("op"), fields, payload)

    def close(self) -> None:
        """Close the connection; the other end notices at once."""
        with contextlib.suppress(OSError):  # the other end was gone already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _receive_bytes(self, size: int) -> bytearray | None:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                count = self._connection.recv_into(view)
            except TimeoutError:
                raise
            except OSError:  # reset, or closed by another thread of ours
                return None
            if count == 0:
                return None
            view = view[count:]
        return data
