"""What visitors think of answers and what they may ask next: over HTTP, in the file of cases, and read by `evals`."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from imdb_lakehouse.bridge.feedback import MAX_FILE_BYTES, CaseFile
from imdb_lakehouse.bridge.follow_ups import AnswerStream, split_follow_ups
from imdb_lakehouse.evals.cli import main
from tests.bridge.rest import MODEL, Site, Visitor
from tests.bridge.scripts import COUNT, running, said, told
from tests.openai_server import REFUSING, OpenAiServer, Reply

YEARS = "SELECT min(startYear) AS first FROM movies_delta"
NEXT = "<next>\n- How many of them are films?\n2. Which startYear is the last?\nWhat is their boxOffice?\n</next>"


@pytest.fixture
def provider(site_model: OpenAiServer) -> Iterator[OpenAiServer]:
    """Who plays the model, with nothing asked of it yet."""
    site_model.calls.clear()
    yield site_model
    assert not site_model.script


@pytest.fixture
def cases(state: Path) -> Iterator[Path]:
    """The file of cases, empty at first."""
    file = state / "feedback.jsonl"
    file.unlink(missing_ok=True)
    yield file
    file.unlink(missing_ok=True)


def rate(visitor: Visitor, operation: str, verdict: str = "up", comment: str | None = None) -> httpx2.Response:
    body = {"verdict": verdict} | ({} if comment is None else {"comment": comment})
    return visitor.client.put(f"/api/operations/{operation}/feedback", json=body)


def read_cases(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def ratings(visitor: Visitor, conversation: str) -> list[Any]:
    """What is said of each answer of a conversation."""
    return [one["feedback"] for one in visitor.conversation(conversation)["messages"] if one["role"] == "assistant"]


def test_a_rating_is_kept_with_the_answer_and_becomes_a_case_without_a_name(
    here: Site, provider: OpenAiServer, cases: Path
) -> None:
    visitor = here.visitor()
    conversation = visitor.start("Titles")
    provider.will(running(YEARS, COUNT), said("There are 300 titles."))
    asked = visitor.ask("How many titles?", conversation=conversation)
    assert ratings(visitor, conversation) == [None]
    body = rb'{"verdict": "up", "comment": " Right \ud83d\u202e,\nand quick. "}'
    found = visitor.client.put(
        f"/api/operations/{asked['id']}/feedback", content=body, headers={"Content-Type": "application/json"}
    )
    assert found.status_code == 200
    assert found.json() == {"verdict": "up", "comment": "Right \ufffd\ufffd,\nand quick."}
    assert ratings(visitor, conversation) == [found.json()]
    assert visitor.conversation(conversation)["messages"][1]["operation"] == asked["id"]
    assert stat.S_IMODE(cases.stat().st_mode) == 0o600
    (case,) = read_cases(cases)
    assert (case["question"], case["verdict"], case["sql"]) == ("How many titles?", "up", COUNT)
    assert case["statements"] == [YEARS, COUNT]
    assert case["comment"] == "Right \ufffd\ufffd,\nand quick."
    assert case["lake"]["load"] == 1
    assert case["model"] == "scripted"
    text = cases.read_text("utf-8")
    assert not any(secret in text for secret in (visitor.token, conversation, asked["id"].partition(".")[2]))


def test_the_last_rating_counts_and_one_that_is_withdrawn_is_gone(
    here: Site, provider: OpenAiServer, cases: Path
) -> None:
    visitor = here.visitor()
    conversation = visitor.start()
    provider.will(running(COUNT), said("There are 300 titles."), said("It is 1950."))
    first = visitor.ask("How many titles?", conversation=conversation)["id"]
    second = visitor.ask("And the first year?", conversation=conversation)["id"]
    rate(visitor, first, "up")
    rate(visitor, second, "down", "It did not look.")
    rate(visitor, first, "down", "Not all of them.")
    assert ratings(visitor, conversation) == [
        {"verdict": "down", "comment": "Not all of them."}, {"verdict": "down", "comment": "It did not look."},
    ]  # fmt: skip
    other, case = read_cases(cases)
    assert (case["verdict"], case["comment"], case["statements"]) == ("down", "Not all of them.", [COUNT])
    assert "sql" not in case
    assert other["before"] == [{"question": "How many titles?", "answer": "There are 300 titles."}]
    assert other["statements"] == []
    for _ in range(2):
        assert visitor.client.delete(f"/api/operations/{first}/feedback").status_code == 204
    assert [one["question"] for one in read_cases(cases)] == ["And the first year?"]
    assert ratings(visitor, conversation) == [None, {"verdict": "down", "comment": "It did not look."}]
    rate(visitor, first, "up")
    assert ratings(visitor, conversation)[0] == {"verdict": "up", "comment": ""}


def test_only_ones_own_answers_to_questions_can_be_rated(here: Site, provider: OpenAiServer, cases: Path) -> None:
    visitor = here.visitor()
    provider.will(REFUSING, said("Yes."))
    declined, statement = visitor.ask("Improper?")["id"], visitor.ask(COUNT, "sql")["id"]
    answered = visitor.ask("Is it?")["id"]
    assert [rate(visitor, one).status_code for one in (declined, statement, answered)] == [409, 409, 200]
    assert rate(here.visitor(), answered).status_code == 404
    assert rate(visitor, answered, "sideways").status_code == 422
    assert rate(visitor, answered, "up", "x" * 1_001).status_code == 422
    assert len(read_cases(cases)) == 1


def test_a_full_file_is_told_and_keeps_what_it_has(here: Site, provider: OpenAiServer, cases: Path) -> None:
    visitor = here.visitor()
    conversation = visitor.start()
    provider.will(said("Yes."))
    asked = visitor.ask("Is it?", conversation=conversation)["id"]
    cases.write_bytes(b"{}" + b" " * (MAX_FILE_BYTES - 3) + b"\n")
    found = rate(visitor, asked)
    assert found.status_code == 507
    assert "feedback.jsonl has reached 8 MB" in found.json()["detail"]
    assert cases.stat().st_size == MAX_FILE_BYTES
    assert ratings(visitor, conversation) == [None]


def _put_many(folder: Path, who: str) -> None:
    file = CaseFile(folder)
    for number in range(20):
        file.put_case({"id": f"{who}-{number % 10}", "number": number, "question": "ü\u2028" * 100})


def test_processes_that_rate_at_once_lose_no_case(tmp_path: Path) -> None:
    writers = [chr(ord("a") + number) for number in range(3)]
    with ProcessPoolExecutor(3) as pool, ThreadPoolExecutor(2) as threads:
        done = [pool.submit(_put_many, tmp_path, who) for who in writers]
        done += [threads.submit(_put_many, tmp_path, who) for who in ("x", "y")]
        assert [one.result() for one in done] == [None] * 5
    found = {case["id"]: case["number"] for case in read_cases(tmp_path / "feedback.jsonl")}
    assert found == {f"{who}-{number}": number + 10 for who in (*writers, "x", "y") for number in range(10)}


def test_evals_asks_what_was_rated_up_and_lists_what_was_rated_down(
    here: Site, lake: Path, provider: OpenAiServer, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    visitor = here.visitor()
    conversation = visitor.start()
    provider.will(running(COUNT), said("There are 300 titles."), running(YEARS), said("1950."), said("I think so."))
    asked = [
        visitor.ask(text, conversation=conversation)["id"] for text in ("How many?", "Since when?", "All of them?")
    ]
    for operation, verdict in zip(asked, ("up", "up", "down"), strict=True):
        rate(visitor, operation, verdict, "It did not look.\nAt all." if verdict == "down" else None)
    provider.calls.clear()
    provider.will(running(COUNT), said("300."), running("SELECT max(startYear) FROM movies_delta"), said("2019."))
    for name, value in (MODEL | {"OPENAI_BASE_URL": provider.url, "IMDB_STATE_DIR": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "results.jsonl"
    with pytest.raises(SystemExit) as ended:
        main([str(cases), "--lake", str(lake), "--out", str(out)])
    assert ended.value.code == 0
    assert [(one["verdict"], one["tags"]) for one in read_cases(out)] == [
        ("match", ["rated up"]), ("values", ["rated up"]),
    ]  # fmt: skip
    assert [message["content"] for message in told(provider.calls[2])[1:]] == [
        "How many?", "There are 300 titles.", "Since when?",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "is to be written: All of them? (rated down: It did not look. At all.)" in printed
    assert "1 of 2 match" in printed


def test_what_may_be_asked_next_comes_with_the_answer_and_is_never_told_as_its_text(
    here: Site, provider: OpenAiServer
) -> None:
    visitor, pace = here.visitor(), threading.Event()
    provider.will(running(YEARS), Reply(text=f"It is 1950.\n\n{NEXT}", pace=pace))
    operation = visitor.post(visitor.start(), "Since when?").json()["id"]
    texts = []
    for _, event in visitor.events(operation):
        pace.set()  # once it is followed
        texts.append(event.get("text") or event.get("stage", {}).get("text", ""))
    assert not any("<" in text or "next" in text or "How many" in text for text in texts)
    result = visitor.ended(operation)["result"]
    assert result["answer"] == "It is 1950."
    assert result["follow_ups"] == ["How many of them are films?", "Which startYear is the last?"]
    assert result["unfounded"] == []


def test_a_model_that_proposes_nothing_is_helped_out_by_verified_questions(here: Site, provider: OpenAiServer) -> None:
    visitor = here.visitor()
    provider.will(said("Many."), REFUSING)
    found = visitor.ask("What are the ten best films of the 1990s?")["result"]["follow_ups"]
    assert found[0] == "What are the ten best films of the 1970s?"
    assert len(found) == 3
    assert visitor.ask("What are the ten best films of the 1990s?")["result"]["follow_ups"] == []
    assert visitor.ask(COUNT, "sql")["result"]["follow_ups"] == []


def test_a_question_that_is_asked_again_is_answered_as_if_it_were_new_and_the_old_answer_stays(
    here: Site, provider: OpenAiServer
) -> None:
    visitor = here.visitor()
    conversation = visitor.start()
    answers = ["One.", "Two.", "Three.", "Four."]
    provider.will(*map(said, answers))
    visitor.ask("Which?", conversation=conversation)
    again = visitor.ask("More", conversation=conversation)["id"]
    address = f"/api/conversations/{conversation}/messages"
    for _ in range(2):
        found = visitor.client.post(address, json={"kind": "question", "text": "More", "again": again})
        again = visitor.ended(found.json()["id"])["id"]
        assert [message["content"] for message in told(provider.calls[-1])[1:]] == ["Which?", "One.", "More"]
    messages = visitor.conversation(conversation)["messages"]
    assert [one["text"] for one in messages if one["role"] == "assistant"] == answers
    wrong = visitor.client.post(address, json={"kind": "question", "text": "More", "again": "nothing"})
    assert wrong.status_code == 404


@pytest.mark.parametrize("size", [1, 2, 5, 10_000])
@pytest.mark.parametrize(
    ("text", "answer", "questions"),
    [
        (f"Yes.\n\n{NEXT}", "Yes.", 3),
        (f"Yes.  \n \n  {NEXT.upper()}\n", "Yes.  ", 3),
        (f"{NEXT}\nYes.", "\nYes.", 3),
        ("Yes.\n<next>\nAnd then?", "Yes.", 1),
        ("Is <next> a tag?\n<b>", None, 0),
        ("A list:\n\n- one\n\n<nex", None, 0),
        (f"Yes.\n<next>\n{'No end. ' * 200}", None, 0),
        ("Yes.\n<next>\n\n</next>", "Yes.", 0),
        ("", None, 0),
    ],
)
def test_an_answer_in_pieces_is_told_without_what_may_be_asked_next_and_otherwise_whole(
    text: str, answer: str | None, questions: int, size: int
) -> None:
    stream = AnswerStream()
    pieces = [stream.add_piece(text[at : at + size]) for at in range(0, len(text), size)]
    whole = "".join([*pieces, stream.end()])
    assert whole == (text if answer is None else answer)
    found, follow_ups = split_follow_ups(text)
    assert (found.strip(), len(follow_ups)) == (whole.strip(), questions)
