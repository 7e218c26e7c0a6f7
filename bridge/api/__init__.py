"""The REST API of `imdb-chat serve`: submit a question, ask how far it is, cancel it. /api/openapi.json describes it.

Visitors are anonymous: each has a token that this program signed, and sees its own conversations alone. What is
somebody else's is answered as if it were not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
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
from bridge.api.problems import SharingOffError, UnknownVisitorError, document_errors
from bridge.api.tables import FILE_RESPONSE, build_file, find_table
from bridge.catalog import LakeCatalog
from bridge.feedback import FeedbackService
from bridge.operations import OperationRunner
from bridge.settings import Settings
from bridge.starters import Starter
from bridge.store import Feedback, NotFoundError, StoredConversation, StoredMessage
from bridge.views import Json
from lakehouse.callers import Callers
from lakehouse.errors import UsageError
from lakehouse.escaping import replace_controls
from lakehouse.result_files import FileFormat

LOOPBACK = ("127.0.0.1", "localhost")

_POLL_SECONDS = 1
_DAY_SECONDS = 86_400
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""Headers of a copy: a link that is taken back shows nothing more, and no search engine or other site learns of it."""
_CATALOG_SECONDS = 60
"""How long a browser may keep what the lake holds; a load publishes seldom."""
_MOST_STEPS = 10_000
_PACKAGE = "imdb-lakehouse-mcp"


@dataclass(frozen=True)
class ApiContext:
    """Services that request handlers use."""

    settings: Settings
    callers: Callers
    limits: RequestLimits
    operations: OperationRunner
    catalog: LakeCatalog
    feedback: FeedbackService
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
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match"],
        expose_headers=["Content-Disposition", "ETag", "Location", "Retry-After"],
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


async def _find_conversation(
    context: Context, visitor: Annotated[VisitorIdentity, Depends(_authenticate_visitor)], conversation: str
) -> StoredConversation:
    """Return a conversation of the visitor. Raises NotFoundError."""
    return await asyncio.to_thread(context.operations.store.get_conversation, visitor.name, conversation)


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
FoundConversation = Annotated[StoredConversation, Depends(_find_conversation)]
FollowedOperation = Annotated[str, Depends(_require_operation)]
Follower = Annotated[_Follower, Depends(_follow_operation)]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="the same key asks once, however often it is sent"),
]
IfMatch = Annotated[
    str | None, Header(max_length=200, description="change nothing unless the conversation still has this ETag")
]

TableName = Annotated[
    str, Path(min_length=1, max_length=512, description="as GET /api/tables lists it, percent-encoded")
]

_ROUTES = APIRouter(
    prefix="/api", responses=document_errors(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNPROCESSABLE_ENTITY)
)
_SENT = document_errors(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
_OWN = document_errors(HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)
_FOUND = _OWN | document_errors(HTTPStatus.NOT_FOUND)
_FOLLOWED = _FOUND | document_errors(HTTPStatus.GONE)


@_ROUTES.get("")
async def about(context: Context) -> schema.About:
    """What this program is, and what to begin with."""
    return schema.About(
        name="imdb-chat",
        version=version(_PACKAGE),
        model=context.model,
        keep_days=context.settings.chat_keep_days,
        share_days=context.settings.chat_share_days,
        question_chars=schema.MAX_QUESTION_CHARS,
        examples=[schema.Example(kind=one.kind, text=one.text) for one in context.starters],
    )


@_ROUTES.post("/visitors", status_code=201)
async def new_visitor(context: Context, request: Request) -> schema.Visitor:
    """Become a visitor."""
    context.limits.admit_visitor(_read_address(request))
    return schema.Visitor(token=context.callers.new())


@_ROUTES.get("/conversations", responses=_OWN)
async def conversations(
    context: Context,
    visitor: CurrentVisitor,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    after: Annotated[str | None, Query(pattern=r"^[0-9a-f.]{1,64}$", description="`next` of the page before")] = None,
    q: Annotated[str, Query(max_length=schema.MAX_TITLE_CHARS, description="a part of the title")] = "",
) -> schema.Conversations:
    """The visitor's conversations: pinned ones first, new before old. Those that begin meanwhile shift no page."""
    store = context.operations.store
    found = await asyncio.to_thread(store.list_conversations, visitor.name, limit, after=after, search=q)
    listed = [schema.Conversation(**_to_summary(one)) for one in found.conversations]
    return schema.Conversations(conversations=listed, next=found.after)


@_ROUTES.post("/conversations", status_code=201, responses=_OWN | _SENT, dependencies=[Depends(_require_json)])
async def new_conversation(
    context: Context, visitor: CurrentVisitor, new: schema.NewConversation, response: Response
) -> schema.Conversation:
    """Begin a conversation."""
    stored = await asyncio.to_thread(context.operations.store.create_conversation, visitor.name, new.title)
    response.headers["Location"] = f"/api/conversations/{stored.id}"
    return _to_conversation(stored, response)


@_ROUTES.get("/conversations/{conversation}", responses=_FOUND)
async def conversation(
    context: Context, visitor: CurrentVisitor, conversation: FoundConversation, response: Response
) -> schema.Whole:
    """All that was said in a conversation."""
    store = context.operations.store
    messages = await asyncio.to_thread(store.list_messages, conversation)
    feedback = await asyncio.to_thread(store.list_feedback, conversation)
    running = await context.operations.find_running(visitor, messages)
    shared = await asyncio.to_thread(store.find_share, conversation) if context.settings.chat_share_days else None
    response.headers["ETag"] = conversation.etag
    return schema.Whole(
        **_to_summary(conversation),
        messages=[_to_message(one, feedback) for one in messages],
        operation=schema.Operation(**running) if running is not None else None,
        share=schema.Share(created=shared.created, expires=shared.expires) if shared is not None else None,
    )


@_ROUTES.patch(
    "/conversations/{conversation}",
    responses=_FOUND | document_errors(HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED),
)
async def change_conversation(
    context: Context,
    visitor: CurrentVisitor,
    conversation: str,
    change: schema.ConversationChange,
    response: Response,
    if_match: IfMatch = None,
) -> schema.Conversation:
    """Rename a conversation, pin it, or both. Without If-Match, changes at once are all made, one by one."""
    stored = await asyncio.to_thread(
        context.operations.store.change_conversation,
        visitor.name,
        conversation,
        title=change.title,
        pinned=change.pinned,
        etag=None if if_match == "*" else if_match,
    )
    return _to_conversation(stored, response)


@_ROUTES.delete("/conversations/{conversation}", status_code=204, responses=_FOUND)
async def delete_conversation(context: Context, conversation: FoundConversation) -> None:
    """Forget a conversation, and cancel what is answered in it."""
    await context.operations.cancel_conversation(conversation)
    await asyncio.to_thread(context.operations.store.delete_conversation, conversation)


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
        visitor, conversation, AskRequest(asked.kind, asked.text, asked.again), idempotency_key
    )
    return _to_operation(operation, response)


@_ROUTES.get("/operations/{operation}", responses=_FOLLOWED)
async def operation(follower: Follower, operation: str, response: Response) -> schema.Operation:
    """How far an operation is, or how it ended. While it runs, asking for it counts towards no limit."""
    return _to_operation(await follower.context.operations.find_operation(follower.visitor, operation), response)


@_ROUTES.get("/operations/{operation}/events", response_class=EventSourceResponse, responses=_FOLLOWED)
async def operation_events(follower: Follower, operation: FollowedOperation) -> AsyncIterator[ServerSentEvent]:
    """The same as it happens: `state` (an Operation) first and at the end, `change` (what is new) in between."""
    async for event in follower.context.operations.watch_operation(follower.visitor, operation):
        for name, data in event.items():
            yield ServerSentEvent(event=name, data=data)


@_ROUTES.delete("/operations/{operation}", status_code=202, responses=_FOLLOWED)
async def cancel(context: Context, visitor: CurrentVisitor, operation: str, response: Response) -> schema.Operation:
    """Cancel an operation, down to the engine. It ends as failed, with the outcome `cancelled`."""
    return _to_operation(await context.operations.cancel_operation(visitor, operation), response)


@_ROUTES.put(
    "/operations/{operation}/feedback",
    responses=_FOUND | document_errors(HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE),
)
async def rate(context: Context, visitor: CurrentVisitor, operation: str, feedback: schema.Feedback) -> schema.Feedback:
    """Rate the answer of an operation, in place of an earlier rating. It is kept without the visitor's name."""
    said = Feedback(feedback.verdict, replace_controls(feedback.comment))
    await asyncio.to_thread(context.feedback.put_feedback, visitor, operation, said)
    return schema.Feedback(verdict=said.verdict, comment=said.comment)


@_ROUTES.delete(
    "/operations/{operation}/feedback", status_code=204, responses=_FOUND | document_errors(HTTPStatus.CONFLICT)
)
async def unrate(context: Context, visitor: CurrentVisitor, operation: str) -> None:
    """Withdraw what was said of an answer."""
    await asyncio.to_thread(context.feedback.remove_feedback, visitor, operation)


@_ROUTES.post(
    "/conversations/{conversation}/share",
    status_code=201,
    responses=_FOUND | document_errors(HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT),
)
async def share(context: Context, conversation: FoundConversation, request: Request) -> schema.NewShare:
    """Make a link to a copy of a conversation as it is now. It replaces the link before."""
    if not (days := context.settings.chat_share_days):
        raise SharingOffError("Nothing is shared by link here. Whoever runs this can set IMDB_CHAT_SHARE_DAYS.")
    store = context.operations.store
    made, token = await asyncio.to_thread(store.share_conversation, conversation, days * _DAY_SECONDS)
    # The token is in the fragment, which browsers send to no server: it reaches no log of the page's requests.
    url = f"{request.base_url}#s/{token}"
    return schema.NewShare(created=made.created, expires=made.expires, token=token, url=url)


@_ROUTES.delete("/conversations/{conversation}/share", status_code=204, responses=_FOUND)
async def stop_sharing(context: Context, conversation: FoundConversation) -> None:
    """Take back the link of a conversation. Without one, nothing happens."""
    await asyncio.to_thread(context.operations.store.revoke_share, conversation)


@_ROUTES.get("/shared/{token}", responses=document_errors(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE))
async def shared(context: Context, token: str, response: Response) -> schema.SharedConversation:
    """A copy of a conversation, for whoever has its link."""
    if not context.settings.chat_share_days:
        raise NotFoundError("Nothing is shared by link here.")
    found, messages = await asyncio.to_thread(context.operations.store.get_shared, token)
    response.headers.update(_PRIVATE)
    return schema.SharedConversation(
        title=found.title,
        created=found.created,
        expires=found.expires,
        messages=[_without_ids(_to_message(one, {})) for one in messages],
    )


@_ROUTES.get("/tables", responses=_OWN)
async def tables(context: Context, visitor: CurrentVisitor, response: Response) -> schema.LakeTables:
    """The tables and views of the lake. A browser may keep the answer for a minute."""
    return schema.LakeTables(**_keep_briefly(await context.catalog.list_tables(visitor), response))


@_ROUTES.get("/tables/{name:path}", responses=_FOUND)
async def table(context: Context, visitor: CurrentVisitor, name: TableName, response: Response) -> schema.LakeColumns:
    """The columns of a table or view. A browser may keep the answer for a minute."""
    return schema.LakeColumns(**_keep_briefly(await context.catalog.describe_table(visitor, name), response))


@_ROUTES.get("/samples/{name:path}", responses=_FOUND)
async def sample(context: Context, visitor: CurrentVisitor, name: TableName, response: Response) -> schema.TableView:
    """A few rows of a table or view, read by a statement. A browser may keep the answer for a minute."""
    return schema.TableView(**_keep_briefly(await context.catalog.read_sample(visitor, name), response))


@_ROUTES.get("/functions", responses=_OWN)
async def functions(context: Context, _visitor: CurrentVisitor, response: Response) -> schema.LakeFunctions:
    """The functions that a statement may call. A browser may keep the answer for a minute."""
    return schema.LakeFunctions(functions=_keep_briefly(await context.catalog.list_functions(), response))


def _keep_briefly(found: Json, response: Response) -> Json:
    """Let the visitor's browser keep an answer, which is nobody else's."""
    response.headers["Cache-Control"] = f"private, max-age={_CATALOG_SECONDS}"
    response.headers["Vary"] = "Authorization"
    return found


@_ROUTES.get("/operations/{operation}/steps/{step}/table", response_class=Response, responses=FILE_RESPONSE | _FOUND)
async def table_file(
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


def _to_conversation(stored: StoredConversation, response: Response) -> schema.Conversation:
    response.headers["ETag"] = stored.etag
    return schema.Conversation(**_to_summary(stored))


def _to_summary(stored: StoredConversation) -> dict[str, Any]:
    return {
        "id": stored.id,
        "title": stored.title,
        "created": stored.created,
        "expires": stored.expires,
        "pinned": stored.pinned,
        "etag": stored.etag,
    }


def _to_message(message: StoredMessage, feedback: Mapping[str, Feedback]) -> schema.Message:
    details, result = message.details, message.details.get("result")
    operation = details.get("operation")
    said = feedback.get(operation) if operation is not None and result is not None else None
    return schema.Message(
        role=message.role,
        text=message.text,
        kind=details["kind"],
        at=message.at,
        operation=operation,
        result=result,
        feedback=None if said is None else schema.Feedback(verdict=said.verdict, comment=said.comment),
    )


def _without_ids(message: schema.Message) -> schema.Message:
    """Leave out the ids of the operation, and those by which the server's audit names the visitor who asked."""
    message.operation = None
    for step in message.result.steps if message.result else ():
        if step.table is not None:
            step.table.query_id = ""
    return message
