"""The REST API of `imdb-chat serve`: submit a question, ask how far it is, cancel it. /api/openapi.json describes it.

Visitors are anonymous: each has a token that this program signed, and sees its own conversations alone. What is
somebody else's is answered as if it were not there.
"""

from __future__ import annotations

from importlib.metadata import version
from urllib.parse import urlsplit

from fastapi import FastAPI, Request

from imdb_lakehouse.bridge.api import catalog, conversations, operations, page, problems, schema
from imdb_lakehouse.bridge.api.dependencies import ApiContext, Context, create_router, read_address
from imdb_lakehouse.bridge.api.guards import CorsGuard, DefectGuard, HostGuard
from imdb_lakehouse.bridge.api.limits import BodyLimit
from imdb_lakehouse.bridge.api.packing import AnswerPacker
from imdb_lakehouse.bridge.settings import Settings
from lakehouse.errors import UsageError

__all__ = ["LOOPBACK", "ApiContext", "create_app", "parse_origins"]

LOOPBACK = ("127.0.0.1", "localhost")
_PACKAGE = "imdb-lakehouse-mcp"

_ROUTES = create_router()


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
    routers = (_ROUTES, conversations.ROUTES, operations.ROUTES, catalog.ROUTES)
    for router in routers:
        app.include_router(router)
    app.router.routes.append(page.mount_page())
    problems.install_handlers(app, [route for router in routers for route in router.routes])
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
    context.limits.admit_visitor(read_address(request))
    return schema.Visitor(token=context.callers.new())
