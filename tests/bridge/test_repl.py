"""`imdb-chat` without a command, in a terminal and from a pipe, with a real server and a scripted model."""

from __future__ import annotations

import csv
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.bridge.scripts import COUNT, running, said, told
from tests.bridge.terminal import CTRL_C, CTRL_D, PREVIOUS, TAB, Terminal, terminal
from tests.bridge.test_client import LONGER
from tests.openai_server import HANGING, OpenAiServer
from tests.server.processes import busy, descendants, environment, gone, served, until

Open = Callable[[], AbstractContextManager[Terminal]]

TOP = "SELECT primaryTitle, numVotes FROM movies_with_ratings ORDER BY numVotes DESC, tconst LIMIT 2"
PROMPT = "imdb> "


@pytest.fixture
def set_up(provider: OpenAiServer) -> dict[str, str]:
    """A model at a dollar per million tokens read and two per million written."""
    price = {"IMDB_CHAT_INPUT_PRICE": "1", "IMDB_CHAT_OUTPUT_PRICE": "2"}
    return {"OPENAI_BASE_URL": provider.url, "IMDB_CHAT_MODEL": "own", **price}


@pytest.fixture
def chat(lake: Path, tmp_path: Path, set_up: dict[str, str]) -> Open:
    arguments = ["-m", "imdb_lakehouse.bridge.cli", "--lake", str(lake)]
    return lambda: terminal(arguments, environment(tmp_path / "state", **set_up))


def leave(screen: Terminal) -> int:
    screen.expect(PROMPT)
    screen.type(CTRL_D)
    return screen.end()


@pytest.fixture(scope="module")
def server(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server for all tests that need none of their own."""
    with served(lake, tmp_path_factory.mktemp("server")) as url:
        yield url


def piped(text: str, server: str, state: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imdb_lakehouse.bridge.cli", "--server", server],
        input=text, env=environment(state, **more), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_question_a_follow_up_and_what_they_cost(chat: Open, provider: OpenAiServer) -> None:
    provider.will(running(TOP), said("These \x1b[31mtwo."), said("The first one."))
    with chat() as screen:
        screen.expect("own plans.")
        screen.expect(PROMPT)
        screen.enter("Which two have the most votes?")
        assert TOP in screen.expect("← execute_spark_sql: 2 rows, ")
        screen.expect("These �[31mtwo.\n")
        assert "┃ primaryTitle" in screen.expect("└─")
        screen.expect("$0.00028, 200 tokens read and 40 written, ")
        screen.expect(PROMPT)

        screen.enter("And of these?")
        screen.expect("The first one.")
        screen.expect(PROMPT)
        asked = [message["content"] for message in told(provider.calls[2])[1:]]
        assert (asked[0], asked[2]) == ("Which two have the most votes?", "And of these?")
        assert asked[1].startswith("These \x1b[31mtwo.\n\n(It rested on this data:\n" + TOP)

        screen.enter("/new")
        screen.expect(PROMPT)
        provider.will(said("Which?"))
        screen.enter("And of these?")
        screen.expect("Which?")
        assert [message["content"] for message in told(provider.calls[3])[1:]] == ["And of these?"]

        screen.enter("/cost")
        screen.expect("questions     3 asked\nstatements    1\n")
        screen.expect("model         $0.00056, 400 tokens read and 80 written")
        screen.expect("AI functions  $0.00")
        assert leave(screen) == 0


def test_statements_run_without_a_model_and_are_listed(lake: Path, tmp_path: Path) -> None:
    with terminal(["-m", "imdb_lakehouse.bridge.cli", "--lake", str(lake)], environment(tmp_path)) as screen:
        screen.expect("No model is set up: /sql works")
        screen.enter(f"/sql {COUNT}")
        assert "│ 300 │" in screen.expect("1 row, ")
        screen.enter("/sql DROP TABLE movies_delta")
        screen.expect("Refused (")
        screen.enter("How many titles?")
        screen.expect("No model is set up: set OPENAI_API_KEY")
        screen.expect("Here, that is: /sql SELECT")
        screen.expect(PROMPT)
        screen.enter("/sql")
        assert screen.expect(PROMPT).splitlines()[-2:] == [COUNT, "DROP TABLE movies_delta"]
        screen.enter("/quit")
        assert screen.end() == 0


def test_ctrl_c_cancels_a_question_down_to_the_engine_and_the_session_goes_on(
    chat: Open, provider: OpenAiServer, tmp_path: Path
) -> None:
    audit = tmp_path / "state" / "audit.jsonl"
    provider.will(running(COUNT, LONGER))
    with chat() as screen:
        screen.expect(PROMPT)
        screen.enter("How long?")
        screen.expect("← execute_spark_sql: 1 row")
        until(lambda: busy(descendants(screen.pid)), what="the statement in the engine")
        screen.type(CTRL_C)
        screen.expect("Cancelled.")
        screen.expect(PROMPT)
        until(lambda: '"cancelled"' in audit.read_text(), what="the end of it")
        until(lambda: not busy(descendants(screen.pid)), what="an engine that is idle")

        provider.will(HANGING)
        screen.enter("Are you there?")
        until(lambda: len(provider.calls) == 2, what="the call of the model")
        screen.type(CTRL_C)
        screen.expect("Cancelled.")

        screen.enter(f"/sql {LONGER}")
        until(lambda: busy(descendants(screen.pid)), what="the statement in the engine")
        screen.type(CTRL_C)
        screen.expect("Cancelled.")
        until(lambda: audit.read_text().count('"cancelled"') == 2, what="the end of it")

        screen.enter(f"/sql {COUNT}")
        screen.expect("300")
        screen.enter("/cost")
        screen.expect("2 asked, 2 of them cancelled")
        most = float(screen.expect(" tokens read").split("$")[1].split(",")[0])
        assert most > 0.00028  # the call that was under way may be billed
        below = descendants(screen.pid)
        assert leave(screen) == 0
    until(lambda: gone(below), what="the end of its server")


def test_ctrl_c_gives_up_a_line_and_no_more(chat: Open, provider: OpenAiServer) -> None:
    with chat() as screen:
        screen.expect(PROMPT)
        screen.type("Never mi")
        screen.expect("Never mi")
        screen.interrupt()
        screen.expect(PROMPT)
        screen.enter("/hepl")
        screen.expect("There is no command /hepl. Did you mean /help? /help lists all.")
        screen.enter("/help")
        assert "/export FILE" in screen.expect("Anything else is a question")
        assert leave(screen) == 0
    assert provider.calls == []


def test_what_was_typed_is_kept_for_its_owner_alone(chat: Open, tmp_path: Path) -> None:
    with chat() as screen:
        screen.expect(PROMPT)
        screen.enter(f"/sql {COUNT}")
        screen.expect("1 row, ")
        screen.expect(PROMPT)
        screen.type(f"/co{TAB}")
        screen.expect("/cost")
        screen.enter("")
        screen.expect("questions")
        assert leave(screen) == 0
    history = tmp_path / "state" / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert [line.strip() for line in history.read_text().splitlines()] == [f"/sql {COUNT}", "/cost"]

    history.write_text("".join(f"/sql {n}\n" for n in range(1_500)) + "/cost\n")
    with chat() as screen:
        screen.expect(PROMPT)
        screen.type(PREVIOUS)
        screen.expect("/cost")
        screen.enter("")
        screen.expect("questions     0 asked")
        screen.expect(PROMPT)
        screen.enter("/help")
        screen.expect("Anything else")
        assert leave(screen) == 0
    assert len(history.read_text().splitlines()) == 1_000
    assert history.read_text().splitlines()[-1] == "/help"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_a_session_is_exported_and_nothing_is_overwritten(
    server: str, tmp_path: Path, provider: OpenAiServer, set_up: dict[str, str]
) -> None:
    tricky = "SELECT 'a|b ``` <b>' AS text, CAST(NULL AS STRING) AS nothing, ARRAY('x', 'y') AS list, 1.50 AS number"
    provider.will(running("SELECT nope FROM movies_delta"), running(TOP), said("These <script>two</script>."))
    notes, rows = tmp_path / "session.md", tmp_path / "result.csv"
    exports = [f"/export {path}" for path in (notes, rows, rows, "x.doc")]
    lines = [f"/export {notes}", "Which\ttwo?", f"/sql {tricky}", *exports]
    done = piped("\n".join(lines), server, tmp_path / "state", **set_up)
    assert done.returncode == 1
    assert "Nothing was asked yet." in done.stderr
    assert f"{rows} is there already and is not overwritten. Give another name." in done.stderr
    assert "What should x.doc be?" in done.stderr
    with rows.open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["text", "nothing", "list", "number"]
    assert row[0] == "a|b ``` <b>"
    assert row[1:3] == ["", '["x", "y"]']
    text = notes.read_text()
    assert "## Which\ttwo?\n\nThese &lt;script&gt;two&lt;/script&gt;.\n" in text
    assert f"```sql\n{TOP}\n```" in text
    assert "| primaryTitle | numVotes |\n| --- | --- |\n" in text
    assert "```sql\nSELECT nope FROM movies_delta\n```\n\n```text\n" in text
    assert f"````sql\n{tricky}\n````" in text
    assert "| a\\|b ``` &lt;b&gt; |  |" in text
    assert "$0.00042, 300 tokens read and 60 written, " in text
    assert "In all: $0.00042, 300 tokens read and 60 written" in text


def test_a_pipe_sees_answers_alone(server: str, tmp_path: Path, provider: OpenAiServer, set_up: dict[str, str]) -> None:
    provider.will(running(COUNT), said("300 titles."))
    done = piped("How many titles?\n\n", server, tmp_path, **set_up)
    assert (done.returncode, done.stdout) == (0, "300 titles.\n"), done.stderr
    assert "imdb>" not in done.stderr
    assert "$0.00028, 200 tokens read and 40 written" in done.stderr
    assert not (tmp_path / "chat_history").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [("", 0), (f"/sql {COUNT}", 0), ("/sql DROP TABLE x\n/cost\n", 3), ("Why?\n", 1), ("/quit\n/nonsense\n", 0)],
)
def test_a_pipe_ends_with_the_code_of_what_failed(text: str, code: int, server: str, tmp_path: Path) -> None:
    done = piped(text, server, tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_wide_result_is_not_folded_for_a_pipe(server: str, tmp_path: Path) -> None:
    done = piped("/sql SELECT repeat('wide ', 60) AS a, 'b\\n' || chr(27) || '[2Jc' AS b\n", server, tmp_path)
    assert "wide " * 60 in done.stdout
    assert "│ b �[2Jc │" in done.stdout


def test_where_the_server_is_may_stand_before_and_behind_a_command(lake: Path, tmp_path: Path) -> None:
    for arguments in (["--lake", str(lake), "ask", "--sql", COUNT], ["ask", "--sql", COUNT, "--lake", str(lake)]):
        done = subprocess.run(
            [sys.executable, "-m", "imdb_lakehouse.bridge.cli", *arguments],
            env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "300" in done.stdout


def test_a_session_needs_a_lake(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imdb_lakehouse.bridge.cli"], env=environment(tmp_path), capture_output=True, text=True,
        timeout=60, check=False, input="",
    )  # fmt: skip
    assert done.returncode == 2
    assert "Which lake? Give --lake DIR or --server URL" in done.stderr
