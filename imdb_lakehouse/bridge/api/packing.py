"""Compresses the API's answers. Files of the page are compressed once for all requests (`page`)."""

from __future__ import annotations

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from lakehouse.result_files import MEDIA_TYPES

LEAST_PACKED_BYTES = 1_000
"""A smaller answer fits one packet anyhow."""

_LEVEL = 5
"""Of 100 rows in JSON level 9 saves a hundredth more and takes six times as long."""
_NEVER_PACKED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, MEDIA_TYPES["parquet"])
"""What is compressed already, and server-sent events (Starlette's default), of which each would wait for the next."""


class AnswerPacker(GZipMiddleware):
    """Compresses what is at least LEAST_PACKED_BYTES long, in a thread where it is long.

    A visitor's token comes in a header, which no page of somebody else can send, so that nobody can have answers made
    for a visitor and learn from their length.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, LEAST_PACKED_BYTES, _LEVEL, exclude_content_types=_NEVER_PACKED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; files of the page pass as they are."""
        is_answer = scope["type"] == "http" and f"{scope['path']}/".startswith("/api/")
        await (super().__call__ if is_answer else self.app)(scope, receive, send)
