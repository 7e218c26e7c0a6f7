"""Routes of operations: asked, followed, cancelled, rated, and their tables as files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from imdb_lakehouse.bridge.answering import AskRequest
from imdb_lakehouse.bridge.api import schema
from imdb_lakehouse.bridge.api.dependencies import (
    FOLLOWED,
    FOUND,
    SENT,
    Context,
    CurrentVisitor,
    FollowedOperation,
    Follower,
    IdempotencyKey,
    create_router,
    require_json,
)
from imdb_lakehouse.bridge.api.problems import document_errors
from imdb_lakehouse.bridge.api.tables import FILE_RESPONSE, build_file, find_table
from imdb_lakehouse.bridge.store import StoredFeedback
from imdb_lakehouse.bridge.views import Json
from lakehouse.escaping import replace_controls
from lakehouse.result_files import FileFormat

_POLL_SECONDS = 1
_MOST_STEPS = 10_000

ROUTES = create_router()


@ROUTES.post(
    "/conversations/{conversation}/messages",
    status_code=202,
    responses=FOUND | SENT | document_errors(HTTPStatus.CONFLICT),
    dependencies=[Depends(require_json)],
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


@ROUTES.get("/operations/{operation}", responses=FOLLOWED)
async def operation(follower: Follower, operation: str, response: Response) -> schema.Operation:
    """How far an operation is, or how it ended. While it runs, asking for it counts towards no limit."""
    return _to_operation(await follower.context.operations.find_operation(follower.visitor, operation), response)


@ROUTES.get("/operations/{operation}/events", response_class=EventSourceResponse, responses=FOLLOWED)
async def operation_events(follower: Follower, operation: FollowedOperation) -> AsyncIterator[ServerSentEvent]:
    """The same as it happens: `state` (an Operation) first and at the end, `change` (what is new) in between."""
    async for event in follower.context.operations.watch_operation(follower.visitor, operation):
        for name, data in event.items():
            yield ServerSentEvent(event=name, data=data)


@ROUTES.delete("/operations/{operation}", status_code=202, responses=FOLLOWED)
async def cancel(context: Context, visitor: CurrentVisitor, operation: str, response: Response) -> schema.Operation:
    """Cancel an operation, down to the engine. It ends as failed, with the outcome `cancelled`."""
    return _to_operation(await context.operations.cancel_operation(visitor, operation), response)


@ROUTES.put(
    "/operations/{operation}/feedback",
    responses=FOUND | SENT | document_errors(HTTPStatus.CONFLICT, HTTPStatus.INSUFFICIENT_STORAGE),
    dependencies=[Depends(require_json)],
)
async def rate(context: Context, visitor: CurrentVisitor, operation: str, feedback: schema.Feedback) -> schema.Feedback:
    """Rate the answer of an operation, in place of an earlier rating. It is kept without the visitor's name."""
    said = StoredFeedback(feedback.verdict, replace_controls(feedback.comment))
    await asyncio.to_thread(context.feedback.put_feedback, visitor, operation, said)
    return schema.Feedback(verdict=said.verdict, comment=said.comment)


@ROUTES.delete(
    "/operations/{operation}/feedback", status_code=204, responses=FOUND | document_errors(HTTPStatus.CONFLICT)
)
async def unrate(context: Context, visitor: CurrentVisitor, operation: str) -> None:
    """Withdraw what was said of an answer."""
    await asyncio.to_thread(context.feedback.remove_feedback, visitor, operation)


@ROUTES.get("/operations/{operation}/steps/{step}/table", response_class=Response, responses=FILE_RESPONSE | FOUND)
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
