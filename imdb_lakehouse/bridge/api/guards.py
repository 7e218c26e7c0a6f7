"""ASGI middleware around the application: whatever goes wrong in or before it is answered as a problem."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imdb_lakehouse.bridge.api.problems import build_problem, report_defect


class HostGuard:
    """Rejects requests for names that are not in `hosts`, where `*.example.org` stands for all names below it.

    DNS rebinding: a web page can reach loopback through a name that it controls.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(host.lower() for host in hosts if not host.startswith("*."))
        self._endings = tuple(host[1:].lower() for host in hosts if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_known(Headers(scope=scope).get("host", "")):
            detail = "This server is not known by that name. Whoever runs it can add the name to IMDB_CHAT_HOSTS."
            await build_problem(HTTPStatus.BAD_REQUEST, detail)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, sent: str) -> bool:
        try:
            name = urlsplit(f"//{sent}").hostname or ""
        except ValueError:
            return False
        return name in self._names or name.endswith(self._endings)


class CorsGuard(CORSMiddleware):
    """Lets pages of other origins call, as its base class does, and answers a refused preflight as a problem."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer the question of a browser whether a page may send a request."""
        response = super().preflight_response(request_headers)
        if response.status_code == HTTPStatus.OK:
            return response
        kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        detail = (
            "A page of that origin may not send this. Whoever runs this server can add the origin to "
            "IMDB_CHAT_ORIGINS; /api/openapi.json has the methods and headers."
        )
        return build_problem(HTTPStatus.BAD_REQUEST, detail, kept)


class DefectGuard:
    """Answers an error that nobody expected with 500.

    Starlette's own handler for it stands outside all other middleware, so that its answers have no CORS headers and a
    page of another origin cannot read them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:
            if has_begun:  # the connection is cut, which is all that can still be said
                raise
            await report_defect(error)(scope, receive, send)
