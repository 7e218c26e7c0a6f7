"""`python -m imdb_lakehouse.evals`: a scripted model replays gold, wrong and repaired SQL, which is scored so."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imdb_lakehouse.evals.cli import main
from tests.bridge.scripts import running, said
from tests.conftest import ROOT
from tests.evals.conftest import QUESTIONS, Evals, scripted, write_questions
from tests.openai_server import BAD_KEY, HANGING, REFUSING, Received, Reply
from tests.server.processes import descendants, gone, until

GOLD = {name: question["sql"] for name, question in QUESTIONS.items()}
CALL_USD = 100 / 1e6 * 1 + 20 / 1e6 * 2
"""What one call of the scripted model costs."""

DONE = said("Done.")
SCRIPTS: dict[str, list[Reply]] = {
    # the gold statement in other words: another order of columns, other names, one more column, not rounded
    "q022": [
        running(
            "SELECT AVG(c.startYear - p.birthYear) AS age, COUNT(*) AS n, COUNT(DISTINCT c.nconst) AS people, "
            "c.category AS what FROM movie_cast c JOIN persons_delta p ON p.nconst = c.nconst WHERE c.ordering = 1 "
            "AND c.category IN ('actor', 'actress') AND c.titleType = 'movie' AND p.birthYear IS NOT NULL "
            "AND c.startYear IS NOT NULL GROUP BY c.category ORDER BY what"
        ),
        DONE,
    ],
    "q014": [running(GOLD["q014"]), DONE],
    "q019": [running("SELECT startYear, nope FROM movies_delta"), running(GOLD["q019"]), DONE],
    "q017": [running(GOLD["q017"].replace("ORDER BY decade", "ORDER BY decade DESC")), DONE],
    "q028": [running(GOLD["q028"], GOLD["q028"].replace("LIMIT 15", "LIMIT 1")), DONE],
    "q023": [running(GOLD["q023"].replace("age DESC", "age ASC")), DONE],
    "q049": [said("I know that by heart: 7.")],
    "q037": [REFUSING],
}


def chosen(path: Path, *names: str) -> Path:
    return write_questions(path, [QUESTIONS[name] for name in names])


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return chosen(tmp_path / "questions.jsonl", *SCRIPTS)


@pytest.fixture
def with_own_server(evals: Evals, lake: Path) -> Evals:
    """Where the program starts a server, which it usually finds."""
    evals.where = ("--lake", str(lake))
    return evals


def failing(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_scores_come_out_as_scripted(with_own_server: Evals, questions: Path) -> None:
    evals = with_own_server
    evals.provider.choose = scripted(SCRIPTS)
    done = evals.run(questions)
    assert done.returncode == 0, done.stderr
    found = evals.by_id()
    assert {name: line["verdict"] for name, line in found.items()} == {
        "q022": "match", "q014": "match", "q019": "match", "q017": "order", "q028": "rows", "q023": "values",
        "q049": "no result", "q037": "no answer",
    }  # fmt: skip
    assert [name for name, line in found.items() if line["match"]] == ["q022", "q014", "q019"]
    assert [name for name, line in found.items() if line["any_match"]] == ["q022", "q014", "q019", "q028"]
    assert [name for name, line in found.items() if line["rows_match"]] == ["q022", "q014", "q019", "q017"]
    assert [line["extra_columns"] for line in found.values() if line["match"]] == [1, 0, 0]
    assert {name: line["retries"] for name, line in found.items() if line["retries"]} == {"q019": 1}
    assert {name: line["tool_calls"] for name, line in found.items()} == {
        "q022": 1, "q014": 1, "q019": 2, "q017": 1, "q028": 2, "q023": 1, "q049": 0, "q037": 0,
    }  # fmt: skip
    assert found["q019"]["tokens_read"] == 300
    assert found["q019"]["tokens_written"] == 60
    assert found["q019"]["model_usd"] == pytest.approx(3 * CALL_USD)
    assert "nope" in found["q019"]["statements"][0]["failed"]
    assert found["q028"]["gold"]["rows"] == 15
    assert all(line["gold"]["rows"] for line in found.values())


def test_table_and_summary_say_the_same(evals: Evals, questions: Path) -> None:
    evals.provider.choose = scripted(SCRIPTS)
    done = evals.run(questions)
    assert "3 of 8 match, 38 % (95 % interval 14 to 69 %)" in done.stdout
    assert "50 % with the order of rows left aside, 50 % by any statement of the turn" in done.stdout
    assert "q017: The rows are right, their order is not." in done.stdout
    again = evals.run(questions, "--json")
    assert again.returncode == 0, again.stderr
    summary = json.loads(again.stdout)
    assert summary == json.loads((evals.folder / "results.jsonl.summary.json").read_text())
    assert (summary["matched"], summary["attempts"], summary["accuracy"]) == (3, 8, 0.375)
    assert summary["spent_usd"] == pytest.approx(15 * CALL_USD)
    assert summary["by"]["features"]["join"] == {"attempts": 2, "matched": 1}
    assert summary["not_asked"] == {}
    assert evals.provider.calls
    assert len(evals.lines()) == 8  # the second run asked nothing


def test_a_run_that_is_killed_loses_the_question_under_way_and_goes_on(with_own_server: Evals, questions: Path) -> None:
    evals = with_own_server
    scripts = {**SCRIPTS, "q019": [SCRIPTS["q019"][0], HANGING]}
    evals.provider.choose = scripted(scripts)
    with subprocess.Popen(
        evals.command(questions), cwd=ROOT, env=evals.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until(lambda: len(evals.provider.calls) == 6, 60, "the model that hangs in the third question")
        below = descendants(process.pid)
        process.kill()
        process.communicate()
    until(lambda: gone(below), what="the end of its server")
    before = evals.out.read_text("utf-8")
    assert [line["id"] for line in evals.lines()] == ["q022", "q014"]
    evals.out.write_text(before + before.splitlines()[0][:200], encoding="utf-8")  # as a crash of the machine may

    evals.provider.choose = scripted(SCRIPTS)
    evals.provider.calls.clear()
    done = evals.run(questions)
    assert done.returncode == 0, done.stderr
    assert "The last line of" in done.stderr
    assert "8 to ask, 2 of them done and $0.1" in done.stderr  # what was killed counts as the most that it could cost
    assert [line["id"] for line in evals.lines()] == list(SCRIPTS)
    assert evals.out.read_text("utf-8").startswith(before)
    asked = {call.body["messages"][1]["content"] for call in evals.provider.calls}
    assert asked == {QUESTIONS[name]["question"] for name in list(SCRIPTS)[2:]}


def test_an_interrupted_run_keeps_what_is_done_and_counts_what_was_spent(evals: Evals, questions: Path) -> None:
    evals.provider.choose = scripted({**SCRIPTS, "q014": [SCRIPTS["q014"][0], HANGING]})
    with subprocess.Popen(
        evals.command(questions), cwd=ROOT, env=evals.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until(lambda: len(evals.provider.calls) == 4, 60, "the model that hangs in the second question")
        process.send_signal(2)
        _, said_so = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Interrupted. Run it again to go on" in said_so
    assert b"Traceback" not in said_so
    assert [line["id"] for line in evals.lines()] == ["q022"]
    state = json.loads((evals.folder / "results.jsonl.state").read_text())
    assert state["under_way"] is None
    assert CALL_USD * 1e9 < state["lost_nanos"] < 1e8  # its first call as billed, the second at its most


def test_the_budget_is_never_exceeded_and_says_where_it_ended(evals: Evals, questions: Path) -> None:
    used = {"prompt_tokens": 9_000, "completion_tokens": 500}
    costly = {name: [replace(reply, usage=used) for reply in script] for name, script in SCRIPTS.items()}
    evals.provider.choose = scripted(costly)
    said_so = failing(evals.run(questions, "--budget", "0.055"), 1)
    assert "The budget of $0.055 does not suffice for another question" in said_so
    spent = sum(line["model_usd"] for line in evals.lines())
    assert 0.02 <= spent <= 0.055
    last = evals.lines()[-1]
    assert last["verdict"] == "budget"

    done = evals.run(questions, "--budget", "1")
    assert done.returncode == 0, done.stderr
    assert evals.by_id()["q014"]["verdict"] == "match"
    assert json.loads((evals.folder / "results.jsonl.summary.json").read_text())["attempts"] == 8
    assert sum(line["id"] == last["id"] for line in evals.lines()) == 2  # asked again


def test_questions_are_repeated_and_chosen(evals: Evals, questions: Path) -> None:
    flaky = [SCRIPTS["q014"], [said("No idea.")]]

    def reply(received: Received) -> Reply:
        first = sum(call.body["messages"] == received.body["messages"] for call in evals.provider.calls) <= 1
        return scripted({"q014": flaky[0] if first else flaky[1]})(received)

    evals.provider.choose = reply
    done = evals.run(questions, "--questions", "q014", "--repeat", "2")
    assert done.returncode == 0, done.stderr
    assert [(line["id"], line["attempt"], line["verdict"]) for line in evals.lines()] == [
        ("q014", 1, "match"),
        ("q014", 2, "no result"),
    ]
    assert "1 of 2" in done.stdout
    assert "interval" not in done.stdout


def test_a_provider_that_refuses_the_key_ends_the_run_and_counts_against_nobody(evals: Evals, questions: Path) -> None:
    evals.provider.usual = BAD_KEY
    said_so = failing(evals.run(questions), 1)
    assert "3 questions one after the other could not be asked." in said_so
    assert "sk-secret" not in evals.out.read_text("utf-8")
    assert [line["verdict"] for line in evals.lines()] == ["error"] * 3
    evals.provider.choose = scripted(SCRIPTS)
    assert evals.run(questions).returncode == 0
    assert evals.by_id()["q022"]["verdict"] == "match"


def test_a_question_whose_gold_result_cannot_be_known_whole_is_not_asked(evals: Evals, tmp_path: Path) -> None:
    strange: list[dict[str, Any]] = [
        {"id": "cut", "question": "All of them?", "sql": "SELECT tconst FROM movies_delta"},
        {"id": "bad", "question": "Drop it?", "sql": "DROP TABLE movies_delta"},
        QUESTIONS["q014"],
    ]
    evals.provider.choose = scripted(SCRIPTS)
    done = evals.run(write_questions(tmp_path / "strange.jsonl", strange))
    said_so = failing(done, 1)
    assert "cut is not asked: its gold result is cut after 500 rows: raise the server's IMDB_MAX_ROWS" in said_so
    assert "bad is not asked: its gold statement fails: Refused (" in said_so
    assert [line["id"] for line in evals.lines()] == ["q014"]
    assert "cut was not asked" in done.stdout
    assert "1 of 1 match" in done.stdout


def test_a_tie_that_the_gold_limit_cuts_is_seen(evals: Evals, tmp_path: Path) -> None:
    """The gold result is any one of the titles with the most stars; the model takes another one."""
    tied = "SELECT floor(averageRating) AS stars, tconst FROM movies_with_ratings ORDER BY stars DESC{} LIMIT 1"
    question = {"id": "q014", "question": QUESTIONS["q014"]["question"], "sql": tied.format("")}
    evals.provider.choose = scripted({"q014": [running(tied.format(", tconst DESC")), DONE]})
    done = evals.run(write_questions(tmp_path / "tied.jsonl", [question]))
    assert done.returncode == 0, done.stderr
    assert evals.by_id()["q014"]["verdict"] == "match"


def test_results_of_another_run_are_not_mixed(evals: Evals, questions: Path, tmp_path: Path) -> None:
    evals.provider.choose = scripted(SCRIPTS)
    only = ("--questions", "q014")
    assert evals.run(questions, *only).returncode == 0
    before = evals.out.read_bytes()
    evals.more = {"IMDB_CHAT_MODEL": "another"}
    assert "results of another run: model was scripted, is another. Give another --out" in failing(
        evals.run(questions, *only), 2
    )
    evals.more = {"IMDB_CHAT_MAX_ROUNDS": "3"}
    assert "limits was" in failing(evals.run(questions, *only), 2)
    evals.more = {}
    fewer = chosen(tmp_path / "fewer.jsonl", "q014", "q049")
    assert "questions was" in failing(evals.run(fewer, *only), 2)
    assert evals.out.read_bytes() == before


@pytest.mark.parametrize(
    ("lines", "arguments", "said_so"),
    [
        (['{"id": "a"'], [], "line 1: it is not JSON"),
        (["", "[]"], [], "line 2: it is no object"),
        (['{"id": "a", "question": "Why?"}'], [], "line 1: `sql` is missing or is no text"),
        (['{"id": "a", "question": " ", "sql": "SELECT 1"}'], [], "line 1: `question` is missing or is no text"),
        (['{"id": "a", "question": "b", "sql": "c", "ordered": "yes"}'], [], "line 1: `ordered` is neither true nor"),
        (['{"id": "a", "question": "b", "sql": "c", "tags": 1.5}'], [], "line 1: `tags` is neither a text nor a list"),
        (['{"id": "a", "question": "b", "sql": "c"}'] * 2, [], "line 2: the id a is that of line 1 too"),
        (["{"] * 30, [], "… and 20 more lines"),
        ([""], [], "holds no question"),
        ([json.dumps(QUESTIONS["q014"])], ["--questions", "q015"], "There is no question q015 in the file. Did you mean q014?"),  # noqa: E501
        ([json.dumps(QUESTIONS["q014"])], ["--budget", "much"], "much is no amount of dollars"),
        ([json.dumps(QUESTIONS["q014"])], ["--repeat", "0"], "0 is no number of times"),
        ([json.dumps(QUESTIONS["q014"])], ["--out", "/no/such/folder/x"], "The results /no/such/folder/x cannot be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_spent(
    evals: Evals,
    tmp_path: Path,
    lines: list[str],
    arguments: list[str],
    said_so: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    for name, value in evals.set_up.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(evals.arguments(path, *arguments))
    assert ended.value.code == 2
    assert said_so in capsys.readouterr().err
    assert evals.provider.calls == []


def test_a_file_that_is_no_file_of_questions_is_said_to_be_none(evals: Evals, tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in failing(evals.run(tmp_path / "none.jsonl"), 2)
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe")
    assert "are not UTF-8 text" in failing(evals.run(binary), 2)


def test_a_file_that_holds_something_else_is_not_written_to(evals: Evals, questions: Path) -> None:
    evals.out.write_text('{"a": 1}\n')
    assert "results.jsonl, line 1: this is no result. Give another --out." in failing(evals.run(questions), 2)
    assert evals.out.read_text() == '{"a": 1}\n'


def test_without_a_file_the_verified_queries_of_the_lake_are_asked(evals: Evals, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    written = write_questions(context / "queries.jsonl", [{**QUESTIONS["q014"], "note": "Counted by an anti join."}])
    settings = {**evals.environment, "IMDB_CONTEXT_DIR": str(context), "IMDB_LAKE": str(tmp_path / "lake")}
    evals.provider.choose = scripted(SCRIPTS)
    command = [argument for argument in evals.command(written) if argument != str(written)]
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [line["verdict"] for line in evals.lines()] == ["match"]


def test_without_a_file_and_without_verified_queries_it_says_what_to_give(evals: Evals, tmp_path: Path) -> None:
    command = [argument for argument in evals.command(tmp_path) if argument != str(tmp_path)]
    for lake, said_so in (("", "Give a file, or --lake DIR"), (str(tmp_path), "queries.jsonl does not exist")):
        settings = {**evals.environment, "IMDB_LAKE": lake}
        done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=120, check=False)
        assert said_so in failing(done, 2)
