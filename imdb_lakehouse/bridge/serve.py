"""`imdb-chat serve`: MCP server, bridge, REST API and page, started and stopped together."""

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
from imdb_lakehouse.bridge.answering import Answerer
from imdb_lakehouse.bridge.api import ApiContext, create_app
from imdb_lakehouse.bridge.api.limits import RequestLimits
from imdb_lakehouse.bridge.catalog import VisitorCatalog
from imdb_lakehouse.bridge.client import Lakehouse, resolve_server
from imdb_lakehouse.bridge.feedback import CaseFile, FeedbackService
from imdb_lakehouse.bridge.follow_ups import VerifiedQuestions
from imdb_lakehouse.bridge.model import ChatModel, open_model
from imdb_lakehouse.bridge.operations import ConcurrencyLimits, OperationRunner
from imdb_lakehouse.bridge.settings import Settings
from imdb_lakehouse.bridge.starters import choose_starters, find_own_lake, read_verified_queries
from imdb_lakehouse.bridge.store import open_store
from imdb_lakehouse.bridge.turn import TurnLimits
from lakehouse.callers import Callers, kept_key
from lakehouse.listening import listen, outlive_signals, server_options
from lakehouse.program import tell

_HOST = "127.0.0.1"
_GRACE_SECONDS = 3


def serve_chat(settings: Settings, flags: Sequence[str], port: int) -> None:
    """Serve on loopback until a signal arrives. `flags` are passed to the MCP server that is started.

    Raises UsageError, PortError, and the errors of starting the server or the store.
    """
    listener = listen(_HOST, port)
    outlive_signals()
    tell("Starting the lakehouse server; the page is there in some seconds.")
    asyncio.run(_serve_app(settings, flags, listener))


async def _serve_app(settings: Settings, flags: Sequence[str], listener: socket.socket) -> None:
    async with _open_context(settings, flags) as context:
        config = uvicorn.Config(
            create_app(context),
            proxy_headers=settings.chat_proxy is not None,
            forwarded_allow_ips=settings.chat_proxy or "",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            **server_options(),
        )
        print(f"Serving on http://{_HOST}:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])


@asynccontextmanager
async def _open_context(settings: Settings, flags: Sequence[str]) -> AsyncIterator[ApiContext]:
    """Open everything that requests need, and close it in reverse order."""
    key = settings.caller_key.get_secret_value() if settings.caller_key else kept_key(settings.state)
    vouches = settings.chat_server is None or settings.caller_key is not None
    async with AsyncExitStack() as ends:
        store = await asyncio.to_thread(open_store, settings)
        ends.callback(store.close)
        lakehouse = await ends.enter_async_context(Lakehouse(resolve_server(settings, *flags, caller_key=key)))
        ledger = Ledger(
            settings.state,
            Budgets.of_chat(settings, settings.chat_budget, settings.chat_questions_per_hour),
            tell=Alerts(_read_webhook(settings)).tell,
        )
        ends.callback(ledger.close)
        if (model := _open_model(settings)) is not None:
            ends.callback(model.close)
        queries = await asyncio.to_thread(read_verified_queries, settings)
        limits, verified = TurnLimits.from_settings(settings), VerifiedQuestions(queries)
        answerer = Answerer(lakehouse, model, limits, ledger, verified, vouches=vouches)
        share = ConcurrencyLimits(settings.chat_running_per_visitor, settings.chat_running, settings.chat_waiting)
        operations = OperationRunner(store, answerer, share)
        ends.push_async_callback(operations.close)
        name = model.name if model else None
        catalog = VisitorCatalog(lakehouse, vouches=vouches)
        feedback = FeedbackService(store, CaseFile(settings.state), name, find_own_lake(settings))
        starters = choose_starters(queries)
        yield ApiContext(settings, Callers(key), RequestLimits(settings), operations, catalog, feedback, name, starters)


def _open_model(settings: Settings) -> ChatModel | None:
    """Open the model, or report that only SQL is answered and return None."""
    try:
        return open_model(settings)
    except AiUnavailable as error:
        tell(f"Only SQL is answered. {error}")
        return None


def _read_webhook(settings: Settings) -> str | None:
    return settings.ai_webhook.get_secret_value() if settings.ai_webhook else None
