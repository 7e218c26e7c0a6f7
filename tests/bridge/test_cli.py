"""`imdb-chat ask` as a user runs it: a process, a real server that it starts or finds, a scripted model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bridge.scripts import COUNT, running, said
from tests.openai_server import OpenAiServer
from tests.server.processes import environment, started

KEY = "sk-very-secret"


def chat(*arguments: str, state: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imdb_lakehouse.bridge.cli", "ask", *arguments],
        env=environment(state, **more), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_sql_needs_no_model_and_goes_the_same_way(lake: Path, tmp_path: Path) -> None:
    done = chat("--sql", COUNT, "--lake", str(lake), state=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "300" in done.stdout
    assert COUNT in (tmp_path / "audit.jsonl").read_text()


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("csv", 'name,n\n"\'=1+1, ""x""",-2\n'),
        ("json", None),
        ("table", None),
    ],
)
def test_rows_are_all_that_is_printed_in_the_form_that_was_asked_for(
    lake: Path, tmp_path: Path, form: str, shown: str | None
) -> None:
    sql = "SELECT '=1+1, \"x\"' AS name, -2 AS n"
    done = chat("--sql", sql, "--format", form, "--lake", str(lake), state=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    if form == "json":
        assert json.loads(done.stdout)["rows"] == [['=1+1, "x"', -2]]
    if form == "table":
        assert done.stdout.splitlines()[3].split("│")[1].strip() == '=1+1, "x"'
    assert shown is None or done.stdout.replace("\r\n", "\n") == shown


@pytest.mark.parametrize("verb", [["ask", "--sql", COUNT], ["serve", "--port", "0"]], ids=["ask", "serve"])
def test_a_lake_that_is_not_there_is_said_before_anything_starts(tmp_path: Path, verb: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imdb_lakehouse.bridge.cli", *verb, "--lake", str(tmp_path / "none")],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "none" in done.stderr
    assert "Serving" not in done.stderr


def test_the_user_of_a_server_of_ones_own_needs_nobody_to_vouch(lake: Path, tmp_path: Path) -> None:
    done = chat("--sql", COUNT, "--lake", str(lake), state=tmp_path, IMDB_CALLER_KEY="k" * 32)
    assert done.returncode == 0, done.stderr


def test_a_question_is_answered_on_stdout_and_its_steps_are_shown_beside_it(
    lake: Path, tmp_path: Path, provider: OpenAiServer
) -> None:
    provider.will(running(COUNT), said("There are \x1b[31m300 titles."))
    set_up = {"OPENAI_BASE_URL": provider.url, "IMDB_CHAT_MODEL": "own"}
    price = {"IMDB_CHAT_INPUT_PRICE": "1", "IMDB_CHAT_OUTPUT_PRICE": "2"}
    done = chat("How many titles?", "--lake", str(lake), state=tmp_path, **set_up, **price)
    assert (done.returncode, done.stdout) == (0, "There are �[31m300 titles.\n"), done.stderr
    assert f"→ execute_spark_sql: to run {COUNT}\n    {COUNT}\n" in done.stderr
    assert "← execute_spark_sql: 1 row, " in done.stderr
    assert "$0.00028, 200 tokens read and 40 written, " in done.stderr


def test_a_server_that_runs_already_is_asked_at_its_url_and_a_refusal_ends_with_3(lake: Path, tmp_path: Path) -> None:
    with started("serve", "--lake", str(lake), "--transport", "http", "--port", "0", state=tmp_path) as server:
        assert server.stderr is not None
        url = server.stderr.readline().decode().split()[-1]
        done = chat("--sql", COUNT, "--server", url, state=tmp_path / "own")
        refused = chat("--sql", "DROP TABLE movies_delta", state=tmp_path / "own", IMDB_CHAT_SERVER=url)
    assert done.returncode == 0, done.stderr
    assert "300" in done.stdout
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("Refused (")


@pytest.mark.parametrize(
    ("arguments", "code", "said_so"),
    [
        (["--sql", COUNT], 2, "Which lake? Give --lake DIR or --server URL"),
        (["--sql", COUNT, "--server", "ftp://x"], 2, "is no URL of an MCP server"),
        (["--sql", COUNT, "--server", "http://user:hidden@127.0.0.1:9/mcp"], 1, "The server at 127.0.0.1 cannot be"),
        (["Why?", "--lake", "."], 1, "No model is set up: set OPENAI_API_KEY"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path, arguments: list[str], code: int, said_so: str) -> None:
    done = chat(*arguments, state=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said_so in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr


def test_a_model_without_a_price_is_not_called(lake: Path, tmp_path: Path) -> None:
    done = chat("Why?", "--lake", str(lake), state=tmp_path, OPENAI_API_KEY=KEY, IMDB_CHAT_MODEL="gpt-unheard-of")
    assert done.returncode == 1
    assert "The model gpt-unheard-of cannot be called: its price is not set." in done.stderr
    assert KEY not in done.stderr
