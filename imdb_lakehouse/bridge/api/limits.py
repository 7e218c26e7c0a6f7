"""Rate limits for each visitor and address, and the size limit of a request."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imdb_lakehouse.bridge.settings import Settings
from lakehouse.errors import LakehouseError

MAX_BODY_BYTES = 200_000
"""Larger than the longest statement with every character escaped."""


class TooManyError(LakehouseError):
    """A rate limit is reached; the next request is admitted after `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class RequestLimits:
    """Rate limits in moving windows, in memory. Money, which must survive a restart, is counted by the ledger."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(settings.chat_requests_per_minute)
        self._visitors = RateLimitItemPerHour(settings.chat_visitors_per_hour)

    def admit_request(self, who: str) -> None:
        """Count a request of a visitor or an address. Raises TooManyError."""
        self._count_hit(self._requests, "request", who, "requests within a minute")

    def admit_visitor(self, address: str) -> None:
        """Count a new visitor of an address. Raises TooManyError."""
        self._count_hit(self._visitors, "visitor", address, "new visitors from this address within an hour")

    def _count_hit(self, item: RateLimitItem, kind: str, who: str, what: str) -> None:
        if self._limiter.hit(item, kind, who):
            return
        seconds = max(1, math.ceil(self._limiter.get_window_stats(item, kind, who).reset_time - time.time()))
        raise TooManyError(f"These are more than {item.amount} {what}. Ask again in {seconds} s.", seconds)


class BodyLimit:
    """ASGI middleware that rejects bodies above MAX_BODY_BYTES while reading them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY_BYTES:
                # FastAPI turns every other exception in reading a body into 400.
                raise HTTPException(413, f"A request may have {MAX_BODY_BYTES:,} bytes. Ask for less at once.")
            return message

        await self._app(scope, receive_counted, send)
