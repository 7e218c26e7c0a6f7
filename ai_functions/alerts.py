"""Warnings that a budget is being used up: a log line, a counter of OpenTelemetry, and a webhook.

Counters go where an OpenTelemetry SDK (or `opentelemetry-instrument`) sends them, and nowhere without one.
The webhook is posted from a thread of its own, so that no query waits for it or fails with it.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from ai_functions.types import NANOS_PER_DOLLAR, dollars
from lakehouse.backoff import pause
from lakehouse.environment import proxy_to

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter

log = logging.getLogger(__name__)

Budget = Literal["query", "caller_hour", "caller_day", "day", "month"]

LEVELS = (50, 80, 100)
"""Percent of a budget at which an alert is sent."""

COUNTER = "imdb.ai.budget.alerts"

_ATTEMPTS = 3
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Alert:
    """`percent` of a budget is spent or reserved. `caller` is empty where the budget is everybody's.

    `period` is the hour, day or month (UTC) that it holds for. `nanos` may be less than 100 % of `limit` where the
    rest was too little for a query, which was refused.
    """

    budget: Budget
    caller: str
    period: str
    percent: int
    nanos: int
    limit: int

    def __str__(self) -> str:
        whose = f"caller {self.caller}" if self.caller else "all callers"
        return (
            f"AI budget {self.budget} of {whose}, {self.period}: {self.percent} % reached, "
            f"{dollars(self.nanos)} of {dollars(self.limit)} spent or reserved"
        )


class Alerts:
    """Sends alerts to the operator: log, counter, webhook. Safe for several threads."""

    def __init__(self, webhook: str | None = None) -> None:
        self._webhook = webhook
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        if webhook is not None:
            atexit.register(self.close)  # a batch may end right after the call that used a budget up

    def tell(self, alert: Alert) -> None:
        """Log, count and post an alert. Neither blocks nor raises."""
        log.warning("%s", alert)
        # Callers are as many as there are people, which is too many series for a counter.
        _get_counter().add(1, {"budget": alert.budget, "percent": alert.percent})
        if self._webhook is not None:
            thread = threading.Thread(target=self._post_alert, args=(self._webhook, alert), daemon=True)
            with self._lock:
                self._threads = [*(other for other in self._threads if other.is_alive()), thread]
                thread.start()

    def close(self, seconds: float = _TIMEOUT_SECONDS) -> None:
        """Wait up to `seconds` for posts that are under way."""
        until = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _post_alert(self, webhook: str, alert: Alert) -> None:
        failure = ""
        for attempt in range(_ATTEMPTS):
            failure = _post_once(webhook, alert)
            if not failure:
                return
            time.sleep(pause(attempt))
        log.warning("IMDB_AI_WEBHOOK was not told: %s. Check its URL and whether it can be reached.", failure)


@cache
def _get_counter() -> Counter:
    """The counter of this process. OpenTelemetry warns about a second one of the same name."""
    from opentelemetry import metrics

    meter = metrics.get_meter("imdb-lakehouse-mcp")
    return meter.create_counter(COUNTER, unit="{alert}", description="Levels of AI budgets that were reached.")


def _post_once(webhook: str, alert: Alert) -> str:
    """Post one alert and return the failure, or an empty text. The URL may hold a secret: it is never logged."""
    import httpx2

    body = {
        "text": str(alert),
        "budget": alert.budget,
        "caller": alert.caller or None,
        "period": alert.period,
        "percent": alert.percent,
        "dollars": alert.nanos / NANOS_PER_DOLLAR,
        "limit_dollars": alert.limit / NANOS_PER_DOLLAR,
    }
    try:
        timeout = {"timeout": httpx2.Timeout(_TIMEOUT_SECONDS).as_dict()}
        # Not through a client, which logs the address.
        proxy = proxy_to(httpx2.URL(webhook).host)
        with httpx2.HTTPTransport(proxy=proxy and httpx2.Proxy(proxy)) as transport:
            answer = transport.handle_request(httpx2.Request("POST", webhook, json=body, extensions=timeout))
            answer.close()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return type(error).__name__
    return "" if answer.is_success else f"it answered {answer.status_code}"
