"""`imdb-mcp doctor`: a line for each thing that the server needs, with what to do, and no secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mcp_server.doctor import machine
from tests.server.test_cli import run

CHECKS = ["python", "extras", "memory", "disk", "identity", "clock", "lake", "engine", "fence", "provider"]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMDB_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, dict[str, dict[str, str]]]:
    """The exit code, and the last finding of each check."""
    code = run("doctor", "--json", *arguments)
    report = json.loads(capsys.readouterr().out)
    assert report["level"] == max(
        (finding["level"] for finding in report["findings"]), key=["ok", "warning", "failure"].index
    )
    return code, {finding["check"]: finding for finding in report["findings"]}


@contextmanager
def provider(status: int, date: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """A provider that answers so, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers['authorization']}")
            self.send_response_only(status)
            self.send_header("Date", date or self.date_time_string())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()


def test_a_sound_installation_has_a_line_for_each_check(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--lake", str(lake)) == 0
    shown = capsys.readouterr()
    lines = [line.split(maxsplit=2) for line in shown.out.splitlines() if "→" not in line]
    assert [line[1] for line in lines] == CHECKS
    said = {check: (level, text) for level, check, text in lines}
    assert said["engine"][0] == "ok"
    assert said["engine"][1].startswith("embedded answered SELECT 1")
    assert "generation 1, published" in said["lake"][1]
    assert shown.err == ""


def test_without_a_lake_the_rest_is_still_checked(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examine(capsys)
    assert code == 1
    assert found["lake"]["level"] == "failure"
    assert "--lake" in found["lake"]["advice"]
    assert found.keys() == set(CHECKS) - {"engine", "fence"}


def test_a_lake_that_is_none_is_a_failure_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examine(capsys, "--lake", str(tmp_path / "nowhere"))
    assert code == 1
    assert found["lake"]["level"] == "failure"
    assert "nowhere" in found["lake"]["text"]


def test_an_engine_that_does_not_start_is_no_failure_of_the_lake(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pysail").mkdir()
    (tmp_path / "pysail" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, found = examine(capsys, "--lake", str(lake))
    assert code == 1
    assert found["lake"]["level"] == "ok"
    assert found["engine"]["level"] == "failure"
    assert "did not start: The embedded engine is not installed" in found["engine"]["text"]
    assert "fence" not in found


def test_what_others_can_read_is_a_warning_with_its_command(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state.chmod(0o755)
    _, found = examine(capsys)
    assert found["identity"]["level"] == "warning"
    assert found["identity"]["advice"] == f"Run: chmod 700 {state}"


def test_a_warning_alone_ends_with_1_only_where_it_is_strict(
    state: Path, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mcp_server.doctor.check_lake", lambda _settings, *, online: iter(()))
    assert examine(capsys, "--strict")[0] == 0
    state.chmod(0o755)
    assert examine(capsys)[0] == 0
    assert examine(capsys, "--strict")[0] == 1


def test_a_missing_engine_is_a_failure_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None if name == "pysail" else object())
    _, found = examine(capsys)
    assert found["extras"]["level"] == "failure"
    assert "imdb-lakehouse-mcp[embedded]" in found["extras"]["advice"]


def test_a_ceiling_above_the_machine_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMDB_ENGINE_MEMORY_MB", "100000000")
    monkeypatch.setenv("IMDB_ENGINE_TEMP_MB", "1000000000000")
    _, found = examine(capsys)
    assert (found["memory"]["level"], found["disk"]["level"]) == ("warning", "warning")
    assert "IMDB_ENGINE_MEMORY_MB" in found["memory"]["advice"]


def test_a_clock_before_this_release_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.time, "time", lambda: 0.0)
    _, found = examine(capsys)
    assert found["clock"] == {
        "check": "clock", "level": "failure", "text": "1970-01-01 00:00:00+00:00: earlier than this release",
        "advice": "Set the clock, best by NTP.",
    }  # fmt: skip


@pytest.mark.parametrize(("status", "level"), [(200, "ok"), (404, "ok"), (401, "failure"), (500, "failure")])
def test_the_provider_is_asked_only_online_and_its_key_is_not_shown(
    status: int, level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hush-hush")
    with provider(status) as (url, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        _, found = examine(capsys)
        assert (found["provider"]["level"], asked) == ("ok", [])
        _, found = examine(capsys, "--online")
    assert found["provider"]["level"] == level
    assert asked == ["/v1/models Bearer hush-hush"]
    assert "hush" not in json.dumps(found)


def test_a_provider_that_is_away_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:hush-hush@127.0.0.1:9/v1")
    code, found = examine(capsys, "--online")
    assert (code, found["provider"]["level"]) == (1, "failure")
    assert "hush" not in json.dumps(found)


def test_a_clock_that_differs_from_the_providers_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with provider(200, "Wed, 01 Jan 2025 00:00:00 GMT") as (url, _):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        _, found = examine(capsys, "--online")
    assert found["clock"]["level"] == "warning"
    assert "ahead of the provider's" in found["clock"]["text"]


def test_an_audit_log_that_cannot_be_written_is_a_failure(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "audit.jsonl").mkdir()
    _, found = examine(capsys)
    assert found["identity"]["level"] == "failure"
