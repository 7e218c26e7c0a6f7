"""`imdb-mcp`'s flags, exit codes and the verdicts of `check`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_server.cli import main


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_an_allowed_statement_ends_with_0(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--lake", str(lake), "SELECT count(*) FROM movies_delta") == 0
    assert capsys.readouterr().out == "Allowed on the embedded engine; answers with at most 100 rows.\n"


def test_a_refused_statement_ends_with_3_and_a_sentence(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--lake", str(lake), "DROP TABLE movies_delta") == 3
    assert capsys.readouterr().out.startswith("Refused (")


def test_explain_shows_what_each_layer_says_up_to_the_one_that_stops(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = "SELECT count(*) FROM movies_delta m, hr.salaries s"
    assert run("check", "--lake", str(lake), "--explain", refused) == 3
    *steps, verdict = capsys.readouterr().out.splitlines()
    names = "characters tokens clauses functions limits tree names"
    assert [line.split()[0] for line in steps] == names.split()
    assert [line.split()[1] for line in steps] == ["pass"] * (len(steps) - 1) + ["STOP"]
    assert "other_schema" in steps[-1]
    assert verdict.startswith("Refused (other_schema)")

    assert run("check", "--lake", str(lake), "--explain", "SELECT * FROM Movies_Delta LIMIT 2") == 0
    out = capsys.readouterr().out
    assert "STOP" not in out
    assert "runs: SELECT * FROM imdb.movies_delta VERSION AS OF" in out


def test_a_file_is_explained_step_by_step(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "statements.jsonl"
    file.write_text('{"id": 1, "sql": "SELECT reflect(1)"}\n')
    assert run("check", "--lake", str(lake), "--explain", "--file", str(file)) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert steps[0] == {"layer": "characters", "passed": True, "said": "17 characters"}
    assert (steps[-1]["layer"], steps[-1]["passed"]) == ("functions", False)


def test_a_file_of_statements_gives_a_verdict_for_each(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "statements.jsonl"
    file.write_text(
        '{"id": "a", "sql": "SELECT 1", "why": "a field more"}\n\n{"id": 2, "sql": "DELETE FROM movies_delta"}\n'
    )
    assert run("check", "--lake", str(lake), "--file", str(file)) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert list(first) == ["id", "verdict", "code", "message", "limit"]
    assert (first["id"], first["verdict"], first["limit"]) == ("a", "allow", 100)
    assert (second["id"], second["verdict"], second["limit"]) == (2, "refuse", None)
    assert second["code"]
    assert second["message"]


@pytest.mark.parametrize("bad", ["not json", '{"id": 1}', "[]", '{"id": 1, "sql": 5}', "\x00"])
def test_a_bad_line_is_named_and_ends_with_1(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    file = tmp_path / "statements.jsonl"
    file.write_text(f'{{"id": 1, "sql": "SELECT 1"}}\n{bad}\n')
    assert run("check", "--lake", str(lake), "--file", str(file)) == 1
    assert "Line 2" in capsys.readouterr().err


def test_check_starts_no_engine(lake: Path) -> None:
    program = f"""
import sys, mcp_server.cli as cli
try:
    cli.main(["check", "--lake", {str(lake)!r}, "SELECT 1"])
finally:
    print([name for name in ("pyspark", "pysail", "mcp") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "SELECT 1"), "Which lake?"),
        (("check", "--lake", "/nowhere/at/all", "SELECT 1"), "no lake"),
        (("serve", "--lake", "some.catalogue"), "names a catalogue"),
        (("serve", "--lake", "lake", "--transport", "http", "--port", "99999"), "--port 99999"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run(*arguments) in (1, 2)
    assert said in capsys.readouterr().err


def test_a_setting_that_does_not_exist_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMDB_MAX_ROW", "5")
    assert run("check", "--lake", "lake", "SELECT 1") == 2
    assert "IMDB_MAX_ROWS" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("check", "--help"), ("--version",)])
def test_help_is_printed_and_ends_with_0(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 0
    assert "imdb-mcp" in capsys.readouterr().out


def test_output_that_nobody_reads_on_ends_the_program_in_silence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "mcp_server", "doctor"]
        ended = subprocess.run(command, check=False, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_mistake_that_every_engine_would_find_is_said_of_the_statement(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "--lake", str(lake), "SELECT primaryTitel FROM movies_delta") == 0
    said = capsys.readouterr().out
    assert said.startswith("Allowed, but the embedded engine could not answer it (query_failed)")
    assert "Nearest: primaryTitle" in said


def test_a_state_folder_that_cannot_be_made_is_said_before_the_handshake(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IMDB_STATE_DIR", str(tmp_path / "file" / "state"))
    assert run("serve", "--lake", str(lake)) == 2
    assert "IMDB_STATE_DIR" in capsys.readouterr().err


def test_with_auto_a_statement_is_judged_for_the_engine_that_would_answer(
    java: None, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = "SELECT count(*) FROM movies_delta"
    lacking = "SELECT count(*) FROM movies_delta WHERE primaryTitle COLLATE UTF8_LCASE = 'x'"
    assert run("check", "--lake", str(lake), "--engine", "auto", quick) == 0
    assert run("check", "--lake", str(lake), "--engine", "auto", lacking) == 0
    assert run("check", "--lake", str(lake), lacking) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Allowed on the embedded engine")
    assert said[1].startswith("Allowed on the spark engine")
    assert said[2].startswith("Allowed, but the embedded engine could not answer it (engine_lacks)")
