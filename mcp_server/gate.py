"""What every HTTP request passes before the SDK sees it: whom it names, and whether its body is a message."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lakehouse.escaping import quote_briefly
from mcp_server.frames import MOST_FRAME_BYTES, FrameError, parse_frame

log = logging.getLogger(__name__)

_ALWAYS: Final = ("127.0.0.1", "localhost", "[::1]")
_LAST_EVENT: Final = b"last-event-id"


class Gate:
    """Refuses a request that is none, or that a web page makes through a name that it controls.

    In place of the SDK's own check, which knows no address but 127.0.0.1 and ::1, takes no name without a port, and
    over SSE reports a refusal as a failure of the server.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """`hosts` are names of this server beside the usual ones of loopback."""
        self._app = app
        self._hosts = frozenset((*_ALWAYS, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refuse_names(Headers(scope=scope))
            if refusal is None and scope["method"] == "POST":
                refusal, receive = await _check_body(receive)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
            # No event is kept to be sent again, and the SDK answers this header with nothing: a new stream is begun.
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != _LAST_EVENT]}
        await self._app(scope, receive, send)

    def _refuse_names(self, headers: Headers) -> Response | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _without_port(host) not in self._hosts:
            log.warning("A request was refused for its Host header: %s", quote_briefly(host))
            names = ", ".join(sorted(self._hosts))
            return PlainTextResponse(f"Invalid Host header: this server answers to {names}.", 421)
        if origin is not None and not self._is_ours(origin):
            log.warning("A request was refused for its Origin header: %s", quote_briefly(origin))
            return PlainTextResponse("Invalid Origin header: only pages of this machine are answered.", 403)
        return None

    def _is_ours(self, origin: str) -> bool:
        scheme, _, authority = origin.partition("://")
        return scheme.lower() == "http" and _without_port(authority) in self._hosts


def _without_port(authority: str) -> str:
    """The name in `name:port`, in lower case; the port may be missing, as it is where it is 80."""
    name, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority.lower()
    return name.lower() if port.isascii() and port.isdigit() else ""


async def _check_body(receive: Receive) -> tuple[Response | None, Receive]:
    """Why a body is refused, if it is, and the same request to read again."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None, _replay_messages(message, receive)  # the client has left
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_FRAME_BYTES:
            return PlainTextResponse(f"A message is at most {MOST_FRAME_BYTES:,} bytes.", 413), receive
        if not message.get("more_body", False):
            break
    body = b"".join(parts)
    try:
        parse_frame(body)
    except FrameError as error:
        log.warning("A message of %d bytes was answered with an error: %s", size, error)
        text = error.answer.model_dump_json(by_alias=True, exclude_unset=True)
        return Response(text, 400, media_type="application/json"), receive
    return None, _replay_messages({"type": "http.request", "body": body, "more_body": False}, receive)


def _replay_messages(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
