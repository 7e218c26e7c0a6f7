"""Files of kept results over HTTP: URLs that are signed, expire, and are answered to the caller alone who asked.

A URL holds neither rows nor a name; the file is made of the kept rows when it is fetched, so nothing waits on a disk.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, get_args

import anyio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lakehouse.errors import LakehouseError
from lakehouse.result_files import MEDIA_TYPES, FileFormat
from mcp_server.audit import AuditEvent
from mcp_server.exports import ExportFile, ExportLocation
from mcp_server.kept_results import UnknownResultError
from mcp_server.models import Principal
from mcp_server.runs import Call

if TYPE_CHECKING:
    from mcp_server.tools import AppContext

PATH: Final = "/exports"
URL_SECONDS: Final = 600
MOST_AT_ONCE: Final = 4
"""Files that are made and sent at once: each is in memory until it is sent."""

_SEND_SECONDS: Final = 60.0
_CHUNK_BYTES: Final = 1 << 18
_HEADERS: Final[dict[str, str]] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_UNKNOWN: Final = (
    "There is no such file: its URL has expired, is not as export_result gave it, or belongs to another caller. "
    "Call export_result again."
)
_FULL: Final = f"{MOST_AT_ONCE} files are on their way, and no more are sent at once. Try again in a few seconds."


class Downloads:
    """The files of one server process, whose key is its own: no URL outlives it."""

    writes_files = False

    def __init__(self, origin: str, clock: Callable[[], float] = time.time) -> None:
        """`origin` is the server's own address, such as `http://127.0.0.1:8765`."""
        self._origin = origin
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._under_way = 0

    def place_file(self, file: ExportFile, caller: str) -> ExportLocation:
        """Sign a URL for a file."""
        expires = int(self._clock()) + URL_SECONDS
        signature = self._sign_url(file.query_id, file.format, caller, str(expires))
        url = f"{self._origin}{PATH}/{file.query_id}.{file.format}?expires={expires}&signature={signature}"
        return ExportLocation(url, datetime.fromtimestamp(expires, UTC))

    def route(self, find_app: Callable[[], AppContext]) -> Route:
        """The route of the HTTP application that answers these URLs; `find_app` is called for each request."""

        async def answer(request: Request) -> ASGIApp:
            if self._under_way >= MOST_AT_ONCE:
                return _make_refusal(503, _FULL, {"Retry-After": "2"})
            self._under_way += 1
            try:
                response = await self._answer_request(find_app(), request)
            except BaseException:
                self._under_way -= 1
                raise
            return _HeldResponse(response, self._give_back)

        return Route(f"{PATH}/{{query_id}}.{{kind}}", answer, methods=["GET"])  # and HEAD, which Starlette adds

    async def _answer_request(self, app: AppContext, request: Request) -> Response:
        query_id, kind = request.path_params["query_id"], request.path_params["kind"]
        expires, signature = request.query_params.get("expires", ""), request.query_params.get("signature", "")
        caller = _read_caller(app, request)
        if caller is None or kind not in get_args(FileFormat):
            return _make_refusal(404, _UNKNOWN)
        right = self._sign_url(query_id, kind, caller, expires)
        if not hmac.compare_digest(right.encode(), signature.encode()) or int(expires) <= self._clock():
            return _make_refusal(404, _UNKNOWN)
        return await _make_file(app, caller, query_id, kind)

    def _sign_url(self, query_id: str, kind: str, caller: str, expires: str) -> str:
        said = json.dumps([query_id, kind, caller, expires])
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()

    def _give_back(self) -> None:
        self._under_way -= 1


class _HeldResponse:
    """A response with a place among those that are sent, which it gives back at its end."""

    def __init__(self, response: Response, give_back: Callable[[], None]) -> None:
        self._response = response
        self._give_back = give_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with anyio.move_on_after(_SEND_SECONDS):
                await self._response(scope, receive, send)
        finally:
            self._give_back()


def _read_caller(app: AppContext, request: Request) -> str | None:
    """Who asks; None where callers must be vouched for, and this one is not."""
    if app.callers is None:
        return app.principal.name
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return app.callers.name(token) if scheme.lower() == "bearer" else None


async def _make_file(app: AppContext, caller: str, query_id: str, kind: FileFormat) -> Response:
    """Make a file of kept rows, and leave a line in the audit."""
    event = AuditEvent("download", caller, app.service.main_engine.name, arguments={"format": kind})

    async def report(stage: str) -> None:
        """Nobody is told of stages."""

    try:
        app.audit.require_writable()
        try:
            file = await app.service.write_file(Call(Principal(caller), event, report), query_id, kind)
            event.rows, event.result_bytes = file.rows, len(file.data)
        except anyio.get_cancelled_exc_class():
            event.verdict = "cancelled"
            raise
        except LakehouseError as error:
            event.verdict, event.code = "failed", getattr(error, "code", type(error).__name__)
            raise
        except Exception as error:
            event.verdict, event.code = "error", type(error).__name__
            raise
        finally:
            app.audit.write(event)
    except UnknownResultError as error:
        return _make_refusal(404, str(error))
    except LakehouseError as error:
        return _make_refusal(503, str(error), {"Retry-After": "5"})
    of_file = {"Content-Disposition": f'attachment; filename="{file.name}"', "Content-Length": str(len(file.data))}
    return StreamingResponse(_cut_in_chunks(file.data), media_type=MEDIA_TYPES[kind], headers=_HEADERS | of_file)


async def _cut_in_chunks(data: bytes) -> AsyncIterator[bytes]:
    """Each is sent when the client has taken the one before: uvicorn holds what it is given at once without a bound."""
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


def _make_refusal(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status, headers=_HEADERS | (headers or {}))
