"""The REST API of `imdb-chat serve`: submit a question, ask how far it is, cancel it. /api/openapi.json describes it.

Visitors are anonymous: each has a token that this program signed, and sees its own conversations alone. What is
somebody else's is answered as if it were not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent

from bridge.answering import AskRequest, VisitorIdentity
from bridge.api import page, problems, schema
from bridge.api.guards import CorsGuard, DefectGuard, HostGuard
from bridge.api.limits import BodyLimit, RequestLimits
from bridge.api.packing import AnswerPacker
from bridge.api.problems import UnknownVisitorError, document_errors
from bridge.api.tables import FILE_RESPONSE, build_file, find_table
from bridge.operations import OperationRunner
from bridge.settings import Settings
from bridge.starters import Starter
from bridge.store import StoredConversation, StoredMessage
from bridge.views import Json
from lakehouse.callers import Callers
from lakehouse.errors import UsageError
from lakehouse.result_files import FileFormat

LOOPBACK = ("127.0.0.1", "localhost")

_POLL_SECONDS = 1
_MOST_STEPS = 10_000
_PACKAGE = "imdb-lakehouse-mcp"


@dataclass(frozen=True)
class ApiContext:
    """Services that request handlers use."""

    settings: Settings
    callers: Callers
    limits: RequestLimits
    operations: OperationRunner
    model: str | None
    starters: tuple[Starter, ...] = ()


def create_app(context: ApiContext) -> FastAPI:
    """Create the application. Raises UsageError for malformed origins."""
    settings = context.settings
    app = FastAPI(
        title="imdb-chat",
        version=version(_PACKAGE),
        description=__doc__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
    )
    app.state.context = context
    app.include_router(_ROUTES)
    app.router.routes.append(page.mount_page())
    problems.install_handlers(app, _ROUTES.routes)
    app.add_middleware(BodyLimit)
    app.add_middleware(DefectGuard)
    app.add_middleware(AnswerPacker)
    app.add_middleware(
        CorsGuard,
        allow_origins=parse_origins(settings),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
        expose_headers=["Content-Disposition", "Location", "Retry-After"],
    )
    app.add_middleware(HostGuard, hosts=[*LOOPBACK, *_split_list(settings.chat_hosts)])
    return app


def parse_origins(settings: Settings) -> list[str]:
    """Return the other origins whose pages may call the API. Raises UsageError for a malformed one."""
    found = _split_list(settings.chat_origins)
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
            raise UsageError(
                f"IMDB_CHAT_ORIGINS has {origin!r}, which is no origin: one looks like https://chat.example.org, "
                "without a path."
            )
    return found


def _split_list(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _find_context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


def _get_context(request: Request) -> ApiContext:
    """Return the context, and count the request towards the limit of its address."""
    context = _find_context(request)
    context.limits.admit_request(f"address {_read_address(request)}")
    return context


def _read_address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


Context = Annotated[ApiContext, Depends(_get_context)]
_BEARER = HTTPBearer(auto_error=False, description="the token of POST /api/visitors")


Proof = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def _identify_visitor(context: ApiContext, proof: HTTPAuthorizationCredentials | None) -> VisitorIdentity:
    name = context.callers.name(proof.credentials) if proof is not None else None
    if proof is None or name is None:
        raise UnknownVisitorError(
            "Nobody is known by that token. POST /api/visitors gives one; send it as Authorization: Bearer <token>."
        )
    return VisitorIdentity(name, proof.credentials)


def _authenticate_visitor(context: Context, proof: Proof) -> VisitorIdentity:
    """Return the visitor of a request, and count it towards the visitor's limit. Raises UnknownVisitorError."""
    visitor = _identify_visitor(context, proof)
    context.limits.admit_request(visitor.name)
    return visitor


@dataclass(frozen=True)
class _Follower:
    """Who asks for the state of an operation of their own, which no limit counts: it was counted when it was asked."""

    context: ApiContext
    visitor: VisitorIdentity


def _follow_operation(request: Request, operation: str, proof: Proof) -> _Follower:
    """Return who asks for an operation. Counts the request where it is not their own. Raises UnknownVisitorError."""
    context = _find_context(request)
    try:
        visitor = _identify_visitor(context, proof)
    except UnknownVisitorError:
        _get_context(request)
        raise
    if not context.operations.is_running(visitor, operation):
        _get_context(request)
        context.limits.admit_request(visitor.name)
    return _Follower(context, visitor)


async def _require_operation(follower: Annotated[_Follower, Depends(_follow_operation)], operation: str) -> str:
    """Return the id of an operation that is there: once its events have begun, no error response can be sent."""
    await follower.context.operations.find_operation(follower.visitor, operation)
    return operation


def _require_json(request: Request) -> None:
    """Raise 415 for a body that is not sent as JSON."""
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and kind != "application/json":
        detail = "A body is sent as JSON: Content-Type: application/json. /api/openapi.json has its form."
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, {"Accept": "application/json"})


CurrentVisitor = Annotated[VisitorIdentity, Depends(_authenticate_visitor)]
FollowedOperation = Annotated[str, Depends(_require_operation)]
Follower = Annotated[_Follower, Depends(_follow_operation)]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="the same key asks once, however often it is sent"),
]

_ROUTES = APIRouter(
    prefix="/api", responses=document_errors(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNPROCESSABLE_ENTITY)
)
_SENT = document_errors(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
_OWN = document_errors(HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)
_FOUND = _OWN | document_errors(HTTPStatus.NOT_FOUND)


@_ROUTES.get("")
async def about(context: Context) -> schema.About:
    """What this program is, and what to begin with."""
    return schema.About(
        name="imdb-chat",
        version=version(_PACKAGE),
        model=context.model,
        keep_days=context.settings.chat_keep_days,
        question_chars=schema.MAX_QUESTION_CHARS,
        examples=[schema.Example(kind=one.kind, text=one.text) for one in context.starters],
    )


@_ROUTES.post("/visitors", status_code=201)
async def new_visitor(context: Context, request: Request) -> schema.Visitor:
    """Become a visitor."""
    context.limits.admit_visitor(_read_address(request))
    return schema.Visitor(token=context.callers.new())


@_ROUTES.get("/conversations", responses=_OWN)
async def conversations(context: Context, visitor: CurrentVisitor) -> schema.Conversations:
    """The visitor's conversations, newest first."""
    found = await asyncio.to_thread(context.operations.store.list_conversations, visitor.name)
    return schema.Conversations(conversations=[schema.Conversation(**_to_summary(one)) for one in found])


@_ROUTES.post("/conversations", status_code=201, responses=_OWN | _SENT, dependencies=[Depends(_require_json)])
async def new_conversation(
    context: Context, visitor: CurrentVisitor, new: schema.NewConversation, response: Response
) -> schema.Conversation:
    """Begin a conversation."""
    stored = await asyncio.to_thread(context.operations.store.create_conversation, visitor.name, new.title)
    response.headers["Location"] = f"/api/conversations/{stored.id}"
    return schema.Conversation(**_to_summary(stored))


@_ROUTES.get("/conversations/{conversation}", responses=_FOUND)
async def conversation(context: Context, visitor: CurrentVisitor, conversation: str) -> schema.Whole:
    """All that was said in a conversation."""
    store = context.operations.store
    stored = await asyncio.to_thread(store.get_conversation, visitor.name, conversation)
    messages = await asyncio.to_thread(store.list_messages, stored)
    running = await context.operations.find_running(visitor, messages)
    return schema.Whole(
        **_to_summary(stored),
        messages=[_to_message(one) for one in messages],
        operation=schema.Operation(**running) if running is not None else None,
    )


@_ROUTES.delete("/conversations/{conversation}", status_code=204, responses=_FOUND)
async def delete_conversation(context: Context, visitor: CurrentVisitor, conversation: str) -> None:
    """Forget a conversation, and cancel what is answered in it."""
    store = context.operations.store
    stored = await asyncio.to_thread(store.get_conversation, visitor.name, conversation)
    await context.operations.cancel_conversation(stored)
    await asyncio.to_thread(store.delete_conversation, stored)


@_ROUTES.post(
    "/conversations/{conversation}/messages",
    status_code=202,
    responses=_FOUND | _SENT | document_errors(HTTPStatus.CONFLICT),
    dependencies=[Depends(_require_json)],
)
async def ask(
    context: Context,
    visitor: CurrentVisitor,
    conversation: str,
    asked: schema.Ask,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> schema.Operation:
    """Ask. The answer is an operation: follow its events, or ask for it at `Location` after `Retry-After` seconds."""
    operation = await context.operations.start_operation(
        visitor, conversation, AskRequest(asked.kind, asked.text), idempotency_key
    )
    return _to_operation(operation, response)


@_ROUTES.get("/operations/{operation}", responses=_FOUND)
async def operation(follower: Follower, operation: str, response: Response) -> schema.Operation:
    """How far an operation is, or how it ended. While it runs, asking for it counts towards no limit."""
    return _to_operation(await follower.context.operations.find_operation(follower.visitor, operation), response)


@_ROUTES.get("/operations/{operation}/events", response_class=EventSourceResponse, responses=_FOUND)
async def operation_events(follower: Follower, operation: FollowedOperation) -> AsyncIterator[ServerSentEvent]:
    """The same as it happens: `state` (an Operation) first and at the end, `change` (what is new) in between."""
    async for event in follower.context.operations.watch_operation(follower.visitor, operation):
        for name, data in event.items():
            yield ServerSentEvent(event=name, data=data)


@_ROUTES.delete("/operations/{operation}", status_code=202, responses=_FOUND)
async def cancel(context: Context, visitor: CurrentVisitor, operation: str, response: Response) -> schema.Operation:
    """Cancel an operation, down to the engine. It ends as failed, with the outcome `cancelled`."""
    return _to_operation(await context.operations.cancel_operation(visitor, operation), response)


@_ROUTES.get("/operations/{operation}/steps/{step}/table", response_class=Response, responses=FILE_RESPONSE | _FOUND)
async def table(
    context: Context,
    visitor: CurrentVisitor,
    operation: str,
    step: Annotated[int, Path(ge=0, le=_MOST_STEPS)],
    kind: Annotated[FileFormat, Query(alias="format")] = "csv",
) -> Response:
    """The returned rows of a step, counted from 0, as a file."""
    found = find_table(await context.operations.find_operation(visitor, operation), step)
    return await asyncio.to_thread(build_file, found, step, kind)


def _to_operation(found: Json, response: Response) -> schema.Operation:
    response.headers["Location"] = f"/api/operations/{found['id']}"
    if found["state"] in ("pending", "running"):
        response.headers["Retry-After"] = str(_POLL_SECONDS)
    return schema.Operation(**found)


def _to_summary(stored: StoredConversation) -> dict[str, Any]:
    return {"id": stored.id, "title": stored.title, "created": stored.created, "expires": stored.expires}


def _to_message(message: StoredMessage) -> schema.Message:
    details = message.details
    return schema.Message(
        role=message.role,
        text=message.text,
        kind=details["kind"],
        at=message.at,
        operation=details.get("operation"),
        result=details.get("result"),
    )
