"""Clients that people use, each in its own process: they list, ask, are refused, get a part, and give up.

docs/clients.md has the table of versions.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.conftest import Served
from tests.server.processes import until
from tests.server.snapshot import FILE as SURFACE
from tests.server.test_stdio import SLOW_SQL

QUESTIONS = {
    name: {"reasoning": "a test", **question}
    for name, question in {
        "answered": {"sql_query": "SELECT count(*) AS n FROM movies_delta"},
        "refused": {"sql_query": "DROP TABLE movies_delta"},
        "limited": {"sql_query": "SELECT tconst FROM movies_delta", "row_limit": 3},
        "slow": {"sql_query": SLOW_SQL},
    }.items()
}


@dataclass(frozen=True)
class KnownClient:
    """A client's script in this folder, the fixture that names its command, and the protocol that it says it speaks."""

    script: str
    needs: str
    protocol: str | None = None
    gives_up: bool = True


CLIENTS = {
    "sdk v1": KnownClient("sdk_v1.mjs", "typescript"),
    "sdk v2": KnownClient("sdk_v2.mjs", "typescript", "2026-07-28"),
    "inspector": KnownClient("inspector.py", "inspector", gives_up=False),
    "openai agents": KnownClient("openai_agents.py", "python_clients"),
    "langchain": KnownClient("langchain_adapters.py", "python_clients"),
}


@pytest.mark.parametrize("transport", ["web", "stdio"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_lists_asks_is_refused_gets_a_part_and_gives_up(
    name: str, transport: str, request: pytest.FixtureRequest
) -> None:
    client = CLIENTS[name]
    server: Served = request.getfixturevalue(f"{transport}_server")
    command = request.getfixturevalue(client.needs)(client.script)
    before = server.read_verdicts().count("cancelled")
    said = run_client(command, server)
    assert said["tools"] == [tool["name"] for tool in json.loads(SURFACE.read_text(encoding="utf-8"))["tools"]]
    assert said["answer"]["rows"] == said["again"]["rows"] == [[300]]
    assert said["refusal"].startswith("Refused (not_a_query): DROP ")
    assert (said["limited"]["row_count"], said["limited"]["total_rows"]) == (3, 300)
    assert said["limited"]["warning_codes"] == ["rows_cut"]
    assert said.get("protocol") == client.protocol
    assert bool(said["gave_up"]) == client.gives_up
    cancelled = before + client.gives_up
    until(lambda: server.read_verdicts().count("cancelled") == cancelled, what="the end of what was given up")


def run_client(command: list[str], server: Served) -> dict[str, Any]:
    """Run a client's script to its end, and read what it printed."""
    asked = json.dumps({"server": server.entry, "questions": QUESTIONS})
    done = subprocess.run([*command, asked], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said
