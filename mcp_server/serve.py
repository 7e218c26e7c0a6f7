"""Runs a server on a transport until its client leaves or a signal comes, and leaves nothing behind."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NoReturn

import anyio
from mcp.server.transport_security import TransportSecuritySettings

from lakehouse.errors import UsageError
from lakehouse.listening import listen, outlive_signals, raise_file_limit, server_options
from lakehouse.program import tell
from lakehouse.system import END_SIGNALS
from mcp_server.stdio import OutputBrokenError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from mcp_server.app import LakehouseServer
    from mcp_server.downloads import Downloads
    from mcp_server.gate import Gate

Transport = Literal["stdio", "http", "sse"]

_PATHS = {"http": "/mcp", "sse": "/sse"}
_GRACE_SECONDS = 2
"""How long open calls may take to end after a signal. They are cancelled at once; this is for their last lines."""
_MOST_SESSIONS = 2_000
"""Sessions over HTTP at once: each takes 77 KiB until its client ends it, or has said nothing for half an hour, or was
idle for longest when one more was wanted."""
_CLOSE_SECONDS = 5
"""How long the engine may take to end. Its process ends with this one in any case."""


def serve(server: LakehouseServer, transport: Transport, host: str, port: int) -> NoReturn:
    """Serve until the client leaves or a signal comes, then end the engine and this process.

    Raises UsageError for an address that is not loopback and PortError for a port that is taken.
    """
    if transport == "stdio":
        anyio.run(_serve_stdio, server)
    else:
        from mcp_server.gate import Gate

        listener = listen(_require_loopback(host), port)
        address = listener.getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        from mcp_server.downloads import Downloads

        downloads = Downloads(f"http://{shown}:{address[1]}")
        server.export_to(downloads)
        print(f"Serving on http://{shown}:{address[1]}{_PATHS[transport]}", file=sys.stderr, flush=True)
        anyio.run(_serve_http, Gate(_build_web_app(server, transport, downloads), [shown]), listener)
    _end_process(server)


def _end_process(server: LakehouseServer, code: int = 0) -> NoReturn:
    """End the engine, then the process, without waiting for threads: one may still be blocked reading stdin."""
    closing = threading.Thread(target=server.close, daemon=True)
    closing.start()
    closing.join(_CLOSE_SECONDS)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


async def _serve_stdio(server: LakehouseServer) -> None:
    raise_file_limit()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_on_signal, server, tasks.cancel_scope)
            await server.run_stdio_async()
            tasks.cancel_scope.cancel()
    except* OutputBrokenError as broken:
        tell(f"imdb-mcp: {_find_first_error(broken)}")
        _end_process(server, OutputBrokenError.exit_code)


def _find_first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _find_first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _end_on_signal(server: LakehouseServer, everything: anyio.CancelScope) -> None:
    """The SDK's stdio transport ends only when stdin does, so a signal has to end the process itself."""
    # A signal that the parent ignores (nohup, a shell's background job) stays ignored.
    heeded = [number for number in END_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    # Windows has no receivers: there Ctrl-C ends the process as it does any other, and a client closes stdin.
    with suppress(NotImplementedError), anyio.open_signal_receiver(*heeded) as signals:
        async for _ in signals:
            everything.cancel()
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(_GRACE_SECONDS):
                    await server.idle()
                _end_process(server)


async def _serve_http(app: Gate, listener: socket.socket) -> None:
    import uvicorn

    outlive_signals()
    for number in set(END_SIGNALS) - {signal.SIGINT, signal.SIGTERM}:  # those that uvicorn does not heed
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGTERM))
    # Streams that are open at the end are cancelled, which uvicorn would report as an error with its trace.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not _is_cancellation(record))
    config = uvicorn.Config(app, timeout_graceful_shutdown=_GRACE_SECONDS, **server_options())
    await uvicorn.Server(config).serve(sockets=[listener])


def _is_cancellation(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], anyio.get_cancelled_exc_class())


def _build_web_app(server: LakehouseServer, transport: Transport, downloads: Downloads) -> Starlette:
    unguarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # the gate before it does that
    from mcp_server.sessions import SessionLimit

    route = downloads.route(lambda: server.toolbox.app)
    if transport == "sse":
        app = server.sse_app(sse_path=_PATHS["sse"], transport_security=unguarded)
        app.router.routes.append(route)
        return app
    app = server.streamable_http_app(
        streamable_http_path=_PATHS["http"], transport_security=unguarded, max_sessions=_MOST_SESSIONS
    )
    app.router.routes.append(route)
    app.add_middleware(SessionLimit, most=_MOST_SESSIONS)
    return app


def _require_loopback(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise UsageError(
        f"--host {host} is not this machine alone. Callers from elsewhere would have to prove who they are, which this "
        "release cannot ask of them: use 127.0.0.1, ::1 or localhost."
    )
