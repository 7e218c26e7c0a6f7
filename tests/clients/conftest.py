"""One server over HTTP for every client, and what each of them needs on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients import installs
from tests.server.lakes import make_lake
from tests.server.processes import COMMAND, served

REQUIRED = "REQUIRE_NPM"
"""Set where none of these tests may be left out, as `.ci/run` does: what cannot be installed then fails them."""


@dataclass(frozen=True)
class Served:
    """A server as a client is told of it, and the state folder that it writes its audit into."""

    entry: dict[str, Any]
    state: Path

    def read_verdicts(self) -> list[str]:
        """The verdicts of all calls so far."""
        audit = self.state / "audit.jsonl"
        return [json.loads(line)["verdict"] for line in audit.read_text().splitlines()] if audit.exists() else []


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred invented titles; no test writes to it."""
    return make_lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="session")
def web_server(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real `imdb-mcp` over HTTP."""
    state = tmp_path_factory.mktemp("web-state")
    with served(lake, state) as url:
        yield Served({"url": url}, state)


@pytest.fixture
def stdio_server(lake: Path, tmp_path: Path) -> Served:
    """What a client starts a server over stdio with."""
    arguments = [*COMMAND[1:], "serve", "--lake", str(lake)]
    variables = {"IMDB_STATE_DIR": str(tmp_path), "IMDB_EXPORT_DIR": str(tmp_path)}
    return Served({"command": sys.executable, "args": arguments, "env": variables}, tmp_path)


@pytest.fixture(scope="session")
def node() -> Path:
    return _install(installs.find_node)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder of the TypeScript SDKs and the conformance suite."""
    return _install(lambda: installs.install_packages(inspector=False))


@pytest.fixture(scope="session")
def typescript(node: Path, packages: Path) -> Callable[[str], Sequence[str]]:
    """Names the command of a script for Node."""
    return lambda script: [str(node), str(packages / script)]


@pytest.fixture(scope="session")
def inspector(node: Path) -> Callable[[str], Sequence[str]]:
    """Names the command of a script that runs the Inspector."""
    packages = _install(lambda: installs.install_packages(inspector=True))
    return lambda script: [sys.executable, str(installs.HERE / script), str(node), str(packages)]


@pytest.fixture(scope="session")
def python_clients() -> Callable[[str], Sequence[str]]:
    """Names the command of a script that runs in the environment of the Python clients."""
    python = _install(installs.install_python_clients)
    return lambda script: [str(python), str(installs.HERE / script)]


def _install(install: Callable[[], Path]) -> Path:
    try:
        return install()
    except installs.UnavailableError as error:
        reason = f"MCP clients of others: {error}"
        if REQUIRED in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
