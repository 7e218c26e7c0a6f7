"""Calls with their retries, many at once, against the local model server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from ai_functions.calls import MOST_ATTEMPTS, Batch, Caller, CallResult
from ai_functions.charges import Bounds, Charge
from ai_functions.providers import ProviderConfig, open_provider
from ai_functions.types import AiUnavailable, CallFailedError, Completion, ModelRequest, Price, Usage
from lakehouse.breaker import Breaker
from tests import openai_server as replies
from tests.openai_server import OpenAiServer, Reply
from tests.server.processes import until

PRICE = Price(400, 1_600)
BOUNDS = Bounds.of("Say something.", Usage(60, 50))
MOST = Charge(None, 60 * 400 + 50 * 1_600)


def request(number: int = 0) -> ModelRequest:
    return ModelRequest("m", "You are brief.", f"Say {number}.", 50)


@pytest.fixture
def caller(server: OpenAiServer) -> Iterator[Caller]:
    server.usual = Reply(text="Something.")
    provider = open_provider(ProviderConfig("The test server", server.url, None, None))
    yield Caller(provider, call_seconds=5)
    provider.close()


def once(caller: Caller, seconds: float = 30) -> CallResult:
    return caller.call(request(), time.monotonic() + seconds, threading.Event())


def gathered(caller: Caller, count: int, *, workers: int = 4, seconds: float = 30) -> list[CallResult]:
    """The results of so many calls, in the order of the requests."""
    batch = Batch([request(i) for i in range(count)])
    for _ in caller.in_threads(workers)(batch, time.monotonic() + seconds):
        pass
    return batch.results()


@pytest.mark.parametrize("reply", [replies.TOO_MANY, replies.BROKEN], ids=["429", "500"])
def test_what_is_not_billed_is_repeated(caller: Caller, server: OpenAiServer, reply: Reply) -> None:
    server.will(reply, reply)
    assert once(caller).completion == Completion("stop", "Something.", Usage(100, 20))
    assert len(server.calls) == 3


def test_repetition_ends(caller: Caller, server: OpenAiServer) -> None:
    server.usual = replies.TOO_MANY
    result = once(caller)
    assert (result.completion, result.billed) == (None, False)
    assert "429 (rate_limit_exceeded)" in str(result.reason)
    assert len(server.calls) == MOST_ATTEMPTS


@pytest.mark.parametrize("reply", [replies.CUT, replies.WRONG_JSON, replies.BAD_REQUEST, Reply(504)])
def test_what_may_be_billed_is_never_repeated(caller: Caller, server: OpenAiServer, reply: Reply) -> None:
    server.will(reply)
    result = once(caller)
    assert (result.completion, result.billed) == (None, True)
    assert result.charge(BOUNDS, PRICE) == MOST
    assert len(server.calls) == 1


def test_a_call_that_takes_too_long_is_given_up_and_may_be_billed(server: OpenAiServer, caller: Caller) -> None:
    server.usual = replies.HANGING
    result = once(caller, seconds=0.3)
    assert (result.completion, result.billed) == (None, True)


@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_that_the_server_asks_for_is_kept(caller: Caller, server: OpenAiServer, status: int) -> None:
    server.will(Reply(status, headers={"retry-after": "1"}))
    started = time.monotonic()
    assert once(caller).completion is not None
    assert time.monotonic() - started >= 1
    assert len(server.calls) == 2


def test_a_pause_beyond_the_deadline_is_not_waited_for(caller: Caller, server: OpenAiServer) -> None:
    server.will(Reply(429, headers={"retry-after": "3600"}))
    assert once(caller).billed is False
    assert len(server.calls) == 1


def test_a_call_is_charged_as_reported_else_at_its_maximum_and_not_where_it_was_never_made() -> None:
    said = Completion("stop", "x", Usage(10, 5))
    assert CallResult(said, None, billed=True).charge(BOUNDS, PRICE) == Charge(said.usage, 10 * 400 + 5 * 1_600)
    unsaid = CallResult(Completion("stop", "x", None), None, billed=True).charge(BOUNDS, PRICE)
    assert (unsaid.usage, unsaid.nanos) == (None, MOST.nanos)
    assert "reported no count of its tokens: charged at the maximum of 60 and 50 tokens" in str(unsaid.doubt)
    assert CallResult(None, "cut", billed=True).charge(BOUNDS, PRICE) == MOST
    assert CallResult(None, "refused", billed=False).charge(BOUNDS, PRICE) == Charge(None, 0)


def test_many_calls_run_at_once_and_no_more_than_asked(caller: Caller, server: OpenAiServer) -> None:
    server.usual = Reply(text="Something.", seconds=0.5)
    results = gathered(caller, 8)
    assert [result.reason for result in results] == [None] * 8
    assert server.most_at_once == 4


def test_one_failure_is_that_calls_alone(caller: Caller, server: OpenAiServer) -> None:
    server.choose = lambda call: replies.WRONG_JSON if "Say 3." in str(call.body) else Reply(text="Something.")
    results = gathered(caller, 6)
    assert [index for index, result in enumerate(results) if result.completion is None] == [3]


def test_after_the_deadline_no_call_begins_and_none_of_those_is_charged(caller: Caller, server: OpenAiServer) -> None:
    server.usual = replies.HANGING
    results = gathered(caller, 6, workers=2, seconds=1.5)
    assert [result.billed for result in results] == [True, True, False, False, False, False]
    assert len(server.calls) == 2


def test_once_stopped_no_call_begins(caller: Caller, server: OpenAiServer) -> None:
    batch = Batch([request(i) for i in range(5)])
    batch.stop()
    assert list(caller.in_threads(2)(batch, time.monotonic() + 5)) == []
    assert [result.billed for result in batch.results()] == [False] * 5
    assert server.calls == []


@pytest.mark.parametrize(
    ("reported", "answer"),
    [
        (Usage(0, 0), "x"), (Usage(0, 5), "x"), (Usage(9_000_000, 9_000_000), "x"), (Usage(61, 5), "x"),
        (Usage(10, 51), "x"), (Usage(10, 0), "x"), (Usage(1, 5), "x"), (Usage(10, 1), "x" * 129), (Usage(0, 0), ""),
    ],
)  # fmt: skip
def test_what_a_call_cannot_have_taken_is_charged_at_its_maximum_and_said(
    reported: Usage, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = CallResult(Completion("stop", answer, reported), None, billed=True)
    found = result.charge(Bounds.of("p" * 200, Usage(60, 50)), PRICE)
    assert (found.usage, found.nanos) == (None, MOST.nanos)
    assert f"reported {reported.input_tokens:,} tokens read and {reported.output_tokens:,} written" in str(found.doubt)
    assert str(found.doubt) in caplog.text


@pytest.mark.parametrize(("reported", "answer"), [(Usage(2, 1), "x"), (Usage(60, 50), "x" * 6_400), (Usage(9, 0), "")])
def test_what_a_call_can_have_taken_is_charged_as_reported(reported: Usage, answer: str) -> None:
    result = CallResult(Completion("stop", answer, reported), None, billed=True)
    assert result.charge(Bounds.of("p" * 200, Usage(60, 50)), PRICE) == Charge(reported, PRICE.of(reported))


def test_a_model_that_costs_nothing_may_report_what_it_likes() -> None:
    result = CallResult(Completion("stop", "x", Usage(0, 0)), None, billed=True)
    assert result.charge(BOUNDS, Price(0, 0)) == Charge(None, 0)


class Slow:
    """An outbox whose keeper takes its time."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.kept = threading.Semaphore(0)
        self.stopped = batch.stopped
        self.waiting = batch.waiting
        self.take, self.stop = batch.take, batch.stop

    def put(self, results: Sequence[tuple[int, CallResult]]) -> None:
        self.kept.acquire()
        self.batch.put(results)


def test_no_call_takes_the_place_of_one_whose_result_is_not_kept(caller: Caller, server: OpenAiServer) -> None:
    slow = Slow(Batch([request(i) for i in range(9)]))
    making = threading.Thread(target=list, args=[caller.in_threads(3)(slow, time.monotonic() + 30)])
    making.start()
    for kept in range(6):
        until(lambda kept=kept: len(server.calls) == 3 + kept and not server.at_once)  # type: ignore[misc]
        slow.kept.release()
    assert making.is_alive()
    slow.kept.release(3)
    making.join()
    assert len(server.calls) == 9
    assert [result.billed for result in slow.batch.results()] == [True] * 9


def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while(server: OpenAiServer) -> None:
    now = [0.0]
    provider = open_provider(ProviderConfig("The test server", server.url, None, None))
    breaker = Breaker("The test server", failures=3, clock=lambda: now[0], unavailable=AiUnavailable)
    caller = Caller(provider, call_seconds=5, breaker=breaker)
    server.usual = replies.CUT
    for _ in range(3):
        assert once(caller).billed
    shut = once(caller)
    assert (shut.billed, len(server.calls)) == (False, 3)
    assert "could not be reached 3 times" in str(shut.reason)
    now[0] = 60.0
    server.usual = Reply(text="Back.")
    assert once(caller).completion is not None
    provider.close()


def test_a_defect_reaches_whoever_waits(server: OpenAiServer) -> None:
    class Defective:
        name = "defective"

        def complete(self, request: ModelRequest, timeout_seconds: float) -> Completion:
            raise ZeroDivisionError

        def close(self) -> None:
            raise CallFailedError("never called")

    with pytest.raises(ZeroDivisionError):
        gathered(Caller(Defective(), 5), 3)
