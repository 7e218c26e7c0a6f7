"""Who is told when a budget is being used up, and what happens where nobody listens."""

from __future__ import annotations

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ai_functions.alerts import Alert, Alerts
from ai_functions.ledger import Ledger, Limits
from ai_functions.types import BudgetExceeded, Spender

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
NO_LIMITS = Limits(None, None, None, None, None, None)
ALERT = Alert("month", "", "2026-11", 80, 80_000_000_000, 100_000_000_000)


def ledger(folder: Path, told: list[Alert], **given: int) -> Ledger:
    return Ledger(folder, replace(NO_LIMITS, **given), clock=lambda: NOON, tell=told.append)


def spend(ledger: Ledger, nanos: int, caller: str = "ann") -> None:
    (number,) = ledger.reserve(Spender(caller, "q"), [nanos])
    ledger.settle(number, nanos)


def test_each_level_is_told_once_by_whichever_process_reaches_it(tmp_path: Path) -> None:
    told: list[Alert] = []
    one, other = (ledger(tmp_path, told, month=100) for _ in range(2))

    spend(one, 49)
    assert told == []
    spend(other, 1)
    spend(one, 1)
    spend(one, 35)
    spend(other, 14)

    assert told == [
        Alert("month", "", "2026-11", percent, nanos, 100) for percent, nanos in [(50, 50), (80, 86), (100, 100)]
    ]


def test_levels_that_are_passed_at_once_are_one_alert(tmp_path: Path) -> None:
    told: list[Alert] = []
    spend(ledger(tmp_path, told, caller_day=100), 90)

    assert [(alert.caller, alert.percent) for alert in told] == [("ann", 80)]


def test_a_refusal_for_want_of_the_rest_is_told_as_the_end_of_the_budget_and_one_of_too_much_is_not(
    tmp_path: Path,
) -> None:
    told: list[Alert] = []
    spending = ledger(tmp_path, told, day=100)
    spend(spending, 40)

    with pytest.raises(BudgetExceeded):
        spend(spending, 101)
    assert told == []
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            spend(spending, 70)
    assert [(alert.percent, alert.nanos) for alert in told] == [(100, 40)]


def test_each_alert_is_counted_for_whoever_collects_counters(tmp_path: Path) -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))  # takes counters that were made before too
    spending = Ledger(tmp_path, replace(NO_LIMITS, day=100, month=120), clock=lambda: NOON, tell=Alerts().tell)
    spend(spending, 60)
    spend(spending, 22)

    data = reader.get_metrics_data()
    assert data is not None
    (counter,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert counter.name == "imdb.ai.budget.alerts"
    assert {tuple((point.attributes or {}).values()): point.value for point in counter.data.data_points} == {
        ("day", 50): 1, ("day", 80): 1, ("month", 50): 1
    }  # fmt: skip


@contextmanager
def listening(*answers: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook that answers in turn with these codes, and what it was told."""
    told: list[dict[str, Any]] = []
    codes = iter(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(next(codes))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook/s3cret", told
        server.shutdown()
        thread.join()


def test_the_log_the_counter_and_the_webhook_are_told_and_the_address_is_in_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG), listening(500, 200) as (address, told):
        alerts = Alerts(address)
        alerts.tell(ALERT)
        alerts.close(20)

    assert told[1] == {
        "text": "AI budget month of all callers, 2026-11: 80 % reached, $80.00 of $100.00 spent or reserved",
        "budget": "month", "caller": None, "period": "2026-11", "percent": 80, "dollars": 80.0, "limit_dollars": 100.0,
    }  # fmt: skip
    assert told[1]["text"] in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/s3cret", "no address s3cret", "ftp://host/s3cret"])
def test_a_webhook_that_cannot_be_reached_fails_nobody_and_is_said_in_the_log(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = Alerts(address)
    alerts.tell(ALERT)
    alerts.close(20)

    assert "IMDB_AI_WEBHOOK was not told" in caplog.text
    assert "s3cret" not in caplog.text
