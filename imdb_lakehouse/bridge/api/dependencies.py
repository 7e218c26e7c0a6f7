"""What request handlers depend on: services, who asks, what a request has to be, and the errors that it may meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from imdb_lakehouse.bridge.answering import VisitorIdentity
from imdb_lakehouse.bridge.api.limits import RequestLimits
from imdb_lakehouse.bridge.api.problems import UnknownVisitorError, document_errors
from imdb_lakehouse.bridge.catalog import VisitorCatalog
from imdb_lakehouse.bridge.feedback import FeedbackService
from imdb_lakehouse.bridge.operations import OperationRunner
from imdb_lakehouse.bridge.settings import Settings
from imdb_lakehouse.bridge.starters import Starter
from imdb_lakehouse.bridge.store import StoredConversation
from lakehouse.callers import Callers


@dataclass(frozen=True)
class ApiContext:
    """Services that request handlers use."""

    settings: Settings
    callers: Callers
    limits: RequestLimits
    operations: OperationRunner
    catalog: VisitorCatalog
    feedback: FeedbackService
    model: str | None
    starters: tuple[Starter, ...] = ()


def _find_context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


def _get_context(request: Request) -> ApiContext:
    """Return the context, and count the request towards the limit of its address."""
    context = _find_context(request)
    context.limits.admit_request(f"address {read_address(request)}")
    return context


def read_address(request: Request) -> str:
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


def require_json(request: Request) -> None:
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

SENT = document_errors(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
OWN = document_errors(HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)
FOUND = OWN | document_errors(HTTPStatus.NOT_FOUND)
FOLLOWED = FOUND | document_errors(HTTPStatus.GONE)


def create_router() -> APIRouter:
    """Create a router of the API, whose routes all may meet the limits."""
    return APIRouter(
        prefix="/api", responses=document_errors(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNPROCESSABLE_ENTITY)
    )
