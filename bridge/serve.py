"""`imdb-chat serve`: an MCP server, the bridge, its REST API and the page, all started and ended together."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn

from ai_functions.alerts import Alerts
from ai_functions.ledger import Ledger
from ai_functions.ledger import Limits as Budgets
from ai_functions.types import AiUnavailable
from bridge.answering import Answerer
from bridge.api import Desk, create_app
from bridge.api.limits import RequestLimits
from bridge.client import Lakehouse, own_server
from bridge.model import ChatModel, open_model
from bridge.operations import Operations, Share
from bridge.settings import Settings
from bridge.store import open_store
from bridge.turn import Limits
from lakehouse.callers import Callers, kept_key
from lakehouse.listening import listen, outlive_signals, server_options
from lakehouse.program import tell

_HOST = "127.0.0.1"
_GRACE_SECONDS = 3


def serve(settings: Settings, flags: Sequence[str], port: int) -> None:
    """Serve on loopback until a signal comes. `flags` are those of the MCP server that is started.

    Raises UsageError, PortError, and what keeps the server or the store from starting.
    """
    listener = listen(_HOST, port)
    outlive_signals()
    asyncio.run(_run(settings, flags, listener))


async def _run(settings: Settings, flags: Sequence[str], listener: socket.socket) -> None:
    async with _desk(settings, flags) as desk:
        config = uvicorn.Config(
            create_app(desk),
            proxy_headers=settings.chat_proxy is not None,
            forwarded_allow_ips=settings.chat_proxy or "",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            **server_options(),
        )
        print(f"Serving on http://{_HOST}:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])


@asynccontextmanager
async def _desk(settings: Settings, flags: Sequence[str]) -> AsyncIterator[Desk]:
    """Everything that requests need, opened in order and ended in the reverse one."""
    key = settings.caller_key.get_secret_value() if settings.caller_key else kept_key(settings.state)
    vouches = settings.chat_server is None or settings.caller_key is not None
    async with AsyncExitStack() as ends:
        store = await asyncio.to_thread(open_store, settings)
        ends.callback(store.close)
        lakehouse = await ends.enter_async_context(Lakehouse(own_server(settings, *flags, caller_key=key)))
        budgets = Budgets.of_chat(settings, settings.chat_budget, settings.chat_questions_per_hour)
        ledger = Ledger(settings.state, budgets, tell=Alerts(_webhook(settings)).tell)
        ends.callback(ledger.close)
        if (model := _model(settings)) is not None:
            ends.callback(model.close)
        answerer = Answerer(lakehouse, model, Limits.of(settings), ledger, vouches=vouches)
        share = Share(settings.chat_running_per_visitor, settings.chat_running)
        operations = Operations(store, answerer, share)
        ends.push_async_callback(operations.close)
        yield Desk(settings, Callers(key), RequestLimits(settings), operations, model.name if model else None)


def _model(settings: Settings) -> ChatModel | None:
    """The model that plans, None where none is set up: then only SQL is answered, and it is said."""
    try:
        return open_model(settings)
    except AiUnavailable as error:
        tell(f"Only SQL is answered. {error}")
        return None


def _webhook(settings: Settings) -> str | None:
    return settings.ai_webhook.get_secret_value() if settings.ai_webhook else None
