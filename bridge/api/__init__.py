"""The REST API of `imdb-chat serve`: submit a question, ask how far it is, cancel it. /api/openapi.json describes it.

Visitors are anonymous: each has a token that this program signed, and sees its own conversations alone. What is
somebody else's is answered as if it were not there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

import prompts
from bridge.answering import Request as Asked
from bridge.answering import Visitor
from bridge.api import page, problems, schema
from bridge.api.limits import BodyLimit, RequestLimits
from bridge.api.problems import UnknownVisitorError, documented
from bridge.operations import Operations
from bridge.settings import Settings
from bridge.store import Conversation as Kept
from bridge.store import Message
from bridge.views import Json
from lakehouse.callers import Callers
from lakehouse.errors import UsageError

EXAMPLES = "chat_examples"
LOOPBACK = ("127.0.0.1", "localhost")

_POLL_SECONDS = 1
_PACKAGE = "imdb-lakehouse-mcp"


@dataclass(frozen=True)
class Desk:
    """What requests are answered with."""

    settings: Settings
    callers: Callers
    limits: RequestLimits
    operations: Operations
    model: str | None


def create_app(desk: Desk) -> FastAPI:
    """The application. Raises UsageError for origins that are none."""
    settings = desk.settings
    app = FastAPI(
        title="imdb-chat",
        version=version(_PACKAGE),
        description=__doc__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.desk = desk
    app.include_router(_ROUTES)
    app.router.routes.append(page.mount())
    problems.install(app, _ROUTES.routes)
    app.add_middleware(BodyLimit)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins(settings),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
        expose_headers=["Location", "Retry-After"],
    )
    # A web page may reach loopback through a name that it controls: only these names are answered.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, *_listed(settings.chat_hosts)])
    return app


def origins(settings: Settings) -> list[str]:
    """Where pages lie that may ask, besides this program's own. Raises UsageError for what is no origin."""
    found = _listed(settings.chat_origins)
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
            raise UsageError(
                f"IMDB_CHAT_ORIGINS has {origin!r}, which is no origin: one looks like https://chat.example.org, "
                "without a path."
            )
    return found


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _desk(request: Request) -> Desk:
    """Every request counts towards its address."""
    desk: Desk = request.app.state.desk
    desk.limits.request(f"address {_address(request)}")
    return desk


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


AtDesk = Annotated[Desk, Depends(_desk)]
_BEARER = HTTPBearer(auto_error=False, description="the token of POST /api/visitors")


def _visitor(desk: AtDesk, proof: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> Visitor:
    """Whose request that is. It counts towards that visitor too."""
    name = desk.callers.name(proof.credentials) if proof is not None else None
    if proof is None or name is None:
        raise UnknownVisitorError(
            "Nobody is known by that token. POST /api/visitors gives one; send it as Authorization: Bearer <token>."
        )
    desk.limits.request(name)
    return Visitor(name, proof.credentials)


Asking = Annotated[Visitor, Depends(_visitor)]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="the same key asks once, however often it is sent"),
]

_ROUTES = APIRouter(prefix="/api", responses=documented(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNPROCESSABLE_ENTITY))
_OWN = documented(HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)
_FOUND = _OWN | documented(HTTPStatus.NOT_FOUND)


@_ROUTES.get("")
async def about(desk: AtDesk) -> schema.About:
    """What this program is, and what to begin with."""
    return schema.About(
        name="imdb-chat",
        version=version(_PACKAGE),
        model=desk.model,
        keep_days=desk.settings.chat_keep_days,
        question_chars=schema.MOST_QUESTION_CHARS,
        examples=[_example(line) for line in prompts.read(EXAMPLES).text.splitlines()],
    )


@_ROUTES.post("/visitors", status_code=201)
async def new_visitor(desk: AtDesk, request: Request) -> schema.Visitor:
    """Become a visitor."""
    desk.limits.visitor(_address(request))
    return schema.Visitor(token=desk.callers.new())


@_ROUTES.get("/conversations", responses=_OWN)
async def conversations(desk: AtDesk, visitor: Asking) -> schema.Conversations:
    """The visitor's conversations, newest first."""
    found = await asyncio.to_thread(desk.operations.store.conversations, visitor.name)
    return schema.Conversations(conversations=[schema.Conversation(**_head(one)) for one in found])


@_ROUTES.post("/conversations", status_code=201, responses=_OWN)
async def new_conversation(
    desk: AtDesk, visitor: Asking, new: schema.NewConversation, response: Response
) -> schema.Conversation:
    """Begin a conversation."""
    kept = await asyncio.to_thread(desk.operations.store.start, visitor.name, new.title)
    response.headers["Location"] = f"/api/conversations/{kept.id}"
    return schema.Conversation(**_head(kept))


@_ROUTES.get("/conversations/{conversation}", responses=_FOUND)
async def conversation(desk: AtDesk, visitor: Asking, conversation: str) -> schema.Whole:
    """All that was said in a conversation."""
    store = desk.operations.store
    kept = await asyncio.to_thread(store.conversation, visitor.name, conversation)
    said = await asyncio.to_thread(store.messages, kept)
    running = await desk.operations.running(visitor, said)
    return schema.Whole(
        **_head(kept),
        messages=[_message(one) for one in said],
        operation=schema.Operation(**running) if running is not None else None,
    )


@_ROUTES.delete("/conversations/{conversation}", status_code=204, responses=_FOUND)
async def delete_conversation(desk: AtDesk, visitor: Asking, conversation: str) -> None:
    """Forget a conversation, and cancel what is answered in it."""
    store = desk.operations.store
    kept = await asyncio.to_thread(store.conversation, visitor.name, conversation)
    await desk.operations.cancel_conversation(kept)
    await asyncio.to_thread(store.delete, kept)


@_ROUTES.post(
    "/conversations/{conversation}/messages",
    status_code=202,
    responses=_FOUND | documented(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)
async def ask(
    desk: AtDesk,
    visitor: Asking,
    conversation: str,
    asked: schema.Ask,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> schema.Operation:
    """Ask. The answer is an operation: ask again for it, at `Location`, after `Retry-After` seconds."""
    operation = await desk.operations.begin(visitor, conversation, Asked(asked.kind, asked.text), idempotency_key)
    return _operation(operation, response)


@_ROUTES.get("/operations/{operation}", responses=_FOUND)
async def operation(desk: AtDesk, visitor: Asking, operation: str, response: Response) -> schema.Operation:
    """How far an operation is, or how it ended."""
    return _operation(await desk.operations.find(visitor, operation), response)


@_ROUTES.delete("/operations/{operation}", status_code=202, responses=_FOUND)
async def cancel(desk: AtDesk, visitor: Asking, operation: str, response: Response) -> schema.Operation:
    """Cancel an operation, down to the engine. It ends as failed, with the outcome `cancelled`."""
    return _operation(await desk.operations.cancel(visitor, operation), response)


def _operation(found: Json, response: Response) -> schema.Operation:
    response.headers["Location"] = f"/api/operations/{found['id']}"
    if found["state"] in ("pending", "running"):
        response.headers["Retry-After"] = str(_POLL_SECONDS)
    return schema.Operation(**found)


def _example(line: str) -> schema.Example:
    kind, _, text = line.partition(": ")
    return schema.Example.model_validate({"kind": kind, "text": text})


def _head(kept: Kept) -> dict[str, Any]:
    return {"id": kept.id, "title": kept.title, "created": kept.created, "expires": kept.expires}


def _message(said: Message) -> schema.Message:
    details = said.details
    return schema.Message(
        role=said.role, text=said.text, kind=details["kind"], at=said.at, result=details.get("result")
    )
