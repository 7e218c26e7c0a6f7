"""Routes of conversations: listed, begun, read, renamed, pinned, deleted, and shared as a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from imdb_lakehouse.bridge.api import schema
from imdb_lakehouse.bridge.api.dependencies import (
    FOUND,
    OWN,
    SENT,
    Context,
    CurrentVisitor,
    FoundConversation,
    IfMatch,
    create_router,
    require_json,
)
from imdb_lakehouse.bridge.api.problems import SharingOffError, document_errors
from imdb_lakehouse.bridge.store import NotFoundError, StoredConversation, StoredFeedback, StoredMessage

_DAY_SECONDS = 86_400
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""Headers of a copy: a link that is taken back shows nothing more, and no search engine or other site learns of it."""

ROUTES = create_router()


@ROUTES.get("/conversations", responses=OWN)
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


@ROUTES.post("/conversations", status_code=201, responses=OWN | SENT, dependencies=[Depends(require_json)])
async def new_conversation(
    context: Context, visitor: CurrentVisitor, new: schema.NewConversation, response: Response
) -> schema.Conversation:
    """Begin a conversation."""
    stored = await asyncio.to_thread(context.operations.store.create_conversation, visitor.name, new.title)
    response.headers["Location"] = f"/api/conversations/{stored.id}"
    return _to_conversation(stored, response)


@ROUTES.get("/conversations/{conversation}", responses=FOUND)
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


@ROUTES.patch(
    "/conversations/{conversation}",
    responses=FOUND | SENT | document_errors(HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED),
    dependencies=[Depends(require_json)],
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


@ROUTES.delete("/conversations/{conversation}", status_code=204, responses=FOUND)
async def delete_conversation(context: Context, conversation: FoundConversation) -> None:
    """Forget a conversation, and cancel what is answered in it."""
    await context.operations.cancel_conversation(conversation)
    await asyncio.to_thread(context.operations.store.delete_conversation, conversation)


@ROUTES.post(
    "/conversations/{conversation}/share",
    status_code=201,
    responses=FOUND | document_errors(HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT),
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


@ROUTES.delete("/conversations/{conversation}/share", status_code=204, responses=FOUND)
async def stop_sharing(context: Context, conversation: FoundConversation) -> None:
    """Take back the link of a conversation. Without one, nothing happens."""
    await asyncio.to_thread(context.operations.store.revoke_share, conversation)


@ROUTES.get("/shared/{token}", responses=document_errors(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE))
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


def _to_message(message: StoredMessage, feedback: Mapping[str, StoredFeedback]) -> schema.Message:
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
