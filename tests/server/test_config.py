"""`imdb-mcp config`: what it prints starts the server, and what it writes leaves everything else as it was."""

from __future__ import annotations

import ast
import json
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from mcp_server.clients import json_text
from mcp_server.clients.table import CLIENTS
from tests.conftest import ROOT
from tests.server.test_cli import run

FILES = {name: client.file for name, client in CLIENTS.items() if client.file is not None}
PROGRAMS = sorted(CLIENTS.keys() - FILES.keys())
Configure = Callable[..., Any]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which every client has been started once."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("IMDB_STATE_DIR")
    for folder in (".config/Claude", ".config/Code/User", ".cursor", ".codeium/windsurf"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def write(client: str, *more: str, lake: str = "/data/lake") -> int | str | None:
    return run("config", client, "--lake", lake, "--write", *more)


def only_file(home: Path) -> Path:
    (found,) = (path for path in home.rglob("*.json") if path.is_file())
    return found


def literal_in(program: str) -> Any:
    """The entry that a printed program has in it."""
    assigned = (node for node in ast.parse(program).body if isinstance(node, ast.Assign))
    return next(ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "ENTRY")


@pytest.mark.anyio
async def test_what_is_printed_starts_the_server(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMDB_STATE_DIR", str(tmp_path))
    assert run("config", "claude", "--lake", str(lake)) == 0
    entry = json.loads(capsys.readouterr().out)["mcpServers"]["imdb"]
    assert entry["env"] == {"IMDB_STATE_DIR": str(tmp_path)}
    async with Client(StdioServerParameters(**entry)) as client:
        assert "find" in [tool.name for tool in (await client.list_tools()).tools]


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_program_has_the_same_entry_and_waits_longer_than_the_server(
    client: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("config", "claude", "--lake", "/data/größe") == 0
    entry = json.loads(capsys.readouterr().out)["mcpServers"]["imdb"]
    assert run("config", client, "--lake", "/data/größe", "--name", 'my "lake"') == 0
    program = capsys.readouterr().out
    assert literal_in(program) == entry
    assert '"my \\"lake\\""' in program
    assert "seconds=60" in program

    assert write(client) == 2
    assert "has no file" in capsys.readouterr().err


@pytest.mark.parametrize("client", FILES)
def test_a_client_without_a_configuration_gets_one(client: str, home: Path) -> None:
    assert write(client, "--name", "films") == 0
    file = only_file(home)
    entry = json.loads(file.read_text())[FILES[client].section]["films"]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-3:] == ["serve", "--lake", "/data/lake"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_served_yet_is_written_and_said(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write("cursor") == 0
    assert "nothing to serve there yet. There is no lake at /data/lake. Give the folder" in capsys.readouterr().err
    (tmp_path / "orders" / "_delta_log").mkdir(parents=True)
    for lake, said in ((tmp_path, ""), (tmp_path / "orders", "is a Delta table, not a lake of tables")):
        assert write("cursor", "--lake", str(lake)) == 0
        assert said in capsys.readouterr().err if said else "nothing to serve" not in capsys.readouterr().err


def test_a_folder_for_results_that_is_not_there_yet_is_said(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    assert write("cursor", "--export-dir", str(folder)) == 0
    assert f"There is no folder {folder} for results yet: make it" in capsys.readouterr().err
    assert not folder.exists()
    folder.mkdir()
    assert write("cursor", "--export-dir", str(folder)) == 0
    assert "for results yet" not in capsys.readouterr().err


@pytest.mark.parametrize("client", FILES)
def test_a_second_run_changes_nothing_and_keeps_no_copy(
    client: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(client)
    before = only_file(home).stat()
    assert write(client) == 0
    assert "up to date" in capsys.readouterr().out
    after = only_file(home).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(home.rglob("*.bak")) == []


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_comments_order_indentation_and_line_ends_stay(home: Path, newline: str) -> None:
    file = home / ".config/Code/User/mcp.json"
    text = (
        '\ufeff// mine\n{\n\t/* all */ "inputs": [],\n\t"servers": {\n\t\t"other": {"command": "x//y"}, // keep\n'
        "\t\t// the last word\n\t},\n}\n"
    ).replace("\n", newline)
    file.write_bytes(text.encode())
    file.chmod(0o640)
    assert write("vscode") == 0
    after = file.read_bytes().decode()
    inserted = after[len(text[: text.index("last word")]) + len("last word") :].split(f"{newline}\t}},{newline}}}")[0]
    assert after.replace(inserted, "", 1) == text
    assert json.loads("{" + inserted + "}")["imdb"]["type"] == "stdio"
    assert "\n" not in inserted.replace(newline, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    (copy,) = home.rglob("*.bak")
    assert copy.read_bytes() == text.encode()


@pytest.mark.parametrize(
    "text", ["", "  \n", "{}", '{"mcpServers":{}}', '{"mcpServers": {"a": {"command": "x"}}}', '{"x": [1, {"y": "}"}]}']
)
def test_an_entry_is_added_to_what_is_there(home: Path, text: str) -> None:
    file = home / ".cursor/mcp.json"
    file.write_text(text)
    assert write("cursor") == 0
    after = json.loads(file.read_text())
    assert after["mcpServers"].pop("imdb")["args"][-1] == "/data/lake"
    before = json.loads(text) if text.strip() else {}
    assert after == {"mcpServers": {}, **before}


def test_what_a_user_added_to_the_entry_stays_when_the_lake_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / ".codeium/windsurf/mcp_config.json"
    write("windsurf")
    content = json.loads(file.read_text())
    content["mcpServers"]["imdb"] |= {"disabled": True, "env": {"OPENAI_API_KEY": "mine", "IMDB_MAX_ROWS": "1"}}
    file.write_text(json.dumps(content))
    monkeypatch.setenv("IMDB_MAX_ROWS", "7")
    assert write("windsurf", lake="/data/other") == 0
    entry = json.loads(file.read_text())["mcpServers"]["imdb"]
    assert entry["args"][-1] == "/data/other"
    assert entry["disabled"]
    assert entry["env"] == {"OPENAI_API_KEY": "mine", "IMDB_MAX_ROWS": "7"}


@pytest.mark.parametrize(
    ("client", "text", "said"),
    [
        ("cursor", '{"mcpServers": {}', "line 1: "),
        ("cursor", "[1]", "no object"),
        ("cursor", '{"mcpServers": []}', "mcpServers is no object"),
        ("cursor", '{\n// mine\n"mcpServers": {}}', "line 2 has a comment"),
        ("cursor", '{"a": 1, "a": 2}', "twice"),
        ("cursor", '{"mcpServers": {"imdb": {"url": "https://example.org/mcp"}}}', "--name"),
        ("vscode", '{"servers": {"imdb": {"type": "http", "url": "x"}}}', "--name"),
        ("vscode", '{"servers": /* {}', "line 1"),
        ("vscode", "\udcff", "UTF-8"),
        ("vscode", "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_edited_stays_as_it_is(
    client: str, text: str, said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / {"cursor": ".cursor/mcp.json", "vscode": ".config/Code/User/mcp.json"}[client]
    file.write_bytes(text.encode(errors="surrogateescape"))
    assert write(client) == 1
    assert said in capsys.readouterr().err
    assert file.read_bytes() == text.encode(errors="surrogateescape")
    assert [path for path in file.parent.iterdir() if path != file] == []


def test_a_secret_is_named_and_never_written(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OPENAI_API_KEY", "DATABRICKS_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hush-hush")
    monkeypatch.setenv("IMDB_LOG_LEVEL", "INFO")
    assert write("cursor", "--engine", "embedded", lake="s3://lakes/films") == 0
    shown = capsys.readouterr()
    text = only_file(home).read_text()
    assert "hush-hush" not in text + shown.out + shown.err
    entry = json.loads(text)["mcpServers"]["imdb"]
    assert entry["env"] == {"IMDB_LOG_LEVEL": "INFO"}
    assert entry["args"][-4:] == ["--lake", "s3://lakes/films", "--engine", "embedded"]
    settings, storage = re.findall("Not written, because it may be secret: (.+?)[.] (.+)", shown.err)
    assert {"OPENAI_API_KEY", "DATABRICKS_TOKEN"} <= set(settings[0].split(", "))
    assert "IMDB_CONFIG" in settings[1]
    assert "AWS_SECRET_ACCESS_KEY" in storage[0].split(", ")
    assert "IMDB_CONFIG" not in storage[1]  # a file of settings takes none of these


def test_a_client_that_was_never_started_is_not_given_a_folder(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".cursor").rmdir()
    assert write("cursor") == 1
    assert "Start it once" in capsys.readouterr().err
    assert not (home / ".cursor").exists()
    assert write("cursor", "--file", str(home / "project/.cursor/mcp.json")) == 0
    assert only_file(home).parts[-3:] == ("project", ".cursor", "mcp.json")


def test_a_link_stays_a_link(home: Path) -> None:
    target = home / "settings.json"
    target.write_text("{}")
    (home / ".cursor/mcp.json").symlink_to(target)
    assert write("cursor") == 0
    assert (home / ".cursor/mcp.json").is_symlink()
    assert "imdb" in target.read_text()


@pytest.mark.parametrize(
    ("system", "client", "folder"),
    [
        ("darwin", "claude", "Library/Application Support/Claude"),
        ("darwin", "vscode", "Library/Application Support/Code/User"),
        ("darwin", "cursor", ".cursor"),
        ("win32", "claude", "AppData/Roaming/Claude"),
        ("win32", "claude", "AppData/Local/Packages/Claude_x1/LocalCache/Roaming/Claude"),
        ("win32", "vscode", "AppData/Roaming/Code/User"),
        ("win32", "windsurf", ".codeium/windsurf"),
    ],
)
def test_each_system_has_its_place(
    system: str, client: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "A~1 [home]"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(sys, "platform", system)
    (home / "AppData/Roaming/Claude").mkdir(parents=True)
    (home / folder).mkdir(parents=True, exist_ok=True)
    assert write(client) == 0
    assert only_file(home).parent == home / folder


def test_a_copy_of_a_cache_is_not_written_down(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/.cache/uv/archive-v0/abc")
    assert write("cursor") == 2
    assert "uv tool install" in capsys.readouterr().err
    assert not (home / ".cursor/mcp.json").exists()


@pytest.mark.parametrize("client", CLIENTS)
def test_the_page_shows_what_is_printed(client: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", client, "--lake", "/path/to/lake") == 0
    printed = capsys.readouterr().out
    (command,) = re.findall(r'"command": (".*?")', printed)
    page = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- {client} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert shown[1] == printed.replace(command, '"/path/to/.venv/bin/imdb-mcp"')


def test_the_examples_of_the_editor_hold() -> None:
    import doctest

    assert doctest.testmod(json_text).failed == 0
