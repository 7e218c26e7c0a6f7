"""How much one visitor, and one address, may ask of this process; and how large a request may be."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.settings import Settings
from lakehouse.errors import LakehouseError

MOST_BODY_BYTES = 200_000
"""More than the longest statement, each of its characters escaped."""


class TooManyError(LakehouseError):
    """A limit on requests is reached; the next is let in after `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class RequestLimits:
    """Counts in moving windows, in the memory of this process: what must outlive it, money, is in the ledger."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(settings.chat_requests_per_minute)
        self._visitors = RateLimitItemPerHour(settings.chat_visitors_per_hour)

    def request(self, who: str) -> None:
        """Let a request of a visitor or an address in. Raises TooManyError."""
        self._hit(self._requests, "request", who, "requests within a minute")

    def visitor(self, address: str) -> None:
        """Let a new visitor in. Raises TooManyError."""
        self._hit(self._visitors, "visitor", address, "new visitors from this address within an hour")

    def _hit(self, item: RateLimitItem, kind: str, who: str, what: str) -> None:
        if self._limiter.hit(item, kind, who):
            return
        seconds = max(1, math.ceil(self._limiter.get_window_stats(item, kind, who).reset_time - time.time()))
        raise TooManyError(f"These are more than {item.amount} {what}. Ask again in {seconds} s.", seconds)


class BodyLimit:
    """Reads no more of a request than it may have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BODY_BYTES:
                # The one kind of exception that FastAPI lets through where it reads a body.
                raise HTTPException(413, f"A request may have {MOST_BODY_BYTES:,} bytes. Ask for less at once.")
            return message

        await self._app(scope, counted, send)
