"""What a question has cost while it is under way, and whose fault it was where nobody could be asked."""

from __future__ import annotations

import asyncio

import pytest

from ai_functions.types import Usage
from imdb_lakehouse.bridge.client import Lakehouse
from imdb_lakehouse.bridge.model import ChatModel
from imdb_lakehouse.bridge.turn import TurnContext, TurnLimits, run_turn
from tests.bridge.conftest import Ask, kill_servers
from tests.bridge.scripts import COUNT, running, said
from tests.openai_server import BAD_KEY, HANGING, REFUSING, OpenAiServer, Received, Reply
from tests.server.processes import until

pytestmark = pytest.mark.anyio

LIMITS = TurnLimits(rounds=12, seconds=60.0, tokens=400_000, context_tokens=60_000, nanos=10**9)


async def test_whoever_cancels_a_question_knows_the_most_that_it_can_have_cost(
    lakehouse: Lakehouse, model: ChatModel, provider: OpenAiServer
) -> None:
    heard: list[tuple[Usage, int]] = []
    provider.will(running(COUNT), HANGING)
    asked = asyncio.create_task(
        run_turn(
            "Why?",
            model,
            lakehouse,
            LIMITS,
            context=TurnContext(on_cost=lambda usage, nanos: heard.append((usage, nanos))),
        )
    )
    await asyncio.to_thread(until, lambda: len(provider.calls) == 2, what="the second call of the model")
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    one_call = 100 * 1_000 + 20 * 2_000
    assert (Usage(100, 20), one_call) in heard
    usage, nanos = heard[-1]
    assert nanos > one_call  # the call under way counts at its maximum
    assert nanos == usage.input_tokens * 1_000 + usage.output_tokens * 2_000


async def test_the_meter_ends_at_what_the_turn_says(
    lakehouse: Lakehouse, model: ChatModel, provider: OpenAiServer
) -> None:
    heard: list[tuple[Usage, int]] = []
    provider.will(running(COUNT), said("300."))
    turn = await run_turn(
        "Why?", model, lakehouse, LIMITS, context=TurnContext(on_cost=lambda usage, nanos: heard.append((usage, nanos)))
    )
    assert heard[-1] == (turn.usage, turn.nanos)


async def test_a_turn_says_who_could_not_be_reached(question: Ask, provider: OpenAiServer) -> None:
    provider.will(BAD_KEY)
    assert (await question()).fault == "provider"
    provider.will(REFUSING)
    assert (await question()).fault is None
    provider.usual = running("SELECT nope FROM movies_delta")
    assert (await question()).fault is None

    def deadly(_: Received) -> Reply:
        kill_servers()
        return running(COUNT)

    provider.choose = deadly
    assert (await question()).fault == "server"
