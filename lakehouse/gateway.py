"""The way out of a process with a network namespace of its own: another process serves a listening socket of it.

A socket belongs to the namespace that it was created in. The child creates a listening socket in its own, where only it
can connect, and hands it over. It is served by a proxy to the hosts that an outlet allows, or by a server of a lake's
files (`mcp_server.engines.store_server`). No port of the machine is open.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lakehouse.outlet import Outlet

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 128
"""Further ones wait in the socket's queue, so that the engine cannot use up the server's descriptors."""
_HEAD_BYTES = 32_768
_HEAD_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_CHUNK = 1 << 16
_PORTS = {"http": 80, "https": 443}

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection until it ends; the connection is closed afterwards."""


@dataclass(frozen=True)
class _Request:
    """The head of a request to a proxy, and its target."""

    head: bytes
    host: str
    port: int

    @property
    def is_tunnel(self) -> bool:
        return self.head.startswith(b"CONNECT ")


class Gateway:
    """The way out of one child, open until the child ends or `close` is called. `answer` runs in a thread here."""

    def __init__(self, answer: Answer) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=serve, args=(self._ours, answer), name="engine gateway", daemon=True)
        self._thread.start()

    @property
    def descriptor(self) -> int:
        """The descriptor that the child inherits (`isolation.open_way_out`)."""
        return self._theirs.fileno()

    def hand_over(self) -> None:
        """Close this process's copy of the child's end: the gateway then ends with the child."""
        self._theirs.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._theirs.close()
        self._thread.join(5.0)


def serve(child: socket.socket, answer: Answer) -> None:
    """Receive a listening socket from a child, and serve it until the other end of `child` is closed."""
    with child:
        try:
            _, descriptors, *_ = socket.recv_fds(child, 1, 1)
        except OSError:
            return
        if descriptors:
            with socket.socket(fileno=descriptors[0]) as listener:
                asyncio.run(_accept_until_gone(listener, child, answer))


async def _accept_until_gone(listener: socket.socket, child: socket.socket, answer: Answer) -> None:
    places = asyncio.Semaphore(_MOST_CONNECTIONS)
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    for each in (listener, child):
        each.setblocking(False)

    async def answer_connection(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=_HEAD_BYTES)
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    async def accept_connections() -> None:
        while True:
            await places.acquire()
            connection, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(answer_connection(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda _: places.release())

    accepting = asyncio.create_task(accept_connections())
    with contextlib.suppress(OSError):
        while await loop.sock_recv(child, 1):
            pass
    accepting.cancel()


class Proxy:
    """An HTTP proxy, with `CONNECT`, for the hosts that an outlet allows."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, or refuse it."""
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                request = _read_request(await reader.readuntil(b"\r\n\r\n"))
            if not self._outlet.allows(request.host, request.port):
                log.warning("%.200r was asked for, which is none of the hosts that may be reached.", request.host)
                await _send_refusal(writer, "403 Forbidden", "not one of the hosts that may be reached")
                return
            await self._pass_on(request, reader, writer)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            with contextlib.suppress(OSError):
                await _send_refusal(writer, "502 Bad Gateway", f"the host cannot be reached: {type(error).__name__}")

    async def _pass_on(self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect to the host, directly or through this machine's proxy, and forward bytes."""
        proxy = self._outlet.proxy_to(request.host, request.port)
        beyond = urlsplit(proxy) if proxy else None
        host, port = (beyond.hostname or "", beyond.port or 80) if beyond else (request.host, request.port)
        async with asyncio.timeout(_CONNECT_SECONDS):
            there, onward = await asyncio.open_connection(host, port)
        try:
            head = request.head if request.is_tunnel else _mark_as_last(request.head)
            if beyond is not None:
                onward.write(_with_credentials(head, beyond.username, beyond.password))
            elif request.is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                onward.write(_to_origin_form(head))
            answer = _pipe_bytes(there, writer) if request.is_tunnel else _pipe_answer(there, writer)
            await asyncio.gather(_pipe_bytes(reader, onward), answer)
        finally:
            onward.close()


def _read_request(head: bytes) -> _Request:
    """Read `CONNECT host:port HTTP/1.1` or `GET http://host:port/path HTTP/1.1`. Raises ValueError."""
    method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    url = urlsplit(f"//{target}" if method == "CONNECT" else target)
    port = url.port or _PORTS.get(url.scheme)
    if not url.hostname or port is None or url.username is not None:
        raise ValueError("no address")
    return _Request(head, url.hostname, port)


def _mark_as_last(head: bytes) -> bytes:
    """Add `Connection: close` to a request or a response: what follows on its connection would be forwarded unread."""
    first, *lines = head[:-4].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith((b"connection:", b"proxy-connection:"))]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


def _to_origin_form(head: bytes) -> bytes:
    """Rewrite a request to a proxy in origin form (RFC 9112, 3.2): some servers accept no other."""
    first, _, rest = head.partition(b"\r\n")
    method, target, version = first.split(b" ")
    url = urlsplit(target)
    path = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    return b" ".join([method, path, version]) + b"\r\n" + rest


def _with_credentials(head: bytes, user: str | None, password: str | None) -> bytes:
    if user is None:
        return head
    pair = base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
    return head[:-2] + f"Proxy-Authorization: Basic {pair}\r\n\r\n".encode()


async def _send_refusal(writer: asyncio.StreamWriter, status: str, reason: str) -> None:
    body = reason.encode()
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    await writer.drain()


async def _pipe_answer(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Forward a response, marked as the last of its connection.

    One that breaks off just ends: an error response would say that the request was not sent.
    """
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        while (head := await source.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 1"):
            sink.write(head)
        sink.write(_mark_as_last(head))
    await _pipe_bytes(source, sink)


async def _pipe_bytes(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Forward bytes until the source ends, and end the sink."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.write_eof()
