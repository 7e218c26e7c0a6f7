"""One question: a scripted model, the real bridge, the real server over stdio, the embedded engine on invented data."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from imdb_lakehouse.bridge.client import Lakehouse
from imdb_lakehouse.bridge.transcript import Intent, ToolStep, trim_history
from imdb_lakehouse.bridge.turn import Exchange, TextPiece, ToolProgress
from imdb_lakehouse.bridge.views import to_ended_step
from tests.bridge.conftest import Ask, kill_servers
from tests.bridge.odd_servers import ARGUMENTS, TWO_CALLS, streamed, whole
from tests.bridge.scripts import COUNT, calling, results, running, said, told
from tests.openai_server import (
    BAD_KEY,
    CUT,
    EMPTY,
    FILTERED,
    FILTERED_PROMPT,
    HANGING,
    LONG,
    NO_JSON,
    REFUSING,
    TOO_MANY,
    OpenAiServer,
    Received,
    Reply,
)
from tests.server.processes import busy, descendants, until

pytestmark = pytest.mark.anyio

WIDE = "SELECT * FROM movie_cast ORDER BY tconst, ordering LIMIT 60"
TOO_LONG = Reply(400, error={"message": "too long", "code": "context_length_exceeded"})


async def test_a_question_is_planned_run_and_answered_with_every_step_kept(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(running(COUNT), said("There are 300 titles."))
    turn = await question("How many titles?")
    assert (turn.outcome, turn.answer) == ("answered", "There are 300 titles.")
    (step,) = turn.steps
    assert (step.intent.sql, step.intent.reasoning, step.result.rows) == (COUNT, f"to run {COUNT}", 1)
    assert step.result.content is not None
    assert step.result.content["rows"] == [[300]]
    assert turn.rounds[0].nanos == 100 * 1_000 + 20 * 2_000
    assert turn.nanos == 2 * turn.rounds[0].nanos
    assert "300" in results(provider.calls[1])[0]


async def test_a_name_is_found_first_and_the_step_says_what_was_looked_for(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(calling(("find", {"text": "The Twin Bridge"})), running(COUNT), said("The Twin Bridges."))
    turn = await question("Is there a film called The Twin Bridge?")
    assert turn.outcome == "answered"
    assert "The Twin Bridges" in results(provider.calls[1])[0]
    found, counted = (to_ended_step(step) for step in turn.steps)
    assert (found["tool"], found["reasoning"], found["state"]) == ("find", "text: The Twin Bridge", "done")
    assert counted["reasoning"] == f"to run {COUNT}"


async def test_the_answer_is_heard_as_it_is_written_and_the_servers_stages_meanwhile(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(running(COUNT, text=None), said("There are 300 titles."))
    heard: list[object] = []
    turn = await question(watch=heard.append)
    assert turn.answer == "There are 300 titles."
    words = [event.text for event in heard if isinstance(event, TextPiece)]
    assert words == ["There ", "are ", "300 ", "titles."]
    stages = [(event.intent.sql, event.stage) for event in heard if isinstance(event, ToolProgress)]
    assert (COUNT, "running in the engine") in stages
    assert provider.calls[0].body["stream"] is True


@pytest.mark.parametrize(
    "broken", [Reply(text="one two three", cut_within=True), Reply(text="a b", failing_within=True)]
)
async def test_an_answer_that_breaks_off_is_charged_at_its_maximum_and_said(
    question: Ask, provider: OpenAiServer, broken: Reply
) -> None:
    provider.will(broken)
    turn = await question()
    assert turn.outcome == "failed"
    assert "The model could not be asked" in turn.answer
    assert turn.usage.output_tokens == 2_000
    assert len(provider.calls) == 1


async def test_whoever_stops_waiting_for_an_answer_ends_the_connection_that_brings_it(
    question: Ask, provider: OpenAiServer
) -> None:
    pace, words = threading.Event(), asyncio.Event()
    provider.will(Reply(text=" ".join(["word"] * 10_000), pace=pace))
    asked = asyncio.create_task(question(watch=lambda event: words.set() if isinstance(event, TextPiece) else None))
    await words.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    pace.set()
    await asyncio.to_thread(until, lambda: provider.at_once == 0, what="the end of the connection")
    assert provider.broken_off == 1


class Counted:
    """A purse that keeps what it is told."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.open: dict[int, int] = {}
        self._pause = threading.Event()
        self._seconds = seconds

    def reserve(self, nanos: int) -> int:
        self.open[len(self.open)] = nanos
        self._pause.wait(self._seconds)
        return len(self.open) - 1

    def settle(self, number: int, nanos: int) -> None:
        self.open[number] = nanos


@pytest.mark.parametrize("purse", [Counted(), Counted(seconds=1.0)], ids=["while it pauses", "while it is reserved"])
async def test_a_question_that_ends_while_no_call_is_with_the_provider_costs_nothing(
    question: Ask, provider: OpenAiServer, purse: Counted
) -> None:
    provider.usual = Reply(429, error={"message": "later"}, headers={"retry-after": "20"})
    asked = asyncio.create_task(question(purse=purse))
    await asyncio.to_thread(until, lambda: purse.open if purse._seconds else provider.calls and not provider.at_once)
    await asyncio.sleep(0.2)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert list(purse.open.values()) == [0]


async def test_what_a_provider_reports_of_a_call_is_bounded_by_what_was_reserved(
    question: Ask, provider: OpenAiServer
) -> None:
    for usage in ({"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": 9_000_000, "completion_tokens": 1}):
        purse = Counted()
        provider.usual = Reply(text="All of them.", usage=usage)
        turn = await question(purse=purse)
        assert turn.outcome == "answered"
        assert turn.usage.output_tokens == 2_000
        assert 0 < turn.usage.input_tokens < 100_000
        assert list(purse.open.values()) == [turn.nanos]


async def test_the_model_is_told_the_tools_and_the_instructions_that_the_server_gives(
    question: Ask, provider: OpenAiServer, lakehouse: Lakehouse
) -> None:
    provider.will(said("Hello."))
    await question("Hello?", history=[Exchange("Before?", "Yes.")])
    (call,) = provider.calls
    assert [tool["function"]["name"] for tool in call.body["tools"]] == [tool.name for tool in lakehouse.tools]
    assert {"execute_spark_sql", "describe_schema"} <= {tool.name for tool in lakehouse.tools}
    system, *rest = told(call)
    assert lakehouse.instructions
    assert lakehouse.instructions in system["content"]
    assert [message["content"] for message in rest] == ["Before?", "Yes.", "Hello?"]


async def test_parallel_calls_are_made_at_once_and_answered_in_their_order(
    question: Ask, provider: OpenAiServer
) -> None:
    events: list[str] = []
    statements = [f"SELECT {n} AS n FROM movies_delta LIMIT 1" for n in (41, 42, 43)]
    provider.will(running(*statements), said("Done."))
    tools = (Intent, ToolStep)
    turn = await question(watch=lambda event: events.append(type(event).__name__) if isinstance(event, tools) else None)
    assert [step.intent.sql for step in turn.steps] == statements
    assert [step.result.content["rows"] for step in turn.steps] == [[[41]], [[42]], [[43]]]
    assert events == [Intent.__name__] * 3 + [ToolStep.__name__] * 3
    asked = [call["id"] for call in told(provider.calls[1])[-4]["tool_calls"]]
    assert [message["tool_call_id"] for message in told(provider.calls[1])[-3:]] == asked


async def test_a_refused_statement_goes_back_with_the_servers_words_and_is_mended(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(
        running("DROP TABLE movies_delta"), running("SELECT nope FROM movies_delta"), running(COUNT), said("300.")
    )
    turn = await question()
    assert turn.outcome == "answered"
    assert [step.result.failed for step in turn.steps] == [True, True, False]
    assert turn.steps[0].result.is_refused
    assert results(provider.calls[2]) == [step.result.text for step in turn.steps[:2]]
    assert "nope" in turn.steps[1].result.text


async def test_failures_go_back_three_times_and_then_the_answer_says_what_failed(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.usual = running("SELECT nope FROM movies_delta")
    turn = await question()
    assert turn.outcome == "failed"
    assert len(provider.calls) == 4
    assert "4 attempts failed" in turn.answer
    assert "SELECT nope FROM movies_delta" in turn.answer
    assert turn.steps[-1].result.text in turn.answer


@pytest.mark.parametrize("arguments", ['{"sql_query": "SELECT', "[1]", '"text"'])
async def test_malformed_arguments_go_back_and_are_not_sent_to_the_server(
    question: Ask, provider: OpenAiServer, arguments: str
) -> None:
    provider.will(calling(("execute_spark_sql", arguments)), said("Sorry."))
    turn = await question()
    assert turn.outcome == "answered"
    assert "not JSON" in results(provider.calls[1])[0]
    assert told(provider.calls[1])[-2]["tool_calls"][0]["function"]["arguments"] == "{}"


async def test_a_tool_that_does_not_exist_and_a_missing_argument_are_answered_by_the_server(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(calling(("drop_everything", {}), ("execute_spark_sql", {})), said("Sorry."))
    turn = await question()
    assert turn.outcome == "answered"
    assert all(step.result.failed for step in turn.steps)
    assert "drop_everything" in results(provider.calls[1])[0]
    assert "sql_query" in results(provider.calls[1])[1]


@pytest.mark.parametrize(
    ("reply", "why"),
    [(REFUSING, "I cannot help with that."), (FILTERED, "content filter"), (FILTERED_PROMPT, "refused")],
)
async def test_a_model_that_declines_is_said_to(question: Ask, provider: OpenAiServer, reply: Reply, why: str) -> None:
    provider.will(reply)
    turn = await question()
    assert turn.outcome == "declined"
    assert turn.answer.startswith("The model declined to answer: ")
    assert why in turn.answer


@pytest.mark.parametrize(
    ("reply", "outcome", "text"), [(EMPTY, "failed", "gave no answer"), (LONG, "answered", "cut: ")]
)
async def test_an_answer_that_is_empty_or_cut_says_so(
    question: Ask, provider: OpenAiServer, reply: Reply, outcome: str, text: str
) -> None:
    provider.will(reply)
    turn = await question()
    assert turn.outcome == outcome
    assert text in turn.answer


async def test_a_busy_provider_is_asked_again_and_costs_nothing_for_it(question: Ask, provider: OpenAiServer) -> None:
    provider.will(TOO_MANY, said("Hello."))
    turn = await question()
    assert turn.answer == "Hello."
    assert turn.nanos == 100 * 1_000 + 20 * 2_000


@pytest.mark.parametrize(("reply", "billed"), [(BAD_KEY, False), (CUT, True), (NO_JSON, True)])
async def test_a_provider_that_fails_is_said_without_its_address_and_charged_only_where_it_may_bill(
    question: Ask, provider: OpenAiServer, reply: Reply, billed: bool
) -> None:
    provider.will(reply)
    turn = await question()
    assert turn.outcome == "failed"
    assert turn.answer.startswith("The model could not be asked: The model's server ")
    assert "127.0.0.1" not in turn.answer
    assert "sk-secret" not in turn.answer
    assert (turn.nanos > 0) is billed


async def test_the_last_round_has_to_answer_without_tools(question: Ask, provider: OpenAiServer) -> None:
    provider.will(running(COUNT), said("300, as far as I came."))
    turn = await question(rounds=2)
    assert turn.answer == "300, as far as I came."
    assert [call.body["tool_choice"] for call in provider.calls] == ["auto", "none"]


async def test_a_model_that_never_answers_is_stopped_after_its_rounds(question: Ask, provider: OpenAiServer) -> None:
    provider.usual = running(COUNT)
    turn = await question(rounds=3)
    assert turn.outcome == "stopped"
    assert "3 rounds did not suffice" in turn.answer
    assert len(turn.steps) == 2


@pytest.mark.parametrize(("limit", "named"), [({"nanos": 12_000_000}, "$0.012"), ({"tokens": 12_000}, "12,000 tokens")])
async def test_no_call_is_made_that_could_exceed_money_or_tokens(
    question: Ask, provider: OpenAiServer, limit: dict[str, int], named: str
) -> None:
    used = {"prompt_tokens": 5_000, "completion_tokens": 100}
    provider.usual = Reply(text=None, tool_calls=running(COUNT).tool_calls, usage=used)
    turn = await question(**limit)
    assert turn.outcome == "stopped"
    assert named in turn.answer
    assert len(provider.calls) == 1
    assert turn.nanos == 5_000 * 1_000 + 100 * 2_000


async def test_a_question_ends_when_its_time_is_over(question: Ask, provider: OpenAiServer) -> None:
    provider.will(running(COUNT), HANGING)
    turn = await question(seconds=1.5)
    assert turn.outcome == "stopped"
    assert "1.5 s" in turn.answer
    assert turn.seconds < 3
    assert turn.nanos > turn.rounds[0].nanos  # the call that was under way may be billed


async def test_old_results_make_room_and_the_question_stays(question: Ask, provider: OpenAiServer) -> None:
    provider.will(running(WIDE), running(WIDE), running(COUNT), said("300."))
    turn = await question("How many titles?", context_tokens=14_000)
    assert turn.answer == "300."
    first, second, third = results(provider.calls[3])
    assert first.startswith("(This result of 60 rows was left out")
    assert "300" in third
    assert second
    assert [message["content"] for message in told(provider.calls[3]) if message["role"] == "user"] == [
        "How many titles?"
    ]
    assert len(turn.steps[0].result.text) > 1_000  # kept for whoever looks at the steps


async def test_a_provider_that_finds_the_prompt_too_long_is_given_less(question: Ask, provider: OpenAiServer) -> None:
    provider.will(running(WIDE), TOO_LONG, said("Less."))
    turn = await question(history=[Exchange("Before?", "Yes.")])
    assert turn.answer == "Less."
    assert len(str(told(provider.calls[2]))) < len(str(told(provider.calls[1])))
    assert told(provider.calls[2])[-3]["content"] == "How many titles?"


async def test_a_question_that_is_too_long_by_itself_is_not_sent(question: Ask, provider: OpenAiServer) -> None:
    turn = await question("Why? " * 20_000)
    assert turn.outcome == "stopped"
    assert provider.calls == []


async def test_a_server_that_dies_within_a_question_is_replaced_once(
    question: Ask, provider: OpenAiServer, lakehouse: Lakehouse
) -> None:
    born = lakehouse.generation

    def deadly(received: Received) -> Reply:
        """Calls a tool of a server that has just been killed."""
        number = len(provider.calls)
        if number in deaths:
            kill_servers()
        return running(COUNT, COUNT) if number < 3 else said("300, at last.")

    provider.choose = deadly
    deaths = {2}
    turn = await question()
    assert turn.answer == "300, at last."
    assert [step.result.failed for step in turn.steps] == [False] * 4
    assert lakehouse.generation == born + 1

    provider.calls.clear()
    deaths = {1, 2}
    turn = await question()
    assert turn.outcome == "failed"
    assert "started again once" in turn.answer
    assert lakehouse.generation == born + 2


async def test_cancelling_a_question_cancels_its_statement(question: Ask, provider: OpenAiServer, state: Path) -> None:
    slow = "SELECT count(*) FROM principals_delta p0" + "".join(
        f" JOIN principals_delta p{i} ON p{i}.category = p0.category" for i in range(1, 5)
    )
    provider.will(running(COUNT), said("300."))
    assert (await question()).answer == "300."  # the server is warm: what computes now is the statement
    provider.usual = running(slow)
    asked = asyncio.create_task(question())
    await asyncio.to_thread(until, lambda: busy(descendants(os.getpid())), what="the statement in the engine")
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.to_thread(until, lambda: '"cancelled"' in (state / "audit.jsonl").read_text(), what="the end of it")


@pytest.mark.parametrize("form", TWO_CALLS)
async def test_calls_are_read_in_every_form_that_servers_send_and_charged_as_reported(
    question: Ask, provider: OpenAiServer, form: str
) -> None:
    provider.will(TWO_CALLS[form], said("Twice 300."))
    turn = await question("How many titles?")
    assert (turn.outcome, turn.answer) == ("answered", "Twice 300.")
    assert [(step.intent.sql, step.result.rows) for step in turn.steps] == [(COUNT, 1)] * 2
    assert turn.rounds[0].nanos == 100 * 1_000 + 20 * 2_000
    sent = provider.calls[1].body["messages"][2]["tool_calls"]
    assert len({call["id"] for call in sent}) == 2


async def test_an_answer_that_comes_whole_though_asked_for_in_pieces_is_heard_and_kept(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(whole({"role": "assistant", "content": "There are 300."}))
    heard: list[object] = []
    turn = await question(watch=heard.append)
    assert (turn.answer, turn.usage.output_tokens) == ("There are 300.", 20)
    assert [event.text for event in heard if isinstance(event, TextPiece)] == ["There are 300."]


async def test_a_call_without_a_name_goes_back_to_the_model_with_the_names_there_are(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(calling(("", ARGUMENTS)), said("Sorry."))
    turn = await question()
    assert turn.answer == "Sorry."
    assert "names no tool" in results(provider.calls[1])[0]
    assert "execute_spark_sql" in results(provider.calls[1])[0]
    assert provider.calls[1].body["messages"][2]["tool_calls"][0]["function"]["name"] == "unnamed"


@pytest.mark.parametrize(
    "overflow",
    [
        {"message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400},
        {"message": "the request exceeds it", "type": "exceed_context_size_error", "code": 400},
    ],
    ids=["vLLM", "llama.cpp"],
)
async def test_a_prompt_that_is_too_long_is_known_by_what_servers_of_ones_own_say_too(
    question: Ask, provider: OpenAiServer, overflow: dict[str, object]
) -> None:
    provider.will(running(WIDE), Reply(400, error=overflow), said("Sixty rows."))
    turn = await question()
    assert (turn.outcome, turn.answer) == ("answered", "Sixty rows.")


async def test_half_a_character_of_a_model_is_made_whole_or_replaced(question: Ask, provider: OpenAiServer) -> None:
    provider.will(
        calling(("execute_spark_sql", {"sql_query": "SELECT '\ud800'", "reasoning": "\udfff"}), text="\ud83d"),
        streamed({"content": "An \ud83d"}, {"content": "\ude00 and \ud83d"}, {"content": " half."}),
    )
    heard: list[object] = []
    turn = await question(watch=heard.append)
    assert turn.answer == "An \N{GRINNING FACE} and \ufffd half."
    assert "".join(event.text for event in heard if isinstance(event, TextPiece)).endswith(turn.answer)
    for text in (turn.answer, turn.steps[0].intent.call.arguments, turn.rounds[0].thought):
        text.encode()


async def test_what_was_written_before_an_answer_broke_off_is_kept_and_marked(
    question: Ask, provider: OpenAiServer
) -> None:
    provider.will(Reply(text="one two three", cut_within=True))
    turn = await question()
    assert turn.outcome == "failed"
    assert turn.answer.startswith("one … (unfinished)\n\nThe model could not be asked")


async def test_a_follow_up_is_told_the_rows_of_the_last_answers_within_a_cap(
    question: Ask, provider: OpenAiServer
) -> None:
    history = [Exchange(f"Question {n}?", f"Answer {n}.", f"SELECT {n}\nrows {n}") for n in range(4)]
    provider.will(said("The first one."))
    await question("And the first row?", history=trim_history(history))
    before = "\n".join(str(message["content"]) for message in told(provider.calls[0]))
    assert [f"rows {n}" in before for n in range(4)] == [False, False, True, True]
    assert all(f"Answer {n}." in before for n in range(4))
