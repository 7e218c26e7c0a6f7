"""How many sessions there may be over HTTP, and which of them gives way to a new one.

The SDK keeps a session until its client ends it or has said nothing for half an hour, and refuses new ones meanwhile: a
client that opens thousands and leaves them would shut everybody else out.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_SESSION: Final = "mcp-session-id"


class SessionLimit:
    """Ends the session that has been idle for longest where a new one would be one too many.

    It is ended as its client would end it, by DELETE, so nothing here depends on how the SDK keeps sessions. One with a
    request under way, which an open stream is too, is never ended: where all have one, the SDK refuses the new one.
    A client whose session was ended is answered 404; the protocol then requires it to begin a new one.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._opening = 0
        self._requests: Counter[str] = Counter()
        self._idle: OrderedDict[str, None] = OrderedDict()  # idle for longest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session = Headers(scope=scope).get(_SESSION)
        if session is not None:
            await self._serve_session(session, scope, receive, send)
        elif scope["method"] == "POST":
            await self._open_session(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _open_session(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that may open a session, whose id is in its answer."""
        opened: str | None = None

        async def note(message: Message) -> None:
            nonlocal opened
            if message["type"] == "http.response.start" and message["status"] < 400 and opened is None:
                opened = Headers(raw=message["headers"]).get(_SESSION)
                if opened is not None:
                    self._opening -= 1
                    self._requests[opened] += 1
            await send(message)

        self._opening += 1
        try:
            while self._idle and self._opening + len(self._requests) + len(self._idle) > self._most:
                await self._end_idlest(scope)
            await self._app(scope, receive, note)
        finally:
            if opened is None:
                self._opening -= 1
            else:
                self._note_request_end(opened)

    async def _serve_session(self, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of a session; those that this limit has not seen open are the SDK's to refuse."""
        if session not in self._idle and session not in self._requests:
            await self._app(scope, receive, send)
            return
        ended = False

        async def note(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                ended = message["status"] == 404 or (scope["method"] == "DELETE" and message["status"] == 200)
            await send(message)

        self._idle.pop(session, None)
        self._requests[session] += 1
        try:
            await self._app(scope, receive, note)
        finally:
            self._note_request_end(session, ended=ended)

    def _note_request_end(self, session: str, *, ended: bool = False) -> None:
        """Note the end of a request of a session."""
        self._requests[session] -= 1
        if not self._requests[session]:
            del self._requests[session]
            if not ended:
                self._idle[session] = None

    async def _end_idlest(self, scope: Scope) -> None:
        session, _ = self._idle.popitem(last=False)
        log.info("A session gives way to a new one: %d are open.", self._most)
        kept = [pair for pair in scope["headers"] if pair[0] == b"host"]
        headers = [*kept, (_SESSION.encode("ascii"), session.encode("ascii"))]
        await self._app({**scope, "method": "DELETE", "headers": headers}, _receive_nothing, _send_nowhere)


async def _receive_nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send_nowhere(message: Message) -> None:
    pass
